"""Countdown's rules against brute force that is written another way, and the checker against every way to cheat."""

import itertools
import random
from fractions import Fraction

import pytest

from turnsmith.worlds.countdown.problem import Operation, Problem, check, generate, solve, successors
from turnsmith.worlds.countdown.verify import verify_row


def reachable(numbers):
    """Every integer reachable with all the numbers, by recursion over all pairs and orders (independent of `solve`)."""
    if len(numbers) == 1:
        return {numbers[0]}
    found = set()
    for i, j in itertools.permutations(range(len(numbers)), 2):
        rest = [numbers[k] for k in range(len(numbers)) if k not in (i, j)]
        a, b = numbers[i], numbers[j]
        results = [a + b, a * b] + ([a - b] if a >= b else [])
        if b and Fraction(a, b).denominator == 1:
            results.append(a // b)
        for result in results:
            found |= reachable([*rest, result])
    return found


@pytest.mark.parametrize("numbers", [(3, 8, 1), (2, 2, 2), (7, 5, 12), (6, 4, 3, 2), (0, 5, 5)])
def test_the_solver_finds_exactly_what_is_reachable(numbers):
    truth = reachable(list(numbers))
    for target in range(130):
        solution = solve(Problem(target, numbers))
        assert (solution is not None) == (target in truth)
        if solution is not None:
            assert check(target, numbers, solution) == (True, "reaches the target")


def test_successors_follow_the_papers_order_and_texts():
    moves = [(str(operation), left) for operation, left in successors((22, 26, 31))]
    assert moves[:3] == [("22+26=48", (31, 48)), ("22*26=572", (31, 572)), ("26-22=4", (31, 4))]
    assert ("6/3=2", (2,)) in [(str(operation), left) for operation, left in successors((3, 6))]
    assert all("/" not in str(operation) for operation, _ in successors((0, 0)))  # nothing is divided by zero


@pytest.mark.parametrize(
    ("operations", "reason"),
    [
        (["8*3=24", "24*1=24"], "reaches the target"),
        ([" 8 * 3 = 24", "1*24=24"], "reaches the target"),
        (["8*3=24"], "left over"),
        (["8*3=24", "24/1=24", "24*1=24"], "not among"),
        (["8*3=24", "24*3=72"], "not among"),
        (["8*3=25", "25-1=24"], "is 24, not 25"),
        (["3-8=-5", "24*1=24"], "not an operation"),
        (["3-8=5", "24*1=24"], "not allowed"),
        (["3/8=0", "24*1=24"], "not allowed"),
        (["8+3=11", "11+1=12"], "last result is 12"),
        (["__import__('os')"], "not an operation"),
        ([], "left over"),
        (["8**3=512"], "not an operation"),
        (["8*3=24", "24*1=24 "], "reaches the target"),
        (["٨*3=24"], "not an operation"),
    ],
)
def test_the_checker_accepts_solutions_and_names_every_cheat(operations, reason):
    valid, said = check(24, [3, 8, 1], operations)
    assert valid == (reason == "reaches the target")
    assert reason in said


def test_a_number_given_twice_may_be_used_twice():
    assert check(16, [4, 4], ["4*4=16"])[0]
    assert not check(16, [4, 2], ["4*4=16"])[0]


def test_generated_problems_are_solvable_and_within_bounds():
    rng = random.Random(1)
    for _ in range(30):
        problem = generate(rng)
        assert solve(problem) is not None
        assert 10 <= problem.target <= 100
        assert all(1 <= number <= 99 for number in problem.numbers)


@pytest.mark.parametrize(
    "row",
    [
        {"numbers": [1], "operations": []},
        {"target": "24", "numbers": [1], "operations": []},
        {"target": True, "numbers": [1], "operations": []},
        {"target": 2, "numbers": [], "operations": []},
        {"target": 2, "numbers": [1.5], "operations": []},
        {"target": 2, "numbers": [1, 1], "operations": [3]},
    ],
)
def test_malformed_rows_are_refused(row):
    with pytest.raises(ValueError, match="must be"):
        verify_row(row)


def test_operations_print_as_they_parse():
    assert str(Operation.parse(" 12 / 3 = 4 ")) == "12/3=4"
