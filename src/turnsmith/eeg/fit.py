"""Training: masked pretraining, fine-tuning, linear probes, and predicting. One loop, stopped and resumed anywhere.

Notable: every step seeds torch with (seed, step), so masks and dropout do not depend on where a run was interrupted;
seconds count training only, not evaluation, and go on counting over a resume.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from turnsmith.eeg.batches import Source, steps_an_epoch, stream
from turnsmith.eeg.linear import select_ridge
from turnsmith.learn import checkpoint


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How to train.

    Attributes:
        steps: updates.
        batch: windows an update.
        learning_rate: at its highest.
        weight_decay: of AdamW, on matrices only; 0 with Adam.
        warmup: steps of linear warm-up.
        schedule: after the warm-up: "constant", "cosine" (to 0 at the last step) or "stairs" (a tenth every
            `stair_epochs`, as released).
        stair_epochs: for "stairs".
        evaluate_every: steps between evaluations.
        patience: evaluations without a better one before stopping; 0 never stops early.
        keep_best: end with the weights of the best evaluation; False ends with the last ones, as released.
        shuffle: draw a new order each epoch; False goes through the rows as they stand, as released.
        clip_norm: largest norm of the gradient; 0 leaves it alone.
    """

    steps: int = 600
    batch: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup: int = 20
    schedule: str = "cosine"
    stair_epochs: int = 10
    evaluate_every: int = 16
    patience: int = 0
    keep_best: bool = True
    shuffle: bool = True
    clip_norm: float = 1.0

    def rate(self, step: int, an_epoch: int) -> float:
        """Learning rate of update `step`, counted from 0."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        if self.schedule == "cosine":
            share = (step - self.warmup) / max(1, self.steps - self.warmup)
            return self.learning_rate * 0.5 * (1 + float(np.cos(np.pi * min(1.0, share))))
        if self.schedule == "stairs":
            return self.learning_rate * 0.1 ** (step // an_epoch // self.stair_epochs)
        if self.schedule == "constant":
            return self.learning_rate
        raise ValueError(f"schedule is {self.schedule!r}; it is 'constant', 'cosine' or 'stairs'")


@dataclass(frozen=True, slots=True)
class Point:
    """One evaluation on the way.

    Attributes:
        step: updates done.
        epoch: passes over the labelled rows.
        seconds: wall-clock seconds of training, evaluation left out.
        cpu_seconds: processor seconds of the process in the same spans.
        train_loss: mean loss since the last point.
        error: of the evaluation; None in pretraining without one.
    """

    step: int
    epoch: float
    seconds: float
    cpu_seconds: float
    train_loss: float
    error: float | None = None


@dataclass
class Fitted:
    """A finished training. `curve` has a point an evaluation; the best one is None where nothing was evaluated."""

    curve: list[Point] = field(default_factory=list)
    best_step: int = 0
    best_error: float | None = None

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of training in all."""
        return self.curve[-1].seconds if self.curve else 0.0

    def as_dict(self) -> dict[str, Any]:
        """JSON for reports."""
        return {"best_step": self.best_step, "best_error": self.best_error, "curve": [asdict(p) for p in self.curve]}

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> "Fitted":
        """Back from JSON."""
        return cls([Point(**point) for point in row["curve"]], row["best_step"], row["best_error"])


Loss = Callable[[nn.Module, Tensor, Tensor | None], Tensor]


def fit(
    model: nn.Module,
    loss: Loss,
    source: Source,
    rows: np.ndarray,
    settings: FitSettings,
    seed: int,
    folder: Path | None = None,
    evaluate: Callable[[nn.Module], float] | None = None,
    save_seconds: float = 20.0,
) -> Fitted:
    """Train `model` in place.

    Args:
        model: on the source's device.
        loss: of (model, windows, targets), a scalar.
        source: where windows come from.
        rows: which of them to use.
        settings: how.
        seed: of order, masks and dropout.
        folder: of checkpoints; training goes on from the last one there. None keeps nothing.
        evaluate: an error to be small, called on the model in evaluation mode.
        save_seconds: seconds between checkpoints.

    Returns:
        The curve; the model holds the best or the last weights, as the settings say.
    """
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(_groups(model, settings.weight_decay), lr=settings.learning_rate, fused=True)
    kept = _Kept(model)
    state: dict[str, Any] = {"step": 0, "seconds": 0.0, "cpu_seconds": 0.0, "best_step": 0, "best_error": None}
    state |= {"curve": [], "losses": [], "done": False}
    found = checkpoint.latest(folder) if folder is not None else None
    if found is not None:
        state = checkpoint.load(found, kept, optimizer)
    an_epoch, saved_at = steps_an_epoch(len(rows), settings.batch), time.monotonic()
    if not state["done"]:
        model.train()
        wall, cpu = time.monotonic(), time.process_time()
        batches = stream(source, rows, settings.batch, seed, state["step"], settings.steps, settings.shuffle)
        for step, eeg, targets in batches:
            _seed_step(seed, step)
            for group in optimizer.param_groups:
                group["lr"] = settings.rate(step, an_epoch)
            optimizer.zero_grad(set_to_none=True)
            value = loss(model, eeg, targets)
            value.backward()
            if settings.clip_norm:
                nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
            optimizer.step()
            state["losses"].append(value.detach())  # read at the next evaluation: the device is not waited for
            state["step"] = step + 1
            last = step + 1 == settings.steps
            if (step + 1) % settings.evaluate_every and not last:
                continue
            state["seconds"] += time.monotonic() - wall
            state["cpu_seconds"] += time.process_time() - cpu
            state["done"] = _note(state, model, kept, settings, an_epoch, evaluate) or last
            if folder is not None and (state["done"] or time.monotonic() - saved_at > save_seconds):
                checkpoint.save(folder, step + 1, kept, optimizer=optimizer, state=state, keep=1)
                saved_at = time.monotonic()
            wall, cpu = time.monotonic(), time.process_time()
            if state["done"]:
                break
        batches.close()
    if settings.keep_best and kept.best is not None:
        model.load_state_dict(kept.best)
    model.eval()
    return Fitted([Point(**point) for point in state["curve"]], state["best_step"], state["best_error"])


def _note(
    state: dict[str, Any],
    model: nn.Module,
    kept: "_Kept",
    settings: FitSettings,
    an_epoch: int,
    evaluate: Callable[[nn.Module], float] | None,
) -> bool:
    """Write a point of the curve, keep the best weights; True when patience is over."""
    error = None
    if evaluate is not None:
        model.eval()
        with torch.no_grad():
            error = evaluate(model)
        model.train()
        if state["best_error"] is None or error < state["best_error"]:
            state["best_error"], state["best_step"] = error, state["step"]
            kept.keep()
    losses, state["losses"] = torch.stack(state["losses"]).tolist(), []
    epoch = state["step"] / an_epoch
    point = Point(state["step"], epoch, state["seconds"], state["cpu_seconds"], float(np.mean(losses)), error)
    state["curve"].append(asdict(point))
    waited = (state["step"] - state["best_step"]) // settings.evaluate_every
    return bool(error is not None and settings.patience and waited >= settings.patience)


def _seed_step(seed: int, step: int) -> None:
    torch.manual_seed(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0].item() >> 1)


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay on matrices; none on norms, biases, tokens and positions."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.ndim > 1 and parameter.shape[0] > 1]
    rest = [parameter for parameter in trained if parameter.ndim <= 1 or parameter.shape[0] == 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]


class _Kept:
    """The model and its best weights so far, as `learn.checkpoint` saves and loads a model."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.best: dict[str, Tensor] | None = None

    def keep(self) -> None:
        self.best = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}

    def state_dict(self) -> dict[str, Tensor]:
        now = {f"now.{name}": tensor for name, tensor in self.model.state_dict().items()}
        best = self.best if self.best is not None else self.model.state_dict()
        return now | {f"best.{name}": tensor for name, tensor in best.items()}

    def save_pretrained(self, folder: Path) -> None:
        from safetensors.torch import save_file

        tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in self.state_dict().items()}
        save_file(tensors, folder / "model.safetensors")

    def load_state_dict(self, weights: dict[str, Tensor], strict: bool = True) -> None:
        now = {name.removeprefix("now."): tensor for name, tensor in weights.items() if name.startswith("now.")}
        self.model.load_state_dict(now, strict=strict)
        self.best = {
            name.removeprefix("best."): tensor.clone() for name, tensor in weights.items() if name.startswith("best.")
        }


def pretraining_loss(model: nn.Module, eeg: Tensor, _: Tensor | None) -> Tensor:
    """The loss of `PaperMae` and `FixedMae`, which is what they return."""
    return model(eeg)


def supervised(criterion: Callable[[Tensor, Tensor], Tensor], drop_channels: float = 0.0) -> Loss:
    """The loss of a model whose outputs are compared with targets, such as `functional.mse_loss`.

    Args:
        criterion: of (outputs, targets).
        drop_channels: share of each window's channels that are silent in training, anew in every batch; the others are
            amplified to make up for it, as in dropout.
    """

    def loss(model: nn.Module, eeg: Tensor, targets: Tensor | None) -> Tensor:
        assert targets is not None
        if drop_channels:
            stays = torch.rand(*eeg.shape[:2], 1, device=eeg.device) >= drop_channels
            eeg = eeg * stays / (1 - drop_channels)
        return criterion(model(eeg), targets)

    return loss


@torch.no_grad()
def outputs(function: Callable[[Tensor], Tensor], source: Source, rows: np.ndarray, batch: int = 512) -> np.ndarray:
    """`function` of all these windows, (rows, …), float64. Put the model into evaluation mode first."""
    pieces = [
        function(source.batch(rows[start : start + batch])[0]).double().cpu().numpy()
        for start in range(0, len(rows), batch)
    ]
    return np.concatenate(pieces)


def linear_probe(
    features: Callable[[Tensor], Tensor],
    source: Source,
    targets: np.ndarray,
    train: np.ndarray,
    validation: np.ndarray,
    test: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Ridge regression on frozen features; the penalty is chosen on validation windows.

    Args:
        features: (batch, channels, samples) to (batch, width).
        source: where windows come from.
        targets: (windows, outputs).
        train, validation, test: rows.

    Returns:
        Predictions of the validation and test rows.
    """
    of_train, of_validation, of_test = (outputs(features, source, rows) for rows in (train, validation, test))
    ridge = select_ridge(of_train, targets[train], (of_validation, targets[validation]))
    return ridge.predict(of_validation), ridge.predict(of_test)
