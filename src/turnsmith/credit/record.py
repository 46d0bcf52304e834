"""Credit that is kept: whoever learns writes V and A of each turn that it learned from back to the store.

    record(run.store, "filtered_bc", iteration, advantages={trace.id: [1.0] * len(trace.turns) for trace in kept})

The viewer, `turnsmith traces show` and exports show it under the learner's name and iteration. Writing it again (a run
that goes on after a kill) replaces what was there.
"""

from collections.abc import Mapping, Sequence

from turnsmith.trace.store import Store
from turnsmith.trace.types import Credit

ByTurn = Mapping[str, Sequence[float | None]]
"""Numbers of turns, by the id of their trace; None for a turn of which nothing is said."""


def record(
    store: Store,
    learner: str,
    iteration: int,
    *,
    values: ByTurn | None = None,
    advantages: ByTurn | None = None,
    first: Mapping[str, int] | None = None,
) -> int:
    """Write what a learner made of turns, in one commit.

    Args:
        store: has the traces.
        learner: its name.
        iteration: of its learning, 0 for an offline stage.
        values: V(s) of the states in which the turns were taken; missing without a critic.
        advantages: what the turns were weighed by.
        first: by trace id the turn of which the first number speaks, where that is not turn 0.

    Returns:
        How many turns have credit now.

    Raises:
        UserError: if the store has no such trace.
        ValueError: if values and advantages of a trace are not equally many, if it has fewer turns, or if a number is
            not finite.
    """
    values, advantages = values or {}, advantages or {}
    rows = []
    for trace_id in dict.fromkeys((*values, *advantages)):
        value_T, advantage_T = values.get(trace_id), advantages.get(trace_id)
        count = len(value_T if value_T is not None else advantage_T or ())
        value_T = [None] * count if value_T is None else value_T
        advantage_T = [None] * count if advantage_T is None else advantage_T
        if len(value_T) != len(advantage_T):
            raise ValueError(f"trace {trace_id!r}: {len(value_T)} values, but {len(advantage_T)} advantages")
        start = (first or {}).get(trace_id, 0)
        for turn, (value, advantage) in enumerate(zip(value_T, advantage_T, strict=True), start):
            if value is not None or advantage is not None:
                rows.append((trace_id, turn, Credit(learner, iteration, value, advantage)))
    return store.add_credits(rows)
