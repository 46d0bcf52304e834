"""The symbolic solvers against the statistics that were measured with the authors' solvers.

The authors' figures come from 2,030 problems (solve rates, children, spawns); ours from 500 fixed ones, so rates are
compared within three standard errors of the difference.
"""

import math
import random

import pytest

from turnsmith.worlds.countdown.problem import check, generate, solve
from turnsmith.worlds.countdown.search import Spawn, heuristic, solve_parallel, solve_serial

THEIRS = 2030
OURS = 500


@pytest.fixture(scope="module")
def problems():
    rng = random.Random(20)
    return [generate(rng) for _ in range(OURS)]


@pytest.fixture(scope="module")
def serial(problems):
    rng = random.Random(21)
    return [solve_serial(problem, rng, rng.randint(1, 5)) for problem in problems]


@pytest.fixture(scope="module")
def parallel(problems):
    rng = random.Random(22)
    searches = []
    for problem in problems:
        beam = rng.randint(1, 10)
        searches.append(solve_parallel(problem, rng, beam, rng.randint(beam, 15)))
    return searches


def near(ours, theirs):
    error = math.sqrt(theirs * (1 - theirs) * (1 / OURS + 1 / THEIRS))
    return abs(ours - theirs) <= 3 * error


def test_solve_rates_are_the_authors(serial, parallel):
    assert near(sum(search.solution is not None for search in serial) / OURS, 0.500)
    assert near(sum(search.solution is not None for search in parallel) / OURS, 0.701)


def test_spawns_and_children_are_the_authors(parallel):
    spawns = [sum(isinstance(event, Spawn) for event in search.events) for search in parallel]
    assert near(spawns.count(1) / OURS, 0.84)
    assert near(spawns.count(0) / OURS, 0.10)
    children = sum(len(list(search.children)) for search in parallel) / OURS
    assert children == pytest.approx(6.4, abs=0.5)


def test_a_wide_serial_beam_solves_nearly_everything(problems):
    rng = random.Random(23)
    sample = problems[:160]
    rate = sum(solve_serial(problem, rng, 15, 0.0).solution is not None for problem in sample) / len(sample)
    assert rate >= 0.95  # the authors': 98.8 % of 163


def test_every_claimed_solution_passes_the_checker(problems, serial, parallel):
    for problem, *searches in zip(problems, serial, parallel, strict=True):
        assert solve(problem) is not None
        for search in searches:
            if search.solution is not None:
                assert check(problem.target, problem.numbers, search.solution.operations)[0]


def test_children_see_only_their_own_node_and_never_spawn(parallel):
    for search in parallel:
        for child in search.children:
            assert not any(isinstance(event, Spawn) for event in child.events)
            assert len(child.start.path) >= 1


def test_the_heuristic_is_the_sum_of_distances_to_the_nearest_divisor():
    # 27 has the divisors 3, 9, 27: |22-27| + |26-27| + |31-27| + |53-27|
    assert heuristic(27, (22, 26, 31, 53)) == 5 + 1 + 4 + 26
