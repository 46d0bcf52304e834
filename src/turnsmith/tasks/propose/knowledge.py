"""What a few browsing traces tell about one site: its pages by kind, what leads where, what can be done on them.

"One site" is one `params`: a local site in one world, or a start URL. Two pages are of one kind when their addresses
differ in numbers only ("/item/104" and "/item/117"), which holds for most sites that serve records.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from turnsmith.tasks.propose.sketch import Sketch, Visited, visited
from turnsmith.trace.types import Trace

KEPT_PARAMS = ("site", "world", "start_url", "allow")
"""The params of a browsing trace's task that are the site's and not the task's."""
_CHROME = 0.5  # a link or button on at least this share of a site's pages belongs to its frame


@dataclass
class Knowledge:
    """About one site.

    Attributes:
        params: of its tasks.
        traces: ids of what was read.
        start: where episodes begin.
        pages: by head, the first view of each.
        stands: link text -> the address where it was seen; links of the site's frame are left out.
        chrome: what stands on most pages.
        orders: head of a list -> menu -> the options that were seen when it was opened.
        options: buttons of which one is chosen at a time, by kind of page.
        frame: every link that was seen, those of the frame among them.
        pressed: button -> how often somebody pressed it and the page changed.
        typed: label of a field -> how often somebody typed into it.
    """

    params: Mapping[str, Any]
    traces: list[str] = field(default_factory=list)
    start: Sketch | None = None
    pages: dict[str, Sketch] = field(default_factory=dict)
    stands: dict[str, str] = field(default_factory=dict)
    chrome: frozenset[str] = frozenset()
    orders: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    options: dict[str, set[str]] = field(default_factory=dict)
    frame: tuple[str, ...] = ()
    pressed: Counter[str] = field(default_factory=Counter)
    typed: Counter[str] = field(default_factory=Counter)
    _expected: dict[str, str] = field(default_factory=dict)

    def kind_of(self, name: str) -> str:
        """The kind of the page of this name: as seen, or as expected from where its link stands; "" unknown."""
        if name in self.pages:
            return kind(self.pages[name].path)
        return self._expected.get(self.stands.get(name, ""), "")

    def of_kind(self, wanted: str) -> list[Sketch]:
        """The pages of a kind that were seen."""
        return [page for page in self.pages.values() if kind(page.path) == wanted]

    def names_of(self, wanted: str) -> list[str]:
        """Names of pages of a kind: those seen, then those only linked to."""
        seen = [page.head for page in self.of_kind(wanted)]
        return seen + [name for name in self.stands if name not in self.pages and self.kind_of(name) == wanted]


def kind(path: str) -> str:
    """An address without its query and with every number as N."""
    return re.sub(r"\d+(\.\d+)*", "N", path.partition("?")[0])


def knowledge(traces: Iterable[Trace]) -> list[Knowledge]:
    """Read traces, those of one site together, in the order in which sites first appear."""
    by_site: dict[str, tuple[Knowledge, list[list[Visited]]]] = {}
    for trace in traces:
        params = {key: trace.task.params[key] for key in KEPT_PARAMS if key in trace.task.params}
        known, walks = by_site.setdefault(repr(sorted(params.items(), key=str)), (Knowledge(params), []))
        known.traces.append(trace.id)
        walks.append(visited(trace))
    for known, walks in by_site.values():
        _read(known, walks)
    _share([known for known, _ in by_site.values()])
    return [known for known, _ in by_site.values() if known.pages]


def _share(knowns: Sequence[Knowledge]) -> None:
    """What holds for a site holds in all its worlds: its frame, which buttons are options, what people do."""
    by_site: dict[str, list[Knowledge]] = {}
    for known in knowns:
        by_site.setdefault(str(known.params.get("site", known.params.get("start_url"))), []).append(known)
    for group in by_site.values():
        chrome = frozenset[str]().union(*(known.chrome for known in group))
        pressed, typed = (sum((getattr(known, name) for known in group), Counter()) for name in ("pressed", "typed"))
        options: dict[str, set[str]] = {}
        for known in group:
            for sort, names in known.options.items():
                options.setdefault(sort, set()).update(names)
        for known in group:
            known.chrome, known.pressed, known.typed, known.options = chrome, pressed, typed, options
            known.stands = {text: path for text, path in known.stands.items() if text not in chrome}


def _read(known: Knowledge, walks: Sequence[Sequence[Visited]]) -> None:
    if _name_first([step.page for walk in walks for step in walk]):
        walks = [[_turned(step) for step in walk] for walk in walks]
    steps = [step for walk in walks for step in walk]
    looks = {step.page.path: step.page for step in steps if step.page.head}
    if not looks:
        return
    known.start = walks[0][0].page
    known.frame = tuple(dict.fromkeys(text for page in looks.values() for text in page.links))
    texts = Counter(text for page in looks.values() for text in {*page.links, *page.buttons})
    least = max(2.0 if len(looks) < 4 else 3.0, _CHROME * len(looks))
    known.chrome = frozenset(text for text, count in texts.items() if count >= least)
    for step in steps:
        page = step.page
        if page.head and (page.head not in known.pages or len(page.details) > len(known.pages[page.head].details)):
            known.pages[page.head] = page
        for text in page.links:
            if text not in known.chrome:
                known.stands.setdefault(text, page.path)
    for step in steps:
        _learn(known, step)


def _name_first(pages: Sequence[Sketch]) -> bool:
    """Whether this site puts its own name first in titles ("Wagtail - Images"): the tails tell its pages apart."""
    return len({page.tail for page in pages}) > len({page.head for page in pages})


def _turned(step: Visited) -> Visited:
    after = None if step.after is None else replace(step.after, head=step.after.tail)
    return replace(step, page=replace(step.page, head=step.page.tail), after=after)


def _learn(known: Knowledge, step: Visited) -> None:
    """What one step shows: where links lead, what menus hold, which buttons do something."""
    page, call, after = step.page, step.call, step.after
    if call is None or after is None:
        return
    if call.name == "type" and step.target in page.fields:
        known.typed[step.target] += 1
    if call.name != "click":
        return
    if step.target in page.links and step.target not in known.chrome and kind(after.path) != kind(page.path):
        known._expected.setdefault(page.path, kind(after.path))
    if step.target not in page.buttons:
        return
    menu = next((menu for menu, chosen in page.menus.items() if step.target == f"{menu}: {chosen}"), "")
    if menu:
        shown = set(after.links) - set(page.links)
        known.orders.setdefault(page.head, {}).setdefault(menu, set()).update(shown)
    elif after.path == page.path and after.chosen - page.chosen == {step.target} and page.chosen - after.chosen:
        known.options.setdefault(kind(page.path), set()).update({step.target}, page.chosen - after.chosen)
    elif after != page:
        known.pressed[step.target] += 1
