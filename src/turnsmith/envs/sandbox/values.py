"""Values from the sandbox, rebuilt outside from tagged JSON, and when two of them are the same.

Comparing happens here, among objects that this file made itself: whatever `__eq__` a program patched stays inside.
"""

import math
from collections.abc import Iterable

from turnsmith.envs.sandbox.types import Json, Plain


class BadValue(ValueError):
    """Tagged JSON that the runner would not have written."""


def decode(row: Json, depth: int = 0) -> Plain:
    """A plain value from `[tag, content]`, as `runner.encode` writes it.

    Raises:
        BadValue: for anything else.
    """
    if depth > 64 or not isinstance(row, list) or len(row) != 2:
        raise BadValue("not a tagged value")
    tag, content = row
    try:
        if tag == "v" and (content is None or isinstance(content, bool | str)):
            return content
        if tag == "i" and isinstance(content, str):
            return int(content, 16)
        if tag == "f" and isinstance(content, str):
            return float.fromhex(content)
        if tag in ("l", "t", "s") and isinstance(content, list):
            items = [decode(item, depth + 1) for item in content]
            return items if tag == "l" else tuple(items) if tag == "t" else set(items)
        if tag == "d" and isinstance(content, list):
            pairs: dict[Plain, Plain] = {}
            for key, value in content:  # pyright: ignore[reportGeneralTypeIssues]  (TypeError where there are none)
                pairs[decode(key, depth + 1)] = decode(value, depth + 1)
            return pairs
    except (ValueError, TypeError, OverflowError) as error:
        raise BadValue(str(error)) from error
    raise BadValue(f"unknown tag {tag!r}"[:80])


def same(first: Plain, second: Plain, tolerance: float = 0.0) -> bool:
    """Whether two plain values are the same: of the same type all the way down, with int and float one kind of number.

    True is not 1, a tuple is not a list, and a NaN is a NaN.

    Args:
        first, second: values of `decode`.
        tolerance: how far numbers may lie apart.
    """
    if isinstance(first, int | float) and isinstance(second, int | float) and bool not in (type(first), type(second)):
        if isinstance(first, float) and isinstance(second, float) and math.isnan(first) and math.isnan(second):
            return True
        return first == second or (tolerance > 0 and _near(first, second, tolerance))
    if type(first) is not type(second):
        return False
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(map(lambda a, b: same(a, b, tolerance), first, second))
    if isinstance(first, dict) and isinstance(second, dict):
        return _same_keys(first, second) and all(same(value, second[key], tolerance) for key, value in first.items())
    if isinstance(first, set) and isinstance(second, set):
        return _same_keys(first, second)
    return first == second


def _same_keys(first: Iterable[Plain], second: Iterable[Plain]) -> bool:
    """Whether both have the same keys, where True is not 1 (though Python hashes them alike)."""
    mine, yours = ({key: key for key in keys} for keys in (first, second))
    return mine.keys() == yours.keys() and all(same(key, yours[key]) for key in mine)


def _near(first: float, second: float, tolerance: float) -> bool:
    try:
        return abs(first - second) <= tolerance
    except OverflowError:
        return False
