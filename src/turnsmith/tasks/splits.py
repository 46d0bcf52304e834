"""The check that training has seen nothing of the test: by id, by instruction, and by what the tasks are about."""

import re
from collections.abc import Callable, Iterable, Sequence

from turnsmith.errors import UserError
from turnsmith.trace.types import Task

_SHOWN = 5  # overlaps that the message names


def normalised(instruction: str) -> str:
    """An instruction without what does not make it another task: case, punctuation, spacing."""
    return " ".join(re.findall(r"\w+", instruction.casefold()))


def overlaps(train: Sequence[Task], test: Sequence[Task]) -> list[tuple[Task, Task, str]]:
    """Every test task that shares something with a training task: (test task, training task, what they share).

    Two tasks overlap when they have the same id, the same instruction up to case, punctuation and spacing, or an entity
    of `provenance["entities"]` in common. A test task is listed once, with the first kind that applies.
    """
    kinds: list[tuple[str, Callable[[Task], Iterable[str]]]] = [
        ("the id", lambda task: [task.id]),
        ("the instruction", lambda task: [normalised(task.instruction)]),
        ("the entity", lambda task: [normalised(str(name)) for name in task.provenance.get("entities", ())]),
    ]
    tables = []
    for kind, keys in kinds:
        table: dict[str, Task] = {}
        for task in train:
            for key in keys(task):
                table.setdefault(key, task)
        tables.append((kind, keys, table))
    found = []
    for task in test:
        for kind, keys, table in tables:
            shared = next((key for key in keys(task) if key in table), None)
            if shared is not None:
                found.append((task, table[shared], f"{kind} {shared!r}"))
                break
    return found


def check_overlap(train: Sequence[Task], test: Sequence[Task]) -> None:
    """Stop a run whose test would measure memory.

    Raises:
        UserError: if any test task overlaps with a training task (see `overlaps`); the message names them.
    """
    found = overlaps(train, test)
    if not found:
        return
    named = "; ".join(f"{task.id} shares {what} with {seen.id}" for task, seen, what in found[:_SHOWN])
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    noun = "test task overlaps" if len(found) == 1 else "test tasks overlap"
    raise UserError(f"{len(found)} {noun} with training: {named}{more}. Take them out of one of the two.")
