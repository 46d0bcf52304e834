"""The local proposer: tasks about a site by a grammar of its own, from what was seen of it and nothing else.

| kind    | what is asked                                                | needs to have seen                        |
|---------|--------------------------------------------------------------|-------------------------------------------|
| open    | have the page of X on screen                                 | a link X                                  |
| detail  | the value beside a label on X's page                         | a two-column table                        |
| more    | which of X and Y has more, or less, of something             | two such tables with numbers              |
| onward  | a detail of the page that X's page links to                  | that link, and a table behind it          |
| press   | press a button on X's page                                   | the button                                |
| twice   | the same on two pages                                        | the button                                |
| choose  | choose an option on X's page, then press a button            | the option being chosen                   |
| write   | type something into a field of X's page, then press a button | the field                                 |
| first   | what comes first in a list when it is sorted                 | a menu being opened                       |

It reads what exploring traces or a user's demonstrations show (`knowledge`). A user's habits weigh: what people press
and type into is proposed more often. It makes the mistakes of somebody who writes about a site after a short look:

- careless: something is expected on a page that was never opened, because it stood on a page of the same kind;
- casual: a thing is called by its last word ("the Kettle"), which may fit several;
- idle: what is asked may already be on the first page, or a button may do nothing.

`worlds.sites.referee` counts them on the local sites, where the truth can be found out.
"""

import random
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from turnsmith.tasks.propose.knowledge import Knowledge, kind, knowledge
from turnsmith.tasks.propose.proposal import Proposal
from turnsmith.tasks.propose.sketch import Sketch
from turnsmith.trace.types import Trace

Step = dict[str, Any]

WORDINGS: dict[str, Sequence[str]] = {
    "open": ("Bring up the page of {x}.", "I want to look at {x}.", "Open {x} and stay there."),
    "detail": ("What is the {l} of {x}?", "Tell me the {l} of {x}.", "Read off the {l} of {x}."),
    "more": ("{x} or {y}: which has the {w} {l}?", "Which one has the {w} {l}, {x} or {y}?"),
    "onward": ("Go from {x} to {y} and tell me the {l}.", "What is the {l} of {y}, which {x} links to?"),
    "press": ("On the page of {x}, press {b}.", "{b}: {x}.", "Find {x} and press {b} there."),
    "twice": ("Press {b} for {x} and for {y}.", "{b}: {x} and {y}.", "Do this for {x} and {y}: {b}."),
    "choose": ("For {x}, choose {o}, then press {b}.", "Take {x} with {o}: {b}.", "On {x}, pick {o} and press {b}."),
    "write": ('On the page of {x}, put "{t}" into {f} and press {b}.', 'Write "{t}" into {f} of {x}, then {b}.'),
    "first": ("Sort {c} by {s}: what comes first?", "In {c}, which is the first by {s}?"),
}
WEIGHTS = {
    "open": 1.0, "detail": 2.0, "more": 1.5, "onward": 0.7, "press": 2.5, "twice": 2.0, "choose": 1.5, "write": 1.5,
    "first": 1.0,
}  # fmt: skip
NOTES = ("Have a look at {}", "More about {} please", "{} was better", "Does {} know this", "Nothing new since {}")


class GrammarProposer:
    """Writes tasks about the sites of some traces.

    Args:
        context: "name" (the traces are an explorer's) or "demonstrations" (they are a user's); recorded.
        casual: the probability that a thing is called by its last word only.
        habit: how much more often something is proposed that people did in the traces. 0: as often as the rest.
        seed: decides everything else.
    """

    def __init__(self, context: str, *, casual: float = 0.04, habit: float = 4.0, seed: int = 0) -> None:
        self.context = context
        self.casual = casual
        self.habit = habit if context == "demonstrations" else 0.0
        self.seed = seed
        self.name = "grammar"

    def propose(self, traces: Iterable[Trace], count: int) -> list[Proposal]:
        """At most `count` proposals, as evenly as possible over the sites; fewer where little was seen."""
        writers = [_Writer(self, known) for known in knowledge(traces)]
        found: list[Proposal] = []
        dry: set[int] = set()
        while len(found) < count and len(dry) < len(writers):
            for number, writer in enumerate(writers):
                if number in dry:
                    continue
                proposal = writer.write()
                if proposal is None:
                    dry.add(number)
                elif len(found) < count:
                    found.append(proposal)
        return found


class _Writer:
    """Writes about one site."""

    def __init__(self, proposer: GrammarProposer, known: Knowledge) -> None:
        self.proposer = proposer
        self.known = known
        self.rng = random.Random(f"{proposer.seed}/{proposer.context}/{sorted(known.params.items(), key=str)}")
        self.said: set[str] = set()
        self.makers: dict[str, Callable[[], tuple[dict[str, str], list[Step], str] | None]] = {
            "open": self._open,
            "detail": self._detail,
            "more": self._more,
            "onward": self._onward,
            "press": lambda: self._press(1),
            "twice": lambda: self._press(2),
            "choose": self._choose,
            "write": self._write,
            "first": self._first,
        }

    def write(self, tries: int = 30) -> Proposal | None:
        """One proposal that was not written yet; None where none was found in so many tries."""
        kinds = list(WEIGHTS)
        for _ in range(tries):
            chosen = self.rng.choices(kinds, [WEIGHTS[name] for name in kinds])[0]
            made = self.makers[chosen]()
            if made is None:
                continue
            words, steps, ask = made
            names = [words[key] for key in ("x", "y") if key in words]
            slip = ""
            if self.rng.random() < self.proposer.casual and len(names) and " " in words["x"]:
                words, slip = {**words, "x": f"the {words['x'].split()[-1]}"}, "casual"
            instruction = self.rng.choice(WORDINGS[chosen]).format(**words)
            if instruction.casefold() in self.said:
                continue
            self.said.add(instruction.casefold())
            return Proposal(
                instruction,
                self.known.params,
                chosen,
                names,
                {"steps": steps, "ask": ask, "slip": slip},
                {"proposer": self.proposer.name, "context": self.proposer.context, "read": self.known.traces[:8]},
            )
        return None

    # -- what things there are

    def _go(self, name: str) -> Step:
        """The step of going to a page: by its address where it was seen, else by the link that stands somewhere."""
        if name in self.known.pages:
            return {"go": name, "path": self.known.pages[name].path}
        start = self.known.start
        return {"go": name, "from": self.known.stands.get(name, start.path if start else "/")}

    def _page(self, fits: Callable[[Sketch], object]) -> Sketch | None:
        """A page that was seen and fits, by chance."""
        pages = [page for page in self.known.pages.values() if page.head not in self.known.chrome and fits(page)]
        return self.rng.choice(pages) if pages else None

    def _like(self, page: Sketch, besides: Sequence[str] = ()) -> str:
        """A page of the same kind by its name; every third time one that was never opened."""
        names = [name for name in self.known.names_of(kind(page.path)) if name not in besides]
        unseen = [name for name in names if name not in self.known.pages]
        seen = [name for name in names if name in self.known.pages]
        pool = unseen if unseen and (not seen or self.rng.random() < 0.33) else seen
        return self.rng.choice(pool) if pool else page.head

    # -- the kinds: words, steps, what is asked

    def _open(self) -> tuple[dict[str, str], list[Step], str] | None:
        names = [name for name in self.known.stands if len(name) > 3]
        if not names:  # nothing but the site's own sections was seen
            names = [name for name in self.known.frame if len(name) > 3]
        if not names:
            return None
        name = self.rng.choice(names)
        return {"x": name}, [self._go(name)], "state"

    def _detail(self) -> tuple[dict[str, str], list[Step], str] | None:
        page = self._page(lambda page: page.details)
        if page is None:
            return None
        name, label = self._like(page), self.rng.choice(list(page.details))
        return {"x": name, "l": label}, [self._go(name), {"read": label}], "value"

    def _more(self) -> tuple[dict[str, str], list[Step], str] | None:
        page = self._page(lambda page: any(map(_numeric, page.details.values())))
        if page is None:
            return None
        label = self.rng.choice([label for label, value in page.details.items() if _numeric(value)])
        other = self._like(page, [page.head])
        if other == page.head:
            return None
        word = self.rng.choice(("higher", "lower"))
        names = [page.head, other]
        self.rng.shuffle(names)
        steps = [step for name in names for step in (self._go(name), {"read": label})]
        return {"x": names[0], "y": names[1], "l": label, "w": word}, steps, word

    def _onward(self) -> tuple[dict[str, str], list[Step], str] | None:
        def on(page: Sketch) -> list[str]:
            others = [name for name in page.links if name in self.known.pages and self.known.pages[name].details]
            return [name for name in others if kind(self.known.pages[name].path) != kind(page.path)]

        page = self._page(lambda page: page.details and on(page))
        if page is None:
            return None
        further = self.rng.choice(on(page))
        label = self.rng.choice(list(self.known.pages[further].details))
        steps = [self._go(page.head), {"follow": further}, {"read": label}]
        return {"x": page.head, "y": further, "l": label}, steps, "value"

    def _press(self, times: int) -> tuple[dict[str, str], list[Step], str] | None:
        page = self._page(self._buttons)
        if page is None:
            return None
        buttons = self._buttons(page)
        button = self.rng.choices(
            buttons, [1 + self.proposer.habit * (name in self.known.pressed) for name in buttons]
        )[0]
        names = [self._like(page)]
        if times == 2:
            names.append(self._like(page, names))
        if len(set(names)) < times:
            return None
        steps = [step for name in names for step in (self._go(name), {"press": button})]
        return {"b": button, **dict(zip("xy", names, strict=False))}, steps, "state"

    def _choose(self) -> tuple[dict[str, str], list[Step], str] | None:
        def options(page: Sketch) -> list[str]:
            known = self.known.options.get(kind(page.path), set())
            return [name for name in page.buttons if name in known]

        page = self._page(options)
        if page is None:
            return None
        chosen = self.rng.choice(options(page))
        after = page.buttons[page.buttons.index(chosen) :]
        button = next((name for name in after if name in self._buttons(page)), "")
        if not button:
            return None
        steps = [self._go(page.head), {"choose": chosen}, {"press": button}]
        return {"x": page.head, "o": chosen, "b": button}, steps, "state"

    def _write(self) -> tuple[dict[str, str], list[Step], str] | None:
        page = self._page(lambda page: any(page.fields.values()))
        if page is None:
            return None
        labels = [label for label, button in page.fields.items() if button]
        weights = [1 + self.proposer.habit * (label in self.known.typed) for label in labels]
        label = self.rng.choices(labels, weights)[0]
        text = self.rng.choice(NOTES).format(self.rng.choice(list(self.known.pages)).split()[0])
        text = str(self.rng.randrange(2, 10)) if label in page.numeric else text
        name, button = self._like(page), page.fields[label]
        steps = [self._go(name), {"write": [label, text]}, {"press": button}]
        return {"x": name, "f": label, "t": text, "b": button}, steps, "state"

    def _first(self) -> tuple[dict[str, str], list[Step], str] | None:
        lists = {
            head: [(menu, option) for menu, shown in menus.items() for option in sorted(shown)]
            for head, menus in self.known.orders.items()
            if head in self.known.pages
        }
        lists = {head: pairs for head, pairs in lists.items() if pairs}
        if not lists:
            return None
        head = self.rng.choice(sorted(lists))
        menu, option = self.rng.choice(lists[head])
        steps = [self._go(head), {"sort": [menu, option]}]
        return {"c": head, "s": option}, steps, "first"

    def _buttons(self, page: Sketch) -> list[str]:
        """The buttons of a page that may do something by themselves: not menus, options or a search's button.

        Which of them are the frame's is seen only where people pressed what they needed.
        """
        menus = {f"{menu}: {chosen}" for menu, chosen in page.menus.items()}
        options = self.known.options.get(kind(page.path), set()) | page.chosen
        unwanted = self.known.chrome if self.proposer.context == "demonstrations" else frozenset[str]()
        every = [name for name in page.buttons if name not in menus | options | unwanted | {page.searches}]
        return [name for name in every if re.search(r"\w", name) and len(name) <= 30]


def _numeric(value: str) -> bool:
    return re.match(r"^\D{0,3}\d", value) is not None
