"""Countdown problems: the moves, an exhaustive solver, a generator, and the one strict checker of every method.

The rules are APR's: integers only, results never negative, a division only where it is exact. A state is the multiset
of numbers that are left; a move replaces two of them by the result of one operation.
"""

import random
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

_OPERATION = re.compile(r"\s*(\d{1,18})\s*([-+*/])\s*(\d{1,18})\s*=\s*(\d{1,18})\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Problem:
    """A target and the numbers to reach it with."""

    target: int
    numbers: tuple[int, ...]

    @property
    def key(self) -> tuple[int, tuple[int, ...]]:
        """What makes two problems the same: the target and the sorted numbers (for splits and deduplication)."""
        return self.target, tuple(sorted(self.numbers))


@dataclass(frozen=True, slots=True)
class Operation:
    """One move: `left sign right = result`, left and right taken from the numbers at hand."""

    left: int
    sign: str
    right: int
    result: int

    def __str__(self) -> str:
        return f"{self.left}{self.sign}{self.right}={self.result}"

    @classmethod
    def parse(cls, text: str) -> "Operation":
        """Read "8*3=24"; white space is free.

        Raises:
            ValueError: if the text is not of this form (its arithmetic is not checked here).
        """
        match = _OPERATION.fullmatch(text)
        if match is None:
            raise ValueError(f"{text[:40]!r} is not an operation such as 8*3=24")
        return cls(int(match[1]), match[2], int(match[3]), int(match[4]))


def compute(left: int, sign: str, right: int) -> int | None:
    """The result of an operation under the rules, or None where they do not allow it."""
    if sign == "+":
        return left + right
    if sign == "*":
        return left * right
    if sign == "-":
        return left - right if left >= right else None
    if sign == "/":
        return left // right if right != 0 and left % right == 0 else None
    raise ValueError(f"unknown sign {sign!r}")


def successors(numbers: Sequence[int]) -> Iterator[tuple[Operation, tuple[int, ...]]]:
    """Every move from a state, with the numbers that are left after it (the untouched in order, then the result).

    For each pair i < j, in this order: sum, product, larger minus smaller, larger over smaller where exact.
    """
    for i, first in enumerate(numbers):
        for j in range(i + 1, len(numbers)):
            second = numbers[j]
            rest = tuple(number for k, number in enumerate(numbers) if k not in (i, j))
            larger, smaller = max(first, second), min(first, second)
            for left, sign, right in ((first, "+", second), (first, "*", second), (larger, "-", smaller)):
                result = compute(left, sign, right)
                assert result is not None
                yield Operation(left, sign, right, result), (*rest, result)
            if smaller != 0 and larger % smaller == 0:
                result = larger // smaller
                yield Operation(larger, "/", smaller, result), (*rest, result)


def solve(problem: Problem) -> list[Operation] | None:
    """Exhaustive search: a shortest list of operations that reaches the target using every number, or None."""
    dead: set[tuple[int, ...]] = set()

    def search(numbers: tuple[int, ...]) -> list[Operation] | None:
        if len(numbers) == 1:
            return [] if numbers[0] == problem.target else None
        key = tuple(sorted(numbers))
        if key in dead:
            return None
        for operation, left_over in successors(key):
            rest = search(left_over)
            if rest is not None:
                return [operation, *rest]
        dead.add(key)
        return None

    return search(problem.numbers)


def check(target: int, numbers: Sequence[int], operations: Sequence[Operation | str]) -> tuple[bool, str]:
    """The strict checker: whether the operations turn all the numbers into the target.

    Every number is used exactly once, intermediate results exactly once, arithmetic is exact on integers, results are
    never negative, and the last result is the target.

    Args:
        target: what is to be reached.
        numbers: what is given.
        operations: in order, as `Operation` or as text.

    Returns:
        (valid, reason); the reason of a valid solution is "reaches the target".
    """
    at_hand = _AtHand(numbers)
    if not operations and len(numbers) == 1:
        return (True, "reaches the target") if numbers[0] == target else (False, f"{numbers[0]} is not {target}")
    for position, item in enumerate(operations, start=1):
        try:
            operation = Operation.parse(item) if isinstance(item, str) else item
        except ValueError as error:
            return False, f"operation {position}: {error}"
        for operand in (operation.left, operation.right):
            if not at_hand.take(operand):
                return False, f"operation {position}: {operand} is not among the numbers left ({at_hand})"
        result = compute(operation.left, operation.sign, operation.right)
        if result is None:
            return False, f"operation {position}: {operation.left}{operation.sign}{operation.right} is not allowed"
        if result != operation.result:
            text = f"{operation.left}{operation.sign}{operation.right}"
            return False, f"operation {position}: {text} is {result}, not {operation.result}"
        at_hand.put(result)
    left_over = at_hand.numbers()
    if len(left_over) != 1:
        return False, f"the numbers {at_hand} are left over"
    if left_over[0] != target:
        return False, f"the last result is {left_over[0]}, not {target}"
    return True, "reaches the target"


class _AtHand:
    """The numbers that may still be used, in order; taking one and putting one back take constant time."""

    _SHOWN = 20
    """So many numbers are named in a reason."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._by_place: dict[int, int] = {}
        self._places: dict[int, deque[int]] = {}
        self._next = 0
        for number in numbers:
            self.put(number)

    def put(self, number: int) -> None:
        self._by_place[self._next] = number
        self._places.setdefault(number, deque()).append(self._next)
        self._next += 1

    def take(self, number: int) -> bool:
        """Remove the first of these numbers; False where there is none."""
        places = self._places.get(number)
        if not places:
            return False
        del self._by_place[places.popleft()]
        return True

    def numbers(self) -> list[int]:
        return list(self._by_place.values())

    def __str__(self) -> str:
        left_over = self.numbers()
        more = len(left_over) - self._SHOWN
        return f"{str(left_over[: self._SHOWN])[:-1]}, … {more} more]" if more > 0 else str(left_over)


@lru_cache(maxsize=100_000)
def _solvable(target: int, numbers: tuple[int, ...]) -> bool:
    return solve(Problem(target, numbers)) is not None


def generate(rng: random.Random, count: int = 4, largest: int = 99, targets: tuple[int, int] = (10, 100)) -> Problem:
    """A solvable problem: numbers uniform in 1..largest with repetition, target uniform, redrawn until solvable.

    Args:
        rng: source of randomness.
        count: how many numbers (the paper: 4).
        largest: the largest number (the paper: 99).
        targets: the smallest and largest target (the paper: 10 to 100).
    """
    while True:
        problem = Problem(rng.randint(*targets), tuple(rng.randint(1, largest) for _ in range(count)))
        if _solvable(*problem.key):
            return problem
