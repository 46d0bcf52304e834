"""The local outcome judge: did this episode do what was asked, by the task, the answer and the last three observations.

A small classifier on features that any reader of pages could name: is the answer the cell beside the label that was
asked for, on the page of the thing that was named; did a ✓ appear, a count go up, the text that was to be written show;
is the answer the larger of the two numbers that were seen. Nothing in it knows a site or a template. It is trained on
the demonstrations of the warm start alone, with what is known about them (which of them succeeded), and with negatives
made from them: another task's instruction, another cell as the answer, the end cut off.

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
from turnsmith.judges.outcome_features import FEATURES, OutcomeView, features, view_of
from turnsmith.learn.fit import fit
from turnsmith.learn.optim import OptimConfig
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
        (view_of(trace), float((trace.reward() or 0.0) > 0.5), str(trace.task.params.get("site", "")))
        for trace in demonstrations
        if trace.outcome is not Outcome.INFRA_ERROR and trace.reward() is not None
    ]
    known = [row for row in known if row[0].answer is not None]
    if len(known) < 4 or len({label for _, label, _ in known}) < 2:
        raise UserError(
            f"a judge needs demonstrations that succeeded and others that failed; of {len(known)} with an answer, "
            f"{sum(label > 0 for _, label, _ in known):.0f} succeeded. Make more of them, or noisier ones."
        )
    rng = random.Random(config.seed)
    rng.shuffle(known)
    cut = max(1, round(config.held_out * len(known)))
    held, kept = known[:cut], known[cut:]
    groups = [[(view, label), *[(made, 0.0) for made in _made(view, label, site, kept, rng, config.made)]]
              for view, label, site in kept]  # fmt: skip
    model = OutcomeModel(config.width, config.members)
    rows = [row for group in groups for row in group]
    features_BF = _table([view for view, _ in rows])
    model.mean.copy_(features_BF.mean(dim=0))
    model.scale.copy_(features_BF.std(dim=0).clamp_min(1e-3))
    owner_B = torch.tensor([number for number, group in enumerate(groups) for _ in group])
    labels_B = torch.tensor([label for _, label in rows])
    _train(model, features_BF, labels_B, owner_B, len(groups), config)
    chances = model.probability([view for view, _, _ in held])
    labels = [label for _, label, _ in held]
    model.threshold = threshold_for(chances, labels, config.precision)
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


def threshold_for(chances: Sequence[float], labels: Sequence[float], precision: float) -> float:
    """The lowest threshold (at least 0.5) at which what is called a success is right this often; 0.98 where none is."""
    for threshold in sorted({0.5, *(chance for chance in chances if chance >= 0.5)}):
        hits = [label for chance, label in zip(chances, labels, strict=True) if chance >= threshold]
        if hits and sum(hits) / len(hits) >= precision:
            return threshold
    return 0.98


def _table(views: Sequence[OutcomeView]) -> Tensor:
    return torch.tensor([list(features(view).values()) for view in views], dtype=torch.float32)


# -- negatives that are made of demonstrations -----------------------------------------------------------------------

Known = tuple[OutcomeView, float, str]


def _made(
    view: OutcomeView, label: float, site: str, others: Sequence[Known], rng: random.Random, count: int
) -> list[OutcomeView]:
    """Views that are failures for certain: another task's instruction, a wrong cell, the last page not reached."""
    found: list[OutcomeView] = []
    for _ in range(count):
        how = rng.random()
        if how < 0.45:
            strange = rng.choice(others)[0].instruction
            if strange != view.instruction:
                found.append(replace(view, instruction=strange))
        elif how < 0.75 and label:
            texts = _other_answers(view)
            if texts:
                found.append(replace(view, answer=rng.choice(texts)))
        elif label and len(view.observations) > 1:
            found.append(replace(view, observations=view.observations[:-1]))
    return found


def _other_answers(view: OutcomeView) -> list[str]:
    """Other cells and links of the last page; none where the answer is not one of them (a plain "done")."""
    elements: Sequence[Mapping[str, Any]] = view.observations[-1].info.get("elements", ())
    texts = [str(element.get("text", "")) for element in elements if element["tag"] in ("td", "a")]
    answer = (view.answer or "").casefold().strip()
    if answer not in {text.casefold() for text in texts} and not re.search(
        rf"\b{re.escape(answer)}\b", view.instruction
    ):
        return []
    return [text for text in texts if text and text.casefold() != answer]
