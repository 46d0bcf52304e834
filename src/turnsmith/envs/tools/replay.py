"""Replay recorded calls in a fresh world: `turnsmith verify tau_retail|tau_airline`, gold states, conformance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from turnsmith.envs.tools.base import DatabaseToolbox, DatabaseWorld
from turnsmith.trace.types import Call


@dataclass(frozen=True, slots=True)
class Replay:
    """What calls did.

    Attributes:
        outputs: of each call.
        changes: the records that are not as they were (see `Database.changes`).
    """

    outputs: tuple[str, ...]
    changes: Mapping[tuple[str, str], str]


def calls_of(rows: object) -> list[Call]:
    """Calls from `[{"name": …, "kwargs": {…}}, …]`.

    Raises:
        ValueError: if it is something else.
    """
    if not isinstance(rows, list):
        raise ValueError('"actions" has to be a list of {"name", "kwargs"}')
    calls = []
    for number, row in enumerate(rows, start=1):
        if not (isinstance(row, dict) and isinstance(row.get("name"), str) and isinstance(row.get("kwargs", {}), dict)):
            raise ValueError(f'action {number} has to be {{"name": …, "kwargs": {{…}}}}')
        calls.append(Call(row["name"], row.get("kwargs", {})))
    return calls


def play(world: DatabaseWorld, calls: Sequence[Call]) -> tuple[DatabaseToolbox, list[str]]:
    """A fresh toolbox after these calls, and their outputs; a call that ends an episode does not end a replay."""
    toolbox = world.fresh()
    return toolbox, [toolbox.call(call.name, call.arguments) for call in calls]


def replay(world: DatabaseWorld, calls: Sequence[Call]) -> Replay:
    """Play calls from a fresh database."""
    toolbox, outputs = play(world, calls)
    return Replay(tuple(outputs), toolbox.state())


def replay_row(world: DatabaseWorld, row: Mapping[str, Any]) -> dict[str, Any]:
    """`{"outputs": [string, …], "final_db_sha256": …}` of a row `{"actions": [{"name", "kwargs"}, …]}`.

    Raises:
        ValueError: if the row is something else.
    """
    if "actions" not in row:
        raise ValueError('"actions" is missing')
    toolbox, outputs = play(world, calls_of(row["actions"]))
    return {"outputs": outputs, "final_db_sha256": toolbox.database.sha256()}
