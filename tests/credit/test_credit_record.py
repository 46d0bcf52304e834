"""Credit that is kept: what learners write to turns is what is read back, under their names."""

import pytest

from turnsmith.credit.record import record
from turnsmith.errors import UserError
from turnsmith.trace.store import Store
from turnsmith.trace.types import Action, Credit, Observation, Task, Trace, Turn


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "run.db") as store:
        for name in ("a", "b"):
            turns = tuple(Turn(Observation(str(place)), Action("x")) for place in range(3))
            store.append(Trace(name, Task(f"t-{name}", "do it", "corridor"), turns))
        yield store


def credits(store: Store, name: str) -> list[list[Credit]]:
    return [list(turn.credits) for turn in store.get(name).turns]


def test_values_and_advantages_come_back_turn_by_turn(store):
    assert record(store, "digirl", 2, values={"a": [0.1, 0.2, 0.3]}, advantages={"a": [1.0, -1.0, 0.0]}) == 3
    assert credits(store, "a") == [
        [Credit("digirl", 2, 0.1, 1.0)], [Credit("digirl", 2, 0.2, -1.0)], [Credit("digirl", 2, 0.3, 0.0)],
    ]  # fmt: skip
    assert credits(store, "b") == [[], [], []]


def test_a_stage_that_is_done_again_after_a_kill_says_it_once(store):
    for _ in range(2):
        record(store, "fbc", 1, advantages={"a": [1.0] * 3, "b": [1.0] * 3})
    record(store, "fbc", 2, advantages={"b": [1.0] * 3})
    assert [len(turn) for turn in credits(store, "a")] == [1, 1, 1]
    assert [[credit.iteration for credit in turn] for turn in credits(store, "b")] == [[1, 2]] * 3


def test_turns_of_which_nothing_is_said_have_none(store):
    assert record(store, "digiq", 0, values={"a": [None, 0.5]}, advantages={"a": [None, None]}, first={"a": 1}) == 1
    assert credits(store, "a") == [[], [], [Credit("digiq", 0, 0.5, None)]]


def test_what_does_not_fit_is_refused(store):
    with pytest.raises(ValueError, match="2 values, but 3 advantages"):
        record(store, "x", 0, values={"a": [0.1, 0.2]}, advantages={"a": [1.0, 1.0, 1.0]})
    with pytest.raises(ValueError, match="none at 3"):
        record(store, "x", 0, advantages={"a": [1.0] * 4})
    with pytest.raises(UserError, match="no trace 'c'"):
        record(store, "x", 0, advantages={"a": [1.0] * 3, "c": [1.0]})
    assert credits(store, "a") == [[], [], []]
