"""`turnsmith runs ls` and `turnsmith runs rm NAME…`: the runs below runs/, what came of each, and their removal."""

import shutil
import time
from pathlib import Path
from typing import Any

from turnsmith.errors import UserError
from turnsmith.runs.run import run_folder

_USAGE = f"usage: turnsmith runs ls\n       turnsmith runs rm NAME…\n\n{__doc__}"


def main(argv: list[str]) -> int:
    """List the runs, or remove those that are named."""
    if not argv or argv[0] in ("-h", "--help"):
        print(_USAGE)
        return 0
    verb, names = argv[0], argv[1:]
    if verb == "ls" and not names:
        _list()
    elif verb == "rm" and names:
        _remove(names)
    else:
        raise UserError(f"unknown: runs {' '.join(argv)}. There are: runs ls, runs rm NAME…")
    return 0


def _list() -> None:
    """A table, the newest run last."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from turnsmith.view.runs import runs_to_show

    rows = sorted((run.row() for run in runs_to_show([]).all().values()), key=lambda row: row["updated"])
    if not rows:
        print("There are no runs in runs/ yet.")
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("run", overflow="fold")
    table.add_column("recipe", overflow="fold")
    table.add_column("status", no_wrap=True)
    for heading in ("success", "traces", "age"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        name, recipe = escape(str(row["name"])), escape(str(row["recipe"]))
        table.add_row(name, recipe, str(row["status"]), _success(row), str(row["traces"]), _age(row["updated"]))
    Console(highlight=False).print(table)


def _success(row: dict[str, Any]) -> str:
    found = row["success"]
    return "–" if found is None else f"{100 * found['value']:.1f} %"


def _age(updated: float) -> str:
    """Since the last change: "5 s", "12 min", "3 h", "4 d"."""
    seconds = max(0.0, time.time() - updated)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _remove(names: list[str]) -> None:
    """Remove runs below runs/, all of them or none.

    Raises:
        UserError: if one of them is not a run there, or is being made at this moment.
    """
    from turnsmith.view.folder import is_run
    from turnsmith.view.run import Run

    folders: list[Path] = []
    for name in names:
        folder = run_folder(name.removeprefix("runs/").rstrip("/"))
        if folder.is_symlink() or not is_run(folder):
            raise UserError(f"{name}: there is no run of this name below runs/. List them with: turnsmith runs ls")
        run = Run(folder)
        status = run.row()["status"]
        run.close()
        if status == "running":
            raise UserError(f"{name}: is being made at this moment. Stop it first.")
        folders.append(folder)
    for folder in folders:
        shutil.rmtree(folder)
        print(f"removed {folder}")
