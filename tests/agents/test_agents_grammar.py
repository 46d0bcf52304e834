"""The web action grammar: every form, every trap of unanchored parsers, and properties over arbitrary text."""

import contextlib
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from turnsmith.agents import grammar
from turnsmith.agents.grammar import parse_tti, parse_turnsmith, parse_webvoyager, render, split_response
from turnsmith.errors import ParseError
from turnsmith.trace import Call


def click(mark: int) -> Call:
    return Call("click", {"mark": mark})


def typing(mark: int, text: str) -> Call:
    return Call("type", {"mark": mark, "text": text})


def scroll(direction: str, target: int | str = "window") -> Call:
    return Call("scroll", {"direction": direction, "target": target})


def answer(text: str) -> Call:
    return Call("answer", {"text": text})


WAIT, GO_BACK, SEARCH = Call("wait"), Call("go_back"), Call("search_engine")

# Responses that mean the same in both dialects.
COMMON = [
    # plain forms, one line and several
    ("Thought: the cart is third. Action: Click [3]", click(3)),
    ("Thought: the cart is third.\nAction: Click [3]", click(3)),
    ("Action: Click [0]", click(0)),
    ("Action:Click [3]", click(3)),
    ("Action:\nClick [3]", click(3)),
    ("Action: Wait", WAIT),
    ("Action: GoBack", GO_BACK),
    # brackets are optional
    ("Action: Click 3", click(3)),
    ("Action: Click [ 3 ]", click(3)),
    ("Action: Click[3]", click(3)),
    ("Action: Click [007]", click(7)),
    # case
    ("action: click [3]", click(3)),
    ("ACTION: CLICK [3]", click(3)),
    ("Action: goback", GO_BACK),
    # white space, line ends
    ("  Action:   Click   [3]  \n\n", click(3)),
    ("Thought: x\r\nAction: Click [3]\r\n", click(3)),
    # markdown
    ("**Thought:** x\n\n**Action:** Click [3]", click(3)),
    ("**Action**: Click [3]", click(3)),
    ("**Action: Click [3]**", click(3)),
    ("### Action:\nClick [3]", click(3)),
    ("> Action: `Click [3]`", click(3)),
    ("**Action: `Click [3]`**", click(3)),
    ("Action:\n```\nClick [3]\n```", click(3)),
    ("- *Action:* *Click [3]*", click(3)),
    ("Thought: x **Action:** Click [3]", click(3)),
    # thoughts that talk about actions: the last label counts
    ("Thought: Click [5] looks right, then Scroll down. Action: Click [3]", click(3)),
    ("Thought: ANSWER; [no] would be early, ANSWER [no] too. Action: Click [3]", click(3)),
    ("Thought: my last Action: Click [5] failed. Action: Click [3]", click(3)),
    ("Action: Click [5]\nThought: no, that is the logo.\nAction: Click [3]", click(3)),
    ("Thought: Action: is a genre.\nAction: Click [3]", click(3)),
    ("Thought: the label reads\nAction: thrillers and more\nAction: Click [3]", click(3)),
    ("Action: Click [3]\nAction: Click [4]", click(4)),
    ("Thought: 需要点击。\nAction: Click [3]", click(3)),
]

WEBVOYAGER = [
    *COMMON,
    ("Action: Type [4]; [blue shoes]", typing(4, "blue shoes")),
    ("Action: Type 4; blue shoes", typing(4, "blue shoes")),
    ("Action: Type [4];[blue shoes]", typing(4, "blue shoes")),
    ("Action: Type [4] ; [blue shoes]", typing(4, "blue shoes")),
    ("Action: Type [4]; []", typing(4, "")),
    ("Action: Type [4]; [a;b [c] ]d]", typing(4, "a;b [c] ]d")),
    ("Action: Type [4]; [two\nlines]", typing(4, "two\nlines")),
    ("Action: Type [4]; [Action: Click [3]]", typing(4, "Action: Click [3]")),
    ("Action: Scroll [WINDOW]; [down]", scroll("down")),
    ("Action: Scroll WINDOW; up", scroll("up")),
    ("Action: Scroll [window]; [Down]", scroll("down")),
    ("Action: Scroll [7]; [up]", scroll("up", 7)),
    ("Action: Scroll 7; [up]", scroll("up", 7)),
    ("Action: Google", SEARCH),
    ("Action: ANSWER; [Paris]", answer("Paris")),
    ("Action: ANSWER; Paris", answer("Paris")),
    ("Action: ANSWER;[Paris]", answer("Paris")),
    ("Action: answer; [Paris]", answer("Paris")),
    ("Action: ANSWER;\n[Paris]", answer("Paris")),
    ("Action: **ANSWER; [Paris]**", answer("Paris")),
    # what an answer may hold
    ("Action: ANSWER; [To open the cart, Click 3]", answer("To open the cart, Click 3")),
    ("Action: ANSWER; To open the cart, Click [3]", answer("To open the cart, Click [3]")),
    ("Action: ANSWER; [Scroll down, then Type [4]; [x]]", answer("Scroll down, then Type [4]; [x]")),
    ("Action: ANSWER; [the list [1, 2] and a[0]]", answer("the list [1, 2] and a[0]")),
    ("Action: ANSWER; [(0, 1] is half open]", answer("(0, 1] is half open")),
    ("Action: ANSWER; [[Paris]]", answer("[Paris]")),
    ("Action: ANSWER; [line one\nline two\r\nline three]", answer("line one\nline two\r\nline three")),
    ("Action: ANSWER; line one\nline two\n", answer("line one\nline two")),
    ("Action: ANSWER; [\"quoted\" and 'quoted']", answer("\"quoted\" and 'quoted'")),
    ("Action: ANSWER; [Press Action: Click [3] there]", answer("Press Action: Click [3] there")),
    ("Action: ANSWER; [Steps:\nAction: Click [3]\ndone]", answer("Steps:\nAction: Click [3]\ndone")),
    ("Action: ANSWER; the manual says Action: Click 3", answer("the manual says Action: Click 3")),
    ("Action: ANSWER; Genre: Action: comedy", answer("Genre: Action: comedy")),
    ("Action: ANSWER; ANSWER; x", answer("ANSWER; x")),
    ("Action: ANSWER; [ ]", answer(" ")),
    ("Action: ANSWER; [Zürich \U0001f600 \x00 \ud800]", answer("Zürich \U0001f600 \x00 \ud800")),
]

TTI = [
    *COMMON,
    ("Action: Type [4] [blue shoes]", typing(4, "blue shoes")),
    ("Action: Type 4 blue shoes", typing(4, "blue shoes")),
    ("Action: Type [4][blue shoes]", typing(4, "blue shoes")),
    ("Action: Type 4 5 apples", typing(4, "5 apples")),
    ("Action: Type [4] [;]", typing(4, ";")),
    ("Action: Scroll [down]", scroll("down")),
    ("Action: scroll up", scroll("up")),
    ("Action: Bing", SEARCH),
    ("Action: ANSWER [Paris]", answer("Paris")),
    ("Action: ANSWER Paris", answer("Paris")),
    ("Action: ANSWER [N/A]", answer("N/A")),
    ("Action: ANSWER [To open the cart, Click 3]", answer("To open the cart, Click 3")),
    ("Action: ANSWER [a [b] c] d]", answer("a [b] c] d")),
    ("Action: ANSWER line one\nScroll down", answer("line one\nScroll down")),
]

# Responses that are an error in both dialects.
COMMON_BAD = [
    "",
    "   \n",
    "Click [3]",  # no label
    "ANSWER; [Paris]",
    "Thought: I will click.\nClick [3]",
    "Thought: done. Actions: Click [3]",
    "Thought: the transAction: Click [3]",
    "Thought: a call-to-Action: Click [3]",
    "Thought: the required action: click 3",  # a lower-case label within a line is prose
    "Action",
    "Action:",
    "Action: \n",
    "Thought: nothing to do. Action: none",
    "Action: Jump [3]",
    "Thought: maybe Action: ANSWER; foo\nAction: Jump [3]",
    'Action: "Click [3]"',
    # malformed arguments
    "Action: Click",
    "Action: Click []",
    "Action: Click [x]",
    "Action: Click [-1]",
    "Action: Click -1",
    "Action: Click [3",
    "Action: Click 3]",
    "Action: Click [[3]]",
    "Action: Click [3, 4]",
    "Action: Click 3.5",
    "Action: Click3",
    "Action: Click (3)",
    "Action: Click [３]",  # full-width digit
    "Action: Clic\u212a [3]",  # Kelvin sign
    "Action: Click [99999999999999999999]",
    "Action: Click [" + "9" * 5000 + "]",
    "Action: Type [4]",
    "Action: Type [4];",
    "Action: Type [x]; [y]",
    "Action: Type; [y]",
    "Action: Scroll",
    "Action: Scroll [sideways]",
    "Action: Scroll [WINDOW]",
    "Action: Scroll [WINDOW]; [left]",
    "Action: ANSWER",
    "Action: ANSWER;",
    "Action: ANSWER: Paris",
    "Action: Go Back",
    # more after the action
    "Action: Click [3].",
    "Action: Click [3] to open the cart",
    "Action: Click [3]\n\nThought: that opens it.",
    "Action: Click [3]; Click [4]",
    "Action: Click [1] Action: Click [2]",
    "Action: Wait [5]",
    "Action: Wait.",
    "Action: GoBack now",
]

WEBVOYAGER_BAD = [
    *COMMON_BAD,
    "Action: Bing",
    "Action: Google; [shoes]",
    "Action: Type [4] [text]",
    "Action: Type [4]; [text",
    "Action: Type [4]; [text] and go",
    "Action: Type 4; one line\nanother",
    "Action: Scroll [down]",
    "Action: Scroll [WINDOW] [down]",
    "Action: Scroll [-1]; [down]",
    "Action: ANSWER [Paris]",
    "Action: ANSWER; [Paris",
    "Action: ANSWER; [Paris]. I am sure.",
]

TTI_BAD = [
    *COMMON_BAD,
    "Action: Google",
    "Action: Type [4]; [text]",
    "Action: Type [4]text",
    "Action: Type [4] [text",
    "Action: Type 4 one line\nanother",
    "Action: Scroll [3]; [down]",
    "Action: Scroll [WINDOW] [down]",
    "Action: ANSWER; [Paris]",
    "Action: ANSWER [Paris",
]


@pytest.mark.parametrize(("text", "call"), WEBVOYAGER)
def test_webvoyager_forms(text, call):
    assert parse_webvoyager(text) == call


@pytest.mark.parametrize(("text", "call"), TTI)
def test_tti_forms(text, call):
    assert parse_tti(text) == call


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("Action: Type [4]; [a lamp]", Call("type", {"mark": 4, "text": "a lamp", "enter": False})),
        ("Action: Press [Enter]", Call("press", {"key": "Enter"})),
        ("Thought: sent. Action: press Control+a", Call("press", {"key": "Control+a"})),
        ("Action: Press [12]; [ArrowDown]", Call("press", {"mark": 12, "key": "ArrowDown"})),
        ("Action: Press 3; Escape", Call("press", {"mark": 3, "key": "Escape"})),
        ("Action: Press [7]", Call("press", {"key": "7"})),
        ("Action: Scroll [WINDOW]; [down]", scroll("down")),
        ("Action: ANSWER; [Action: Press [Enter]]", answer("Action: Press [Enter]")),
    ],
)
def test_our_own_forms(text, call):
    assert parse_turnsmith(text) == call


@pytest.mark.parametrize("action", ["Press", "Press []", "Press [a b]", "Press [1]; [x];", "Google"])
def test_what_is_no_form_of_ours(action):
    with pytest.raises(ParseError):
        parse_turnsmith(f"Action: {action}")


def test_a_press_is_no_action_of_the_papers():
    for parse in (parse_webvoyager, parse_tti):
        with pytest.raises(ParseError, match="Unknown action"):
            parse("Action: Press [Enter]")


@pytest.mark.parametrize(
    ("parse", "text"), [(parse_webvoyager, text) for text in WEBVOYAGER_BAD] + [(parse_tti, text) for text in TTI_BAD]
)
def test_bad_responses_are_parse_errors_of_one_short_printable_line(parse, text):
    with pytest.raises(ParseError) as caught:
        parse(text)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 300


def test_messages_tell_the_agent_what_to_write():
    with pytest.raises(ParseError, match=re.escape("Write exactly: Type [n]; [text]")):
        parse_webvoyager("Action: Type [4] [text]")
    with pytest.raises(ParseError, match=re.escape("Write exactly: ANSWER [text]")):
        parse_tti("Action: ANSWER; [text]")
    with pytest.raises(ParseError, match=r'Unknown action "Bing".*Google'):
        parse_webvoyager("Action: Bing")
    with pytest.raises(ParseError, match='End the reply with "Action:"'):
        parse_tti("I click the third link.")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Thought: a. Action: Click [3]", ("a.", "Click [3]")),
        ("**Thought:** a **b**\n**Action:** Click [3]", ("a **b**", "Click [3]")),
        ("a\nAction: **Click [3]**", ("a", "Click [3]")),
        ("Thought: only thinking", ("only thinking", "")),
        ("Action: Jump", ("", "Jump")),
        ("Thought: a\nAction: x\nAction: Click [3]", ("a\nAction: x", "Click [3]")),
        ("", ("", "")),
    ],
)
def test_a_response_is_split_into_thought_and_action(text, parts):
    assert split_response(text) == parts


texts = st.text(st.characters(codec=None), max_size=40)
marks = st.integers(0, 10**9 - 1)
keys = st.sampled_from(["Enter", "Escape", "ArrowDown", "Control+a", "F5", "x", "7"])
CALLS = {
    "webvoyager": st.one_of(
        st.builds(click, marks),
        st.builds(typing, marks, texts),
        st.builds(scroll, st.sampled_from(["up", "down"]), st.one_of(st.just("window"), marks)),
        st.sampled_from([WAIT, GO_BACK, SEARCH]),
        st.builds(answer, texts),
    ),
    "tti": st.one_of(
        st.builds(click, marks),
        st.builds(typing, marks, texts),
        st.builds(scroll, st.sampled_from(["up", "down"])),
        st.sampled_from([WAIT, GO_BACK, SEARCH]),
        st.builds(answer, texts),
    ),
    "turnsmith": st.one_of(
        st.builds(click, marks),
        st.builds(typing, marks, texts),
        st.builds(lambda key: Call("press", {"key": key}), keys),
        st.builds(lambda mark, key: Call("press", {"mark": mark, "key": key}), marks, keys),
        st.builds(scroll, st.sampled_from(["up", "down"]), st.one_of(st.just("window"), marks)),
        st.sampled_from([WAIT, GO_BACK]),
        st.builds(answer, texts),
    ),
}
PARSERS = {"webvoyager": parse_webvoyager, "tti": parse_tti, "turnsmith": parse_turnsmith}


@pytest.mark.parametrize("dialect", list(PARSERS))
def test_what_is_rendered_parses_back(dialect):
    @settings(deadline=None)
    @given(CALLS[dialect], texts)
    @example(answer("a] b [c"), "")
    @example(answer("]"), "")
    @example(typing(1, "["), "Action: Click [3]")
    def check(call, thought):
        if dialect == "turnsmith" and call.name == "type":
            call = Call("type", {**call.arguments, "enter": False})
        action = render(call, dialect)
        assert PARSERS[dialect](action) == call
        assert PARSERS[dialect](f"Thought: {thought}\n{action}") == call

    check()


@pytest.mark.parametrize(
    ("call", "dialect"),
    [
        (Call("fly"), "webvoyager"),
        (Call("press", {"key": "Enter"}), "webvoyager"),
        (Call("press", {"key": "a b"}), "turnsmith"),
        (typing(1, "sent with Enter"), "turnsmith"),
        (Call("click"), "webvoyager"),
        (click(-1), "tti"),
        (Call("click", {"mark": 3, "button": "left"}), "tti"),
        (scroll("left"), "webvoyager"),
        (scroll("down", 3), "tti"),
        (answer("x]\nAction: Click [3"), "webvoyager"),
    ],
)
def test_a_call_outside_the_dialect_is_not_rendered(call, dialect):
    with pytest.raises(ValueError, match=dialect):
        render(call, dialect)


# Text made of the grammar's own pieces finds more than random characters do.
PIECES = st.lists(
    st.one_of(
        st.sampled_from(
            ["Action: ", "action:", "Thought: ", "Click", "Type", "Press", "Scroll", "ANSWER", "Wait", "GoBack"]
        ),
        st.sampled_from(["Google", "Bing", "WINDOW", "up", "down", "[", "]", ";", " ", "\n", "\r\n", "3", "12"]),
        st.sampled_from(["**", "`", "```", "*", "_", "#", ".", ","]),
        st.text(max_size=3),
    ),
    max_size=14,
).map("".join)


@settings(max_examples=400, deadline=None)
@given(st.one_of(PIECES, st.text(st.characters(codec=None))))
def test_any_text_is_a_call_or_a_parse_error(text):
    for dialect, parse in PARSERS.items():
        with contextlib.suppress(ParseError):
            call = parse(text)
            assert call.name in {"click", "type", "scroll", "wait", "go_back", "search_engine", "answer", "press"}
            assert dialect != "tti" or call.arguments.get("target", "window") == "window"
    assert all(part == part.strip() for part in split_response(text))


@settings(deadline=None)
@given(PIECES, st.sampled_from(["Click [5]", "Scroll down", "ANSWER [no]", "ANSWER; [no]", "Type [1]; [x]"]))
def test_without_a_label_nothing_is_an_action(text, bare):
    for parse in PARSERS.values():
        with pytest.raises(ParseError):
            parse(f"{text}\n{bare}".replace(":", ""))


HOSTILE = ["Action: ", "Action:\n", "Action: ANSWER; [", "\nAction: Type [3]; [", "[", "]", " ", "\n", "\t*", "*_", "`"]
HOSTILE += [";", "Action", "Action: Click [", "9", "#", "Action:*", "Thought: ", "\nAction: ANSWER; [", "Type [3]; ["]


@pytest.mark.parametrize("unit", HOSTILE)
@pytest.mark.parametrize("ends", [("Action: Click [3", ""), ("Action: ANSWER; [", "]")])
def test_a_hostile_megabyte_is_parsed(unit, ends):
    """Finishes at all: a pattern with nested or adjoining repeats would take hours on one of these."""
    with contextlib.suppress(ParseError):
        parse_webvoyager(ends[0] + unit * (1_000_000 // len(unit)) + ends[1])


def test_no_pattern_nests_repeats():
    """Structural guard behind the linear time: no group that is itself repeated without bound holds a repeat."""
    patterns = [value.pattern for value in vars(grammar).values() if isinstance(value, re.Pattern)]
    assert patterns
    for pattern in patterns:
        assert not re.search(r"[*+]\)[*+{]", pattern), pattern
