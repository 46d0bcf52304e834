"""The list of traces: what it finds, in which order, and that it keeps up with a writer."""

import math
import time
from dataclasses import replace

import pytest

from turnsmith.trace.store import Store
from turnsmith.trace.types import ORACLE, Action, Credit, Label, Observation, Outcome, Task, Trace, Turn, Verdict
from turnsmith.view.queries import Database
from turnsmith.view.rows import Rows
from turnsmith.view.run import success_rate


def trace(
    number: int,
    *,
    oracle: float | None = 1.0,
    judge: float | None = None,
    site: str = "shop",
    turns: int = 1,
    value: float | None = None,
    logprobs: tuple[float, ...] = (),
    sampled: tuple[bool, ...] = (),
) -> Trace:
    action = Action("Action: x", token_ids=tuple(range(len(logprobs))), logprobs=logprobs, sampled=sampled)
    verdicts = [] if oracle is None else [Verdict(ORACLE, oracle)]
    verdicts += [] if judge is None else [Verdict("vlm", judge)]
    return Trace(
        id=f"t{number}",
        task=Task(f"task-{number % 3}", f"Buy the kettle number {number}", "browser", {"site": site}),
        turns=tuple(
            Turn(Observation("page"), action, credits=() if value is None else (Credit("critic", 0, value),))
            for _ in range(turns)
        ),
        outcome=Outcome.SUCCESS if oracle else Outcome.FAILURE,
        verdicts=tuple(verdicts),
        info={"phase": "eval", "iteration": number % 2},
    )


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "run.db") as store:
        yield store


def ids(rows: Rows, **query: str) -> list[str]:
    return [row.id for row in rows.select(query)["rows"]]


def test_filters_are_conjunctions_of_equalities_and_words(store):
    store.append_many([trace(0), trace(1, oracle=0.0, site="forum", turns=4), trace(2, site="forum", turns=9)])
    rows = Rows(Database(store.path))
    assert ids(rows) == ["t2", "t1", "t0"]
    assert ids(rows, sort="oldest") == ["t0", "t1", "t2"]
    assert ids(rows, site="forum", outcome="success") == ["t2"]
    assert ids(rows, iteration="1") == ["t1"]
    assert ids(rows, task="KETTLE number 1") == ["t1"]
    assert ids(rows, min_turns="4", max_turns="8") == ["t1"]
    assert ids(rows, min_turns="not a number") == ["t2", "t1", "t0"]
    assert ids(rows, sort="longest", limit="1", offset="1") == ["t1"]
    assert rows.select({"limit": "1"})["total"] == 3


def test_disagreement_compares_each_judge_with_the_oracle_only_where_both_judged(store):
    store.append_many([trace(0, judge=1.0), trace(1, judge=0.0), trace(2), trace(3, oracle=None, judge=1.0)])
    rows = Rows(Database(store.path))
    assert ids(rows, disagree="any") == ["t1"]
    assert ids(rows, disagree="vlm") == ["t1"]
    assert ids(rows, disagree="nobody") == []


def test_surprise_is_the_mean_negative_log_probability_of_the_tokens_that_the_policy_chose(store):
    half, tenth = math.log(0.5), math.log(0.1)
    store.append_many(
        [
            trace(0, logprobs=(half, half)),
            trace(1, logprobs=(tenth, half), turns=2),
            trace(2, logprobs=(tenth, half), sampled=(False, True)),
            trace(3),
        ]
    )
    rows = Rows(Database(store.path))
    deadline = time.monotonic() + 20
    while rows.surprise_ready() < 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    surprise = {row.id: row.surprise for row in rows.all()}
    assert surprise == {
        "t0": pytest.approx(math.log(2)),
        "t1": pytest.approx((math.log(10) + math.log(2)) / 2),
        "t2": pytest.approx(math.log(2)),
        "t3": None,
    }
    assert ids(rows, sort="surprise")[0] == "t1"
    assert ids(rows, sort="surprise")[-1] == "t3"


def test_value_error_is_the_distance_between_reward_and_the_first_value(store):
    store.append_many([trace(0, value=0.9), trace(1, value=0.2), trace(2), trace(3, oracle=0.0, value=0.5)])
    rows = Rows(Database(store.path))
    assert ids(rows, sort="value_error") == ["t1", "t3", "t0", "t2"]


def test_the_list_follows_a_writer_through_traces_verdicts_credit_and_labels(store):
    store.append(trace(0))
    rows = Rows(Database(store.path))
    assert ids(rows) == ["t0"]
    store.append(trace(1))
    assert ids(rows) == ["t1", "t0"]
    store.add_verdicts("t0", [Verdict("late", 0.0)])
    assert ids(rows, disagree="late") == ["t0"]
    store.add_verdicts("t0", [Verdict("late", 1.0)])
    assert ids(rows, disagree="late") == []
    store.add_credits([("t0", 0, Credit("critic", 0, 0.25))])
    assert next(row.value_error for row in rows.all() if row.id == "t0") == 0.75
    store.add_label(Label("t1", True, created_at=1.0))
    assert ids(rows, labelled="yes") == ["t1"]


def test_infra_errors_have_no_reward_whatever_was_judged(store):
    broken = trace(0)
    store.append(Trace(broken.id, broken.task, broken.turns, Outcome.INFRA_ERROR, broken.verdicts))
    (row,) = Rows(Database(store.path)).all()
    assert row.reward is None
    assert row.value_error is None


def test_what_nobody_has_judged_is_in_no_rate(store):
    rows = [trace(0), trace(1, oracle=0.0), replace(trace(2, oracle=None), outcome=Outcome.UNJUDGED)]
    store.append_many(rows)
    found = [success_rate(Rows(Database(store.path)).all())]
    store.add_verdicts("t2", [Verdict(ORACLE, 1.0)])
    found.append(success_rate(Rows(Database(store.path)).all()))
    assert [(one["n"], one["value"]) for one in found if one] == [(2, 0.5), (3, pytest.approx(2 / 3))]
