"""The plain files of a run folder, read tolerantly: what is readable, and a sentence for each thing that is not.

A run that is being written, was killed, or came by mail from somewhere else must still open. So nothing here raises for
the contents of a file. Only these names inside the folder are ever opened, and never through a link that leaves it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from turnsmith.jsonl import parse_json

MAX_FILE_BYTES = 256 * 2**20
"""Files above this are not read: a run's own are a thousand times smaller."""


@dataclass(frozen=True, slots=True)
class Folder:
    """The text side of a run.

    Attributes:
        path: the run folder.
        config: `config.json`, or {}.
        report: `report.json`, or {}.
        metrics: the rows of `metrics.jsonl`.
        tasks: the rows of `tasks.jsonl` (proposed tasks, rejected ones included); most runs have none.
        problems: one sentence for each thing that could not be read.
    """

    path: Path
    config: dict[str, Any] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    problems: tuple[str, ...] = ()


def is_run(path: Path) -> bool:
    """Whether this folder looks like a run: it has at least one of the files of one."""
    return path.is_dir() and any((path / name).is_file() for name in ("config.json", "run.db", "metrics.jsonl"))


def inside(folder: Path, relative: str) -> Path | None:
    """The path of a file of the folder, or None where it is missing or a link leads out of the folder."""
    path = folder / relative
    try:
        root, resolved = folder.resolve(), path.resolve()
        return path if resolved.is_relative_to(root) and resolved.is_file() else None
    except (OSError, RuntimeError):
        return None


def read_folder(path: Path) -> Folder:
    """Read the text files of a run; never raises for what stands in them."""
    problems: list[str] = []
    return Folder(
        path,
        config=_read_object(path, "config.json", problems),
        report=_read_object(path, "report.json", problems),
        metrics=_read_rows(path, "metrics.jsonl", problems),
        tasks=_read_rows(path, "tasks.jsonl", problems),
        problems=tuple(problems),
    )


def _read_text(folder: Path, name: str, problems: list[str]) -> str | None:
    path = inside(folder, name)
    if path is None:
        if (folder / name).is_symlink():
            problems.append(f"{name} is a link that leads out of the run folder or nowhere; it was not followed.")
        return None
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            problems.append(f"{name} is larger than {MAX_FILE_BYTES >> 20} MiB and was not read.")
            return None
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        problems.append(f"{name} cannot be read ({error.strerror}).")
        return None


def _read_object(folder: Path, name: str, problems: list[str]) -> dict[str, Any]:
    text = _read_text(folder, name, problems)
    if text is None:
        return {}
    try:
        value = parse_json(text)
    except ValueError:
        problems.append(f"{name} is not complete JSON; what it says is not shown.")
        return {}
    if not isinstance(value, dict):
        problems.append(f"{name} does not hold a JSON object; what it says is not shown.")
        return {}
    return value


def _read_rows(folder: Path, name: str, problems: list[str]) -> list[dict[str, Any]]:
    text = _read_text(folder, name, problems)
    if text is None:
        return []
    lines = text.split("\n")
    rows, bad = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except ValueError:
            row = None
        if isinstance(row, dict):
            rows.append(row)
        elif number < len(lines):  # an unfinished last line is a writer at work, not damage
            bad.append(number)
    if bad:
        problems.append(f"{name}: {_lines(bad)} not readable; the other {len(rows)} rows are shown.")
    return rows


def _lines(numbers: Iterable[int]) -> str:
    some = list(numbers)
    if len(some) == 1:
        return f"line {some[0]} is"
    shown = ", ".join(map(str, some[:5])) + (" and others" if len(some) > 5 else "")
    return f"lines {shown} are"
