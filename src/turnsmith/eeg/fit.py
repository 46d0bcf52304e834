"""Training on windows: masked pretraining, fine-tuning, linear probes, and predicting. Stopped and resumed anywhere.

The loop is `learn.fit`; what is added here is what the study measures: a curve of evaluations over updates and seconds,
the best weights, patience.

Notable: every step seeds torch with (seed, step), so masks and dropout do not depend on where a run was interrupted;
seconds count training only, not evaluation, and go on counting over a resume.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from turnsmith.eeg.batches import Source, steps_an_epoch, stream
from turnsmith.eeg.linear import select_ridge
from turnsmith.eeg.settings import FitConfig
from turnsmith.learn import checkpoint
from turnsmith.learn.fit import Progress, fit


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
"""Of (model, windows, targets), a scalar."""


def fit_windows(
    model: nn.Module,
    loss: Loss,
    source: Source,
    rows: np.ndarray,
    config: FitConfig,
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
        config: how.
        seed: of order, masks and dropout.
        folder: of checkpoints; training goes on from the last one there. None keeps nothing.
        evaluate: an error to be small, called on the model in evaluation mode.
        save_seconds: seconds between checkpoints.

    Returns:
        The curve; the model holds the best or the last weights, as the settings say.

    Raises:
        UserError: if a loss is not a finite number.
    """
    torch.manual_seed(seed)
    optim = config.optim
    groups = _groups(model, optim.weight_decay)
    optimizer = torch.optim.AdamW(groups, optim.learning_rate, optim.betas, optim.epsilon, fused=True)
    watch = _Watch(model, config, steps_an_epoch(len(rows), optim.batch_size), evaluate)
    watch.keep_in(folder, optimizer, save_seconds)
    if not watch.done:
        model.train()
        batches = stream(source, rows, optim.batch_size, seed, watch.step, config.updates, config.shuffle)

        def losses(_: int) -> Iterator[Tensor]:
            step, eeg, targets = next(batches)
            _seed_step(seed, step)
            yield loss(model, eeg, targets)

        watch.start_clocks()
        try:
            fit(model, losses, optim, config.updates, optimizer=optimizer, start=watch.step, on_update=watch.on_update)
        finally:
            batches.close()
    if config.keep_best and watch.kept.best is not None:
        model.load_state_dict(watch.kept.best)
    model.eval()
    return watch.fitted()


class _Watch:
    """What is measured while a model learns: the curve, the best weights, and whether patience is over.

    Attributes:
        kept: the model with its best weights.
        state: JSON of a checkpoint: step, seconds, cpu_seconds, best_step, best_error, curve, losses, done.
    """

    def __init__(
        self, model: nn.Module, config: FitConfig, an_epoch: int, evaluate: Callable[[nn.Module], float] | None
    ) -> None:
        self.model, self.config, self.an_epoch, self.evaluate = model, config, an_epoch, evaluate
        self.kept = _Kept(model)
        self.state: dict[str, Any] = {
            "step": 0, "seconds": 0.0, "cpu_seconds": 0.0, "best_step": 0, "best_error": None, "curve": [],
            "losses": [], "done": False,
        }  # fmt: skip
        self.start_clocks()

    @property
    def step(self) -> int:
        return int(self.state["step"])

    @property
    def done(self) -> bool:
        return bool(self.state["done"])

    def start_clocks(self) -> None:
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def keep_in(self, folder: Path | None, optimizer: torch.optim.Optimizer, every: float) -> None:
        """Go on from the last checkpoint of a folder, and save there at most every so many seconds."""
        self._folder, self._optimizer, self._every, self._saved_at = folder, optimizer, every, time.monotonic()
        found = checkpoint.latest(folder) if folder is not None else None
        if found is not None:
            self.state = checkpoint.load(found, self.kept, optimizer)

    def on_update(self, progress: Progress) -> bool:
        """Measure, and save now and then; True where the training ends."""
        if not self.updated(progress):
            return False
        due = self.done or time.monotonic() - self._saved_at > self._every
        if self._folder is not None and due:
            checkpoint.save(
                self._folder, progress.update, self.kept, optimizer=self._optimizer, state=self.state, keep=1
            )
            self._saved_at = time.monotonic()
        self.start_clocks()
        return self.done

    def updated(self, progress: Progress) -> bool:
        """Take note of an update; True where it was evaluated, which the clocks leave out."""
        state = self.state
        state["losses"].append(progress.loss_tensor)  # read at the next evaluation: the device is not waited for
        state["step"] = progress.update
        last = progress.update == self.config.updates
        if progress.update % self.config.evaluate_every and not last:
            return False
        state["seconds"] += time.monotonic() - self._wall
        state["cpu_seconds"] += time.process_time() - self._cpu
        state["done"] = self._note() or last
        return True

    def _note(self) -> bool:
        """Write a point of the curve, keep the best weights; True when patience is over."""
        state, error = self.state, None
        if self.evaluate is not None:
            self.model.eval()
            with torch.no_grad():
                error = self.evaluate(self.model)
            self.model.train()
            if state["best_error"] is None or error < state["best_error"]:
                state["best_error"], state["best_step"] = error, state["step"]
                self.kept.keep()
        losses, state["losses"] = torch.stack(state["losses"]).tolist(), []
        epoch = state["step"] / self.an_epoch
        point = Point(self.step, epoch, state["seconds"], state["cpu_seconds"], float(np.mean(losses)), error)
        state["curve"].append(asdict(point))
        waited = (state["step"] - state["best_step"]) // self.config.evaluate_every
        return bool(error is not None and self.config.patience and waited >= self.config.patience)

    def fitted(self) -> Fitted:
        state = self.state
        return Fitted([Point(**point) for point in state["curve"]], state["best_step"], state["best_error"])


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
