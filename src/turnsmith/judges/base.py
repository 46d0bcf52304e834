"""What a judge is, and those that need no model.

One protocol for every judge: it is shown a trace so far and gives a verdict. `rollout.collect` asks it, at the end of
an episode or after each step, as the recipe says. A trace so far holds the turns until now, what is to be seen now
(`final`, with the bytes of its images), and among its verdicts the oracle's on the current state, where the environment
has an oracle. A judge keeps no state of episodes, and reads `task.hidden` and the oracle only where its name says so.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from turnsmith.errors import UserError
from turnsmith.trace.types import ORACLE, ImageRef, Outcome, Trace, Verdict


class Judge(Protocol):
    """Says of a trace so far whether its task is done."""

    @property
    def name(self) -> str:
        """Goes with each of its verdicts: what was trained on is in the trace under this name."""
        ...

    async def judge(self, trace: Trace) -> Verdict:
        """The verdict on what the trace has come to, with `judge` set to this judge's name.

        Raises:
            InfraError: if the model behind the judge failed.
            UserError: if it cannot judge such tasks.
        """
        ...


@dataclass(frozen=True, slots=True)
class Oracle:
    """The programmatic truth as the judge: for reporting, and for training where a recipe says so by name."""

    name: str = ORACLE

    async def judge(self, trace: Trace) -> Verdict:
        """The oracle's own verdict."""
        return truth_of(trace)


def truth_of(trace: Trace) -> Verdict:
    """The oracle's last verdict: on the current state of a trace so far, on the whole of a finished one.

    Raises:
        UserError: if the task has no oracle.
    """
    found = next((verdict for verdict in reversed(trace.verdicts) if verdict.judge == ORACLE), None)
    if found is None:
        raise UserError(f"the task {trace.task.id} has no oracle: choose a judge that needs none.")
    return found


def screens(trace: Trace) -> list[ImageRef]:
    """Every screen of a trace so far: before each action, and now. Observations without a picture are left out."""
    seen = [turn.observation for turn in trace.turns] + ([] if trace.final is None else [trace.final])
    return [observation.images[-1] for observation in seen if observation.images]


class ExactAnswer:
    """Rewards an answer that equals the reference in `task.hidden["answer"]` after normalisation.

    Normalisation: Unicode compatibility form, case folded, white space collapsed, outer punctuation dropped.
    """

    name = "exact"

    async def judge(self, trace: Trace) -> Verdict:
        """1 if the closing answer equals the reference, else 0."""
        reference = trace.task.hidden.get("answer")
        if reference is None:
            raise UserError(f'the task {trace.task.id} has no reference answer (hidden: {{"answer": …}}).')
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


def ever_rewarded(trace: Trace, judge: str) -> bool | None:
    """Whether this judge called the episode done: on any turn where it was asked after each, else on the whole.

    None where it never judged, or the episode was lost to machinery.
    """
    if trace.outcome is Outcome.INFRA_ERROR:
        return None
    said = [verdict.reward for verdict in trace.verdicts if verdict.judge == judge and verdict.turn is not None]
    if said:
        return max(said) > 0.5
    whole = trace.reward(judge)
    return None if whole is None else whole > 0.5


def agreement(traces: Iterable[Trace], judge: str, reference: str = ORACLE) -> Agreement:
    """Compare a judge with a reference judge, episode by episode (`ever_rewarded`).

    Episodes that either did not judge, and those lost to machinery, are left out.
    """
    counts = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
    for trace in traces:
        said, truth = ever_rewarded(trace, judge), ever_rewarded(trace, reference)
        if said is not None and truth is not None:
            counts[said, truth] += 1
    return Agreement(counts[True, True], counts[True, False], counts[False, True], counts[False, False])
