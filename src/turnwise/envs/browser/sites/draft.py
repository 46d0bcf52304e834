"""What a task template makes."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from turnwise.envs.browser.sites.plan import Stage


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

    `held_out` templates are never in train, validation or test: they are the split "test_templates".
    """

    name: str
    make: Callable[[Any, random.Random], Draft | None]
    held_out: bool = False


def by_name(*templates: Template) -> dict[str, Template]:
    """The templates of a site, by name."""
    return {template.name: template for template in templates}


def phrase(rng: random.Random, *wordings: str, **values: object) -> str:
    """One of several wordings of the same instruction, filled in."""
    return rng.choice(wordings).format(**values)
