"""The episodes that are compared: pages whose instruction alone says every step, so that both sides do the same steps.

A step of a plan names its element as both sides can find it in what they observe: by role, accessible name (None: any)
and position among those that fit. It is a plain dict, since it travels to another Python as JSON.
"""

import re
from typing import Any

PAGES = (
    "click-checkboxes-large",
    "click-option",
    "login-user",
    "enter-password",
    "enter-text",
    "click-button-sequence",
    "form-sequence-2",
)


def plan(page: str, goal: str) -> list[dict[str, Any]]:
    """The steps that solve a page, from its instruction."""
    quoted = re.findall(r'"([^"]*)"', goal)
    match page:
        case "click-checkboxes-large" | "click-option":
            role = "radio" if page == "click-option" else "checkbox"
            (listed,) = re.findall(r"^Select (.*) and click Submit", goal)
            return [*(_click(role, name) for name in listed.split(", ")), _click("button", "Submit")]
        case "login-user":
            return [_type(0, quoted[0]), _type(1, quoted[1]), _click("button", "Login")]
        case "enter-password":
            return [_type(0, quoted[0]), _type(1, quoted[0]), _click("button", "Submit")]
        case "enter-text":
            return [_type(0, quoted[0]), _click("button", "Submit")]
        case "click-button-sequence":
            return [_click("button", "ONE"), _click("button", "TWO")]
        case "form-sequence-2":
            radio, field = (int(digit) - 1 for digit in re.findall(r"the (\d)(?:st|nd|rd)", goal))
            return [_click("radio", None, radio), _type(field, quoted[0]), _click("button", "Submit")]
    raise ValueError(f"there is no plan for {page}")


def _click(role: str, name: str | None, nth: int = 0) -> dict[str, Any]:
    return {"do": "click", "role": role, "name": name, "nth": nth}


def _type(nth: int, text: str) -> dict[str, Any]:
    return {"do": "type", "role": "textbox", "name": None, "nth": nth, "text": text}
