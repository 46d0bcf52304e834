"""Reading and writing JSON and JSON lines, with errors that name the file and the line.

Whatever comes from outside is read here, so that no file can do more than be refused: what is nested without end, a
number of five thousand digits, 1e400 (which Python reads as infinity) and a file larger than memory are each one line.
"""

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from turnsmith.errors import UserError

DEEPEST = 200
"""Lists and objects within each other. What reads JSON here walks it by recursion; nothing real is a tenth as deep."""
_DIGITS = 300
_LARGEST = 1 << 30
"""Bytes of a JSON file that is read whole."""


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:40]} is larger than any number that is counted with")
    return number


_DECODER = json.JSONDecoder(parse_int=_integer, parse_float=_float)


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text, as `json.loads` gives it, from a source that nobody vouches for.

    Raises:
        ValueError: if it is not JSON in UTF-8, nested more than 200 deep, or has a number of more than 300 digits or
            beyond the range of floats. Nothing else is raised.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig")  # UnicodeDecodeError is a ValueError
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise ValueError(f"nested more than {DEEPEST} deep") from None
    level = [value] if text.count("[") + text.count("{") > DEEPEST else []
    for _ in range(DEEPEST):
        level = (
            [
                child
                for box in level
                for child in (box.values() if type(box) is dict else box)
                if type(child) is dict or type(child) is list
            ]
            if type(value) is dict or type(value) is list
            else []
        )
        if not level:
            return value
    raise ValueError(f"nested more than {DEEPEST} deep")


def read_json(path: str | Path) -> Any:
    """The value of a JSON file, guarded as `parse_json`.

    Raises:
        UserError: if the file cannot be read, is larger than 1 GB, or does not hold such JSON.
    """
    try:
        with open(path, "rb") as file:
            body = file.read(_LARGEST + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from error
    if len(body) > _LARGEST:
        raise UserError(f"{path}: larger than 1 GB, which no JSON file that is read whole may be.")
    try:
        return parse_json(body)
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}).") from error


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
        row = parse_json(text)
    except ValueError as error:
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
