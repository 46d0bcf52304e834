"""Who says after each step of a device episode whether the task is done: stand-ins for DigiRL's vision-language judge.

- `NoisyOracle`: the truth with declared error rates. It is the oracle, and its name says so; it measures how a method
  stands up to a judge that errs this much, without a model.
- `ScreenJudge`: a small network that looks at the goal and the last two screens, trained on labelled screens.
  `judges.vision_endpoint` is the one with a large model behind it.

All are `envs.device.base.StepEvaluator`s and keep no state of episodes (the authors' evaluator shares one cache of
early frames between all emulators, and an early success in it is never rewarded again). `step_agreement` measures any
of them against the oracle on the episodes it rewarded.
"""

import random
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from turnsmith.judges.base import Agreement
from turnsmith.trace.types import ImageRef, Outcome, Task, Trace, Verdict

if TYPE_CHECKING:
    from turnsmith.critics.values import SuccessModel


class Looked(Protocol):
    """What an evaluator looks at: `envs.device.base.Look`."""

    @property
    def task(self) -> Task: ...
    @property
    def images(self) -> tuple[ImageRef, ...]: ...
    @property
    def seed(self) -> int: ...
    @property
    def step(self) -> int: ...
    @property
    def truth(self) -> Verdict | None: ...


class NoisyOracle:
    """The oracle with declared errors.

    Args:
        false_positive: probability, for each step that is no success, of being called one.
        false_negative: probability, for each episode, that its success is never seen.
        seed: of the errors; they depend on it, the episode's seed and the step only.
    """

    def __init__(self, false_positive: float = 0.0, false_negative: float = 0.0, seed: int = 0) -> None:
        if not (0 <= false_positive < 1 and 0 <= false_negative < 1):
            raise ValueError(f"error rates {false_positive} and {false_negative} must lie in [0, 1)")
        self.false_positive = false_positive
        self.false_negative = false_negative
        self.seed = seed
        self.name = f"oracle-noisy-{false_positive:g}-{false_negative:g}"

    async def judge(self, look: Looked) -> Verdict:
        """The truth, or now and then not.

        Raises:
            ValueError: if the task has no oracle.
        """
        if look.truth is None:
            raise ValueError(f"the task {look.task.id} has no oracle; use a model as the evaluator")
        if look.truth.reward > 0.5:
            blind = random.Random(f"{self.seed}/{look.seed}/blind").random() < self.false_negative
            return Verdict(self.name, 0.0 if blind else 1.0, "declared error" if blind else look.truth.reason)
        wrong = random.Random(f"{self.seed}/{look.seed}/{look.step}").random() < self.false_positive
        return Verdict(self.name, float(wrong), "declared error" if wrong else look.truth.reason)


class ScreenJudge:
    """A trained network as the evaluator.

    Args:
        model: P(done | goal, previous screen, current screen); see `critics.values`.
        threshold: the probability from which a screen counts as done.
    """

    def __init__(self, model: "SuccessModel", threshold: float = 0.5, name: str = "screen-judge") -> None:
        self.model = model
        self.threshold = threshold
        self.name = name

    async def judge(self, look: Looked) -> Verdict:
        """1 where the network is sure enough. A screen that the action did not change is never a success."""
        if len(look.images) > 1 and look.images[-1].digest == look.images[-2].digest:
            return Verdict(self.name, 0.0, "the screen did not change")
        chance = self.model.probability(look.task.instruction, look.images[-2:])
        return Verdict(self.name, float(chance >= self.threshold), f"probability {chance:.2f}")


def seen_done(trace: Trace) -> bool | None:
    """Whether the oracle saw the task done on any step, whatever rewarded it; None where it never looked, or the
    episode was lost to machinery."""
    truths = [turn.info["oracle"] for turn in trace.turns if "oracle" in turn.info]
    if trace.outcome is Outcome.INFRA_ERROR or not truths:
        return None
    return any(truth > 0.5 for truth in truths)


def step_agreement(traces: Iterable[Trace]) -> Agreement:
    """The evaluator of these episodes against the oracle, episode by episode: was it rewarded, was it done.

    "Rewarded" is a reward on any step, "done" is `seen_done`. Episodes of which the oracle says nothing are left out.
    """
    counts = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
    for trace in traces:
        done = seen_done(trace)
        if done is not None:
            counts[any(turn.reward > 0.5 for turn in trace.turns), done] += 1
    return Agreement(counts[True, True], counts[True, False], counts[False, True], counts[False, False])
