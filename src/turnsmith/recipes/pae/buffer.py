"""What an update of PAE learns from: of all successes, and in which form."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from turnsmith.agents.grammar import split_response
from turnsmith.trace.store import Summary
from turnsmith.trace.types import Trace


def not_longer(won: Sequence[Summary], quantile: float) -> list[Summary]:
    """Of tasks that succeeded at least twice, the successes not longer than this quantile of their lengths.

    The authors' code keeps those at or below the 20th percentile; the paper says nothing of it. 1 keeps all.
    """
    lengths: dict[str, list[int]] = {}
    for summary in won:
        lengths.setdefault(summary.task_id, []).append(summary.turn_count)
    longest = {task: float(np.quantile(turns, quantile)) for task, turns in lengths.items()}
    return [summary for summary in won if summary.turn_count <= longest[summary.task_id]]


def without_thoughts(trace: Trace) -> Trace:
    """A scripted trace as it would be had its author only acted and thought nothing."""
    turns = tuple(
        replace(turn, action=replace(turn.action, text=f"Action: {split_response(turn.action.text)[1]}"))
        for turn in trace.turns
    )
    return replace(trace, turns=turns)
