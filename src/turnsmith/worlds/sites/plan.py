"""Plans: the hidden part of a task that tells a demonstrator what to do, as JSON.

A plan is a list of stages that are done one after the other. Every stage says at which *place* it is done, so that
whoever follows it finds back after a wrong click. A place is a page by the head of its title, with other links that
lead to it or towards it, whether the site's search finds it, and the place from which it is linked.

| stage  | what is done at its place                                                              |
|--------|----------------------------------------------------------------------------------------|
| act    | options are chosen (each where it is not yet), then a button or link is pressed        |
| fill   | fields are typed into, then a button is pressed                                        |
| read   | the table cell after a label is read and kept under `into`                             |
| hunt   | things of a list are opened one by one until a label has the value that is wanted      |
| answer | the episode is ended, with a fixed text or with what was read                          |

Each stage carries how many steps it takes when nothing goes wrong, so a task knows the steps that it needs.
"""

from collections.abc import Sequence
from typing import Any

Place = dict[str, Any]
Stage = dict[str, Any]


def place(name: str, links: Sequence[str] = (), search: bool = False, after: Place | None = None) -> Place:
    """A page whose title starts with `name`.

    Args:
        name: the head of its title, and usually the text of the links to it.
        links: the texts of other links to it or towards it, nearest first.
        search: whether the site's search finds it by its name.
        after: the place where such links stand.
    """
    return {"name": name, "links": list(links), "search": search, "after": after}


def found(name: str) -> Place:
    """A page that is found by searching its name."""
    return place(name, search=True)


def act(at: Place, steps: int, press: str = "", choose: Sequence[Sequence[str]] = ()) -> Stage:
    """Go to a place, choose options, press something.

    Args:
        at: where.
        steps: how many steps all of it takes.
        press: the text of the button or link; "" for none.
        choose: pairs of (option, menu). An option is chosen when its text is "✓ OPTION" or the menu reads
            "MENU: OPTION"; the menu "" means that the option is on the page without opening one.
    """
    return {"do": "act", "at": at, "press": press, "choose": [list(pair) for pair in choose], "steps": steps}


def fill(at: Place, fields: Sequence[tuple[str, str]], press: str, steps: int | None = None) -> Stage:
    """Type into the fields with these labels, then press the button; one step each unless `steps` says otherwise."""
    return {
        "do": "fill",
        "at": at,
        "fields": [list(pair) for pair in fields],
        "press": press,
        "steps": len(fields) + 1 if steps is None else steps,
    }


def read(at: Place, label: str, steps: int, into: str | None = None) -> Stage:
    """Read the value beside a label; it is kept under `into`, by default the place's name."""
    return {"do": "read", "at": at, "label": label, "into": into or at["name"], "steps": steps}


def hunt(at: Place, among: Sequence[str], label: str, value: str, steps: int) -> Stage:
    """Find, on the pages behind the list at a place, the thing whose table cell after `label` is `value`.

    Args:
        at: the list.
        among: the names of the things that it shows, in its order.
        label, value: what tells the one that is wanted.
        steps: how many steps it takes in that order.
    """
    return {"do": "hunt", "at": at, "among": list(among), "label": label, "value": value, "steps": steps}


def say(text: str) -> Stage:
    """End with a fixed answer ("done" where only the state matters)."""
    return {"do": "answer", "text": text, "steps": 1}


def say_first(name: str, among: Sequence[str]) -> Stage:
    """End with the name that stands first in the list on screen; the list may hold any of `among`."""
    return {"do": "answer", "first": name, "among": list(among), "steps": 1}


def say_value(of: str) -> Stage:
    """End with what was read under this name."""
    return {"do": "answer", "value": of, "steps": 1}


def say_hunted() -> Stage:
    """End with the name of what a hunt found."""
    return {"do": "answer", "hunted": True, "steps": 1}


def say_extreme(of: Sequence[str], largest: bool) -> Stage:
    """End with the name whose value, as a number, is the largest or the smallest."""
    return {"do": "answer", "compare": list(of), "largest": largest, "steps": 1}


def needed_steps(plan: Sequence[Stage]) -> int:
    """How many steps a plan takes when nothing goes wrong and nothing pops up."""
    return sum(stage["steps"] for stage in plan)
