"""Judges of device episodes: stand-ins for DigiRL's vision-language model, asked after each step.

- `NoisyOracle`: the truth with declared error rates. It is the oracle, and its name says so; it measures how a method
  stands up to a judge that errs this much, without a model.
- `ScreenJudge`: a small network that looks at the goal and the last two screens, trained on labelled screens.
  `judges.vision_endpoint` is the one with a large model behind it.

None keeps state of episodes (the authors' evaluator shares one cache of early frames between all emulators, and an
early success in it is never rewarded again).
"""

import random
from collections.abc import Sequence
from typing import Protocol

from turnsmith.judges.base import screens, truth_of
from turnsmith.trace.types import ImageRef, Trace, Verdict


class SuccessModel(Protocol):
    """P(done | goal, previous screen, current screen): `critics.values.SuccessModel` is one."""

    def probability(self, instruction: str, images: Sequence[ImageRef]) -> float:
        """P(done) on the last of one or two screens."""
        ...


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

    async def judge(self, trace: Trace) -> Verdict:
        """The truth, or now and then not."""
        truth = truth_of(trace)
        if truth.reward > 0.5:
            blind = random.Random(f"{self.seed}/{trace.seed}/blind").random() < self.false_negative
            return Verdict(self.name, 0.0 if blind else 1.0, "declared error" if blind else truth.reason)
        wrong = random.Random(f"{self.seed}/{trace.seed}/{len(trace.turns)}").random() < self.false_positive
        return Verdict(self.name, float(wrong), "declared error" if wrong else truth.reason)


class ScreenJudge:
    """A trained network as the judge.

    Args:
        model: knows what done looks like.
        threshold: the probability from which a screen counts as done.
    """

    def __init__(self, model: SuccessModel, threshold: float = 0.5, name: str = "screen-judge") -> None:
        self.model = model
        self.threshold = threshold
        self.name = name

    async def judge(self, trace: Trace) -> Verdict:
        """1 where the network is sure enough. A screen that the action did not change is never a success."""
        seen = screens(trace)[-2:]
        if not seen:
            return Verdict(self.name, 0.0, "there is no screen")
        if len(seen) > 1 and seen[-1].digest == seen[-2].digest:
            return Verdict(self.name, 0.0, "the screen did not change")
        chance = self.model.probability(trace.task.instruction, seen)
        return Verdict(self.name, float(chance >= self.threshold), f"probability {chance:.2f}")
