"""Collections that survive a kill: what the store holds already is read back, only the rest is played."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from turnsmith.agents.base import Policy
from turnsmith.envs.base import Environment
from turnsmith.rollout.collect import Episode, Limits, collect
from turnsmith.trace.store import Store
from turnsmith.trace.types import Outcome, Trace

_RETRY = re.compile(r"-retry\d+$")


async def collect_into(
    store: Store,
    environment: Environment,
    policy: Policy,
    episodes: Sequence[Episode],
    limits: Limits,
    *,
    on_trace: Callable[[Trace], None] | None = None,
    **options: Any,
) -> list[Trace]:
    """Play the episodes that the store does not hold yet, storing each trace as soon as it is finished.

    Args:
        store: where traces go; those already there under the episodes' ids are not played again.
        environment, policy, limits, options: as in `collect`.
        episodes: with ids that are the same every time the run is started.
        on_trace: called with every finished trace after it is stored (progress).

    Returns:
        The last trace of each episode, in the order of the episodes; images of traces read back are references.
    """
    wanted = {episode.id for episode in episodes}
    stored: dict[str, str] = {}
    lost: dict[str, int] = {}
    for summary in store.summaries():
        base = _RETRY.sub("", summary.id)
        if base not in wanted:
            continue
        if summary.outcome is Outcome.INFRA_ERROR:
            lost[base] = lost.get(base, 0) + 1
            if lost[base] <= limits.retries:  # the run ended between a loss and its retry
                continue
        stored[base] = summary.id
    before = {base: store.get(trace_id) for base, trace_id in stored.items()}
    for trace in before.values():
        if on_trace is not None:
            on_trace(trace)

    def keep(trace: Trace) -> None:
        store.append(trace)
        if on_trace is not None:
            on_trace(trace)

    todo = [episode for episode in episodes if episode.id not in before]
    played = await collect(environment, policy, todo, limits, on_trace=keep, attempts=lost, **options)
    finished = before | {_RETRY.sub("", trace.id): trace for trace in played}
    return [finished[episode.id] for episode in episodes]
