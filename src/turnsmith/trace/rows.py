"""A trace as rows of the store's tables: checked, so that what cannot be read back as it was is refused.

Text goes into SQLite as UTF-8 bytes that may hold lone surrogates (models cut emoji in two), and is cast to TEXT there.
Everything stored as JSON is standard JSON, without NaN, so that SQL, the viewer and other languages can read it.
"""

import json
import math
from collections.abc import Iterable
from typing import Any

from turnsmith.trace import codec
from turnsmith.trace.types import Credit, Observation, Trace, Turn, Verdict

TEXT = "CAST(? AS TEXT)"
"""The placeholder of a text made by `text_bytes`."""

INSERT_TRACE = (
    "INSERT INTO traces (id, task_id, instruction, environment, site, split, phase, outcome, policy, iteration, seed,"
    f" created_at, turn_count, head) VALUES ({', '.join([TEXT] * 9)}, ?, ?, ?, ?, ?)"
)
INSERT_TURN = "INSERT INTO turns VALUES (?, ?, ?, ?, ?, ?)"
INSERT_CREDIT = (
    f"INSERT INTO credits VALUES (?, ?, {TEXT}, ?, ?, ?) ON CONFLICT DO UPDATE"
    " SET value = excluded.value, advantage = excluded.advantage"
)
INSERT_VERDICT = f"INSERT INTO verdicts VALUES (?, {TEXT}, ?, {TEXT}, ?)"

Row = tuple[Any, ...]


def trace_rows(trace: Trace) -> tuple[Row, list[Row], list[Row], list[Row]]:
    """The parameters of `INSERT_TRACE`, and those of `INSERT_TURN`, `INSERT_VERDICT` and `INSERT_CREDIT` after the
    sequence number.

    Raises:
        ValueError: if the trace cannot be stored as it is: a reward, value, advantage or time that is not finite,
            `params` or `info` that are not JSON, a number beyond 64 bits.
    """
    place = ""
    try:
        head = _head_row(trace)
        turns, credits = [], []
        for position, turn in enumerate(trace.turns):
            place = f", turn {position}"
            turns.append(_turn_row(position, turn))
            credits += [credit_row(position, credit) for credit in turn.credits]
        place = ", verdicts"
        verdicts = [verdict_row(verdict) for verdict in trace.verdicts]
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"trace {trace.id!r}{place} cannot be stored: {error}") from error
    return head, turns, verdicts, credits


def _head_row(trace: Trace) -> Row:
    task, iteration = trace.task, trace.info.get("iteration")
    texts = (trace.id, task.id, task.instruction, task.environment, task.params.get("site", ""), task.split)
    texts += (trace.info.get("phase", ""), trace.outcome.value, trace.policy)
    head = {
        "task": codec.task_to_json(task),
        "final": None if trace.final is None else codec.observation_to_json(trace.final),
        "threads": [
            [thread.id, thread.parent, thread.spawned_at, thread.joined_at, thread.status, thread.delay]
            for thread in trace.threads
        ],
        "info": dict(trace.info),
    }
    return (
        *(text_bytes(str(text)) for text in texts),
        _int64(iteration, "iteration") if isinstance(iteration, int) else None,
        _int64(trace.seed, "seed"),
        finite(trace.created_at, "created_at"),
        len(trace.turns),
        _json(head),
    )


def _turn_row(position: int, turn: Turn) -> Row:
    body = {
        "observation": codec.observation_to_json(turn.observation),
        "action": codec.action_to_json(turn.action),
        "seconds": [turn.act_seconds, turn.env_seconds],
        "info": dict(turn.info),
    }
    return (
        position,
        _int64(turn.thread, "thread"),
        finite(turn.reward, "reward"),
        _json(body),
        codec.pack_tokens(turn.action),
    )


def credit_row(position: int, credit: Credit) -> Row:
    """The parameters of `INSERT_CREDIT` after the sequence number; ValueError for a number that is not finite."""
    numbers = ("value", credit.value), ("advantage", credit.advantage)
    return (
        position,
        text_bytes(credit.learner),
        _int64(credit.iteration, "iteration"),
        *(None if number is None else finite(number, name) for name, number in numbers),
    )


def turn_from_row(row: Row, credits: Iterable[Credit]) -> Turn:
    """The turn of one row (thread, reward, body, tokens) of the table of turns, with its credits."""
    thread, reward, body, tokens = row
    fields = json.loads(body)
    act_seconds, env_seconds = fields["seconds"]
    return Turn(
        observation=codec.observation_from_json(fields["observation"]),
        action=codec.action_from_json(fields["action"], tokens),
        reward=reward,
        credits=tuple(credits),
        thread=thread,
        act_seconds=act_seconds,
        env_seconds=env_seconds,
        info=fields["info"],
    )


def verdict_row(verdict: Verdict) -> Row:
    """The parameters of `INSERT_VERDICT` after the sequence number; ValueError for a reward that is not finite."""
    return text_bytes(verdict.judge), finite(verdict.reward, "reward"), text_bytes(verdict.reason), verdict.turn


def observations_of(trace: Trace) -> list[Observation]:
    """All observations of a trace, the final one included."""
    return [turn.observation for turn in trace.turns] + ([] if trace.final is None else [trace.final])


def text_bytes(text: str) -> bytes:
    """A text as the bytes behind a `TEXT` placeholder."""
    return text.encode("utf-8", "surrogatepass")


def finite(number: float, name: str) -> float:
    """The number, when it is one: SQLite would turn NaN into NULL without a word."""
    if not math.isfinite(number):
        raise ValueError(f"{name} is {number}")
    return number


def _int64(number: int, name: str) -> int:
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{name} {number} is beyond 64 bits")
    return number


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
