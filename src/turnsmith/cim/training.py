"""Quantisation-aware training, resumable at any instant.

SGD with momentum and a cosine schedule over fake-quantised weights and activations. After each step weights are clipped
to the range that their integers can hold, as WAGE does: a weight outside it would get no gradient back.

On a GPU no step waits for the device: losses stay there until an epoch ends.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from turnsmith.cim.quantization import clip_weights
from turnsmith.cim.settings import qat_optim
from turnsmith.learn import checkpoint
from turnsmith.learn.fit import Progress, fit, make_optimizer
from turnsmith.learn.optim import OptimConfig

Batches = Iterable[tuple[Tensor, Tensor]]
Loader = Batches | Callable[[int, int], Batches]
"""Batches of inputs and labels, gone through each epoch, or (epoch, first batch) to those that are left of it."""
Loss = Callable[[Tensor, Tensor], Tensor]
"""Of (logits, labels), a scalar."""


def classification_loss(
    kind: Literal["cross_entropy", "squared_error"] = "cross_entropy", label_smoothing: float = 0.0
) -> Loss:
    """The loss of a classifier: cross-entropy, or the squared distance to the label's unit vector (WAGE's)."""
    if kind == "squared_error":
        return lambda logits, labels: 0.5 * (logits - F.one_hot(labels, logits.shape[-1])).square().sum(-1).mean()
    return lambda logits, labels: F.cross_entropy(logits, labels, label_smoothing=label_smoothing)


class _Saved:
    """A module as `learn.checkpoint` wants it."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def save_pretrained(self, folder: Path) -> None:
        save_file(
            {name: value.contiguous() for name, value in self.model.state_dict().items()}, folder / "model.safetensors"
        )

    def state_dict(self) -> Mapping[str, Tensor]:
        return self.model.state_dict()

    def load_state_dict(self, weights: dict[str, Tensor], strict: bool) -> None:
        self.model.load_state_dict(weights, strict=strict)


def train(
    quantized: nn.Module,
    loader: Loader,
    optim: OptimConfig | None = None,
    steps_per_epoch: int | None = None,
    checkpoints: str | Path | None = None,
    on_epoch: Callable[[int, float], None] | None = None,
    on_step: Callable[[Tensor], None] | None = None,
    loss: Loss | None = None,
    checkpoint_seconds: float = 30.0,
) -> nn.Module:
    """Train a quantised classifier in place (`learn.fit`).

    Args:
        quantized: from `quantize`; its device is where it is trained, in bfloat16 (exact for 8-bit integers) on CUDA
            and on processors with instructions for it.
        loader: batches of inputs and labels, gone through each epoch, or `loader(epoch, first batch)`, which a resumed
            run needs to go on in the middle of an epoch.
        optim: the schedule, of so many `epochs`; `qat_optim` without.
        steps_per_epoch: batches an epoch; needed when `loader` is a function.
        checkpoints: folder to resume from and save to; None keeps nothing.
        on_epoch: called with (epoch from 1, mean loss) after each; after a resume again for those past the checkpoint.
        on_step: called with the loss of each step of this call; reading it waits for the device.
        loss: `classification_loss()` without.
        checkpoint_seconds: the most work that a kill can lose.

    Returns:
        The same module, in evaluation mode.
    """
    steps = steps_per_epoch or len(loader)  # type: ignore[arg-type]
    optim = optim or qat_optim(steps)
    optimizer = make_optimizer(quantized, optim)
    epochs = _Epochs(quantized, steps, optim.epochs)
    last = checkpoint.latest(checkpoints) if checkpoints is not None else None
    if last is not None:
        epochs.resume(checkpoint.load(last, _Saved(quantized), optimizer))
    saved_at = time.monotonic()
    quantized.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batches = _losses(quantized, epochs, loader, loss or classification_loss())

    def on_update(progress: Progress) -> None:
        nonlocal saved_at
        epoch_ended = epochs.updated(progress.loss_tensor)
        if on_step is not None:
            on_step(progress.loss_tensor)
        if epoch_ended:
            if on_epoch is not None:
                on_epoch(epochs.epoch, epochs.mean_loss())
            epochs.losses = []
        due = time.monotonic() - saved_at > checkpoint_seconds or progress.update == progress.total
        if checkpoints is not None and due:
            checkpoint.save(checkpoints, progress.update, _Saved(quantized), None, optimizer, epochs.state(), keep=2)
            saved_at = time.monotonic()

    fit(
        quantized, lambda _: (next(batches),), optim, steps * optim.epochs, optimizer=optimizer, start=epochs.update,
        after_step=lambda: clip_weights(quantized), on_update=on_update,
    )  # fmt: skip
    return quantized.eval()


class _Epochs:
    """Where training stands: epochs and batches done, and the losses of this epoch."""

    def __init__(self, quantized: nn.Module, steps: int, total: int) -> None:
        self.device = next(quantized.parameters()).device
        self.steps, self.total = steps, total
        self.epoch = self.batch = 0
        self.losses: list[Tensor] = []

    @property
    def update(self) -> int:
        return self.epoch * self.steps + self.batch

    def updated(self, loss: Tensor) -> bool:
        """Take note of a step; True at the end of an epoch."""
        self.batch += 1
        self.losses.append(loss)
        if self.batch < self.steps:
            return False
        self.epoch, self.batch = self.epoch + 1, 0
        return True

    def mean_loss(self) -> float:
        return float(torch.stack(self.losses).mean()) if self.losses else 0.0

    def state(self) -> dict[str, float]:
        return {"epoch": self.epoch, "batch": self.batch, "loss": self.mean_loss()}

    def resume(self, state: Mapping[str, float]) -> None:
        self.epoch, self.batch = int(state["epoch"]), int(state["batch"])
        self.losses = [torch.tensor(state["loss"], device=self.device)] * self.batch


def _losses(quantized: nn.Module, epochs: _Epochs, loader: Loader, loss: Loss) -> Iterator[Tensor]:
    """The loss of each batch of all epochs that are left."""
    half = epochs.device.type == "cuda" or _native_bfloat16()
    while epochs.epoch < epochs.total:
        quantized.train()
        for x, labels in loader(epochs.epoch, epochs.batch) if callable(loader) else loader:
            if x.ndim == 4:
                x = x.contiguous(memory_format=torch.channels_last)
            with torch.autocast(epochs.device.type, torch.bfloat16, enabled=half):
                logits = quantized(x)
            yield loss(logits.float(), labels)


def _native_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware; emulated it is twelve times slower than float32."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


@torch.no_grad()
def accuracy(network: nn.Module, batches: Batches) -> tuple[int, int]:
    """(correct, images) of a classifier."""
    correct = images = 0
    for x, labels in batches:
        correct += int((network(x).argmax(-1) == labels).sum())
        images += len(labels)
    return correct, images
