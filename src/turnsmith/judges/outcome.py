"""The local outcome judge: did this episode do what was asked, by the task, the answer and the last three observations.

A small classifier on features that any reader of pages could name: is the answer the cell beside the label that was
asked for, on the page of the thing that was named; did a ✓ appear, a count go up, the text that was to be written show;
is the answer the larger of the two numbers that were seen. Nothing in it knows a site or a template. It is trained on
the demonstrations of the warm start alone, with what is known about them (which of them succeeded), and with negatives
made from them (`_made`), the most of it what goes wrong most often: the last deed left out.

What it may see is an `OutcomeView`, which holds nothing else: no hidden part of the task, no provenance, no verdict, no
thought and no action (PAE, arXiv 2412.13194, section 4 of the evaluator: task, answer, last three screenshots).
"""

import json
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from turnsmith.errors import UserError
from turnsmith.jsonl import read_json
from turnsmith.judges.outcome_config import JudgeConfig
from turnsmith.judges.outcome_features import FEATURES, OutcomeView, buttons_of, features, view_of
from turnsmith.learn.fit import fit
from turnsmith.learn.optim import OptimConfig
from turnsmith.tasks.propose.sketch import visited
from turnsmith.trace.types import Outcome, Trace, Verdict


class OutcomeModel(nn.Module):
    """P(success | view): the mean of some two-layer networks over standardised features.

    Attributes:
        threshold: from which probability an episode counts as a success.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int, members: int, threshold: float = 0.5) -> None:
        super().__init__()
        self.width, self.count, self.threshold = width, members, threshold
        self.register_buffer("mean", torch.zeros(len(FEATURES)))
        self.register_buffer("scale", torch.ones(len(FEATURES)))
        self.members = nn.ModuleList(
            nn.Sequential(nn.Linear(len(FEATURES), width), nn.GELU(), nn.Linear(width, 1)) for _ in range(members)
        )

    def logits(self, features_BF: Tensor) -> Tensor:
        """Shape (members, B)."""
        standard_BF = ((features_BF - self.mean) / self.scale).clamp(-5, 5)
        return torch.stack([member(standard_BF).squeeze(-1) for member in self.members])

    def probability(self, views: Sequence[OutcomeView]) -> list[float]:
        """Of each view."""
        with torch.inference_mode():
            return self.logits(_table(views)).sigmoid().mean(dim=0).tolist()

    def save(self, folder: Path) -> None:
        """Write `judge.json` and `judge.safetensors`."""
        folder.mkdir(parents=True, exist_ok=True)
        note = {"width": self.width, "members": self.count, "threshold": self.threshold, "features": list(FEATURES)}
        (folder / "judge.json").write_text(json.dumps(note, indent=1) + "\n")
        save_file({name: value.contiguous() for name, value in self.state_dict().items()}, folder / "judge.safetensors")

    @classmethod
    def load(cls, folder: Path) -> "OutcomeModel":
        """Read what `save` wrote.

        Raises:
            UserError: if there is no judge, or one of other features.
        """
        try:
            note = read_json(folder / "judge.json")
            if tuple(note["features"]) != FEATURES:
                raise ValueError("it looks at other features than this version does")
            model = cls(note["width"], note["members"], note["threshold"])
            model.load_state_dict(load_file(folder / "judge.safetensors"))
        except Exception as error:  # safetensors raises its own kind
            line = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UserError(f"{folder}: no usable outcome judge ({line}).") from error
        return model.eval()


class OutcomeJudge:
    """An `OutcomeModel` as a judge. An episode without an answer is no success, whatever it looks like."""

    def __init__(self, model: OutcomeModel, name: str = "outcome") -> None:
        self.model = model
        self.name = name

    async def judge(self, trace: Trace) -> Verdict:
        """1 where the model is sure enough."""
        view = view_of(trace)
        if view.answer is None:
            return Verdict(self.name, 0.0, "no answer was given")
        (chance,) = self.model.probability([view])
        return Verdict(self.name, float(chance >= self.model.threshold), f"probability {chance:.2f}")


@dataclass(frozen=True, slots=True)
class FitReport:
    """What fitting came to: precision and recall at the threshold, on the held-out demonstrations."""

    threshold: float
    precision: float | None
    recall: float | None
    demonstrations: int
    held_out: int


def fit_judge(demonstrations: Iterable[Trace], config: JudgeConfig) -> tuple[OutcomeModel, FitReport]:
    """Fit a judge on demonstrations whose success is known (the oracle's verdict in the trace).

    Raises:
        UserError: if there are too few demonstrations, or all of them went the same way.
    """
    known = [
        _Known(view_of(trace), float((trace.reward() or 0.0) > 0.5), last_pressed(trace))
        for trace in demonstrations
        if trace.outcome is not Outcome.INFRA_ERROR and trace.reward() is not None and trace.answer is not None
    ]
    if len(known) < 4 or len({row.label for row in known}) < 2:
        raise UserError(
            f"a judge needs demonstrations that succeeded and others that failed; of {len(known)} with an answer, "
            f"{sum(row.label for row in known):.0f} succeeded. Make more of them, or noisier ones."
        )
    rng = random.Random(config.seed)
    rng.shuffle(known)
    cut = max(1, round(config.held_out * len(known)))
    held, kept = known[:cut], known[cut:]
    groups = [[(row.view, row.label), *_made(row, kept, rng, config.made)] for row in kept]
    model = OutcomeModel(config.width, config.members)
    rows = [row for group in groups for row in group]
    features_BF = _table([view for view, _ in rows])
    model.mean.copy_(features_BF.mean(dim=0))
    model.scale.copy_(features_BF.std(dim=0).clamp_min(1e-3))
    owner_B = torch.tensor([number for number, group in enumerate(groups) for _ in group])
    labels_B = torch.tensor([label for _, label in rows])
    _train(model, features_BF, labels_B, owner_B, len(groups), config)
    tried = [pair for row in held for pair in [(row.view, row.label), *_made(row, held, rng, config.made)]]
    chances, labels = model.probability([view for view, _ in tried]), [label for _, label in tried]
    model.threshold = threshold_for(chances, labels, config.precision, config.rate)
    chances, labels = model.probability([row.view for row in held]), [row.label for row in held]  # as they were
    said = [chance >= model.threshold for chance in chances]
    hits = sum(label for label, yes in zip(labels, said, strict=True) if yes)
    return model, FitReport(
        model.threshold,
        hits / sum(said) if any(said) else None,
        hits / sum(labels) if any(labels) else None,
        len(known),
        len(held),
    )


def _train(
    model: OutcomeModel, features_BF: Tensor, labels_B: Tensor, owner_B: Tensor, groups: int, config: JudgeConfig
) -> None:
    """Every member on its own bootstrap of the episodes; what was made of an episode stays with it."""
    generator = torch.Generator().manual_seed(config.seed)
    for parameter in model.members.parameters():
        bound = 1 / max(1, parameter.shape[-1]) ** 0.5
        nn.init.uniform_(parameter, -bound, bound, generator=generator)
    counts_MG = torch.stack([
        torch.bincount(torch.randint(groups, (groups,), generator=generator), minlength=groups)
        for _ in range(config.members)
    ])  # fmt: skip
    weight_MB = counts_MG[:, owner_B].float()
    weight_MB = weight_MB / weight_MB.sum(dim=1, keepdim=True)
    target_MB = labels_B.expand(config.members, -1)

    def losses(_: int) -> Iterator[Tensor]:
        each_MB = nn.functional.binary_cross_entropy_with_logits(model.logits(features_BF), target_MB, reduction="none")
        yield (each_MB * weight_MB).sum()

    optim = OptimConfig(
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        warmup_updates=0,
        schedule="constant",
        grad_clip=0.0,
    )
    fit(model, losses, optim, config.updates)
    model.eval()


def threshold_for(
    chances: Sequence[float], labels: Sequence[float], precision: float, rate: float | None = None
) -> float:
    """The lowest threshold (at least 0.5) at which what is called a success is right this often; 0.98 where none is.

    Args:
        chances: what the model says of each episode.
        labels: 1 for a success.
        precision: how often.
        rate: the share of successes among the episodes that will be judged; None for that of `labels`.
    """
    won = sum(labels)
    failure = 1.0
    if rate is not None and 0 < won < len(labels):
        failure = (1 - rate) / rate * won / (len(labels) - won)  # failures that each one here stands for
    for threshold in sorted({0.5, *(chance for chance in chances if chance >= 0.5)}):
        hits = sum(label for chance, label in zip(chances, labels, strict=True) if chance >= threshold)
        misses = sum(1 - label for chance, label in zip(chances, labels, strict=True) if chance >= threshold)
        if hits and hits / (hits + failure * misses) >= precision:
            return threshold
    return 0.98


def _table(views: Sequence[OutcomeView]) -> Tensor:
    return torch.tensor([list(features(view).values()) for view in views], dtype=torch.float32)


# -- what is made of demonstrations -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Known:
    """A demonstration: what the judge may see of it, whether it succeeded, and the button that was pressed last."""

    view: OutcomeView
    label: float
    pressed: str


def last_pressed(trace: Trace) -> str:
    """What the last button is called that a trace pressed, the frame's (those of its first page) apart; "" for none."""
    steps = visited(trace)
    frame = set(steps[0].page.buttons) if steps else set()
    pressed = [step.target for step in steps if step.target in step.page.buttons and step.target not in frame]
    return pressed[-1] if pressed else ""


def _made(row: _Known, others: Sequence[_Known], rng: random.Random, count: int) -> list[tuple[OutcomeView, float]]:
    """Views whose label is certain: a success before its last deed, one of two tasks, another's task, a wrong cell.

    What policies do wrong most often is to say "done" on the right page before anything was done there. And tasks name
    buttons ("press Follow") where these demonstrations may only paraphrase them: so the button that was pressed is also
    asked for by name, which holds after the deed and fails before it.
    """
    view, made = row.view, list[tuple[OutcomeView, float]]()
    if row.label and len(view.observations) > 1:
        before = replace(view, observations=view.observations[:-1])
        made.append((before, 0.0))
        shown = buttons_of(view)
        if row.pressed in shown:
            made += [(_asked(view, row.pressed), 1.0), (_asked(before, row.pressed), 0.0)]
        elif shown:
            made.append((_asked(view, rng.choice(shown)), 0.0))
    for _ in range(count):
        how = rng.random()
        strange = rng.choice(others).view.instruction
        if how < 0.6:
            if strange != view.instruction:
                both = f"{view.instruction.rstrip('.')}, then: {strange}"
                made.append((replace(view, instruction=strange if how < 0.35 else both), 0.0))
        elif row.label and (texts := _other_answers(view)):
            made.append((replace(view, answer=rng.choice(texts)), 0.0))
    return made


def _asked(view: OutcomeView, button: str) -> OutcomeView:
    return replace(view, instruction=f"{view.instruction.rstrip('.')}: press {button}.")


def _other_answers(view: OutcomeView) -> list[str]:
    """Other cells and links of the last page; none where the answer is not one of them (a plain "done")."""
    elements: Sequence[Mapping[str, Any]] = view.observations[-1].info.get("elements", ())
    texts = [str(element.get("text", "")) for element in elements if element["tag"] in ("td", "a")]
    answer = (view.answer or "").casefold().strip()
    if answer not in {text.casefold() for text in texts} and not re.search(
        rf"\b{re.escape(answer)}\b", view.instruction
    ):
        return []
    return [*(text for text in texts if text and text.casefold() != answer), *["done"] * (1 + len(texts) // 3)]
