"""What the scripted solvers read: the instruction, the element list, the accessibility tree, and their own past calls.

Nothing else of the page reaches them, so that what they can do, any agent behind the same observations and actions can.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from turnsmith.agents.base import Context
from turnsmith.trace.types import Call

_TREE_LINE = re.compile(r"^\t*\[(\d+)\] (\S+) ('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")(.*)$")


class Stuck(Exception):
    """A solver does not find what it looks for."""


@dataclass(frozen=True, slots=True)
class Element:
    """An entry of the element list.

    Attributes:
        mark: its number.
        tag: the HTML tag, lower case.
        text: what it shows; of a field, what is in it; of a box to tick, "checked" or "unchecked".
        label: its accessible name, where that is not its text.
        type: the type of an input, else "".
        box: left, top, width, height in CSS pixels.
    """

    mark: int
    tag: str
    text: str
    label: str
    type: str
    box: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the accessibility tree; `number` can be aimed at like a mark."""

    number: int
    role: str
    name: str
    properties: str


@dataclass(frozen=True)
class Scene:
    """One moment of an episode.

    Attributes:
        goal: the instruction.
        elements: the element list.
        lines: the accessibility tree, top to bottom; empty where the observation has none.
        past: the calls so far, oldest first.
        clicked: what the marks that were clicked so far showed, oldest first.
    """

    goal: str
    elements: Sequence[Element]
    lines: Sequence[Line]
    past: Sequence[Call]
    clicked: Sequence[str]

    @classmethod
    def of(cls, context: Context) -> "Scene":
        """The scene of a context."""
        observation = context.observation
        lines = []
        for row in observation.text.split("\n"):
            if found := _TREE_LINE.match(row):
                name = re.sub(r"\\(.)", r"\1", found[3][1:-1].replace("\\xa0", " "))
                lines.append(Line(int(found[1]), found[2], name.strip(), found[4].strip()))
        past, clicked = [], []
        for turn in context.turns:
            if (call := turn.action.call) is not None:
                past.append(call)
                shown = turn.observation.info["elements"]
                if call.name == "click" and call.arguments["mark"] < len(shown):
                    clicked.append(shown[call.arguments["mark"]]["text"])
        elements = tuple(_element(row) for row in observation.info["elements"])
        return cls(context.task.instruction, elements, lines, past, clicked)

    @cached_property
    def quoted(self) -> list[str]:
        """The texts in double quotes in the goal."""
        return re.findall(r'"([^"]*)"', self.goal)

    def read(self, pattern: str) -> tuple[str, ...]:
        """The groups of a pattern in the goal.

        Raises:
            Stuck: if it is not there.
        """
        found = re.search(pattern, self.goal)
        if found is None:
            raise Stuck(f"the goal does not say {pattern}")
        return found.groups()

    def named(self, name: str, *tags: str) -> Element:
        """The first element that shows `name` or has it as label (with one of `tags`, if any are given).

        Raises:
            Stuck: if there is none.
        """
        for element in self.elements:
            if name in (element.text, element.label) and (not tags or element.tag in tags):
                return element
        raise Stuck(f"there is no {name!r}")

    def shows(self, name: str) -> bool:
        """Whether some element shows `name`."""
        return any(name == element.text for element in self.elements)

    def tagged(self, tag: str) -> list[Element]:
        """The elements with this tag, in order."""
        return [element for element in self.elements if element.tag == tag]

    def of_type(self, *types: str) -> list[Element]:
        """The inputs of these types, and text areas for "textarea", in order."""
        return [
            element
            for element in self.elements
            if element.type in types or (element.tag == "textarea" and "textarea" in types)
        ]

    @property
    def fields(self) -> list[Element]:
        """The fields of one line, in order."""
        return self.of_type("text", "password", "number", "date", "time")

    def line(self, role: str, pattern: str = "") -> tuple[Line, re.Match[str]]:
        """The first line of this role whose name has the pattern, and the match.

        Raises:
            Stuck: if there is none.
        """
        for line in self.lines:
            if line.role == role and (found := re.search(pattern, line.name)):
                return line, found
        raise Stuck(f"there is no {role} {pattern!r}")


def _element(row: dict[str, Any]) -> Element:
    text = row.get("value", row["text"])
    return Element(row["mark"], row["tag"], text, row["aria"], row.get("type", ""), tuple(row["box"]))


def click(target: Element | Line) -> Call:
    """Click it."""
    return Call("click", {"mark": target.mark if isinstance(target, Element) else target.number})


def type_into(target: Element, text: str) -> Call:
    """Put `text` into a field and press Enter, or choose it in a drop-down list."""
    return Call("type", {"mark": target.mark, "text": text})


WAIT = Call("wait")
