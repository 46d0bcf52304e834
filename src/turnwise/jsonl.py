"""Reading and printing JSON lines, with errors that name the file and the line."""

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
    try:
        data = sys.stdin.buffer.read() if str(name) == "-" else Path(name).read_bytes()
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{name}: cannot be read as text ({error}).") from error
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):  # not splitlines: JSON strings may hold U+2028
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


def print_row(row: dict[str, Any]) -> None:
    """Print one row as a line of JSON: readable, with escapes only where the terminal or file cannot take the text."""
    line = json.dumps(row, ensure_ascii=False)
    try:
        line.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # a lone surrogate from a model, or an ASCII terminal
        line = json.dumps(row)
    print(line)
