"""As many episodes as a budget of environment steps pays for: how arms with different horizons are made comparable.

An episode is only begun when the budget is sure to pay for all of it, so what is played depends on nothing but the
episodes themselves: not on which of them end first, nor on how many run abreast.
"""

from collections.abc import Awaitable, Callable, Sequence

from turnsmith.errors import InfraError
from turnsmith.rollout.collect import Episode
from turnsmith.trace.types import Outcome, Trace

PATIENCE = 8
"""Episodes in a row, each retried, that may be lost to machinery before nothing more is begun."""


async def spend_steps(
    play: Callable[[Sequence[Episode]], Awaitable[list[Trace]]],
    episode: Callable[[int], Episode],
    budget: int,
    horizon: int,
    least: int = 1,
) -> list[Trace]:
    """Play episodes 0, 1, 2, … while the rest of the budget pays for `least` more at the full horizon.

    Args:
        play: plays episodes and returns their traces in order.
        episode: the k-th episode.
        budget: environment steps, at most.
        horizon: the most steps of one episode.
        least: smaller groups than this are not worth starting; what is left over is the caller's to carry on.

    Returns:
        The traces, infra errors included; those cost no steps.

    Raises:
        InfraError: if `PATIENCE` episodes in a row were lost to machinery.
        ValueError: if `horizon` or `least` is below 1.
    """
    if horizon < 1 or least < 1:
        raise ValueError(f"horizon {horizon} and least {least} must be at least 1")
    traces: list[Trace] = []
    while (count := (budget - steps_of(traces)) // horizon) >= least:
        played = await play([episode(index) for index in range(len(traces), len(traces) + count)])
        traces += played
        lost = next(
            (n for n, one in enumerate(reversed(traces)) if one.outcome is not Outcome.INFRA_ERROR), len(traces)
        )
        if lost >= PATIENCE:
            raise InfraError("all_lost", f"{lost} episodes in a row were lost to machinery")
    return traces


def steps_of(traces: Sequence[Trace]) -> int:
    """Environment steps of these episodes, those lost to machinery apart."""
    return sum(len(trace.turns) for trace in traces if trace.outcome is not Outcome.INFRA_ERROR)
