"""What a judge is, and the two that need no model.

A judge reads a finished trace and says what it was worth. It never sees hidden state unless it is an exact judge whose
reference is the task's own; the oracle's verdict comes from the environment (`Session.grade`) and is already in the
trace when a judge is asked.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from turnsmith.trace.types import ORACLE, Outcome, Trace, Verdict


class Judge(Protocol):
    """Anything that gives a verdict on a whole trace. `name` is stored with each verdict."""

    name: str

    async def judge(self, trace: Trace) -> Verdict:
        """The verdict, with `judge` set to this judge's name.

        Raises:
            InfraError: if the model behind the judge failed.
        """
        ...


class ExactAnswer:
    """Rewards an answer that equals the reference in `task.hidden["answer"]` after normalisation.

    Normalisation: Unicode compatibility form, case folded, white space collapsed, outer punctuation dropped.
    """

    name = "exact_answer"

    async def judge(self, trace: Trace) -> Verdict:
        """1 if the closing answer equals the reference, else 0."""
        reference = trace.task.hidden.get("answer")
        if reference is None:
            return Verdict(self.name, 0.0, "the task has no reference answer")
        if trace.answer is None:
            return Verdict(self.name, 0.0, "no answer was given")
        if normalize(trace.answer) == normalize(str(reference)):
            return Verdict(self.name, 1.0, "the answer equals the reference")
        return Verdict(self.name, 0.0, f"{trace.answer[:80]!r} is not {str(reference)[:80]!r}")


def normalize(text: str) -> str:
    """Text for exact comparison (see `ExactAnswer`)."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r"\s+", " ", folded).strip(" \t\n.,;:!?\"'`()[]")


@dataclass(frozen=True, slots=True)
class Agreement:
    """A judge against the oracle, over traces that both judged.

    Attributes:
        true_positive, false_positive, false_negative, true_negative: counts, "positive" meaning reward > 0.5.
    """

    true_positive: int = 0
    false_positive: int = 0
    false_negative: int = 0
    true_negative: int = 0

    @property
    def precision(self) -> float | None:
        """Of what the judge rewarded, the fraction that was right; None where it rewarded nothing."""
        rewarded = self.true_positive + self.false_positive
        return self.true_positive / rewarded if rewarded else None

    @property
    def recall(self) -> float | None:
        """Of what was right, the fraction that the judge rewarded; None where nothing was right."""
        right = self.true_positive + self.false_negative
        return self.true_positive / right if right else None

    @property
    def accuracy(self) -> float | None:
        """The fraction of traces on which both agree; None where there are none."""
        total = self.true_positive + self.false_positive + self.false_negative + self.true_negative
        return (self.true_positive + self.true_negative) / total if total else None


def agreement(traces: Iterable[Trace], judge: str, reference: str = ORACLE) -> Agreement:
    """Compare a judge with a reference judge; traces that either did not judge, and infra errors, are left out."""
    counts = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
    for trace in traces:
        said, truth = trace.reward(judge), trace.reward(reference)
        if trace.outcome is not Outcome.INFRA_ERROR and said is not None and truth is not None:
            counts[said > 0.5, truth > 0.5] += 1
    return Agreement(counts[True, True], counts[True, False], counts[False, True], counts[False, False])
