"""Levels, differences and relative gains across seeds by hand, and what a table says when a run lacks something."""

from dataclasses import dataclass

import pytest

from turnsmith.errors import UserError
from turnsmith.evaluate.figures import (
    Difference,
    Level,
    RelativeGain,
    SeedRun,
    best_of,
    claims_of,
    difference,
    everywhere,
    level,
    relative_gain,
)
from turnsmith.evaluate.stats import wilson


@dataclass(frozen=True)
class Key:
    """An evaluation: who, after how many iterations."""

    arm: str
    iteration: int = 0


OURS, FIRST, SECOND = Key("ours", 4), Key("first"), Key("second")


def seed_run(seed: int, **rewards: list[float]) -> SeedRun[Key]:
    named = {"ours": OURS, "first": FIRST, "second": SECOND}
    return SeedRun(
        f"run-s{seed}", seed, {named[name]: {f"t{i}": r for i, r in enumerate(row)} for name, row in rewards.items()}
    )


RUNS = [
    seed_run(1, ours=[1, 1, 0, 1], first=[1, 0, 0, 0], second=[0, 1, 0, 1]),
    seed_run(0, ours=[1, 0, 1, 0.5], first=[0, 0, 0, 1], second=[1, 0, 0, 1]),
]


def test_a_level_is_the_mean_and_its_interval_that_of_its_own_count():
    found = level(RUNS, OURS)
    assert (found.value, found.seeds) == (5.5 / 8, (0, 1))
    assert (found.low, found.high) == wilson(5.5, 8)
    assert wilson(5, 8)[0] < found.low < wilson(6, 8)[0]  # a half success is not rounded away


def test_a_difference_is_paired_by_task_and_a_mean_over_seeds():
    found = difference(RUNS, OURS, SECOND)
    assert found.value == pytest.approx(((1 + 0 + 0 + 0) / 4 + (0 + 0 + 1 - 0.5) / 4) / 2)
    assert found.low <= found.value <= found.high
    assert difference(RUNS, OURS, OURS).high == 0


def test_only_tasks_of_both_are_paired():
    runs = [SeedRun("r", 0, {OURS: {"a": 1.0, "b": 1.0}, FIRST: {"b": 0.0, "c": 1.0}})]
    assert difference(runs, OURS, FIRST).value == 1.0
    with pytest.raises(UserError, match=r"run r: the evaluations .* have no task in common"):
        difference([SeedRun("r", 0, {OURS: {"a": 1.0}, FIRST: {"c": 1.0}})], OURS, FIRST)


def test_a_relative_gain_is_over_the_better_rival():
    assert best_of(RUNS, (FIRST, SECOND)) == SECOND
    found = relative_gain(RUNS, OURS, (FIRST, SECOND))
    assert found.value == pytest.approx(100 * (5.5 / 4 - 1))
    assert found.low < found.value < found.high


def test_where_no_rival_succeeded_there_is_no_figure_and_the_claim_does_not_hold():
    runs = [SeedRun("r", 0, {OURS: {"a": 1.0}, FIRST: {"a": 0.0}})]
    row = RelativeGain(id="gain", words="w", ours=OURS, rivals=(FIRST,), goal=">= 15")
    (claim,) = claims_of([row], runs)
    assert (claim.value, claim.holds, claim.note) == (None, False, "no rival succeeded at anything")


def test_a_table_becomes_claims_row_by_row_in_points_and_fractions():
    table = [
        Level(id="ours", words="Ours", key=OURS, paper="70 %"),
        Difference(id="over", words="Over", better=OURS, worse=FIRST, goal="> 0 and interval above 0", note="paired"),
        RelativeGain(id="relative", words="Relative", ours=OURS, rivals=(FIRST, SECOND)),
    ]
    ours, over, relative = claims_of(table, RUNS)
    assert (ours.id, ours.value, ours.paper, ours.seeds) == ("ours", 5.5 / 8, "70 %", (0, 1))
    assert over.value == pytest.approx(100 * 3.5 / 8)
    assert (over.note, over.goal) == ("paired", "> 0 and interval above 0")
    assert relative.value == pytest.approx(37.5)


def test_a_missing_evaluation_is_an_error_that_names_the_run():
    row = Level(id="x", words="w", key=Key("ours", 5))
    with pytest.raises(UserError, match=r"run run-s1 has no evaluation Key\(arm='ours', iteration=5\)\. It has: Key"):
        claims_of([row], RUNS)


def test_an_optional_row_is_left_out_where_no_run_has_it_and_an_error_where_some_have():
    row = Level(id="x", words="w", key=Key("more"), optional=True)
    assert claims_of([row], RUNS) == []
    with_more = SeedRun("run-s2", 2, {**RUNS[0].evaluations, Key("more"): {"t0": 1.0}})
    with pytest.raises(UserError, match=r"run run-s1 has no evaluation .* and other seeds have"):
        claims_of([row], [with_more, *RUNS])
    assert everywhere([with_more], OURS, Key("more"))
