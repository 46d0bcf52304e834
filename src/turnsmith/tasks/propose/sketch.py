"""A page as a reader takes it in: its head, where it leads, what can be pressed and filled, what it says.

Read from an observation's marked elements alone (docs/browser.md), so it is the same for any site.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from turnsmith.trace.types import Call, Observation, Trace

_ROW = 6.0  # cells whose tops differ by less than so many pixels stand in one row
_HEAD = re.compile(r"\s+[|–—·:]\s+|\s+-\s+")
_CHOSEN = re.compile(r"^✓\s*")
_COUNT = re.compile(r"\s*\(\d+\)$")
_TYPED = ("text", "textarea", "email", "url", "tel", "number", "")
_MENU = re.compile(r"^(?P<menu>[^:]{2,30}): (?P<chosen>\S.{0,40})$")


@dataclass(frozen=True, slots=True)
class Sketch:
    """One page.

    Attributes:
        path: path and query of its address.
        head: the page's own part of its title ("Amberfall Kettle" of "Amberfall Kettle | Crestbay").
        tail: the last part of its title, which is the page's own on sites that put their name first.
        links: the texts of its links, in order, without counts.
        buttons: the texts of its buttons; a leading ✓ is dropped.
        menus: what drop-down menus are called -> what they have chosen ("Sort" -> "Popular").
        fields: label of each field to type into -> the button after it, or ""; the search field is not among them.
        numeric: the labels of those fields that hold a number.
        chosen: texts that carry a ✓.
        search: the mark of the search field, or None.
        searches: the button after it, or "".
        details: what a two-column table says, by label.
        marks: the mark of each link and button, by text.
    """

    path: str
    head: str
    tail: str = ""
    links: tuple[str, ...] = ()
    buttons: tuple[str, ...] = ()
    menus: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    numeric: frozenset[str] = frozenset()
    chosen: frozenset[str] = frozenset()
    search: int | None = None
    searches: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
    marks: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, observation: Observation) -> "Sketch":
        """What this observation shows."""
        info = observation.info
        elements: Sequence[Mapping[str, Any]] = info.get("elements", ())
        links: list[str] = []
        buttons: list[str] = []
        fields: dict[str, str] = {}
        menus: dict[str, str] = {}
        marks: dict[str, int] = {}
        search, searches = None, ""
        for element in elements:
            tag, name = element["tag"], named(element)
            if tag == "a" and name:
                links.append(name)
                marks.setdefault(name, element["mark"])
            elif tag == "button" and name:
                if menu := _MENU.match(name):
                    menus[menu["menu"]] = menu["chosen"]
                if search is not None and not searches:
                    searches = name
                buttons.append(name)
                marks.setdefault(name, element["mark"])
                fields = {label: after or name for label, after in fields.items()}
            elif element.get("type") == "search":
                search = element["mark"]
            elif tag in ("input", "textarea") and name and element.get("type", "text") in _TYPED:
                fields[name] = ""
        numeric = {named(e) for e in elements if named(e) in fields and str(e.get("value", "")).isdigit()}
        chosen = {named(e) for e in elements if str(e.get("text", "")).startswith("✓")}
        return cls(
            address(str(info.get("url", ""))),
            head(str(info.get("title", ""))),
            _HEAD.split(str(info.get("title", "")).strip())[-1].strip(),
            tuple(links),
            tuple(buttons),
            menus,
            fields,
            frozenset(numeric),
            frozenset(chosen),
            search,
            searches,
            _details(elements),
            marks,
        )


def named(element: Mapping[str, Any]) -> str:
    """What an element is called: a field by its label, a button by its accessible name, others by their text."""
    text, aria = str(element.get("text", "")), str(element.get("aria", ""))
    own = (aria or text) if element["tag"] in ("input", "textarea", "button") else (text or aria)
    return _COUNT.sub("", _CHOSEN.sub("", own).strip())


def head(title: str) -> str:
    """The page's own part of a title: what stands before the first " | ", " - ", " · " or " : "."""
    return _HEAD.split(title.strip(), maxsplit=1)[0].strip()


def address(url: str) -> str:
    """Path and query of a URL."""
    parts = urlsplit(url)
    return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"


def _details(elements: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Label -> value of the rows that have exactly two cells."""
    rows: list[list[Mapping[str, Any]]] = []
    for element in elements:
        if element["tag"] != "td":
            continue
        if rows and abs(float(element["box"][1]) - float(rows[-1][0]["box"][1])) < _ROW:
            rows[-1].append(element)
        else:
            rows.append([element])
    pairs = [(str(row[0]["text"]), str(row[1]["text"])) for row in rows if len(row) == 2]
    return {label: value for label, value in pairs if 0 < len(label) <= 40 and 0 < len(value) <= 80}


@dataclass(frozen=True, slots=True)
class Visited:
    """A page in a browsing trace, with what was done there and what that led to (None at the end)."""

    page: Sketch
    call: Call | None
    after: Sketch | None
    target: str = ""
    """The text or label of the element that the call aimed at."""


def visited(trace: Trace) -> list[Visited]:
    """The pages of a trace in order. Of the trace, only observations and calls are read: no task, no thought."""
    looks = [turn.observation for turn in trace.turns] + ([trace.final] if trace.final is not None else [])
    pages = [Sketch.of(look) for look in looks]
    steps = []
    for index, turn in enumerate(trace.turns):
        after = pages[index + 1] if index + 1 < len(pages) else None
        failed = index + 1 < len(looks) and bool(looks[index + 1].error)
        call = None if failed else turn.action.call
        steps.append(Visited(pages[index], call, after, _target(turn.observation, call)))
    if len(pages) > len(trace.turns):
        steps.append(Visited(pages[-1], None, None))
    return steps


def _target(observation: Observation, call: Call | None) -> str:
    mark = call.arguments.get("mark") if call is not None else None
    for element in observation.info.get("elements", ()):
        if mark is not None and element["mark"] == mark:
            return named(element)
    return ""
