"""Reading JSON lines, with errors that name the file and the line."""

import json
import sys
from pathlib import Path
from typing import Any

from turnwise.errors import UserError


def read_jsonl(name: str | Path) -> list[tuple[int, dict[str, Any]]]:
    """All rows of a JSONL file as (line number from 1, object); "-" reads standard input; empty lines are skipped.

    Raises:
        UserError: if the file cannot be read, or a line is not a JSON object.
    """
    if str(name) == "-":
        lines = sys.stdin.read().splitlines()
    else:
        try:
            lines = Path(name).read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{name}: cannot be read as text ({error}).") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{name}, line {number}: not JSON ({error}).") from error
        if not isinstance(row, dict):
            raise UserError(f"{name}, line {number}: a JSON object is needed, not {type(row).__name__}.")
        rows.append((number, row))
    return rows
