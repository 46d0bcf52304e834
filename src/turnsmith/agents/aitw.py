"""The action grammar of device agents: Auto-UI's text of the Android-in-the-Wild (AitW) action space.

    Action Plan: [DUAL_POINT, TYPE] ; Action Decision: "action_type": "DUAL_POINT", "touch_point": "[0.7761, 0.5]",
    "lift_point": "[0.7761, 0.5]", "typed_text": ""

Points are (y, x), normalised to [0, 1], with 4 decimals; actions that are no gesture write `[-1.0, -1.0]`. A gesture
whose two points are at most 0.04 apart is a tap (AitW's own rule), any other is a swipe.

| action_type                                                   | call                                                |
|---------------------------------------------------------------|-----------------------------------------------------|
| `DUAL_POINT`, points close together                           | tap{y, x}                                           |
| `DUAL_POINT`, points apart                                    | swipe{y, x, to_y, to_x}                             |
| `TYPE`                                                        | type{text}                                          |
| `PRESS_BACK`, `PRESS_HOME`, `PRESS_ENTER`                     | press{key}: "back", "home" or "enter"               |
| `STATUS_TASK_COMPLETE`, `STATUS_TASK_IMPOSSIBLE`              | status{state}: "complete" or "impossible"           |

The typed text is the last field, so it runs to the last quotation mark of the response: quotes, commas, brackets and
line breaks in it survive, escaped (as `render` writes them) or not. The authors' parser splits at `", "` and so ends
the episode on a comma; `parse_released` does as theirs does.
"""

import math
import re
from collections.abc import Sequence

from turnsmith.errors import ParseError
from turnsmith.trace.types import Call

TAP_DISTANCE = 0.04
"""The largest distance between touch and lift of a tap, in normalised units (AitW)."""

ACTION_TYPES: dict[str, int] = {
    "TYPE": 3,
    "DUAL_POINT": 4,
    "PRESS_BACK": 5,
    "PRESS_HOME": 6,
    "PRESS_ENTER": 7,
    "STATUS_TASK_COMPLETE": 10,
    "STATUS_TASK_IMPOSSIBLE": 11,
}
"""AitW's action types and their ids."""

SWIPES: dict[str, tuple[float, float, float, float]] = {
    "up": (0.8, 0.5, 0.2, 0.5),
    "down": (0.2, 0.5, 0.8, 0.5),
    "left": (0.5, 0.8, 0.5, 0.2),
    "right": (0.5, 0.2, 0.5, 0.8),
}
"""Auto-UI's four canonical swipes by the direction in which the finger moves: (y, x, to_y, to_x)."""

_STATES = {
    "STATUS_TASK_COMPLETE": "complete",
    "TASK_COMPLETE": "complete",
    "STATUS_TASK_IMPOSSIBLE": "impossible",
    "TASK_IMPOSSIBLE": "impossible",
}
_NOWHERE = "[-1.0, -1.0]"
_DECISION = re.compile(r"Action Decision[ \t]*:[ \t]*", re.IGNORECASE)
_POINT = r'"?\[[ \t]*(-?[0-9.]{1,24})[ \t]*,[ \t]*(-?[0-9.]{1,24})[ \t]*\]"?'
_FIELDS = re.compile(
    rf'\{{?\s*"action_type"\s*:\s*"(?P<type>[A-Za-z_]{{1,40}})"'
    rf'(?:\s*,\s*"touch_point"\s*:\s*{_POINT}\s*,\s*"lift_point"\s*:\s*{_POINT})?'
    r'(?:\s*,\s*"typed_text"\s*:\s*"(?P<text>.*)")?',
    re.DOTALL,
)


def parse_aitw(text: str) -> Call:
    """The call that a response asks for.

    A missing plan is no error, and the first `Action Decision:` counts (later ones can only stand in typed text).

    Raises:
        ParseError: if there is no decision, it is not in the form above, its type is unknown, or a point of a gesture
            lies outside the screen; the message is one line for the agent's next observation.
    """
    label = _DECISION.search(text)
    if label is None:
        raise ParseError('There is no "Action Decision:" in the response.')
    decision = text[label.end() :].rstrip().removesuffix("</s>").rstrip().removesuffix("}").rstrip()
    fields = _FIELDS.fullmatch(decision)
    if fields is None:
        raise ParseError(
            'The decision is not of the form "action_type": "…", "touch_point": "[y, x]", "lift_point": "[y, x]", '
            f'"typed_text": "…": {_short(decision)}'
        )
    kind = fields["type"].upper()
    if kind == "DUAL_POINT":
        return _gesture(fields.groups()[1:5])
    if kind == "TYPE":
        if fields["text"] is None:
            raise ParseError('A TYPE action needs its "typed_text".')
        return Call("type", {"text": _unescape(fields["text"])})
    if kind in ("PRESS_BACK", "PRESS_HOME", "PRESS_ENTER"):
        return Call("press", {"key": kind.removeprefix("PRESS_").lower()})
    if kind in _STATES:
        return Call("status", {"state": _STATES[kind]})
    raise ParseError(f"There is no action type {_short(kind)}. The types are: {', '.join(ACTION_TYPES)}.")


def _gesture(digits: Sequence[str | None]) -> Call:
    try:
        y, x, to_y, to_x = (float(number or "") for number in digits)
    except ValueError:
        raise ParseError("A DUAL_POINT action needs touch_point and lift_point, each [y, x] in numbers.") from None
    if not all(0 <= value <= 1 for value in (y, x, to_y, to_x)):
        raise ParseError(f"The points [{y}, {x}] and [{to_y}, {to_x}] are not both on the screen (0 to 1).")
    return gesture(y, x, to_y, to_x)


def gesture(y: float, x: float, to_y: float, to_x: float) -> Call:
    """A tap where the points are at most `TAP_DISTANCE` apart, else a swipe. Normalised coordinates."""
    if math.hypot(to_y - y, to_x - x) <= TAP_DISTANCE:
        return Call("tap", {"y": y, "x": x})
    return Call("swipe", {"y": y, "x": x, "to_y": to_y, "to_x": to_x})


def action_type(call: Call) -> str:
    """The AitW type of a call: a key of `ACTION_TYPES`.

    Raises:
        ValueError: if the grammar has no such call.
    """
    match call.name:
        case "tap" | "swipe":
            return "DUAL_POINT"
        case "type":
            return "TYPE"
        case "press" if call.arguments.get("key") in ("back", "home", "enter"):
            return f"PRESS_{call.arguments['key'].upper()}"
        case "status" if call.arguments.get("state") in ("complete", "impossible"):
            return f"STATUS_TASK_{call.arguments['state'].upper()}"
    raise ValueError(f"the AitW grammar cannot express {call}")


def render_decision(call: Call) -> str:
    """The decision alone: what stands behind `Action Decision: `, and behind `Previous Actions: ` in a prompt.

    Raises:
        ValueError: if the grammar has no such call, or a point lies outside the screen.
    """
    kind, arguments = action_type(call), call.arguments
    touch = lift = _NOWHERE
    if kind == "DUAL_POINT":
        points = [(arguments["y"], arguments["x"])] * 2
        if call.name == "swipe":
            points[1] = (arguments["to_y"], arguments["to_x"])
        if not all(0 <= value <= 1 for point in points for value in point):
            raise ValueError(f"a point of {call} lies outside the screen")
        touch, lift = (f"[{_number(y)}, {_number(x)}]" for y, x in points)
    text = _escape(str(arguments["text"])) if kind == "TYPE" else ""
    return f'"action_type": "{kind}", "touch_point": "{touch}", "lift_point": "{lift}", "typed_text": "{text}"'


def render_aitw(call: Call, plan: Sequence[str] = ()) -> str:
    """The response that parses back to `call` (its coordinates rounded to 4 decimals).

    Args:
        call: what is decided.
        plan: the coming action types, this one first; without any, the type of `call` alone.

    Raises:
        ValueError: if the grammar cannot express the call.
    """
    types = ", ".join(plan or (action_type(call),))
    return f"Action Plan: [{types}] ; Action Decision: {render_decision(call)}"


def parse_plan(text: str) -> tuple[str, ...]:
    """The action types of the plan, () where there is none."""
    found = re.search(r"Action Plan[ \t]*:[ \t]*\[([A-Za-z_, \t]*)\]", text)
    return tuple(part.strip().upper() for part in found[1].split(",") if part.strip()) if found else ()


def canonical(call: Call) -> Call:
    """A call as Auto-UI's training data writes it: one of four swipes; no quotes or backslashes in typed text."""
    if call.name == "swipe":
        down, across = (call.arguments[f"to_{axis}"] - call.arguments[axis] for axis in ("y", "x"))
        upright = abs(down) >= abs(across)
        direction = ("up" if down < 0 else "down") if upright else ("left" if across < 0 else "right")
        return Call("swipe", dict(zip(("y", "x", "to_y", "to_x"), SWIPES[direction], strict=True)))
    if call.name == "type":
        return Call("type", {"text": re.sub(r'[\\"\']', "", call.arguments["text"])})
    return call


def parse_released(text: str) -> Call:
    """As the authors' code takes a response (DigiRL's `autoui_translate_action`, by its behaviour).

    What their parser trips over (also a comma in typed text) is STATUS_TASK_IMPOSSIBLE and ends the episode, and the
    type `STATUS_TASK_IMPOSSIBLE`, which their parser does not know, does nothing: `Call("idle")`.
    """
    try:
        call = parse_aitw(text)
    except ParseError:
        return Call("status", {"state": "impossible"})
    if call.name == "type" and ", " in call.arguments["text"]:
        return Call("status", {"state": "impossible"})
    if '"STATUS_TASK_IMPOSSIBLE"' in text and call == Call("status", {"state": "impossible"}):
        return Call("idle")
    return call


def _number(value: float) -> str:
    return str(round(float(value), 4) + 0.0)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _unescape(text: str) -> str:
    return re.sub(r'\\(["\\])', r"\1", text)


def _short(text: str) -> str:
    line = " ".join(text[:240].split())
    line = "".join(character if character.isprintable() else "?" for character in line)
    return f'"{line[:59]}…"' if len(line) > 60 else f'"{line}"'
