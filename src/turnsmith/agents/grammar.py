"""The action grammar of web agents in three dialects: WebVoyager's (PAE writes the same), TTI's, and ours.

A response is a thought and one action behind a label, `Thought: … Action: …`, on one line or on several. The actions:

| WebVoyager                        | TTI                | call                                   |
|-----------------------------------|--------------------|----------------------------------------|
| `Click [n]`                       | `Click [n]`        | click{mark}                            |
| `Type [n]; [text]`                | `Type [n] [text]`  | type{mark, text}                       |
| `Scroll [n or WINDOW]; [up or down]` | `Scroll [up or down]` | scroll{direction, target: mark or "window"} |
| `Wait`                            | `Wait`             | wait{}                                 |
| `GoBack`                          | `GoBack`           | go_back{}                              |
| `Google`                          | `Bing`             | search_engine{}                        |
| `ANSWER; [text]`                  | `ANSWER [text]`    | answer{text}                           |

The papers' agents press Enter after whatever they type, which sends a form of three fields after its first. Ours
("turnsmith") is WebVoyager's with two differences, and without the search engine:

| turnsmith                         | call                                                        |
|-----------------------------------|-------------------------------------------------------------|
| `Type [n]; [text]`                | type{mark, text, enter: false}                              |
| `Press [key]`, `Press [n]; [key]` | press{key} where the focus is, press{mark, key} on an element |

The authors' parsers search for patterns anywhere in the response, so an answer that mentions "Click 3" clicks, and an
answer is cut at its first `]`. Here the whole of the action must match:

- **Which label counts.** A label is `Action:` with a verb of the grammar behind it. Labels at the start of a line (any
  case, markdown such as `**Action:**` or `### Action:` allowed) outrank labels within a line (`Action:` or `ACTION:`
  only); of equals the last one counts, so a thought may talk about actions. A label inside the balanced brackets of an
  answer or of typed text belongs to that text. Without a label there is no action.
- **Brackets** are optional around numbers, directions and texts: `Click 3` is `Click [3]`. A text that opens with `[`
  ends with the last `]` of the response, and only that outer pair is taken away; a text without brackets is trimmed,
  runs to the end of the response, and (typed text only) stays on one line.
- **Everything else is strict**: nothing may follow the action, not even a full stop; `;` stands where the dialect has
  it and nowhere else; marks are plain digits. Verbs may be in any case. Whether a mark exists is the environment's
  check.

Every pattern is free of nested or adjoining repeats of the same characters, so parsing takes linear time.
"""

import re
from collections.abc import Iterator
from typing import Literal

from turnsmith.errors import ParseError
from turnsmith.trace.types import Call

Dialect = Literal["webvoyager", "tti", "turnsmith"]

ACTION_FORMS: dict[Dialect, dict[str, str]] = {
    "webvoyager": {
        "click": "Click [n]",
        "type": "Type [n]; [text]",
        "scroll": "Scroll [n or WINDOW]; [up or down]",
        "wait": "Wait",
        "goback": "GoBack",
        "google": "Google",
        "answer": "ANSWER; [text]",
    },
    "tti": {
        "click": "Click [n]",
        "type": "Type [n] [text]",
        "scroll": "Scroll [up or down]",
        "wait": "Wait",
        "goback": "GoBack",
        "bing": "Bing",
        "answer": "ANSWER [text]",
    },
    "turnsmith": {
        "click": "Click [n]",
        "type": "Type [n]; [text]",
        "press": "Press [key]",
        "scroll": "Scroll [n or WINDOW]; [up or down]",
        "wait": "Wait",
        "goback": "GoBack",
        "answer": "ANSWER; [text]",
    },
}
"""How each action is written, by dialect and lower-case verb: for prompts and error messages."""

_FLAGS = re.IGNORECASE | re.ASCII
_PAPERS_VERBS = "click|type|scroll|wait|goback|google|bing|answer"


def _labels(verbs: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Labels at the start of a line, and anywhere."""
    # label, decoration up to and after the colon, verb (absent where the label is not well-formed)
    label = rf"(?P<label>action)(?P<before>[*_` \t]*):(?=(?P<after>[\s*_`]*)(?P<verb>(?:{verbs})(?![a-z0-9]))?)"
    return re.compile(rf"^[ \t>#*_`-]*{label}", _FLAGS | re.MULTILINE), re.compile(label, _FLAGS)


_PAPERS_LABELS, _OUR_LABELS = _labels(_PAPERS_VERBS), _labels(f"{_PAPERS_VERBS}|press")
_THOUGHT_LABEL = re.compile(r"^[\s>#*_`]*thought[*_` \t]*:[\s*_`]*", _FLAGS)

_MARK = r"(?:\[[ \t]*(?P<boxed>[0-9]+)[ \t]*\]|(?P<bare>[0-9]+)(?![a-z0-9_.]))"
_GAP = r"(?:[ \t]+|(?=\[))"  # between a verb and its argument: a space, or nothing where a bracket opens
_DIRECTION = r"(?:\[[ \t]*(?P<boxed_way>up|down)[ \t]*\]|(?P<bare_way>up|down))"
_TEXT_OPENS = re.compile(rf"(?:answer|type{_GAP}{_MARK})[\s;]*\[", _FLAGS)

_CLICK = re.compile(rf"click{_GAP}{_MARK}", _FLAGS)
_TYPE = re.compile(rf"type{_GAP}{_MARK}", _FLAGS)
_SCROLL_WEBVOYAGER = re.compile(
    rf"scroll{_GAP}(?:\[[ \t]*(?P<boxed>[0-9]+|window)[ \t]*\]|(?P<bare>[0-9]+|window))[ \t]*;[ \t]*{_DIRECTION}",
    _FLAGS,
)
_PRESS = re.compile(
    rf"press{_GAP}(?:{_MARK}[ \t]*;[ \t]*)?"
    r"(?:\[[ \t]*(?P<boxed_key>[a-z0-9+]{1,30})[ \t]*\]|(?P<bare_key>[a-z0-9+]{1,30}))",
    _FLAGS,
)
_SCROLL_TTI = re.compile(rf"scroll{_GAP}{_DIRECTION}", _FLAGS)

_LONGEST_MARK = 9  # digits
_LONGEST_DECORATION = 16  # characters; more is not markdown


def parse_webvoyager(text: str) -> Call:
    """The call that a response in WebVoyager's dialect (also PAE's) asks for.

    Raises:
        ParseError: if there is no labelled action, or it is not exactly one of the dialect's forms; the message is one
            line for the agent's next observation.
    """
    return _parse(text, "webvoyager")


def parse_tti(text: str) -> Call:
    """The call that a response in TTI's dialect asks for; raises as `parse_webvoyager`."""
    return _parse(text, "tti")


def parse_turnsmith(text: str) -> Call:
    """The call that a response in our own dialect asks for; raises as `parse_webvoyager`."""
    return _parse(text, "turnsmith")


def render(call: Call, dialect: Dialect = "webvoyager") -> str:
    """The labelled action, `Action: …`, that parses back to `call`.

    Raises:
        ValueError: if the dialect cannot express the call: an unknown name or argument, TTI's scrolling of one element,
            or a text that a parser must take for a second action (an unbalanced `]`, then an `Action:` line).
    """
    join = " " if dialect == "tti" else "; "
    arguments = call.arguments
    try:
        match call.name:
            case "click":
                action = f"Click [{arguments['mark']}]"
            case "type":
                action = f"Type [{arguments['mark']}]{join}[{arguments['text']}]"
            case "press":
                on = f"[{arguments['mark']}]; " if "mark" in arguments else ""
                action = f"Press {on}[{arguments['key']}]"
            case "scroll" if dialect == "tti":
                action = f"Scroll [{arguments['direction']}]"
            case "scroll":
                target = "WINDOW" if arguments["target"] == "window" else arguments["target"]
                action = f"Scroll [{target}]; [{arguments['direction']}]"
            case "wait":
                action = "Wait"
            case "go_back":
                action = "GoBack"
            case "search_engine":
                action = "Google" if dialect == "webvoyager" else "Bing"
            case "answer":
                action = f"ANSWER{join}[{arguments['text']}]"
            case _:
                raise ValueError(f"{dialect} has no action {call.name!r}")
        response = f"Action: {action}"
        if _parse(response, dialect) != call:
            raise ValueError(f"{dialect} cannot express {call}")
    except (KeyError, ParseError) as error:
        raise ValueError(f"{dialect} cannot express {call}: {error}") from error
    return response


def split_response(text: str, dialect: Dialect = "webvoyager") -> tuple[str, str]:
    """The thought and the action text of a response, both trimmed and without their labels and markdown.

    The action is "" where no label is found; all of the text is then thought.
    """
    label = _find_label(text, *(_OUR_LABELS if dialect == "turnsmith" else _PAPERS_LABELS))
    if label is None:
        return _strip_thought_label(text), ""
    action = text[label.end("after") :].strip()
    start = label.start("label")
    prefix = text[max(0, start - _LONGEST_DECORATION) : start]
    prefix = prefix[len(prefix.rstrip("*_`")) :]
    for mark in _open_decoration(prefix + label["before"] + label["after"]):
        action = action.removesuffix(mark).rstrip()
    return _strip_thought_label(text[: min(label.start(), start - len(prefix))]), action


def _strip_thought_label(text: str) -> str:
    return _THOUGHT_LABEL.sub("", text, count=1).strip()


def _open_decoration(decoration: str) -> list[str]:
    """The markdown marks that were opened around the label and not closed there, such as ["**"]."""
    still_open: list[str] = []
    if len(decoration) <= _LONGEST_DECORATION:
        for mark in re.findall(r"`+|\*+|_+", decoration):
            still_open.remove(mark) if mark in still_open else still_open.append(mark)
    return still_open


def _find_label(text: str, line: re.Pattern[str], inline: re.Pattern[str]) -> re.Match[str] | None:
    """The label that counts (see the module's docstring), or None."""
    at_line_start = list(line.finditer(text))
    anywhere = [*at_line_start, *_inline_labels(text, inline)]
    opening = _bracket_that_closes_last(text)
    for label in anywhere:
        if label["verb"] and opening is not None:
            text_opens = _TEXT_OPENS.match(text, label.start("verb"))
            if text_opens is not None and text_opens.end() - 1 == opening:
                return label
    well_formed = [label for label in at_line_start if label["verb"]]
    if not well_formed:
        line_start = at_line_start[-1].end() if at_line_start else 0
        well_formed = [label for label in anywhere if label["verb"] and label.start() >= line_start]
    return (well_formed or at_line_start or anywhere or [None])[-1]


def _inline_labels(text: str, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
    for label in pattern.finditer(text):
        previous = text[label.start() - 1 : label.start()]
        if label["label"] in ("Action", "ACTION") and not previous.isalnum() and previous != "-":
            yield label


def _bracket_that_closes_last(text: str) -> int | None:
    """Where the `[` stands that the response's closing `]` belongs to, by balance; None where there is none."""
    end = len(text.rstrip("*_` \t\r\n"))
    if text[end - 1 : end] != "]":
        return None
    depth = 0
    for position in range(end - 1, -1, -1):
        if text[position] == "]":
            depth += 1
        elif text[position] == "[":
            depth -= 1
            if depth == 0:
                return position
    return None


def _parse(text: str, dialect: Dialect) -> Call:
    _, action = split_response(text, dialect)
    forms = ACTION_FORMS[dialect]
    if not action:
        raise ParseError(
            'There is no action. End the reply with "Action:" and one action, such as "Action: Click [3]".'
        )
    word = re.match(r"[A-Za-z]*", action)
    verb = word[0].lower() if word else ""
    if verb not in forms:
        raise ParseError(f"Unknown action {_quote(action)}. The actions are: {', '.join(forms.values())}.")
    call = _parse_form(action, verb, dialect)
    if call is None:
        raise ParseError(f"Not a valid action: {_quote(action)}. Write exactly: {forms[verb]}")
    return call


def _parse_form(action: str, verb: str, dialect: Dialect) -> Call | None:
    """The call of an action whose verb is known; None where the rest is not in its form."""
    match verb:
        case "click":
            found = _CLICK.fullmatch(action)
            return Call("click", {"mark": _mark(found["boxed"] or found["bare"])}) if found else None
        case "type":
            found = _TYPE.match(action)
            if found is None:
                return None
            content = _text_argument(action[found.end() :], dialect, one_line=True)
            mark = _mark(found["boxed"] or found["bare"])
            enter = {"enter": False} if dialect == "turnsmith" else {}
            return None if content is None else Call("type", {"mark": mark, "text": content, **enter})
        case "press":
            return _parse_press(action)
        case "scroll":
            return _parse_scroll(action, dialect)
        case "answer":
            content = _text_argument(action[len("answer") :], dialect)
            return None if content is None else Call("answer", {"text": content})
    name = {"wait": "wait", "goback": "go_back"}.get(verb, "search_engine")
    return Call(name) if len(action) == len(verb) else None


def _parse_press(action: str) -> Call | None:
    found = _PRESS.fullmatch(action)
    if found is None:
        return None
    on = found["boxed"] or found["bare"]
    return Call("press", {**({"mark": _mark(on)} if on else {}), "key": found["boxed_key"] or found["bare_key"]})


def _parse_scroll(action: str, dialect: Dialect) -> Call | None:
    found = (_SCROLL_TTI if dialect == "tti" else _SCROLL_WEBVOYAGER).fullmatch(action)
    if found is None:
        return None
    target: str | int = "window"
    if dialect != "tti" and (named := (found["boxed"] or found["bare"]).lower()) != "window":
        target = _mark(named)
    return Call("scroll", {"direction": (found["boxed_way"] or found["bare_way"]).lower(), "target": target})


def _text_argument(rest: str, dialect: Dialect, one_line: bool = False) -> str | None:
    """The text after a verb or mark, without its separator and outer brackets; None where these are wrong.

    Args:
        rest: what follows the verb or mark, up to the end of the action.
        dialect: says whether a `;` must or must not come first.
        one_line: whether a text without brackets must not span lines.
    """
    content = rest.lstrip()
    if dialect != "tti":
        if not content.startswith(";"):
            return None
        content = content[1:].lstrip()
    elif content.startswith((";", ":")) or (content == rest and not content.startswith("[")):
        return None
    if content.startswith("["):
        return content[1:-1] if len(content) > 1 and content.endswith("]") else None
    if not content or (one_line and len(content.splitlines()) > 1):
        return None
    return content


def _mark(digits: str) -> int:
    if len(digits.lstrip("0")) > _LONGEST_MARK:
        raise ParseError(f"There is no element {_quote(digits)}.")
    return int(digits[-_LONGEST_MARK:])


def _quote(text: str) -> str:
    """A piece of the response on one line and at most 60 characters, for an error message."""
    line = " ".join(text[:240].split())
    line = "".join(character if character.isprintable() else "?" for character in line)
    return f'"{line[:59]}…"' if len(line) > 60 else f'"{line}"'
