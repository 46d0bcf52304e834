"""The long family of templates: hunts, which no site's search and no filter can shorten.

A thing of a list is named by a detail that stands only on its own page: "Which product in Kitchen has the Weight 340
g?" So page after page is opened, looked at and left again until it is found: two steps a look (three where a world
folds its tables), six to twenty in all, and whoever answers or stops before that can only guess. What ends it differs:

| template  | how it ends                                                      |
|-----------|------------------------------------------------------------------|
| hunt      | its name is the answer                                           |
| hunt_open | one stays on its page                                            |
| hunt_mark | something is done with it there (cart, vote, bookmark, enrolment) |
| hunt_fact | another of its details is the answer; held out                   |

The family is apart from the other templates (`draft.Template.long`): draws of theirs are what they always were.
"""

import functools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from turnsmith.worlds.sites import plan
from turnsmith.worlds.sites.draft import Draft, Template, phrase
from turnsmith.worlds.sites.kit import PAGE_SIZE
from turnsmith.worlds.sites.plan import Stage, hunt, place, read

SHORTEST, LONGEST = 6, 20
"""Steps that a hunt may take, pop-ups apart."""

Deed = tuple[str, Stage, Mapping[str, Sequence[str]]]
"""What is done with the thing that was found: in words, as a stage, and the state that it makes."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The lists of a site, as far as a hunt needs them.

    Attributes:
        noun: what its things are called: "product".
        key: the prefix of the key of a thing's page: "item".
        groups: the names of a world's lists.
        listed: the things of a list, in the order of its page.
        deed: for `hunt_mark`: (world, rng, thing, its place) to what is done; None where this thing does not allow it.
    """

    noun: str
    key: str
    groups: Callable[[Any], Sequence[str]]
    listed: Callable[[Any, str], Sequence[Any]]
    deed: Callable[[Any, random.Random, Any, plan.Place], Deed | None]


@dataclass(frozen=True, slots=True)
class _Quarry:
    """One hunt in one world: in which list for which thing, by which detail."""

    group: str
    thing: Any
    label: str
    value: str
    stage: Stage
    words: Mapping[str, str]
    """For the wordings: {n}, {c}, {b}, {l}, {v}."""

    @property
    def entities(self) -> list[str]:
        return [self.words["b"], self.thing.name]

    @property
    def at(self) -> plan.Place:
        """The page of the thing, from the list."""
        return place(self.thing.name, after=self.stage["at"])


def hunts(catalogue: Catalogue) -> dict[str, Template]:
    """The long templates of a site."""
    made = {"hunt": _hunt, "hunt_open": _hunt_open, "hunt_mark": _hunt_mark, "hunt_fact": _hunt_fact}
    return {
        name: Template(name, functools.partial(draft, catalogue), held_out=name == "hunt_fact", long=True)
        for name, draft in made.items()
    }


def _hunt(catalogue: Catalogue, world: Any, rng: random.Random) -> Draft | None:
    """Find a thing by a detail; its name is the answer."""
    quarry = _quarry(catalogue, world, rng)
    if quarry is None:
        return None
    wordings = "Which {n} in {c} at {b} has the {l} {v}?", "At {b}, name the {n} in {c} whose {l} is {v}."
    return Draft(
        phrase(rng, *wordings, **quarry.words),
        [quarry.stage, plan.say_hunted()],
        quarry.entities,
        answer=[quarry.thing.name],
    )


def _hunt_open(catalogue: Catalogue, world: Any, rng: random.Random) -> Draft | None:
    """Find a thing by a detail and stay on its page."""
    quarry = _quarry(catalogue, world, rng)
    if quarry is None:
        return None
    wordings = (
        "Find the {n} in {c} at {b} with the {l} {v} and stay on its page.",
        "At {b}, open the {n} in {c} whose {l} is {v}.",
    )
    return Draft(
        phrase(rng, *wordings, **quarry.words),
        [quarry.stage, plan.say("done")],
        quarry.entities,
        page=f"{catalogue.key}:{quarry.thing.name}",
    )


def _hunt_mark(catalogue: Catalogue, world: Any, rng: random.Random) -> Draft | None:
    """Find a thing by a detail and do something with it."""
    quarry = _quarry(catalogue, world, rng)
    deed = None if quarry is None else catalogue.deed(world, rng, quarry.thing, quarry.at)
    if quarry is None or deed is None:
        return None
    said, stage, state = deed
    return Draft(
        phrase(rng, "Find the {n} in {c} at {b} whose {l} is {v}, and " + said + ".", **quarry.words),
        [quarry.stage, stage, plan.say("done")],
        quarry.entities,
        state=state,
    )


def _hunt_fact(catalogue: Catalogue, world: Any, rng: random.Random) -> Draft | None:
    """Find a thing by a detail and tell another one."""
    quarry = _quarry(catalogue, world, rng)
    if quarry is None:
        return None
    other = rng.choice([label for label in quarry.thing.facts if label != quarry.label])
    wordings = (
        "What is the {o} of the {n} in {c} at {b} whose {l} is {v}?",
        "At {b}, find the {n} in {c} with the {l} {v} and tell its {o}.",
    )
    return Draft(
        phrase(rng, *wordings, o=other, **quarry.words),
        [quarry.stage, read(quarry.at, other, 0), plan.say_value(quarry.thing.name)],
        quarry.entities,
        answer=[quarry.thing.facts[other]],
    )


def _quarry(catalogue: Catalogue, world: Any, rng: random.Random) -> _Quarry | None:
    """A thing of the first page of a list that one of its details tells from all others; None where the draw is none.

    Looks are counted in the order of the list: what a flawless and systematic demonstrator takes.
    """
    group = rng.choice(list(catalogue.groups(world)))
    things = list(catalogue.listed(world, group))
    looks = rng.randrange(2, PAGE_SIZE + 1)
    if looks > len(things):
        return None
    thing = things[looks - 1]
    label = rng.choice(list(thing.facts))
    if sum(other.facts[label] == thing.facts[label] for other in things) > 1:
        return None
    steps = 1 + looks * (1 + world.theme.folded) + (looks - 1)
    if not SHORTEST <= steps + 1 <= LONGEST:
        return None
    names = [shown.name for shown in things[:PAGE_SIZE]]
    stage = hunt(place(group), names, label, thing.facts[label], steps)
    words = {"n": catalogue.noun, "c": group, "b": world.brand, "l": label, "v": thing.facts[label]}
    return _Quarry(group, thing, label, thing.facts[label], stage, words)
