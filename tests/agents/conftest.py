"""Pages that look like those of the local sites, with names that are new in every example, and small models on them."""

import random
from collections.abc import Callable

import pytest
from torch import set_num_threads

from turnsmith.agents.base import Context
from turnsmith.trace.types import Action, Call, Observation, Task, Turn

set_num_threads(1)


def element(mark: int, tag: str, text: str, **more: object) -> dict:
    return {"mark": mark, "tag": tag, "text": text, "aria": "", "box": [0, mark * 20, 200, 18], **more}


def shelf(rng: random.Random, count: int = 6) -> tuple[Context, str]:
    """A listing of invented products, one of which the goal names; and the response that opens it."""
    syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    names = [
        "".join(rng.choices(syllables, k=rng.randint(2, 3))).capitalize()
        + rng.choice([" Kettle", " Lamp", " Blue Mug"])
        for _ in range(count)
    ]
    wanted = rng.randrange(count)
    rows = [element(0, "a", "Home"), element(1, "input", "", aria="Search products", type="search")]
    rows += [element(2 + index, "a", name) for index, name in enumerate(names)]
    info = {"elements": rows, "title": "Kitchen | Bright Shop", "url": "http://127.0.0.1:4711/shop/kitchen?page=2"}
    task = Task(f"t-{names[wanted]}", f"Open the page of {names[wanted]}.", "browser")
    response = f"Thought: open {names[wanted]}\nAction: Click [{2 + wanted}]"
    return Context(task, Observation("", info=info), seed=rng.randrange(2**31)), response


@pytest.fixture(scope="session")
def shelves() -> Callable[[int, int], list[tuple[Context, str]]]:
    """`shelves(count, seed)`: contexts with their right responses."""

    def make(count: int, seed: int) -> list[tuple[Context, str]]:
        rng = random.Random(seed)
        return [shelf(rng) for _ in range(count)]

    return make


@pytest.fixture
def later(shelves) -> Context:
    """A context two turns into an episode: a search, then an action that did not parse."""
    context, _ = shelves(1, 3)[0]
    search = Action(
        "Thought: search the kettle\nAction: Type [1]; [kettle]", Call("type", {"mark": 1, "text": "kettle"})
    )
    garbled = Action("Thought: hm\nClick", None, "There is no action.")
    turns = (Turn(context.observation, search), Turn(context.observation, garbled))
    seen = Observation('[0]: "Home";', error="There is no action.", info=context.observation.info)
    return Context(context.task, seen, turns, seed=1)
