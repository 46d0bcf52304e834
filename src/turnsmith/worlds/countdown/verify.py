"""What `turnsmith verify countdown FILE` checks."""

from collections.abc import Mapping
from typing import Any

from turnsmith.worlds.countdown.problem import check


def verify_row(row: Mapping[str, Any]) -> tuple[bool, str]:
    """A row is {"target": 24, "numbers": [3, 8, 1], "operations": ["8*3=24", "24*1=24"]}.

    Valid: every number is used exactly once, arithmetic is exact on integers, no result is negative, and the last
    result is the target.

    Raises:
        ValueError: if the row does not have this form.
    """
    target, numbers, operations = row.get("target"), row.get("numbers"), row.get("operations")
    if not _is_integer(target):
        raise ValueError('"target" must be an integer.')
    if not isinstance(numbers, list) or not numbers or not all(_is_integer(number) for number in numbers):
        raise ValueError('"numbers" must be a list of integers.')
    if not isinstance(operations, list) or not all(isinstance(operation, str) for operation in operations):
        raise ValueError('"operations" must be a list of texts such as "8*3=24".')
    return check(int(target), numbers, operations)  # type: ignore[arg-type]


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
