"""The AitW grammar: what was written is what is read, whatever is typed; what is not in it is an error of one line."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from turnsmith.agents.aitw import (
    TAP_DISTANCE,
    canonical,
    gesture,
    parse_aitw,
    parse_plan,
    parse_released,
    render_aitw,
)
from turnsmith.cli import main
from turnsmith.errors import ParseError
from turnsmith.trace.types import Call

unit = st.integers(0, 10_000).map(lambda number: number / 10_000)
calls = st.one_of(
    st.builds(lambda y, x: Call("tap", {"y": y, "x": x}), unit, unit),
    st.builds(gesture, unit, unit, unit, unit).filter(lambda call: call.name == "swipe"),
    st.builds(lambda text: Call("type", {"text": text}), st.text(st.characters(exclude_categories=()), max_size=60)),
    st.sampled_from(["back", "home", "enter"]).map(lambda key: Call("press", {"key": key})),
    st.sampled_from(["complete", "impossible"]).map(lambda state: Call("status", {"state": state})),
)


@given(calls)
@example(Call("type", {"text": '"typed_text": "x", Action Decision: "action_type": "PRESS_BACK"'}))
@example(Call("type", {"text": 'C:\\new "a, b", é\n\\"'}))
@example(Call("type", {"text": '"}</s>'}))
def test_every_call_survives_the_text(call):
    text = render_aitw(call)
    assert parse_aitw(text) == call
    assert parse_aitw(text + "</s>") == call


def decision(kind="TYPE", touch="[-1.0, -1.0]", lift="[-1.0, -1.0]", typed=""):
    return (
        f'Action Plan: [{kind}] ; Action Decision: "action_type": "{kind}", "touch_point": "{touch}", '
        f'"lift_point": "{lift}", "typed_text": "{typed}"'
    )


def test_typed_text_that_was_not_escaped():
    for typed in ('say "hi", then go', "a, b", "it's", "naïve café 東京", 'ends with "', "[0.1, 0.2]", ""):
        assert parse_aitw(decision(typed=typed)) == Call("type", {"text": typed})


def test_a_tap_is_two_points_close_together():
    assert parse_aitw(decision("DUAL_POINT", "[0.5, 0.5]", "[0.5, 0.53]")) == Call("tap", {"y": 0.5, "x": 0.5})
    swipe = parse_aitw(decision("DUAL_POINT", "[0.8, 0.5]", "[0.2, 0.5]"))
    assert swipe == Call("swipe", {"y": 0.8, "x": 0.5, "to_y": 0.2, "to_x": 0.5})
    assert gesture(0.25, 0.5, 0.25 + TAP_DISTANCE / 2, 0.5).name == "tap"
    assert gesture(0.25, 0.5, 0.25 + 2 * TAP_DISTANCE, 0.5).name == "swipe"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'no "Action Decision:"'),
        ("Action Plan: [TYPE]", 'no "Action Decision:"'),
        ("Action Decision: tap the button", "not of the form"),
        (decision("DUAL_POINT"), "not both on the screen"),
        (decision("DUAL_POINT", "[0.5, 1.5]", "[0.5, 0.5]"), "not both on the screen"),
        (decision("DUAL_POINT", "[0.5.5, 0.5]", "[0.5, 0.5]"), "in numbers"),
        ('Action Decision: "action_type": "DUAL_POINT"', "touch_point and lift_point"),
        ('Action Decision: "action_type": "TYPE"', "typed_text"),
        (decision("LONG_PRESS"), "no action type"),
        (decision("TYPE") + " and more", "not of the form"),
    ],
)
def test_what_is_not_in_the_grammar(text, message):
    with pytest.raises(ParseError, match=message) as caught:
        parse_aitw(text)
    assert "\n" not in str(caught.value)


def test_long_hostile_texts_take_no_time():
    for text in ('"' + " " * 50_000 + "x", '" ' * 50_000, '"action_type": "' * 5_000, "[" * 50_000):
        with pytest.raises(ParseError):
            parse_aitw("Action Decision: " + text)
        parse_aitw(decision(typed=text))


def test_auto_ui_writes_four_swipes_and_no_quotes():
    assert canonical(gesture(0.7, 0.4, 0.3, 0.5)).arguments == {"y": 0.8, "x": 0.5, "to_y": 0.2, "to_x": 0.5}
    assert canonical(gesture(0.3, 0.1, 0.4, 0.7)).arguments == {"y": 0.5, "x": 0.2, "to_y": 0.5, "to_x": 0.8}
    assert canonical(Call("type", {"text": 'it\'s "so"'})) == Call("type", {"text": "its so"})
    assert canonical(Call("press", {"key": "back"})) == Call("press", {"key": "back"})


def test_the_plan_is_read_and_needed_by_nothing():
    text = render_aitw(Call("press", {"key": "home"}), ("PRESS_HOME", "DUAL_POINT"))
    assert parse_plan(text) == ("PRESS_HOME", "DUAL_POINT")
    assert parse_plan("no plan") == ()
    assert parse_aitw(text[text.index("Action Decision") :]) == Call("press", {"key": "home"})


def test_the_authors_parser_ends_the_episode_on_a_comma():
    impossible = Call("status", {"state": "impossible"})
    assert parse_released(decision(typed="a, b")) == impossible
    assert parse_released("nonsense") == impossible
    assert parse_released(decision("STATUS_TASK_IMPOSSIBLE")) == Call("idle")
    assert parse_released(decision(typed="a b")) == Call("type", {"text": "a b"})


def test_the_command_prints_a_row_for_a_row(tmp_path, capsys):
    file = tmp_path / "responses.jsonl"
    texts = [
        decision("DUAL_POINT", "[0.25, 0.5]", "[0.25, 0.5]"),
        decision("DUAL_POINT", "[0.8, 0.5]", "[0.2, 0.5]"),
        decision(typed="razer, “blade”"),
        decision("PRESS_ENTER"),
        decision("STATUS_TASK_COMPLETE"),
        "Action: Click [3]",
    ]
    file.write_text("\n".join(json.dumps({"text": text}) for text in texts))
    assert main(["parse", "aitw", str(file)]) == 0
    *rows, error = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows == [
        {"action": "tap", "arguments": {"y": 0.25, "x": 0.5}},
        {"action": "swipe", "arguments": {"y": 0.8, "x": 0.5, "to_y": 0.2, "to_x": 0.5}},
        {"action": "type", "arguments": {"text": "razer, “blade”"}},
        {"action": "press", "arguments": {"key": "enter"}},
        {"action": "status", "arguments": {"state": "complete"}},
    ]
    assert list(error) == ["error"]
