"""The store: what goes in comes out, what cannot be kept is refused, lists and filters, images by content."""

import json
import sqlite3
import threading
from dataclasses import replace

import pytest
from hypothesis import given, settings
from trace_strategies import simple_trace, traces

from turnsmith.errors import UserError
from turnsmith.trace import (
    Action,
    Credit,
    ImageRef,
    Label,
    Observation,
    Outcome,
    Store,
    Task,
    Trace,
    Turn,
    Verdict,
    codec,
)


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "run.db") as opened:
        yield opened


def image_rows(store: Store) -> int:
    return sqlite3.connect(store.path).execute("SELECT count(*) FROM images").fetchone()[0]


@settings(max_examples=40, deadline=None)
@given(trace=traces)
def test_any_trace_is_read_back_as_it_was(tmp_path_factory, trace):
    path = tmp_path_factory.mktemp("store") / "run.db"
    with Store(path) as store:
        store.append(trace)
        assert store.get(trace.id) == trace
        store.append(replace(trace, id=trace.id + "2"))
    with Store(path, read_only=True) as store:
        assert list(store.traces()) == [trace, replace(trace, id=trace.id + "2")]
        loaded = store.with_images(store.get(trace.id))
        for before, after in zip(trace.turns, loaded.turns, strict=True):
            assert [i.data for i in after.observation.images] == [i.data for i in before.observation.images]
        (first, _) = store.summaries()
        assert (first.id, first.instruction, first.seed) == (trace.id, trace.task.instruction, trace.seed)
        assert first.reward == trace.reward()
        assert first.turn_count == len(trace.turns)


@settings(max_examples=40, deadline=None)
@given(trace=traces)
def test_any_trace_survives_json(trace):
    assert codec.trace_from_json(json.loads(json.dumps(codec.trace_to_json(trace)))) == trace


def test_a_task_without_hidden_fields_is_rendered_without_them():
    task = Task("t", "i", "browser", hidden={"goal": "secret"})
    assert "secret" not in json.dumps(codec.task_to_json(task, hidden=False))
    assert codec.task_from_json({**codec.task_to_json(task), "unknown": 1}) == task


NAN, INFINITY = float("nan"), float("inf")
TURN = Turn(Observation("o"), Action("a"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"turns": (TURN, replace(TURN, reward=NAN))}, "turn 1 cannot be stored: reward is nan"),
        ({"turns": (replace(TURN, credits=(Credit("x", 0, INFINITY),)),)}, "value is inf"),
        ({"turns": (replace(TURN, credits=(Credit("x", 0, None, NAN),)),)}, "advantage is nan"),
        ({"turns": (replace(TURN, act_seconds=NAN),)}, "turn 0 cannot be stored"),
        ({"turns": (replace(TURN, info={"scores": [NAN]}),)}, "turn 0 cannot be stored"),
        ({"turns": (replace(TURN, action=Action("a", token_ids=(2**31,))),)}, "turn 0 cannot be stored"),
        ({"turns": (replace(TURN, action=Action("a", token_ids=(1,), logprobs=(-1.0, -2.0))),)}, "logprobs has 2"),
        ({"turns": (replace(TURN, info={"path": object()}),)}, "not JSON serializable"),
        ({"verdicts": (Verdict("oracle", NAN),)}, "reward is nan"),
        ({"created_at": NAN}, "created_at is nan"),
        ({"seed": 2**63}, "seed 9223372036854775808 is beyond 64 bits"),
        ({"info": {"iteration": 2**63}}, "iteration"),
    ],
)
def test_what_could_not_be_read_back_is_refused_and_changes_nothing(store, fields, message):
    store.append(simple_trace("before"))
    with pytest.raises(ValueError, match=message):
        store.append(replace(simple_trace("after"), **fields))
    assert [summary.id for summary in store.summaries()] == ["before"]
    store.append(simple_trace("after"))


def test_a_second_trace_of_the_same_id_is_refused_and_many_are_all_or_none(store):
    store.append(simple_trace("a"))
    with pytest.raises(UserError, match="trace 'a' is already stored"):
        store.append_many([simple_trace("b", b"picture"), simple_trace("a")])
    assert store.count() == 1
    assert image_rows(store) == 0
    assert store.append_many([simple_trace("b"), simple_trace("c")]) == [2, 3]


def test_an_image_is_stored_once_however_often_it_is_seen(store):
    store.append(simple_trace("a", b"same"))
    store.append(simple_trace("b", b"same"))
    assert image_rows(store) == 2  # one a turn
    digest = ImageRef.of(b"same\x00").digest
    assert store.image(digest).data == b"same\x00"
    seen_again = store.get("a").turns[0].observation  # a reference without bytes is enough now
    store.append(Trace("c", Task("t", "i", "browser"), final=seen_again))
    assert image_rows(store) == 2
    final = store.with_images(store.get("c")).final
    assert final is not None
    assert final.images[0].data == b"same\x00"


def test_images_that_nobody_has_are_named(store):
    lost = Observation(images=(ImageRef("0" * 64),))
    with pytest.raises(UserError, match="image 000000000000 has no bytes"):
        store.append(Trace("a", Task("t", "i", "browser"), (Turn(lost, Action("x")),)))
    assert store.count() == 0
    with pytest.raises(UserError, match="no image"):
        store.image("0" * 64)


def test_traces_that_are_not_there_are_named(store):
    for use in (
        lambda: store.get("x"),
        lambda: store.add_verdicts("x", [Verdict("oracle", 1)]),
        lambda: store.add_credits([("x", 0, Credit("digirl", 0, 1.0))]),
        lambda: store.add_label(Label("x", True)),
    ):
        with pytest.raises(UserError, match="no trace 'x'"):
            use()


def test_verdicts_are_added_and_the_last_one_of_a_judge_counts(store):
    store.append(simple_trace("a", verdicts=(Verdict("oracle", 0.0),)))
    store.add_verdicts(
        "a", [Verdict("oracle", 1.0, "second look"), Verdict("judge", 0.5), Verdict("oracle", 9.0, turn=1)]
    )
    assert store.get("a").reward() == 1.0
    assert store.summaries()[0].reward == 1.0
    assert store.summaries(judge="judge")[0].reward == 0.5
    assert store.summaries(judge="nobody")[0].reward is None
    with pytest.raises(ValueError, match="reward is nan"):
        store.add_verdicts("a", [Verdict("oracle", NAN)])


def test_an_infra_error_has_no_reward(store):
    store.append(simple_trace("a", outcome=Outcome.INFRA_ERROR, verdicts=(Verdict("oracle", 1.0),)))
    assert store.summaries()[0].reward is None
    assert store.get("a").reward() is None


def test_a_turn_has_the_credit_of_every_learner_and_iteration(store):
    store.append(simple_trace("a"))
    early, late = Credit("digirl", 0, 0.25, 1.5), Credit("digirl", 1, 0.5, -1.0)
    assert store.add_credits([("a", 0, early), ("a", 0, late), ("a", 1, Credit("digiq", 0, None, 2.0))]) == 3
    first, second = store.get("a").turns
    assert first.credits == (early, late)
    assert (first.value, first.advantage) == (0.5, -1.0)  # by who was here last
    assert (second.value, second.advantage) == (None, 2.0)
    store.add_credits([("a", 0, Credit("digirl", 0, 0.75, None))])  # said again: replaced
    assert store.get("a").turns[0].credits == (Credit("digirl", 0, 0.75, None), late)


def test_credit_that_cannot_be_is_refused_whole(store):
    store.append(simple_trace("a"))
    with pytest.raises(ValueError, match="has 2 turns, so none at 2"):
        store.add_credits([("a", 0, Credit("x")), ("a", 2, Credit("x"))])
    with pytest.raises(ValueError, match="advantage is nan"):
        store.add_credits([("a", 0, Credit("x", 0, 7.0)), ("a", 1, Credit("x", 0, 1.0, NAN))])
    assert [turn.credits for turn in store.get("a").turns] == [(), ()]


def test_labels_are_kept_in_order(store):
    store.append(simple_trace("a"))
    store.append(simple_trace("b"))
    labels = [Label("a", True, None, "yes\ud800", 1.5), Label("b", False, 1), Label("a", False, 0)]
    for label in labels:
        store.add_label(label)
    assert store.labels() == labels
    assert store.labels("a") == [labels[0], labels[2]]


def test_summaries_are_filtered_and_paged(store):
    for number in range(10):
        task = Task(f"t{number % 2}", "i", "browser", {"site": "shop" if number < 4 else "forum"})
        outcome = Outcome.SUCCESS if number % 3 == 0 else Outcome.FAILURE
        info = {"phase": "train" if number < 8 else "eval", "iteration": number // 4}
        store.append(Trace(str(number), task, (), outcome, info=info))

    def ids(**filters):
        return "".join(summary.id for summary in store.summaries(**filters))

    assert ids() == "0123456789"
    assert ids(phase="eval") == "89"
    assert ids(phase="train", iteration=1) == "4567"
    assert ids(outcome=Outcome.SUCCESS) == "0369"
    assert ids(site="shop", task_id="t1") == "13"
    assert ids(limit=3, offset=5) == "567"
    assert ids(after=8) == "89"
    assert ids(site="nowhere") == ""
    assert store.count() == 10
    assert store.count(phase="train", outcome=Outcome.SUCCESS) == 3
    assert [trace.id for trace in store.traces(phase="eval")] == ["8", "9"]


def test_threads_share_a_store(store):
    """Reading a trace lazily must not hold others up: the iterator is advanced from one thread, used by many."""
    store.append_many([simple_trace(f"first-{number}") for number in range(3)])
    walk = store.traces()
    next(walk)
    writers = [
        threading.Thread(target=lambda name=name: [store.append(simple_trace(f"{name}-{n}", b"x")) for n in range(20)])
        for name in "abc"
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=60)
        assert not writer.is_alive()
    assert len(list(walk)) == 2
    assert store.count() == 63
