"""What a task template makes, and the makers of the kinds of tasks that every site has."""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from turnsmith.worlds.sites import plan
from turnsmith.worlds.sites.plan import Stage, act, found, place, read


@dataclass(frozen=True, slots=True)
class Draft:
    """One instance of a template, before it is a `Task`.

    Attributes:
        instruction: what the agent reads.
        plan: what a demonstrator does (see plan.py).
        entities: the names that it is about, for the overlap check.
        answer: accepted answers; empty where only the state counts.
        page: the key of the page to be on at the end; "" for any.
        state: the areas of the state that must end otherwise than they began, whole.
        setup: what the guest's state holds at the start.
        path: where the episode starts.
    """

    instruction: str
    plan: Sequence[Stage]
    entities: Sequence[str]
    answer: Sequence[str] = ()
    page: str = ""
    state: Mapping[str, Sequence[str]] = field(default_factory=dict)
    setup: Mapping[str, Any] = field(default_factory=dict)
    path: str = "/"


@dataclass(frozen=True, slots=True)
class Template:
    """A kind of task. `make(world, rng)` gives None where this world has no instance of it.

    `held_out` templates are never in train, validation or test: they are the split "test_templates". `long` ones are a
    family of their own (hunt.py), drawn only by who asks for it.
    """

    name: str
    make: Callable[[Any, random.Random], Draft | None]
    held_out: bool = False
    long: bool = False


def templates(*makers: Callable[..., Draft | None], held_out: Sequence[Callable[..., Draft | None]] = ()) -> dict:
    """The templates of a site by name, each named like its function."""
    every = [Template(make.__name__, make) for make in makers]
    every += [Template(make.__name__, make, held_out=True) for make in held_out]
    return {template.name: template for template in every}


def phrase(rng: random.Random, *wordings: str, **values: object) -> str:
    """One of several wordings of the same instruction, filled in."""
    return rng.choice(wordings).format(**values)


def number(text: str) -> int:
    """The first whole number in a value such as "340 g"."""
    found = re.search(r"\d+", text)
    return int(found[0]) if found else 0


class Thing(Protocol):
    """What a site is about: products, threads, pages, recipes, courses."""

    @property
    def name(self) -> str: ...

    @property
    def facts(self) -> Mapping[str, str]: ...


N = TypeVar("N", bound=Thing)


def family(thing: Thing, others: Sequence[N]) -> list[N]:
    """Those of `others` that share the first word of a thing's name, without itself."""
    first = thing.name.split()[0]
    return [other for other in others if other.name.split()[0] == first and other.name != thing.name]


def reach(thing: Thing, featured: Sequence[Thing], before: Thing | None = None) -> int:
    """How many steps lead to a thing: one where the front page, or the page `before` it, links to it, else a search."""
    linked = (
        family(before, [thing]) if before is not None else [other for other in featured if other.name == thing.name]
    )
    return 1 if linked else 2


def pair(rng: random.Random, things: Sequence[N]) -> tuple[N, N]:
    """Two things; half of the time of one family, so that only the last words of their names differ."""
    one = rng.choice(things)
    kin = family(one, things)
    return one, rng.choice(kin if kin and rng.random() < 0.5 else [thing for thing in things if thing.name != one.name])


def fact(rng: random.Random, thing: Thing, label: str, steps: int, *wordings: str) -> Draft:
    """Look a detail up that stands only on a thing's own page. Wordings use {x} and {l}."""
    return Draft(
        phrase(rng, *wordings, x=thing.name, l=label),
        [read(found(thing.name), label, steps), plan.say_value(thing.name)],
        [thing.name],
        answer=[thing.facts[label]],
    )


def comparison(
    rng: random.Random, things: Sequence[Thing], label: str, steps: Sequence[int], *wordings: str
) -> Draft | None:
    """Which of two things has more, or less, of a detail of their pages. Wordings use {w}, {l}, {x}, {y}."""
    largest = rng.random() < 0.6
    values = {thing.name: number(thing.facts[label]) for thing in things}
    if len(set(values.values())) < len(things):
        return None
    names = list(values)
    reads = [read(found(name), label, count) for name, count in zip(names, steps, strict=True)]
    return Draft(
        phrase(rng, *wordings, w="higher" if largest else "lower", l=label, x=names[0], y=names[1]),
        [*reads, plan.say_extreme(names, largest)],
        names,
        answer=[best(values, largest)],
    )


def survey(
    rng: random.Random, listing: Stage, things: Sequence[Thing], label: str, folded: int, *wordings: str, **values: str
) -> Draft | None:
    """The best of a short filtered list by a detail that stands only on the pages behind it: open, read, go back.

    Wordings use {w}, {l}, {b} (the brand) and further `values`; None where the list is too short, too long or tied.
    """
    largest = rng.random() < 0.6
    amounts = {thing.name: number(thing.facts[label]) for thing in things}
    if not 2 <= len(amounts) <= 4 or len(set(amounts.values())) < len(amounts):
        return None
    steps = [1 + folded] + [2 + folded] * (len(amounts) - 1)
    reads = [read(place(name, after=listing["at"]), label, n) for name, n in zip(amounts, steps, strict=True)]
    return Draft(
        phrase(rng, *wordings, w="highest" if largest else "lowest", l=label, **values),
        [listing, *reads, plan.say_extreme(list(amounts), largest)],
        [values["b"], *amounts],
        answer=[best(amounts, largest)],
    )


def first_of(rng: random.Random, listing: Stage, names: Sequence[str], *wordings: str, **values: str) -> Draft | None:
    """The thing that stands first in a sorted list, as the answer. Wordings use `values`, with {b} (the brand)."""
    if len(names) < 2:
        return None
    return Draft(
        phrase(rng, *wordings, **values),
        [listing, plan.say_first(names[0], names)],
        [values["b"], names[0]],
        answer=[names[0]],
    )


def open_first(
    rng: random.Random, listing: Stage, names: Sequence[str], kind: str, *wordings: str, **values: str
) -> Draft | None:
    """The thing that stands first in a sorted list, opened; `kind` is the prefix of its page's key."""
    if len(names) < 2:
        return None
    return Draft(
        phrase(rng, *wordings, **values),
        [listing, act(place(names[0], after=listing["at"]), 1), plan.say("done")],
        [values["b"], names[0]],
        page=f"{kind}:{names[0]}",
    )


def opened(rng: random.Random, thing: Thing, kind: str, steps: int, *wordings: str) -> Draft:
    """Find a thing by its name and stay on its page. Wordings use {x}."""
    return Draft(
        phrase(rng, *wordings, x=thing.name),
        [act(found(thing.name), steps), plan.say("done")],
        [thing.name],
        page=f"{kind}:{thing.name}",
    )


def sorted_list(at: str, option: str, menu: str) -> Stage:
    """Go to a list through the navigation and sort it with its menu: three steps."""
    return act(place(at), 3, choose=[(option, menu)])


def filtered_list(at: str, option: str) -> Stage:
    """Go to a list through the navigation and filter it: two steps."""
    return act(place(at), 2, choose=[(option, "")])


def best(values: Mapping[str, int], largest: bool) -> str:
    """The key of the largest or smallest value."""
    return (max if largest else min)(values, key=values.__getitem__)
