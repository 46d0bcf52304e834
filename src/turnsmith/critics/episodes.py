"""Episodes of a device run as they are learned from: read back from the store, rewarded as the run's judge said.

The reward that learning sees is the one that was recorded at each step. Logs without such rewards (imports, runs of
other recipes) fall back on a verdict on the whole episode, given at its last step.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from turnsmith.trace.store import Store
from turnsmith.trace.types import ORACLE, ImageRef, Outcome, Trace


@dataclass(frozen=True, slots=True)
class Played:
    """An episode with the reward of each of its T steps.

    Attributes:
        trace: turns and screens; images are references.
        rewards: of each step, T numbers.
        first: which turn of the stored trace is the first here; those before it have no picture.
    """

    trace: Trace
    rewards: tuple[float, ...]
    first: int = 0

    @property
    def success(self) -> float:
        """1 where any step was rewarded, else 0."""
        return float(any(reward > 0.5 for reward in self.rewards))

    @property
    def screens(self) -> tuple[ImageRef, ...]:
        """The T + 1 screens: before each action, and after the last (that before it, where nothing was recorded)."""
        before = [turn.observation.images[-1] for turn in self.trace.turns]
        final = self.trace.final
        return (*before, final.images[-1] if final is not None and final.images else before[-1])

    @property
    def instruction(self) -> str:
        """What was asked."""
        return self.trace.task.instruction


def played(trace: Trace, judge: str = ORACLE) -> Played | None:
    """An episode to learn from; None where there is nothing to learn: infrastructure failed, no turns, no screens.

    Args:
        trace: of a device.
        judge: whose verdict on the whole episode counts where no judge was asked after each step.
    """
    if trace.outcome is Outcome.INFRA_ERROR:
        return None
    seen = next((index for index, turn in enumerate(trace.turns) if turn.observation.images), len(trace.turns))
    trace = replace(trace, turns=trace.turns[seen:])  # DigiRL's files have no picture of the first screen
    if not trace.turns or not all(turn.observation.images for turn in trace.turns):
        return None
    rewards = [turn.reward for turn in trace.turns]
    # Older runs name the judge of a step in the turn's info instead of giving its verdict.
    judged = any(verdict.turn is not None for verdict in trace.verdicts) or "evaluator" in trace.turns[0].info
    if not judged and not any(reward > 0.5 for reward in rewards):
        rewards[-1] = float((trace.reward(judge) or 0.0) > 0.5)
    return Played(trace, tuple(rewards), seen)


def read(store: Store, phases: Sequence[str], up_to: int | None = None, judge: str = ORACLE) -> list[Played]:
    """The episodes of these phases, oldest first.

    Args:
        store: of a run.
        phases: such as ("offline", "train-digirl").
        up_to: the last iteration that counts; None for all. A resumed run sees what the first one saw.
        judge: as in `played`.
    """
    found = []
    for phase in phases:
        for trace in store.traces(phase=phase):
            if up_to is None or int(trace.info.get("iteration", 0)) <= up_to:
                one = played(trace, judge)
                if one is not None:
                    found.append(one)
    return sorted(found, key=lambda one: (one.trace.info.get("iteration", 0), one.trace.id))


def successes(log: Iterable[Played]) -> list[Played]:
    """Those that were rewarded: what filtered behaviour cloning learns from."""
    return [episode for episode in log if episode.success > 0.5]
