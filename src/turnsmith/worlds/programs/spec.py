"""Hidden specifications: what a function over a list of numbers is to do, slot by slot, and Python that does it.

A specification has eight slots of four values; value 0 of each is what anybody would assume. Three to five slots are
*relevant*: they may have any value, the others have the assumed one. Which are relevant follows in part from two words
of the description (a domain and an operation, two slots each, with overlaps), so that an agent can learn what to ask;
the others are drawn for the task alone, and only the hidden specification knows them. So hidden information says more
about which questions are useful than dialogues do, which is what a critic that reads it can be worth.

Notable: tests are chosen so that a wrong value in any relevant slot fails at least one of them. What an agent answers
in the compact notation (eight words) is data and is interpreted here; Python that a model wrote goes to the sandbox
(`score`). Both agree: a test runs the rendered Python.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from turnsmith.trace.types import Task

SLOTS: dict[str, tuple[str, ...]] = {
    "filter": ("all", "positive", "even", "odd"),
    "limit": ("unlimited", "below-ten", "below-twenty", "above-five"),
    "repeats": ("keep", "once", "neighbours", "unique"),
    "empty": ("zero", "minus-one", "nothing", "hundred"),
    "combine": ("sum", "largest", "smallest", "count"),
    "scale": ("plain", "double", "triple", "negated"),
    "shift": ("exact", "plus-one", "plus-seven", "minus-three"),
    "cap": ("open", "cap-ten", "cap-thirty", "floor-zero"),
}
NAMES = tuple(SLOTS)
VALUES = 4
_DOMAINS = """
orders shipments invoices tickets sensors scores votes visits payments lessons flights rooms meals books songs games
plants parcels repairs loans samples errors calls tasks
"""
_OPERATIONS = """
total report rank check merge audit forecast bill review clean track balance compare sample settle convert plan rate
count filter log price split score-up
"""
DOMAINS, OPERATIONS = tuple(_DOMAINS.split()), tuple(_OPERATIONS.split())
TESTS = 10

Spec = tuple[int, ...]
"""The value of each slot, by its place in `SLOTS[name]`."""

_CODE = {
    "filter": ("", "xs = [x for x in xs if x > 0]", "xs = [x for x in xs if x % 2 == 0]",
               "xs = [x for x in xs if x % 2 == 1]"),
    "limit": ("", "xs = [x for x in xs if x < 10]", "xs = [x for x in xs if x < 20]", "xs = [x for x in xs if x > 5]"),
    "repeats": ("", "xs = list(dict.fromkeys(xs))", "xs = [x for i, x in enumerate(xs) if i == 0 or x != xs[i - 1]]",
                "xs = [x for x in xs if xs.count(x) == 1]"),
    "empty": ("if not xs: return 0", "if not xs: return -1", "if not xs: return None", "if not xs: return 100"),
    "combine": ("y = sum(xs)", "y = max(xs)", "y = min(xs)", "y = len(xs)"),
    "scale": ("", "y = y * 2", "y = y * 3", "y = -y"),
    "shift": ("", "y = y + 1", "y = y + 7", "y = y - 3"),
    "cap": ("", "y = min(y, 10)", "y = min(y, 30)", "y = max(y, 0)"),
}  # fmt: skip


def python_of(spec: Spec) -> str:
    """The function as Python source."""
    lines = [_CODE[name][value] for name, value in zip(NAMES, spec, strict=True)]
    return "def solve(xs):\n" + "".join(f"    {line}\n" for line in (*lines, "return y") if line)


def run(spec: Spec, xs: Sequence[int]) -> int | None:
    """What the function returns for a list; the same as its Python."""
    f, limit, repeats, empty, combine, scale, shift, cap = spec
    kept = [x for x in xs if (f == 0, x > 0, x % 2 == 0, x % 2 == 1)[f]]
    kept = [x for x in kept if (True, x < 10, x < 20, x > 5)[limit]]
    if repeats == 1:
        kept = list(dict.fromkeys(kept))
    elif repeats == 2:
        kept = [x for i, x in enumerate(kept) if i == 0 or x != kept[i - 1]]
    elif repeats == 3:
        kept = [x for x in kept if kept.count(x) == 1]
    if not kept:
        return (0, -1, None, 100)[empty]
    y = (sum, max, min, len)[combine](kept)
    y = (y, y * 2, y * 3, -y)[scale]
    y = y + (0, 1, 7, -3)[shift]
    return (y, min(y, 10), min(y, 30), max(y, 0))[cap]


@lru_cache(maxsize=1)
def catalogue() -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """Which slots each domain and each operation makes relevant: the same in all runs, part of the world."""
    source = random.Random("catalogue")

    def table(names: Sequence[str]) -> dict[str, tuple[int, ...]]:
        return {name: tuple(sorted(source.sample(range(len(NAMES)), 2))) for name in names}

    return table(DOMAINS), table(OPERATIONS)


@dataclass(frozen=True, slots=True)
class Program:
    """A task before it is a `Task`.

    Attributes:
        domain, operation: the words of the description.
        told: the slot that the description gives away.
        relevant: slots that matter, in ascending order.
        spec: what is wanted.
    """

    domain: str
    operation: str
    told: int
    relevant: tuple[int, ...]
    spec: Spec

    def description(self) -> str:
        """What the agent is told."""
        name = NAMES[self.told]
        return f"{self.operation} {self.domain} . {name} is {SLOTS[name][self.spec[self.told]]}"

    def secret(self) -> str:
        """The relevant slots with their values: training-time information, in the dialogue's own words."""
        return " ".join(f"{NAMES[slot]} is {SLOTS[NAMES[slot]][self.spec[slot]]} ." for slot in self.relevant)


def draw(source: random.Random) -> Program:
    """A random program."""
    domains, operations = catalogue()
    domain, operation = source.choice(DOMAINS), source.choice(OPERATIONS)
    relevant = {*domains[domain], *operations[operation]}
    others = [slot for slot in range(len(NAMES)) if slot not in relevant]
    while len(relevant) < 3 or (len(relevant) < 5 and source.random() < 0.5):
        slot = source.choice(others)
        others.remove(slot)
        relevant.add(slot)
    spec = tuple(source.randrange(VALUES) if slot in relevant else 0 for slot in range(len(NAMES)))
    return Program(domain, operation, source.choice(sorted(relevant)), tuple(sorted(relevant)), spec)


def tests_of(program: Program, source: random.Random) -> list[list[int]]:
    """Ten inputs, of which at least one tells the specification from each with one relevant slot changed.

    Some changes make no difference to any list (a cap on a count that is small, say, may need a long list): inputs are
    drawn until every change that can be told apart within 400 draws is.
    """
    wrong = {
        (*program.spec[:slot], value, *program.spec[slot + 1 :])
        for slot in program.relevant
        for value in range(VALUES)
        if value != program.spec[slot]
    }
    chosen: list[list[int]] = []
    for _ in range(400):
        count = source.choice((0, 1, 2, 3, 4, 5, 6, 8))
        xs = [source.randrange(-4, 26) for _ in range(count)]
        xs += source.choices(xs, k=2) if xs and source.random() < 0.5 else []
        wanted = run(program.spec, xs)
        told = {other for other in wrong if run(other, xs) != wanted}
        if told and len(chosen) < TESTS:
            chosen.append(xs)
            wrong -= told
        if not wrong:
            break
    while len(chosen) < TESTS:
        chosen.append([source.randrange(-4, 26) for _ in range(source.randrange(1, 7))])
    return chosen


def task_of(program: Program, split: str, index: int, source: random.Random, tests: bool = True) -> Task:
    """The program as a task; all that the agent may not see is hidden."""
    inputs = tests_of(program, source) if tests else []
    return Task(
        id=f"programs-{split}-{index}",
        instruction=program.description(),
        environment="programs",
        split=split,
        hidden={
            "spec": list(program.spec),
            "relevant": list(program.relevant),
            "told": program.told,
            "words": program.secret(),
            "ground_truth": python_of(program.spec),
            "test_cases": {f"test{number}": f"solve({xs})" for number, xs in enumerate(inputs)},
        },
    )


def make_tasks(split: str, count: int, seed: int = 0, tests: bool = True) -> list[Task]:
    """Tasks of a split; no description of a test task ever occurs in training.

    Whether a program belongs to the test split follows from its description alone, one in four does. Without `tests`
    nothing can be graded; finding tests that tell right from wrong takes most of the time.
    """
    source = random.Random(f"programs/{split}/{seed}")
    found: list[Task] = []
    while len(found) < count:
        program = draw(source)
        if (random.Random(program.description()).random() < 0.25) == (split == "test"):
            found.append(task_of(program, split, index=len(found), source=source, tests=tests))
    return found
