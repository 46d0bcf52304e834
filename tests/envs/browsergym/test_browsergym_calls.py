"""Actions of BrowserGym into our calls and back, by a table; what cannot be said is refused and never run."""

import pytest

from turnsmith.envs.browsergym.calls import parse_actions, write_action
from turnsmith.errors import ParseError
from turnsmith.trace.types import Call


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("click('12')", [Call("click", {"mark": 12})]),
        ('click("12", button="left")', [Call("click", {"mark": 12})]),
        ("click(bid='3')", [Call("click", {"mark": 3})]),
        ("fill('4', 'red \\'kettle\\'')", [Call("type", {"mark": 4, "text": "red 'kettle'", "enter": False})]),
        ("fill('4', 'a')\npress('4', 'Enter')",
         [Call("type", {"mark": 4, "text": "a", "enter": False}), Call("press", {"mark": 4, "key": "Enter"})]),
        ("select_option('5', 'blue')", [Call("type", {"mark": 5, "text": "blue"})]),
        ("select_option('5', ['blue'])", [Call("type", {"mark": 5, "text": "blue"})]),
        ("scroll(0, 200)", [Call("scroll", {"direction": "down", "target": "window"})]),
        ("scroll(0, -0.5)", [Call("scroll", {"direction": "up", "target": "window"})]),
        ("noop()", [Call("wait")]),
        ("noop(wait_ms=500)", [Call("wait")]),
        ("go_back()", [Call("go_back")]),
        ("goto('http://a.org/')", [Call("goto", {"url": "http://a.org/"})]),
        ("send_msg_to_user('42')", [Call("answer", {"text": "42"})]),
        ("report_infeasible('no such page')", [Call("answer", {"text": "N/A"})]),
        ("# done\nsend_msg_to_user('x'); noop()", [Call("answer", {"text": "x"}), Call("wait")]),
    ],
)  # fmt: skip
def test_their_actions_become_our_calls(text, calls):
    assert parse_actions(text) == calls


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no action"),
        ("click('a1')", "no element 'a1'"),
        ("click(12)", "no element 12"),
        ("click('1', button='right')", "plain clicks"),
        ("click('1', 'left', [], 4)", "click takes bid"),
        ("click(mark='1')", "click takes bid"),
        ("fill('1')", "value must be a text"),
        ("scroll(10, 0)", "delta_y must be a number other than 0"),
        ("scroll(0, True)", "delta_y"),
        ("select_option('1', ['a', 'b'])", "options must be a text"),
        ("drag_and_drop('1', '2')", "Unknown action 'drag_and_drop'"),
        ("__import__('os').system('true')", "Not a call"),
        ("click(open('/etc/passwd'))", "plain values"),
        ("x = 1", "Not a call"),
        ("click('1'", "Not an action of BrowserGym"),
        ("Thought: click it", "Not an action of BrowserGym"),
    ],
)
def test_what_cannot_be_done_is_said(text, message):
    with pytest.raises(ParseError, match=message):
        parse_actions(text)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (Call("click", {"mark": 1}), "click('b1')"),
        (Call("type", {"mark": 1, "text": "a'b"}), "fill('b1', \"a'b\")\npress('b1', 'Enter')"),
        (Call("type", {"mark": 1, "text": "a", "enter": False}), "fill('b1', 'a')"),
        (Call("press", {"mark": 1, "key": "Tab"}), "press('b1', 'Tab')"),
        (Call("scroll", {"direction": "up", "target": "window"}), "scroll(0, -480)"),
        (Call("wait"), "noop(1000)"),
        (Call("go_back"), "go_back()"),
        (Call("goto", {"url": "http://a"}), "goto('http://a')"),
        (Call("answer", {"text": "it's 42"}), 'send_msg_to_user("it\'s 42")'),
        (Call("answer", {"text": " n/a "}), "report_infeasible(' n/a ')"),
    ],
)
def test_our_calls_become_their_actions(call, text):
    assert write_action(call, lambda mark: f"b{mark}") == text


def test_what_they_have_no_action_for_is_refused():
    for call in (Call("search_engine"), Call("scroll", {"direction": "up", "target": 3})):
        with pytest.raises(ParseError):
            write_action(call, str)


def test_a_way_there_and_back_is_the_same():
    for call in (
        Call("click", {"mark": 7}),
        Call("type", {"mark": 7, "text": "ä\n\"'", "enter": False}),
        Call("go_back"),
        Call("answer", {"text": "N/A"}),
        Call("scroll", {"direction": "down", "target": "window"}),
    ):
        assert parse_actions(write_action(call, str)) == [call]
