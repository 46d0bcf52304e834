"""`turnwise results [FOLDER] [--json]`: the table of recorded claims, paper beside ours."""

import json
from pathlib import Path
from typing import Any

from turnwise.errors import UserError
from turnwise.evaluate.claims import read_claims


def main(argv: list[str]) -> int:
    """Print every claim of every file in `results/`."""
    if any(argument in ("-h", "--help") for argument in argv):
        print(f"usage: turnwise results [FOLDER] [--json]\n\n{__doc__}")
        return 0
    as_json = "--json" in argv
    folders = [argument for argument in argv if not argument.startswith("-")]
    folder = Path(folders[0]) if folders else Path("results")
    files = sorted(folder.glob("*.json")) if folder.is_dir() else []
    if not files:
        raise UserError(f"{folder}: no recorded results here. Run a recipe: turnwise run RECIPE --preset laptop")
    claims = {path.stem: read_claims(path) for path in files}
    if as_json:
        print(json.dumps(claims, indent=1, ensure_ascii=False))
    else:
        _print_table(claims)
    return 0


def _print_table(claims: dict[str, list[dict[str, Any]]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Recorded claims", title_justify="left", show_lines=False, pad_edge=False)
    for heading, justify in (
        ("what", "left"),
        ("ours", "right"),
        ("95 %", "left"),
        ("goal", "left"),
        ("paper", "left"),
    ):
        table.add_column(heading, justify=justify, no_wrap=heading in ("what", "ours", "95 %"))  # type: ignore[arg-type]
    table.add_column("holds")
    for name, rows in claims.items():
        table.add_section()
        table.add_row(f"[bold]{name}[/bold]", "", "", "", "", "")
        for row in rows:
            table.add_row(
                f"  {row['id']}",
                _number(row.get("value")),
                "–".join(_number(bound) for bound in row["ci95"]) if row.get("ci95") else "",
                str(row.get("goal", "")),
                str(row.get("paper", "")),
                {True: "[green]yes[/green]", False: "[red]no[/red]"}.get(row.get("holds"), ""),  # type: ignore[arg-type]
            )
    Console().print(table)


def _number(value: Any) -> str:
    return "not measured" if value is None else f"{value:.4g}" if isinstance(value, (int, float)) else str(value)
