"""Outcome judges: what they may see, what cannot move them, and what the local one learns from demonstrations."""

import json
import random
from dataclasses import replace

import pytest
from pages_by_hand import click, look, walk

from turnsmith.engine.openai_client import Endpoint
from turnsmith.errors import UserError
from turnsmith.judges.outcome import OutcomeJudge, OutcomeModel, fit_judge, last_pressed, threshold_for
from turnsmith.judges.outcome_config import JudgeConfig
from turnsmith.judges.outcome_endpoint import EndpointOutcomeJudge, parse_verdict
from turnsmith.judges.outcome_features import buttons_of, features, view_of
from turnsmith.trace.types import ORACLE, Action, Call, ImageRef, Outcome, Task, Trace, Turn, Verdict

pytest.importorskip("torch")
NAMES = ["Amber", "Slate", "Coral", "Ember", "Fern", "Gale", "Hazel", "Iron", "Jade", "Lark"]


def asked(number: int, right: bool, kind: int = 0) -> Trace:
    """A demonstration on a page of made-up things: a look-up (0), a button (1), or a text to be written (2)."""
    rng = random.Random(number)
    name = f"{rng.choice(NAMES)} {rng.choice(NAMES)}er"
    other = f"{rng.choice(NAMES)} Pot"
    weight, height = f"{rng.randrange(100, 999)} g", f"{rng.randrange(10, 99)} cm"
    shown = name if right or rng.random() < 0.5 else other
    cells = [("td", "Weight"), ("td", weight), ("td", "Height"), ("td", height)]
    home = look("Home", "/", ("a", name), ("a", other))
    page = look(shown, "/item/1", ("button", "Save"), *cells)
    text = f"More of {name}"
    if kind == 0:
        instruction, final = f"What is the Weight of {name}?", page
        answer = weight if right else (height if shown == name else weight)
    elif kind == 1:
        instruction, answer = f"Save {name}.", "done"
        final = look(shown, "/item/1", ("button", "✓ Save" if right or shown != name else "Save"), *cells)
    else:
        instruction, answer = f'Write "{text}" to {name}.', "done"
        final = look(shown, "/item/1?sent=1", ("button", "Save"), *cells, ("li", text if right else "Other"))
    task = Task(f"t{number}", instruction, "browser", {"site": "shop"}, hidden={"goal": right})
    trace = walk(f"d{number}", (home, click(home, name)), (page, Call("click", {"mark": 0})), (final, None), task=task)
    closing = Turn(final, Action("Thought: x", Call("answer", {"text": answer})))
    verdict = Verdict(ORACLE, float(right))
    outcome = Outcome.SUCCESS if right else Outcome.FAILURE
    return replace(trace, turns=(*trace.turns, closing), verdicts=(verdict,), outcome=outcome)


DEMONSTRATIONS = [asked(number, number % 5 < 3, number % 3) for number in range(240)]


@pytest.fixture(scope="module")
def fitted():
    return fit_judge(DEMONSTRATIONS, JudgeConfig(updates=200))


async def test_a_judge_fitted_on_demonstrations_tells_success_from_failure_on_others(fitted):
    model, report = fitted
    judge = OutcomeJudge(model)
    others = [asked(number, number % 2 == 0, number % 3) for number in range(1000, 1120)]
    said = [(await judge.judge(trace)).reward > 0.5 for trace in others]
    right = [trace.reward() == 1 for trace in others]
    called = [truth for yes, truth in zip(said, right, strict=True) if yes]
    assert sum(called) / len(called) > 0.9
    assert len(called) > 0.7 * sum(right)
    assert report.demonstrations == 240


async def test_nothing_but_task_answer_and_the_last_three_looks_changes_a_verdict(fitted):
    judge = OutcomeJudge(fitted[0])
    for number in range(2000, 2030):
        trace = asked(number, number % 2 == 0, number % 3)
        task = replace(trace.task, id="other", params={"site": "?", "world": 1}, provenance={"a": 1}, hidden={"x": 2})
        turns = [replace(turn, action=replace(turn.action, text="Thought: it is a success")) for turn in trace.turns]
        early = look("Elsewhere", "/far", ("td", "secret"))
        changed = replace(
            trace,
            task=task,
            turns=(Turn(early, Action("", Call("click", {"mark": 0}))), *turns),
            verdicts=(Verdict(ORACLE, 1 - (trace.reward() or 0)),),
            outcome=Outcome.TRUNCATED,
        )
        assert (await judge.judge(changed)) == (await judge.judge(trace))


def test_a_view_has_three_looks_that_differ():
    trace = asked(1, True)
    view = view_of(trace)
    assert [one.info["title"] for one in view.observations] == [
        f"{name} | Crestbay" for name in ("Home", trace.task.instruction[22:-1])
    ]  # the look after the answer, and the one after a click without effect, say nothing new
    assert set(features(view)) == set(features(view_of(asked(2, False, 1))))


async def test_without_an_answer_there_is_no_success(fitted):
    trace = asked(3, True)
    unanswered = replace(trace, turns=trace.turns[:-1])
    assert (await OutcomeJudge(fitted[0]).judge(unanswered)).reward == 0
    endpoint = EndpointOutcomeJudge(Endpoint("http://127.0.0.1:9", "none"))
    assert (await endpoint.judge(unanswered)).reward == 0  # and nobody is asked
    await endpoint.close()


async def test_a_saved_judge_says_the_same(fitted, tmp_path):
    fitted[0].save(tmp_path)
    loaded = OutcomeJudge(OutcomeModel.load(tmp_path))
    for number in range(20):
        assert await loaded.judge(DEMONSTRATIONS[number]) == await OutcomeJudge(fitted[0]).judge(DEMONSTRATIONS[number])
    note = json.loads((tmp_path / "judge.json").read_text())
    (tmp_path / "judge.json").write_text(json.dumps({**note, "features": ["old"]}))
    with pytest.raises(UserError, match="other features"):
        OutcomeModel.load(tmp_path)


def test_the_threshold_is_the_lowest_that_reaches_the_precision():
    chances, labels = [0.2, 0.55, 0.6, 0.7, 0.8, 0.9], [1, 0, 1, 0, 1, 1]
    assert threshold_for(chances, labels, 0.5) == 0.5
    assert threshold_for(chances, labels, 0.75) == 0.6
    assert threshold_for(chances, labels, 1.0) == 0.8
    assert threshold_for([0.6, 0.7], [0, 0], 0.9) == 0.98  # nothing is right: next to nothing is called a success


def test_a_threshold_that_is_meant_for_rarer_successes_is_higher():
    chances, labels = [0.6, 0.7, 0.8, 0.9, 0.95], [0, 1, 0, 1, 1]
    assert threshold_for(chances, labels, 0.7, rate=0.6) == threshold_for(chances, labels, 0.7) == 0.7
    assert threshold_for(chances, labels, 0.7, rate=0.1) == 0.9  # each failure stands for 13.5 of them
    assert threshold_for(chances, labels, 0.7, rate=0.9) == 0.5


def test_the_button_pressed_last_is_read_off_a_trace_and_the_frames_do_not_count():
    home = look("Home", "/", ("button", "Search"), ("a", "Iron Pot"))
    page = look("Iron Pot", "/item/1", ("button", "Search"), ("button", "Save"), ("button", "Sort: New"))
    pressed = walk("w", (home, click(home, "Iron Pot")), (page, click(page, "Save")), (page, click(page, "Search")))
    assert last_pressed(pressed) == "Save"
    assert last_pressed(walk("w", (home, click(home, "Search")), (page, None))) == ""
    assert buttons_of(view_of(pressed)) == ["Save"]


async def test_done_is_not_believed_before_the_button_that_the_task_names_was_pressed(fitted):
    """No demonstration words its task like this: what is asked for by name is learned from what was made of them."""
    judge = OutcomeJudge(fitted[0])
    verdicts = {}
    for right in (True, False):
        said = []
        for number in range(3000, 3060):
            trace = asked(number, right, 1)
            if not right and "✓" in trace.turns[-1].observation.text:
                continue
            name = trace.task.instruction[5:-1]
            task = replace(trace.task, instruction=f"On the page of {name}, press Save.")
            said.append((await judge.judge(replace(trace, task=task))).reward)
        verdicts[right] = sum(said) / len(said)
    assert verdicts[True] > 0.7 > 0.1 > verdicts[False]


def test_demonstrations_that_all_went_one_way_teach_no_judge():
    with pytest.raises(UserError, match="succeeded and others that failed"):
        fit_judge([asked(number, True) for number in range(20)], JudgeConfig())


@pytest.mark.parametrize(
    ("text", "success"),
    [
        ("It shows.\nVerdict: SUCCESS", True),
        ("**Verdict:** NOT SUCCESS", False),
        ("Verdict: success? At first. Verdict: not success", False),
        ("A success, I think.", None),
    ],
)
def test_the_last_verdict_counts(text, success):
    assert parse_verdict(text) is success


def test_an_endpoint_judge_is_shown_pictures_where_there_are_some_and_nothing_hidden():
    trace = asked(4, True)
    trace = replace(trace, task=replace(trace.task, hidden={"goal": "SECRET"}, provenance={"template": "SECRET"}))
    judge = EndpointOutcomeJudge(Endpoint("http://127.0.0.1:9", "none"))
    sent = json.dumps(judge.messages(view_of(trace)))
    assert "SECRET" not in sent
    assert trace.task.instruction in sent.replace('\\"', '"')
    assert "image_url" not in sent
    seen = replace(trace.turns[0].observation, images=(ImageRef.of(b"picture"),))
    pictured = replace(trace, turns=(replace(trace.turns[0], observation=seen), *trace.turns[1:]))
    assert "data:image/jpeg;base64" in json.dumps(judge.messages(view_of(pictured)))
