"""Following a plan by looking at pages: what is on screen, which stage is done, what to do next.

Everything here goes by what an agent sees (element list, URL, title, scroll position) and by what it did before; the
plan says only what is wanted. `Follower` replays the earlier turns to find out where it stands, so it has no state of
its own, and it is lost at most as long as it takes to find a link back.
"""

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from turnsmith.agents.base import Context
from turnsmith.trace.types import Call, Observation
from turnsmith.worlds.sites.plan import Place, Stage

LATER = ("Next", "Next page", "More")
CLOSERS = ("Accept", "Accept all", "OK", "No thanks", "Not now", "Close")
FOLDS = ("Details", "Specifications", "More details")


@dataclass(frozen=True, slots=True)
class View:
    """One observation, as one looks at it."""

    elements: Sequence[Mapping[str, Any]]
    head: str
    url: str
    scroll: tuple[int, int]

    @classmethod
    def of(cls, observation: Observation) -> "View":
        """What this observation shows."""
        info = observation.info
        top, bottom = info.get("scroll", (0, 0))
        return cls(
            info.get("elements", ()), str(info.get("title", "")).split(" | ")[0], info.get("url", ""), (top, bottom)
        )

    def text(self, mark: int) -> str:
        """The text of an element, or "" where there is none."""
        return next((element["text"] for element in self.elements if element["mark"] == mark), "")

    def press(self, label: str) -> Mapping[str, Any] | None:
        """The link, button or list item of exactly this text (a count may follow, "Cart (2)") or accessible name."""
        for element in self.elements:
            if element["tag"] in ("input", "textarea", "td"):
                continue
            if label in (re.sub(r" \(\d+\)$", "", element["text"]), element["aria"]):
                return element
        return None

    def field(self, label: str) -> Mapping[str, Any] | None:
        """The field with this label."""
        return next((e for e in self.elements if e["tag"] in ("input", "textarea") and e["aria"] == label), None)

    def search(self) -> Mapping[str, Any] | None:
        """The search field."""
        return next((e for e in self.elements if e["tag"] == "input" and e.get("type") == "search"), None)

    def value(self, label: str) -> str | None:
        """The table cell after the cell with this label."""
        cells = [element for element in self.elements if element["tag"] == "td"]
        for cell, after in pairwise(cells):
            if cell["text"] == label:
                return after["text"]
        return None

    def chosen(self, option: str, menu: str) -> bool:
        """Whether an option shows as chosen."""
        return any(e["text"] in (f"✓ {option}", f"{menu}: {option}") for e in self.elements)


@dataclass(frozen=True, slots=True)
class Move:
    """What to do next, with the thought that goes before it."""

    thought: str
    call: Call


def click(element: Mapping[str, Any], thought: str = "") -> Move:
    """Click an element; the thought names it."""
    return Move(thought or f"press {element['aria'] or element['text']}", Call("click", {"mark": element["mark"]}))


def scroll(direction: str, thought: str) -> Move:
    """Scroll the window."""
    return Move(thought, Call("scroll", {"direction": direction, "target": "window"}))


@dataclass
class Slips:
    """The mistakes of one episode, by stage; `Follower` makes them (demonstrator.py draws them).

    Attributes:
        kinds: what goes wrong in which stage.
        roam: decides the order in which a hunt opens what it sees; "" is the list's own.
    """

    kinds: Mapping[int, str] = field(default_factory=dict)
    roam: str = ""

    def at(self, stage: int) -> str:
        """The mistake of this stage: "lookalike", "forget", "neighbour", "early", "tired", "again", "mix", or ""."""
        return self.kinds.get(stage, "")


class Follower:
    """Where an episode stands in its plan, found out from its observations and actions."""

    def __init__(self, plan: Sequence[Stage], slips: Slips | None = None) -> None:
        self.plan = plan
        self.slips = slips or Slips()
        self.stage = 0
        self.memory: dict[str, str] = {}  # what was read, by what it was read of
        self.said: dict[str, str] = {}  # the same in words, label first: "Amberfall Kettle Weight 340 g"
        self.names: dict[str, str] = {}  # place -> what it was taken for
        self.trail: list[View] = []  # pages behind the present one
        self.tried: list[str] = []  # what a hunt has looked at, in order

    def replay(self, context: Context) -> Move:
        """Go through the earlier turns, then decide on the present observation."""
        seen = [View.of(turn.observation) for turn in context.turns] + [View.of(context.observation)]
        self._arrived(seen[0])
        fresh = list(self.said.values())
        looks = [turn.observation for turn in context.turns[1:]] + [context.observation]
        for before, turn, after, look in zip(seen[:-1], context.turns, seen[1:], looks, strict=False):
            call = turn.action.call
            if call is not None and not look.error:
                self._acted(before, call)
                if call.name == "go_back":
                    self.trail = self.trail[:-1]
                elif after.url != before.url:
                    self.trail.append(before)
            known = len(self.said)
            self._arrived(after)
            fresh = list(self.said.values())[known:]
        move = self._decide(seen[-1])
        hunted = any(stage["do"] == "hunt" for stage in self.plan)
        if fresh and (hunted or move.call.name != "answer"):  # what was read is said at once: it is history later
            return Move(f"{', '.join(fresh)}; {move.thought}", move.call)
        return move

    # -- progress -----------------------------------------------------------------------------------------------------

    def _acted(self, before: View, call: Call) -> None:
        """Advance where this action was what the stage waits for."""
        stage = self.plan[self.stage] if self.stage < len(self.plan) else None
        if stage is None or call.name != "click" or not stage.get("press") or not self._here(before, stage["at"]):
            return
        pressed = before.press(stage["press"])
        if pressed is not None and pressed["mark"] == call.arguments["mark"]:
            self.stage += 1

    def _arrived(self, view: View) -> None:
        """Advance over every stage that what is on screen completes."""
        while self.stage < len(self.plan):
            stage = self.plan[self.stage]
            if stage["do"] == "read":
                if not self._here(view, stage["at"]) or (value := self._read(view, stage)) is None:
                    return
                self.memory[stage["into"]] = value
                self.said[stage["into"]] = f"{stage['into']} {stage['label']} {value}"
            elif stage["do"] == "hunt":
                if not self._hunted(view, stage):
                    return
            elif stage["do"] != "act" or stage["press"] or self._unready(view, stage):
                return
            self.stage += 1

    def _unready(self, view: View, stage: Stage) -> bool:
        """Whether this is another place, or something here is still to be chosen."""
        return not self._here(view, stage["at"]) or bool(self._open_choices(view, stage))

    def _here(self, view: View, at: Place) -> bool:
        """Whether this is the place, or what is taken for it."""
        name = at["name"]
        if self.slips.at(self.stage) == "lookalike" and lookalike(view.head, name):
            return True
        return view.head == name

    def _read(self, view: View, stage: Stage) -> str | None:
        if self.slips.at(self.stage) != "neighbour":
            return view.value(stage["label"])
        cells = [element["text"] for element in view.elements if element["tag"] == "td"]
        if view.value(stage["label"]) is None:
            return None
        return cells[(cells.index(stage["label"]) + 3) % len(cells)]

    def _hunted(self, view: View, stage: Stage) -> bool:
        """Whether this is the page that a hunt looks for; any other that it shows is noted."""
        value = self._read(view, stage) if view.head in stage["among"] else None
        if value is None:
            return False
        if self.tried[-1:] != [view.head]:
            self.tried.append(view.head)
        # What is wanted is said beside what is there: whoever imitates this has both before the eyes when it decides.
        found = value == stage["value"]
        verdict = "yes" if found else "no"
        self.said[f"look {len(self.tried)}"] = f"{view.head} {stage['label']} {value}; want {stage['value']}; {verdict}"
        if found:
            self.memory["hunted"] = view.head
        return found

    def _open_choices(self, view: View, stage: Stage) -> list[list[str]]:
        """The options that are not chosen yet."""
        if self.slips.at(self.stage) == "forget":
            return []
        return [[option, menu] for option, menu in stage["choose"] if not view.chosen(option, menu)]

    # -- decisions ----------------------------------------------------------------------------------------------------

    def _decide(self, view: View) -> Move:
        if popup := next((e for e in view.elements if e["tag"] == "button" and e["text"] in CLOSERS), None):
            return click(popup, f"close with {popup['text']}")
        stage = self.plan[min(self.stage, len(self.plan) - 1)]
        if self.slips.at(self.stage) == "early":
            return self._answer(view, self.plan[-1], guess=True)
        if stage["do"] == "answer":
            return self._answer(view, stage)
        if stage["do"] == "hunt":
            return self._hunt(view, stage)
        if not self._here(view, stage["at"]):
            return self._go(view, stage["at"])
        if stage["do"] == "read":
            return self._uncover(view, stage["label"])
        if stage["do"] == "fill":
            return self._fill(view, stage)
        for option, menu in self._open_choices(view, stage):
            if (element := view.press(option)) is not None:
                return click(element, f"choose {option}")
            if menu and (button := next((e for e in view.elements if e["text"].startswith(f"{menu}: ")), None)):
                return click(button, f"open {button['text']}")
            return self._look_for(view, option)
        element = view.press(stage["press"])
        return click(element) if element is not None else self._look_for(view, stage["press"])

    def _hunt(self, view: View, stage: Stage) -> Move:
        """Look at one thing of a list after the other."""
        slip = self.slips.at(self.stage)
        if view.head in stage["among"]:
            if self.tried[-1:] != [view.head]:
                return self._uncover(view, stage["label"])
            if slip == "tired" and len(self.tried) > 1:
                return self._answer(view, self.plan[-1], guess=True)
            return Move("back", Call("go_back"))
        if not self._here(view, stage["at"]):
            return self._go(view, stage["at"])
        # Whoever slips looks at every second one again.
        seen = self.tried[:-1] if slip == "again" and len(self.tried) % 2 else self.tried
        left = [name for name in stage["among"] if name not in seen]
        if not left:
            return self._answer(view, self.plan[-1], guess=True)
        shown = [element for element in view.elements if element["tag"] == "a" and element["text"] in left]
        if not shown:
            return self._look_for(view, left[0])
        if self.slips.roam:
            shown.sort(key=lambda element: zlib.crc32(f"{self.slips.roam}/{element['text']}".encode()))
        return click(shown[0], f"open {shown[0]['text']}")

    def _go(self, view: View, at: Place) -> Move:
        """One step towards a place."""
        name = at["name"]
        if self.slips.at(self.stage) == "lookalike" and (
            twin := next((e for e in view.elements if e["tag"] == "a" and lookalike(e["text"], name)), None)
        ):
            return click(twin, f"open {twin['text']}")
        if (element := view.press(name)) is not None:
            return click(element, f"open {name}")
        for label in at["links"]:
            if label != view.head and (element := view.press(label)) is not None:
                return click(element, f"open {label}")
        if not at["search"] and self.trail and self.trail[-1].press(name) is not None:
            return Move(f"back to {name}", Call("go_back"))
        if at["search"]:
            searched = view.search()
            if searched is not None and searched.get("value", "").strip().lower() != name.lower():
                text = {"mark": searched["mark"], "text": name}
                return Move(f"search {name} in {searched['aria']}", Call("type", text))
            if searched is None and view.scroll[0] > 0:
                return scroll("up", "up to the search")
        if at["after"] is not None and not self._here(view, at["after"]):
            return self._go(view, at["after"])
        return self._look_for(view, name)

    def _look_for(self, view: View, name: str) -> Move:
        """Something that should be on this page or on the next of a list, and is not on screen."""
        if view.scroll[0] < view.scroll[1]:
            return scroll("down", f"look for {name}")
        if later := next((e for e in view.elements if e["tag"] == "a" and e["text"] in LATER), None):
            return click(later, f"{later['text']} for {name}")
        if self.trail:
            return Move(f"lost {name}, back", Call("go_back"))
        return scroll("up", f"look for {name}")

    def _uncover(self, view: View, label: str) -> Move:
        """Open a closed table of details, or look further down."""
        for element, after in zip(view.elements, [*view.elements[1:], None], strict=True):
            closed = after is None or after["tag"] != "td"
            if element["tag"] == "button" and element["text"] in FOLDS and closed:
                return click(element, f"open {element['text']} for {label}")
        return self._look_for(view, label)

    def _fill(self, view: View, stage: Stage) -> Move:
        fields = [list(pair) for pair in stage["fields"]]
        if self.slips.at(self.stage) == "mix" and len(fields) > 1:
            fields[0][1], fields[1][1] = fields[1][1], fields[0][1]
        if self.slips.at(self.stage) == "forget" and len(fields) == 1:
            fields = []
        for label, text in fields:
            element = view.field(label)
            if element is None:
                return self._look_for(view, label)
            if element.get("value", "").strip() != text:
                return Move(f"{text} into {label}", Call("type", {"mark": element["mark"], "text": text}))
        element = view.press(stage["press"])
        return click(element) if element is not None else self._look_for(view, stage["press"])

    def _answer(self, view: View, stage: Stage, guess: bool = False) -> Move:
        """End the episode. With `guess`, say something before everything that is needed was seen."""
        if "text" in stage:
            return Move("all done", Call("answer", {"text": stage["text"]}))
        if "hunted" in stage:
            said = self.memory.get("hunted") or (self.tried or [view.head])[-1]
            return Move(f"{'answer' if 'hunted' in self.memory else 'guess'} {said}", Call("answer", {"text": said}))
        if "first" in stage:
            names = {e["text"] for e in view.elements} & set(stage["among"])
            shown = [e["text"] for e in view.elements if e["text"] in names]
            said = stage["first"] if stage["first"] in names and not guess else (shown or stage["among"])[0]
            return Move(f"first is {said}", Call("answer", {"text": said}))
        if "value" in stage:
            said = self.memory.get(stage["value"]) or next(
                (e["text"] for e in view.elements if e["tag"] == "td"), "none"
            )
            return Move(self.said.get(stage["value"], f"guess {said}"), Call("answer", {"text": said}))
        known = {name: self.memory[name] for name in stage["compare"] if name in self.memory}
        rank = sorted(known, key=lambda name: number(known[name]), reverse=stage["largest"])
        said = (rank or stage["compare"])[0]
        seen = ", ".join(self.said[name] for name in known)
        return Move(seen or f"guess {said}", Call("answer", {"text": said}))


def lookalike(text: str, name: str) -> bool:
    """Whether a name shares a word with another, and is not it."""
    return text != name and len(text.split()) == len(name.split()) and bool(set(text.split()) & set(name.split()))


def number(text: str) -> float:
    """The first number in a text; 0 where there is none."""
    found = re.search(r"-?\d+(\.\d+)?", text)
    return float(found[0]) if found else 0.0
