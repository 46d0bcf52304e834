"""Quantisation-aware training, resumable at any instant.

SGD with momentum and a cosine schedule over fake-quantised weights and activations. After each step weights are clipped
to the range that their integers can hold, as WAGE does: a weight outside it would get no gradient back.

On a GPU no step waits for the device: losses stay there until an epoch ends.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from turnsmith.cim.quantization import clip_weights
from turnsmith.learn import checkpoint

Batches = Iterable[tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """A schedule.

    Attributes:
        epochs: passes over the data.
        learning_rate: peak; the cosine ends at a hundredth of it.
        warmup: share of all steps over which the rate rises from zero.
        momentum, weight_decay: of SGD.
        label_smoothing: share of the target that goes to all classes alike.
        checkpoint_seconds: the most work that a kill can lose.
    """

    epochs: int = 30
    learning_rate: float = 0.01
    warmup: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 1e-4
    label_smoothing: float = 0.0
    checkpoint_seconds: float = 30.0


class _Saved:
    """A module as `learn.checkpoint` wants it."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def save_pretrained(self, folder: Path) -> None:
        save_file(
            {name: value.contiguous() for name, value in self.model.state_dict().items()}, folder / "model.safetensors"
        )

    def state_dict(self) -> dict[str, Any]:
        return self.model.state_dict()

    def load_state_dict(self, weights: dict[str, Tensor], strict: bool) -> None:
        self.model.load_state_dict(weights, strict=strict)


def train(
    quantized: nn.Module,
    loader: Batches | Callable[[int, int], Batches],
    settings: TrainSettings | None = None,
    steps_per_epoch: int | None = None,
    checkpoints: str | Path | None = None,
    on_epoch: Callable[[int, float], None] | None = None,
    on_step: Callable[[Tensor], None] | None = None,
) -> nn.Module:
    """Train a quantised classifier in place.

    Args:
        quantized: from `quantize`; its device is where it is trained. Products are of bfloat16, which holds 8-bit
            integers exactly, on CUDA and on processors with instructions for it (elsewhere it is slower).
        loader: batches of inputs and labels, gone through each epoch, or `loader(epoch, first batch)`, which a resumed
            run needs to go on in the middle of an epoch.
        settings: the schedule.
        steps_per_epoch: batches an epoch; needed when `loader` is a function.
        checkpoints: folder to resume from and save to; None keeps nothing.
        on_epoch: called with (epoch from 1, mean loss) after each; after a resume again for those past the checkpoint.
        on_step: called with the loss of each step, those done before a resume not counted. It is on the training
            device, and reading it waits for the step.

    Returns:
        The same module, in evaluation mode.
    """
    settings = settings or TrainSettings()
    steps = steps_per_epoch or len(loader)  # type: ignore[arg-type]
    total = steps * settings.epochs
    device = next(quantized.parameters()).device
    optimizer = torch.optim.SGD(
        quantized.parameters(), settings.learning_rate, momentum=settings.momentum, weight_decay=settings.weight_decay
    )
    epoch = batch = 0
    losses: list[Tensor] = []
    last = checkpoint.latest(checkpoints) if checkpoints is not None else None
    if last is not None:
        state = checkpoint.load(last, _Saved(quantized), optimizer)
        epoch, batch = state["epoch"], state["batch"]
        losses = [torch.tensor(state["loss"], device=device)] * batch
    saved_at = time.monotonic()
    quantized.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    half = device.type == "cuda" or _native_bfloat16()

    def mean_loss() -> float:
        return float(torch.stack(losses).mean()) if losses else 0.0

    def save() -> None:
        nonlocal saved_at
        if checkpoints is not None:
            state = {"epoch": epoch, "batch": batch, "loss": mean_loss()}
            checkpoint.save(checkpoints, epoch * steps + batch, _Saved(quantized), None, optimizer, state, keep=2)
        saved_at = time.monotonic()

    while epoch < settings.epochs:
        quantized.train()
        for x, labels in loader(epoch, batch) if callable(loader) else loader:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(epoch * steps + batch, total, settings)
            if x.ndim == 4:
                x = x.contiguous(memory_format=torch.channels_last)
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                logits = quantized(x)
            loss = F.cross_entropy(logits.float(), labels, label_smoothing=settings.label_smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            clip_weights(quantized)
            batch += 1
            losses.append(loss.detach())
            if on_step is not None:
                on_step(losses[-1])
            if time.monotonic() - saved_at > settings.checkpoint_seconds and batch < steps:
                save()
        epoch, batch = epoch + 1, 0
        if on_epoch is not None:
            on_epoch(epoch, mean_loss())
        losses = []
        if epoch == settings.epochs or time.monotonic() - saved_at > settings.checkpoint_seconds:
            save()
    return quantized.eval()


def _native_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware; emulated it is twelve times slower than float32."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def learning_rate(step: int, total: int, settings: TrainSettings) -> float:
    """Linear warm-up, then a cosine to a hundredth of the peak."""
    import math

    warm = max(1, round(settings.warmup * total))
    if step < warm:
        return settings.learning_rate * (step + 1) / warm
    progress = (step - warm) / max(1, total - warm)
    return settings.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


@torch.no_grad()
def accuracy(network: nn.Module, batches: Batches) -> tuple[int, int]:
    """(correct, images) of a classifier."""
    correct = images = 0
    for x, labels in batches:
        correct += int((network(x).argmax(-1) == labels).sum())
        images += len(labels)
    return correct, images


def steps_of(images: Sequence[Any], batch: int) -> int:
    """Whole batches in one pass."""
    return len(images) // batch
