"""The truth about a task that a proposer wrote for a local site: carry out what it means, over HTTP, and look.

A proposed task has no template. It says in its hidden part what its author means (`hidden["intent"]`: steps and what is
asked, see `tasks.propose.grammar`). The referee is a visitor of its own who does exactly that with the site's own pages
and forms, without a browser; the state and the page that this ends in, or what can be read there, is the goal that the
oracle then holds agents to. What cannot be carried out is an impossible task: nobody can succeed at it.

This is for measuring (a judge's precision, how many proposals are bad) and for the arm that trains on the oracle. No
proposer, judge or agent sees any of it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from typing import Any, Literal

import httpx

from turnsmith.trace.types import Task
from turnsmith.worlds.sites.kit import Guest
from turnsmith.worlds.sites.server import COOKIE, App, site_of

Quality = Literal["sound", "trivial", "ambiguous", "impossible"]
_TOKEN = "referee"


@dataclass(frozen=True, slots=True)
class Truth:
    """What a proposed task comes to.

    Attributes:
        goal: for the oracle (see `goals`); None where nobody can succeed.
        quality: "impossible" (it cannot be carried out), "ambiguous" (what it names fits several things), "trivial"
            (at most one action besides the answer), or "sound".
        steps: the actions that it takes, the answer included; 0 where it is impossible.
        reason: why, for "impossible".
    """

    goal: Mapping[str, Any] | None
    quality: Quality
    steps: int = 0
    reason: str = ""


class _Cannot(Exception):
    """A step that cannot be carried out."""


async def truth(task: Task) -> Truth:
    """The truth about one task with an intent.

    Raises:
        UserError: if the task names no local site.
        ValueError: if it has no intent.
    """
    intent = task.hidden.get("intent")
    if not intent:
        raise ValueError(f"task {task.id} has no intent to carry out")
    visitor = _Visitor(task)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=App(visitor.guests)),
        base_url=f"http://{visitor.guest.site}.localhost",
        cookies={COOKIE: _TOKEN},
        follow_redirects=True,
    ) as client:
        visitor.client = client
        start = visitor.guest.state.snapshot()
        try:
            await visitor.open(visitor.start)
            goal = await visitor.goal(intent["steps"], intent["ask"], start)
        except _Cannot as error:
            return Truth(None, "impossible", 0, str(error))
        steps = visitor.steps + 1
        several = intent.get("slip") == "casual" and await visitor.fits_several(task.instruction, intent["steps"])
    return Truth(goal, "ambiguous" if several else "trivial" if steps <= 2 else "sound", steps)


async def with_truth(tasks: Sequence[Task]) -> list[Task]:
    """The tasks with `hidden["goal"]`, `hidden["quality"]` and `params["needed_steps"]`.

    An impossible task gets the goal of a state that cannot be, so that the oracle calls every attempt a failure. A task
    without an intent stays as it is: nobody knows its truth.
    """
    found: list[Task] = []
    for task in tasks:
        if not task.hidden.get("intent"):
            found.append(task)
            continue
        known = await truth(task)
        goal = known.goal or {"state": {"nothing": [f"can do this: {known.reason}"]}}
        hidden = {**task.hidden, "goal": goal, "quality": known.quality}
        found.append(replace(task, hidden=hidden, params={**task.params, "needed_steps": known.steps}))
    return found


class _Visitor:
    """A guest who does what an intent says, and counts the actions that an agent would need for it."""

    client: httpx.AsyncClient

    def __init__(self, task: Task) -> None:
        site = site_of(task)
        world = site.world(int(task.params["world"]))
        self.guest = Guest(site.name, world, site.arrive(world, task.params.get("setup") or {}))
        self.guests = {_TOKEN: self.guest}
        self.page = _Page()
        self.start = str(task.params.get("path", "/"))
        self.steps = 0

    async def open(self, path: str) -> None:
        response = await self.client.get(path)
        if response.status_code != 200:
            raise _Cannot(f"there is no page {path}")
        self.page = _Page.of(response.text)

    async def goal(self, steps: Sequence[Mapping[str, Any]], ask: str, start: Mapping[str, Any]) -> dict[str, Any]:
        """Carry the steps out; what is asked then is the goal."""
        read: dict[str, str] = {}
        place = ""
        for step in steps:
            if "go" in step or "follow" in step:
                place = step.get("go") or step["follow"]
                await self._go(step)
            elif "read" in step:
                if step["read"] not in self.page.rows:
                    raise _Cannot(f"{place} shows no {step['read']}")
                read[place] = self.page.rows[step["read"]]
            elif "sort" in step:
                await self._link(step["sort"][1])
                self.steps += 2
            else:
                await self._act(step)
        state = self.guest.state.snapshot()
        if ask == "state":
            return {"state": state} if state != start else {"state": state, "page": self.guest.viewing}
        if ask == "first":
            if not self.page.results:
                raise _Cannot("the list is empty")
            return {"state": state, "answer": [self.page.results[0]]}
        if ask == "value":
            return {"state": state, "answer": [read[place]]}
        return {"state": state, "answer": [_extreme(read, ask == "higher")]}

    async def _go(self, step: Mapping[str, Any]) -> None:
        if "follow" in step:
            await self._link(step["follow"])
            self.steps += 1
            return
        name = step["go"]
        self.steps += 0 if self.page.head == name else 1 if name in self.page.links else 2
        if "path" in step:
            await self.open(step["path"])
            if self.page.head != name:
                raise _Cannot(f"{step['path']} is not {name}")
        else:
            await self.open(step["from"])
            await self._link(name)

    async def _link(self, text: str) -> None:
        if text not in self.page.links:
            raise _Cannot(f"{self.page.head} has no link {text}")
        await self.open(self.page.links[text])

    async def _act(self, step: Mapping[str, Any]) -> None:
        """Choose, type or press in the form that has the option, field or button."""
        self.steps += 1
        if "choose" in step:
            form = next((form for form in self.page.forms if step["choose"] in form.options), None)
            if form is None:
                raise _Cannot(f"{self.page.head} has no option {step['choose']}")
            form.fields[form.options[step["choose"]]] = step["choose"]
        elif "write" in step:
            label, text = step["write"]
            form = next((form for form in self.page.forms if label in form.labels), None)
            if form is None:
                raise _Cannot(f"{self.page.head} has no field {label}")
            form.fields[form.labels[label]] = text
        else:
            await self._press(step["press"])

    async def _press(self, button: str) -> None:
        form = next((form for form in self.page.forms if button in form.buttons), None)
        if form is None:
            if button not in self.page.idle:
                raise _Cannot(f"{self.page.head} has no button {button}")
            return
        if form.method == "post":
            response = await self.client.post(form.action, data=form.fields)
        else:
            response = await self.client.get(form.action, params=form.fields)
        self.page = _Page.of(response.text)

    async def fits_several(self, instruction: str, steps: Sequence[Mapping[str, Any]]) -> bool:
        """Whether the site has more than one thing of the short name that the instruction uses for the first."""
        name = next((str(step["go"]) for step in steps if "go" in step), "")
        word = name.split()[-1] if name else ""
        if not word or name.casefold() in instruction.casefold():
            return False
        await self.open(self.start)
        search = next(form for form in self.page.forms if "q" in form.fields)
        response = await self.client.get(search.action, params={"q": word})
        return sum(word in result.split() for result in _Page.of(response.text).results) > 1


def _extreme(read: Mapping[str, str], largest: bool) -> str:
    numbers = {}
    for name, value in read.items():
        match = re.search(r"-?\d+(\.\d+)?", value)
        if match is None:
            raise _Cannot(f"{value} is no number")
        numbers[name] = float(match[0])
    if len(set(numbers.values())) < 2:
        raise _Cannot("both are the same")
    return (max if largest else min)(numbers, key=numbers.__getitem__)


# ---------------------------------------------------------------------------------------------------------------------
# reading pages


@dataclass
class _Form:
    action: str = ""
    method: str = "get"
    fields: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    buttons: set[str] = field(default_factory=set)


@dataclass
class _Page:
    """Links by text, results in order, table rows of two cells, forms, and buttons that only scripts hear."""

    head: str = ""
    links: dict[str, str] = field(default_factory=dict)
    results: list[str] = field(default_factory=list)
    rows: dict[str, str] = field(default_factory=dict)
    forms: list[_Form] = field(default_factory=list)
    idle: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, html: str) -> "_Page":
        reader = _Reader()
        reader.feed(html)
        return reader.page


def _clean(text: str) -> str:
    return re.sub(r"\s*\(\d+\)$", "", re.sub(r"^✓\s*", "", " ".join(text.split())))


class _Reader(HTMLParser):
    """Fills a `_Page`; knows the structure that all local sites share (`frame/`)."""

    def __init__(self) -> None:
        super().__init__()
        self.page = _Page()
        self.open_text: list[tuple[str, dict[str, str], list[str]]] = []
        self.form: _Form | None = None
        self.picker = ""
        self.in_result = False
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.form = _Form(own.get("action", ""), own.get("method", "get").lower())
        elif tag == "article":
            self.in_result = True
        elif tag == "tr":
            self.cells = []
        elif tag == "fieldset" and "data-picker" in own:
            self.picker = "?"
        elif tag == "input" and self.form is not None and "name" in own:
            self._field(own, own.get("value", ""))
            if self.picker == "?":
                self.picker = own["name"]
        if tag in ("title", "a", "button", "td", "textarea"):
            self.open_text.append((tag, own, []))

    def handle_data(self, data: str) -> None:
        for _, _, said in self.open_text:
            said.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form" and self.form is not None:
            self.page.forms.append(self.form)
            self.form = None
        elif tag == "article":
            self.in_result = False
        elif tag == "fieldset":
            self.picker = ""
        elif tag == "tr" and len(self.cells) == 2:
            self.page.rows.setdefault(self.cells[0], self.cells[1])
        if self.open_text and self.open_text[-1][0] == tag:
            _, own, said = self.open_text.pop()
            self._ended(tag, own, "".join(said))

    def _field(self, own: Mapping[str, str], value: str) -> None:
        if self.form is not None:
            self.form.fields[own["name"]] = value
            if own.get("aria-label"):
                self.form.labels[own["aria-label"]] = own["name"]

    def _ended(self, tag: str, own: dict[str, str], text: str) -> None:
        if tag == "title":
            self.page.head = text.split(" | ")[0].strip()
        elif tag == "td":
            self.cells.append(" ".join(text.split()))
        elif tag == "textarea" and "name" in own:
            self._field(own, text)
        elif tag == "a" and own.get("href"):
            name = _clean(text)
            self.page.links.setdefault(name, own["href"])
            if self.in_result:
                self.page.results.append(name)
        elif tag == "button":
            name = _clean(own.get("aria-label") or text)
            if self.form is not None and "data-pick" in own and self.picker:
                self.form.options[own["data-pick"]] = self.picker
            elif self.form is not None and own.get("type", "submit") == "submit":
                self.form.buttons.add(name)
            else:
                self.page.idle.add(name)
