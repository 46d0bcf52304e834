"""Countdown's rules against brute force that is written another way, and the checker against every way to cheat."""

import itertools
import random
import time
from fractions import Fraction

import pytest

from turnsmith.errors import ParseError
from turnsmith.worlds.countdown import compact
from turnsmith.worlds.countdown.problem import Operation, Problem, check, generate, solve, successors
from turnsmith.worlds.countdown.search import Node
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


def test_the_checker_and_the_reader_of_spawns_take_time_in_proportion():
    """Thirty thousand operations (eleven seconds when numbers were looked up in a list) and as many nodes asked for."""
    count = 30_000
    numbers = [*range(1, count + 1), 1]
    total, operations = 1, []
    for number in range(1, count + 1):
        operations.append(Operation(total, "+", number, total + number))
        total += number
    began = time.process_time()
    assert check(total, [1, *range(1, count + 1)], operations) == (True, "reaches the target")
    valid, reason = check(total, numbers, operations[:-2])
    assert not valid
    assert len(reason) < 300
    words = ["goal", "30", "@", "#0", "3", "8", "1", "|"]
    for name in range(1, count):
        words += f"8 - 3 = 5 #{name} 1 5".split()
    words += ["spawn", *(f"#{name}" for name in range(1, count)), "run"]
    asked = compact.asked_nodes(words, Node((), (3, 8, 1)), 30)
    assert [name for name, _ in asked] == list(range(1, count))
    assert time.process_time() - began < 3


def test_a_text_cannot_go_down_below_a_node_with_one_number():
    text = "goal 30 @ #0 3 8 | 3 + 8 = 11 #1 11 @ #1 11 | 3 + 8 = 11 #2 spawn #2 run"
    with pytest.raises(ParseError, match="one number left"):
        compact.asked_nodes(text.split(), Node((), (3, 8)), 30)
