"""Actions of BrowserGym, `click("12")`, and our calls, click{mark: 12}: one into the other, nothing evaluated as code.

| BrowserGym                                  | ours                                                    |
|---------------------------------------------|---------------------------------------------------------|
| `click(bid)`                                | click{mark}                                             |
| `fill(bid, value)`                          | type{mark, text, enter: false}                          |
| `select_option(bid, options)`               | type{mark, text}: the option                            |
| `press(bid, key)`                           | press{mark, key}                                        |
| `scroll(dx, dy)`                            | scroll{direction, target: "window"}                     |
| `noop(ms)`                                  | wait{}                                                  |
| `go_back()`, `goto(url)`                    | go_back{}, goto{url}                                    |
| `send_msg_to_user(text)`                    | answer{text}                                            |
| `report_infeasible(reason)`                 | answer{text: "N/A"}                                     |

Our `type` ends with Enter, so it becomes `fill` and `press`, two lines of one action; our `scroll` goes two thirds of
the window, whatever dy is. A bid is the text of a mark in our environments; where tasks are BrowserGym's, the marks
stand for its bids in the order of the page.
"""

import ast
from collections.abc import Callable, Sequence
from typing import Any

from turnsmith.errors import ParseError
from turnsmith.trace.types import Call

INFEASIBLE = "N/A"
_SIGNATURES: dict[str, tuple[str, ...]] = {
    "click": ("bid", "button", "modifiers"),
    "fill": ("bid", "value", "enable_autocomplete_menu"),
    "select_option": ("bid", "options"),
    "press": ("bid", "key_comb"),
    "scroll": ("delta_x", "delta_y"),
    "noop": ("wait_ms",),
    "go_back": (),
    "goto": ("url",),
    "send_msg_to_user": ("text",),
    "report_infeasible": ("reason",),
}


def parse_actions(text: str) -> list[Call]:
    """The calls of an action of BrowserGym: one call a line, or several statements.

    Raises:
        ParseError: if it is not of that form, or something that our environments do not have.
    """
    try:
        body = ast.parse(text.strip()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ParseError(f"Not an action of BrowserGym: {text.strip()[:60]!r}.") from error
    if not body:
        raise ParseError("There is no action.")
    return [_call(statement, text) for statement in body]


def _call(statement: ast.stmt, text: str) -> Call:
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise ParseError(f"Not a call: {ast.get_source_segment(text.strip(), statement) or text[:60]!r}.")
    name = call.func.id
    if name not in _SIGNATURES:
        raise ParseError(f"Unknown action {name!r}. The actions are: {', '.join(_SIGNATURES)}.")
    names = _SIGNATURES[name]
    try:
        given = dict(zip(names, map(ast.literal_eval, call.args), strict=False))
        given |= {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
    except (ValueError, TypeError, RecursionError) as error:
        raise ParseError(f"The arguments of {name} must be plain values.") from error
    if len(call.args) > len(names) or set(given) - set(names):
        raise ParseError(f"{name} takes {', '.join(names) or 'no arguments'}.")
    return _ours(name, given)


def _ours(name: str, given: dict[str, Any]) -> Call:
    match name:
        case "click":
            if given.get("button", "left") != "left" or given.get("modifiers"):
                raise ParseError("Only plain clicks with the left button can be made.")
            return Call("click", {"mark": _mark(given)})
        case "fill":
            return Call("type", {"mark": _mark(given), "text": _text(given, "value"), "enter": False})
        case "select_option":
            options = given.get("options")
            only = options[0] if isinstance(options, list) and len(options) == 1 else options
            return Call("type", {"mark": _mark(given), "text": _text({"options": only}, "options")})
        case "press":
            return Call("press", {"mark": _mark(given), "key": _text(given, "key_comb")})
        case "scroll":
            down = given.get("delta_y")
            if isinstance(down, bool) or not isinstance(down, int | float) or not down:
                raise ParseError("Pages scroll up and down: delta_y must be a number other than 0.")
            return Call("scroll", {"direction": "down" if down > 0 else "up", "target": "window"})
        case "noop":
            return Call("wait")
        case "go_back":
            return Call("go_back")
        case "goto":
            return Call("goto", {"url": _text(given, "url")})
        case "send_msg_to_user":
            return Call("answer", {"text": _text(given, "text")})
    return Call("answer", {"text": INFEASIBLE})


def _mark(given: dict[str, Any]) -> int:
    bid = given.get("bid")
    if not isinstance(bid, str) or not (bid.isascii() and bid.isdigit() and len(bid) < 10):
        raise ParseError(f"There is no element {bid!r}.")
    return int(bid)


def _text(given: dict[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str):
        raise ParseError(f"{name} must be a text.")
    return value


def write_action(call: Call, bid_of: Callable[[int], str], height: int = 720) -> str:
    """A call as an action of BrowserGym.

    Args:
        call: of ours.
        bid_of: the bid behind a mark; may raise `ParseError` where there is none.
        height: of the window in pixels, of which a scroll goes two thirds.

    Raises:
        ParseError: if BrowserGym has no such action.
    """
    arguments = call.arguments
    match call.name:
        case "click":
            return f"click({bid_of(arguments['mark'])!r})"
        case "type":
            bid, text = bid_of(arguments["mark"]), str(arguments["text"])
            lines = [f"fill({bid!r}, {text!r})"]
            return "\n".join(lines if not arguments.get("enter", True) else [*lines, f"press({bid!r}, 'Enter')"])
        case "press":
            return f"press({bid_of(arguments['mark'])!r}, {str(arguments['key'])!r})"
        case "scroll":
            if arguments.get("target", "window") != "window":
                raise ParseError("BrowserGym scrolls the window only.")
            return f"scroll(0, {(1 if arguments['direction'] == 'down' else -1) * round(height * 2 / 3)})"
        case "wait":
            return "noop(1000)"
        case "go_back":
            return "go_back()"
        case "goto":
            return f"goto({str(arguments['url'])!r})"
        case "answer":
            text = str(arguments.get("text", ""))
            if text.strip().strip("'\"").upper() == INFEASIBLE:
                return f"report_infeasible({text!r})"
            return f"send_msg_to_user({text!r})"
    raise ParseError(f"BrowserGym has no action for {call.name!r}.")


def last_answer(calls: Sequence[Call]) -> str | None:
    """The text of an answer among calls, or None."""
    return next((str(call.arguments.get("text", "")) for call in reversed(calls) if call.name == "answer"), None)
