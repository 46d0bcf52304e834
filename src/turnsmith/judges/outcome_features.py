"""What an outcome judge may see of an episode, and the features that the local one reads off it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from turnsmith.judges.base import normalize
from turnsmith.trace.types import Observation, Trace

SEEN = 3
_WORD = re.compile(r"\w+")
_QUOTED = re.compile(r"[\"“]([^\"”]+)[\"”]")
_THING = re.compile(r"[A-Z]\w+(?: [A-Z]\w+)+")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_COUNT = re.compile(r"^(.*\S)\s*\((\d+)\)$")
_MENU = re.compile(r"^([^:]{2,30}): (\S.{0,40})$")
_ASKS = frozenset(["what", "which", "who", "whose", "how", "where", "when", "name", "tell"])
_MORE = frozenset(("higher", "highest", "more", "most", "larger", "largest", "longer", "longest", "greater"))
_LESS = frozenset(("lower", "lowest", "fewer", "fewest", "less", "least", "smaller", "smallest", "shortest"))
_DONE = frozenset(("done", "all done", "finished", "completed", "ok", "yes"))


@dataclass(frozen=True, slots=True)
class OutcomeView:
    """All that an outcome judge may see.

    Attributes:
        instruction: the task, as the agent read it.
        answer: what the agent said in the end; None where it never did.
        observations: the last three that differ, the newest last.
    """

    instruction: str
    answer: str | None
    observations: tuple[Observation, ...]


def view_of(trace: Trace) -> OutcomeView:
    """What a judge may see of a trace. Looks that only repeat the one before (as after an answer) count once."""
    looks = [turn.observation for turn in trace.turns] + ([trace.final] if trace.final is not None else [])
    last: list[Observation] = []
    for look in reversed(looks):
        if not last or (look.text, look.info.get("url")) != (last[-1].text, last[-1].info.get("url")):
            last.append(look)
        if len(last) == SEEN:
            break
    return OutcomeView(trace.task.instruction, trace.answer, tuple(reversed(last)))


FEATURES = (
    "pages", "error", "asks", "says_done", "asks_but_done", "answer_in_task", "answer_long",
    "cell_last", "cell_any", "cell_label_share", "cell_label_whole", "cell_head", "cell_all",
    "head_last", "head_any", "heads_named", "head_share",
    "link_answer", "link_first", "menu_changed", "menu_words",
    "extreme_right", "extreme_wrong", "extreme_seen",
    "ticks_new", "ticks_named", "ticks_now", "count_up", "query_new",
    "quoted", "quoted_shown", "quoted_new", "quoted_in_field",
    "numbers", "numbers_shown", "names", "names_unvisited", "names_on_last", "pressed_named", "same_page",
    "things", "things_missed", "left_unpressed", "texts_new", "label_on_last",
)  # fmt: skip
"""Their names, in the order of `features`."""


def words(text: str) -> list[str]:
    """Lower-case words of a text."""
    return _WORD.findall(text.casefold())


def says(instruction: Sequence[str], text: str) -> bool:
    """Whether the words of a text stand in the instruction one after the other."""
    asked = words(text)
    return bool(asked) and any(
        list(instruction[start : start + len(asked)]) == asked for start in range(len(instruction) - len(asked) + 1)
    )


class _Look:
    """One observation, taken apart."""

    def __init__(self, observation: Observation) -> None:
        info = observation.info
        self.elements: Sequence[Mapping[str, Any]] = info.get("elements", ())
        self.head = re.split(r"\s+[|–—·]\s+|\s+-\s+", str(info.get("title", "")))[0].strip()
        self.url = urlsplit(str(info.get("url", "")))
        self.texts = [str(element.get("text", "")) for element in self.elements]
        self.ticks = {text.lstrip("✓ ") or str(e.get("aria", "")) for text, e in self._texts() if text.startswith("✓")}
        self.links = [text for text, e in self._texts() if e["tag"] == "a" and text]
        self.fields = [str(e.get("value", "")) for e in self.elements if e["tag"] in ("input", "textarea")]
        self.menus = {m[1]: m[2] for text, e in self._texts() if e["tag"] == "button" and (m := _MENU.match(text))}
        self.counts = {m[1]: int(m[2]) for text in self.texts if (m := _COUNT.match(text))}
        self.pairs = list(self._pairs())
        self.buttons = [text or str(e.get("aria", "")) for text, e in self._texts() if e["tag"] == "button"]
        self.error = bool(observation.error)

    def _texts(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        return zip(self.texts, self.elements, strict=True)

    def _pairs(self) -> Iterator[tuple[str, str]]:
        """Label and value of table rows of two cells."""
        cells = [element for element in self.elements if element["tag"] == "td"]
        for left, right in pairwise(cells):
            if abs(float(left["box"][1]) - float(right["box"][1])) < 6:
                yield str(left["text"]), str(right["text"])


def features(view: OutcomeView) -> dict[str, float]:
    """The features of a view, by name."""
    task, answer = words(view.instruction), normalize(view.answer or "")
    looks = [_Look(observation) for observation in view.observations] or [_Look(Observation())]
    last, first = looks[-1], looks[0]
    asks, done = "?" in view.instruction or bool(_ASKS & set(task)), answer in _DONE
    found: dict[str, float] = dict.fromkeys(FEATURES, 0.0)
    found |= {
        "pages": float(len(looks)),
        "error": float(last.error),
        "asks": float(asks),
        "says_done": float(done),
        "asks_but_done": float(asks and done),
        "answer_in_task": float(not done and says(task, answer)),
        "answer_long": float(len(words(answer)) > 6),
    }
    found |= _cells(task, answer, looks)
    found |= _heads(task, looks)
    found |= _things(view.instruction, looks)
    found |= _lists(task, answer, looks)
    found |= _extremes(task, answer, looks)
    found |= _changes(task, first, last, looks)
    found |= _written(view.instruction, looks)
    return found


def buttons_of(view: OutcomeView) -> list[str]:
    """What the buttons of the last page are called, without the frame's (those of the first look) and without ✓."""
    first, last = _Look(view.observations[0]), _Look(view.observations[-1])
    frame = set(first.buttons) if first.head != last.head else set[str]()
    own = (name.lstrip("✓ ") for name in last.buttons if name not in frame)
    return [name for name in own if re.search(r"[^\W\d_]", name) and not _MENU.match(name)]


def _cells(task: list[str], answer: str, looks: Sequence[_Look]) -> dict[str, float]:
    """Is the answer a cell, beside which label, on whose page?"""
    best = (0.0, 0.0, 0.0)
    for look in looks:
        for label, value in look.pairs:
            if normalize(value) == answer and answer:
                share = sum(word in task for word in words(label)) / max(1, len(words(label)))
                best = max(best, (share, float(says(task, label)), float(says(task, look.head))))
    return {
        "cell_last": float(any(normalize(value) == answer for _, value in looks[-1].pairs)),
        "cell_any": float(any(normalize(value) == answer for look in looks for _, value in look.pairs)),
        "cell_label_share": best[0],
        "cell_label_whole": best[1],
        "cell_head": best[2],
        "label_on_last": float(any(says(task, label) for label, _ in looks[-1].pairs)),
        "cell_all": float(best[1] > 0 and best[2] > 0),
    }


def _heads(task: list[str], looks: Sequence[_Look]) -> dict[str, float]:
    """Whose pages were seen: are they named in the task?"""
    named = {look.head for look in looks if says(task, look.head)}
    names = {text for look in looks for text in [*look.links, look.head] if len(words(text)) > 1 and says(task, text)}
    last = words(looks[-1].head)
    return {
        "head_last": float(says(task, looks[-1].head)),
        "head_any": float(bool(named)),
        "heads_named": float(len(named)),
        "head_share": sum(word in task for word in last) / max(1, len(last)),
        "names": float(len(names)),
        "names_unvisited": float(len(names - {look.head for look in looks})),
        "names_on_last": float(sum(text in names for text in {*looks[-1].links, looks[-1].head})),
    }


def _things(instruction: str, looks: Sequence[_Look]) -> dict[str, float]:
    """What the task names with capital letters, and how much of it heads no page that was seen."""
    things = set(_THING.findall(_QUOTED.sub("", instruction)))
    met = {normalize(look.head) for look in looks}
    return {
        "things": float(min(4, len(things))),
        "things_missed": float(min(4, sum(not any(head and head in normalize(t) for head in met) for t in things))),
    }


def _lists(task: list[str], answer: str, looks: Sequence[_Look]) -> dict[str, float]:
    """Is the answer a link of the last page, the first of a list, and was a menu changed for it?"""
    last = looks[-1]
    before = {text for look in looks[:-1] if look.head != last.head for text in look.links}
    content = [text for text in last.links if text not in before and len(words(text)) > 1]
    place = next((index for index, text in enumerate(content) if normalize(text) == answer), None)
    menus = [look.menus for look in looks if look.head == last.head]
    chosen = [value for value in last.menus.values() for old in menus[:1] if value not in old.values()]
    said = {word for value in last.menus.values() for word in words(value)}
    return {
        "link_answer": float(any(normalize(text) == answer for text in last.links)),
        "link_first": float(place == 0),
        "menu_changed": float(bool(chosen)),
        "menu_words": float(bool(said & set(task))),
    }


def _extremes(task: list[str], answer: str, looks: Sequence[_Look]) -> dict[str, float]:
    """Of the pages that were seen, is the answer the one with the larger (or smaller) number?"""
    asked = set(task)
    sign = 1.0 if asked & _MORE else -1.0 if asked & _LESS else 0.0
    values: dict[str, float] = {}
    for look in looks:
        for label, value in look.pairs:
            number = _NUMBER.search(value)
            if number and says(task, label) and says(task, look.head):
                values[look.head] = float(number[0])
    known = len(values) > 1 and sign != 0 and len(set(values.values())) > 1
    right = known and normalize(max(values, key=lambda name: sign * values[name])) == answer
    return {
        "extreme_right": float(right),
        "extreme_wrong": float(known and not right),
        "extreme_seen": float(len(values)),
    }


def _changes(task: list[str], first: _Look, last: _Look, looks: Sequence[_Look]) -> dict[str, float]:
    """What changed on a page that stayed: ticks, counts, the query of its address."""
    before = next((look for look in looks if look.head == last.head), first)
    ticks = {tick for look in looks[1:] for tick in look.ticks} - first.ticks
    grown = max((count - first.counts.get(name, 0) for name, count in last.counts.items()), default=0)
    frame = set(first.buttons) if first is not last else set[str]()
    query = {key for key, _ in parse_qsl(last.url.query)} - {key for key, _ in parse_qsl(before.url.query)}
    left = [name for name in last.buttons if not name.startswith("✓") and name not in frame]
    return {
        "ticks_new": float(min(3, len(ticks))),
        "ticks_named": float(sum(says(task, tick) for tick in ticks)),
        "ticks_now": float(any(says(task, tick) for tick in last.ticks)),
        "count_up": float(max(-1, min(3, grown))),
        "query_new": float(bool(query) and before.url.path == last.url.path and before is not last),
        "same_page": float(before is not last),
        "pressed_named": float(sum(says(task, name.lstrip("✓ ")) for name in last.buttons)),
        "left_unpressed": float(sum(says(task, name) for name in left)),
        "texts_new": float(min(4, len(set(last.texts) - set(before.texts)))) if before is not last else 0.0,
    }


def _written(instruction: str, looks: Sequence[_Look]) -> dict[str, float]:
    """Do texts and numbers that the task gives stand on the last page, outside of its fields?"""
    quoted = _QUOTED.findall(instruction)
    last, first = looks[-1], looks[0]
    shown = [text for text in quoted if any(_stands(text, line) for line in last.texts)]
    new = [text for text in shown if not any(_stands(text, line) for line in first.texts)]
    field = [text for text in quoted if any(_stands(text, value) for value in last.fields)]
    numbers = _NUMBER.findall(_QUOTED.sub("", instruction))
    page = " ".join([*last.texts, *last.fields])
    return {
        "quoted": float(len(quoted)),
        "quoted_shown": len(shown) / max(1, len(quoted)),
        "quoted_new": len(new) / max(1, len(quoted)),
        "quoted_in_field": len(field) / max(1, len(quoted)),
        "numbers": float(len(numbers)),
        "numbers_shown": sum(_stands(number, page) for number in numbers) / max(1, len(numbers)),
    }


def _stands(text: str, line: str) -> bool:
    """Whether a text stands in a line as whole words: "5" does not stand in "$15"."""
    return re.search(rf"(?<![\w.]){re.escape(text)}(?![\w]|\.\d)", line) is not None
