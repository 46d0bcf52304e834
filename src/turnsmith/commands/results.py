"""`turnsmith results [FOLDER] [--json]`: the table of recorded claims, paper beside ours."""

import json
from pathlib import Path
from typing import Any

from turnsmith.errors import UserError
from turnsmith.evaluate.claims import read_claims


def main(argv: list[str]) -> int:
    """Print every claim of every file in `results/`."""
    if any(argument in ("-h", "--help") for argument in argv):
        print(f"usage: turnsmith results [FOLDER] [--json]\n\n{__doc__}")
        return 0
    as_json = "--json" in argv
    folders = [argument for argument in argv if not argument.startswith("-")]
    folder = Path(folders[0]) if folders else Path("results")
    files = sorted(folder.glob("*.json")) if folder.is_dir() else []
    if not files:
        raise UserError(f"{folder}: no recorded results here. Run a recipe: turnsmith run RECIPE --preset laptop")
    claims = {path.stem: read_claims(path) for path in files}
    if as_json:
        print(json.dumps(claims, indent=1, ensure_ascii=False))
    else:
        _print_table(claims)
    return 0


WIDE = 120
"""Columns from which on the paper's figures have a column of their own; below they stand under the claim."""


def _print_table(claims: dict[str, list[dict[str, Any]]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    wide = console.width >= WIDE
    table = Table(title="Recorded claims", title_justify="left", show_lines=False, pad_edge=False)
    table.add_column("what", overflow="fold")
    table.add_column("ours", justify="right", no_wrap=True)
    table.add_column("95 %", no_wrap=True)
    table.add_column("goal", no_wrap=True)
    if wide:
        table.add_column("paper")
    for name, rows in claims.items():
        table.add_section()
        table.add_row(f"[bold]{name}[/bold]")
        for row in rows:
            paper = escape(str(row.get("paper") or ""))
            table.add_row(
                f"  {row['id']}" + (f"\n    [dim]paper: {paper}[/dim]" if paper and not wide else ""),
                _number(row.get("value")),
                " to ".join(f"{bound:.3g}" for bound in row["ci95"]) if row.get("ci95") else "",
                _verdict(row),
                *([paper] if wide else []),
            )
    console.print(table)


def _verdict(row: dict[str, Any]) -> str:
    """Whether a claim reaches its goal, and the goal."""
    goal = (
        str(row.get("goal", "")).replace("> 0 and interval above 0", "CI > 0").replace("and interval above 0", "CI > 0")
    )
    held = {True: "[green]yes[/green] ", False: "[red]no[/red]  "}.get(row.get("holds"), "")  # type: ignore[arg-type]
    return held + goal


def _number(value: object) -> str:
    return "not measured" if value is None else f"{value:.4g}" if isinstance(value, (int, float)) else str(value)
