"""Reading and writing JSON lines, with errors that name the file and the line."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from turnsmith.errors import UserError


def read_jsonl(name: str | Path) -> list[tuple[int, dict[str, Any]]]:
    """All rows of a JSONL file as (line number from 1, object); "-" reads standard input; empty lines are skipped.

    Raises:
        UserError: if the file cannot be read, or a line is not a JSON object.
    """
    return list(iter_jsonl(name))


def iter_jsonl(name: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """As `read_jsonl`, one row at a time: for files that are larger than memory."""
    number, source = 0, 0 if str(name) == "-" else name
    try:
        with open(source, "rb", closefd=source != 0) as lines:
            for number, line in enumerate(lines, start=1):
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                if text.strip():
                    yield number, _object(text, f"{name}, line {number}")
    except OSError as error:
        raise UserError(f"{name}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{name}, line {number}: not UTF-8 text ({error.reason}).") from error


def _object(text: str, place: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place}: not JSON ({error}).") from error
    if not isinstance(row, dict):
        raise UserError(f"{place}: a JSON object is needed, not {type(row).__name__}.")
    return row


def dump_row(row: dict[str, Any], encoding: str = "utf-8") -> str:
    """One row as a line of JSON without its newline: readable, escaped only where the encoding cannot take the text."""
    line = json.dumps(row, ensure_ascii=False)
    try:
        line.encode(encoding)
    except UnicodeEncodeError:  # a lone surrogate from a model, or an ASCII terminal
        line = json.dumps(row)
    return line


def print_row(row: dict[str, Any]) -> None:
    """Print one row as a line of JSON."""
    print(dump_row(row, sys.stdout.encoding or "utf-8"))
