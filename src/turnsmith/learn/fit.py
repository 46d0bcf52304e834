"""The one training loop.

Supervised, preference, policy-gradient, value and representation learning differ in their losses and in nothing else:
each hands `fit` a function that gives the losses of an update, one scalar a forward pass, whose sum is the update's
loss. `fit` does the rest: the rate, the backward passes, the clip, the check that the loss is a number, the step, the
progress. It knows no data; what an update is made of depends on its number alone, so a run that resumes at update n
with the restored weights, moments and random state ends bit for bit where an uninterrupted one does.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from turnsmith.errors import UserError
from turnsmith.learn.optim import OptimConfig, rate_at

Losses = Callable[[int], Iterable[Tensor]]
"""From the number of an update (from 0) to its losses: scalars that are summed, each with a graph of its own."""

_CHECK_EVERY = 50
"""On an accelerator a loss is read so often, since reading it waits for the device."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training stands after an update.

    Attributes:
        update: how many updates are done, from 1.
        total: how many there will be.
        loss_tensor: of this update before it, on the training device; `loss` reads it.
        grad_norm_tensor: before clipping, likewise; `grad_norm` reads it. Infinite where gradients are not clipped.
        learning_rate: that was used.
        seconds: since this call began.
    """

    update: int
    total: int
    loss_tensor: Tensor
    grad_norm_tensor: Tensor
    learning_rate: float
    seconds: float
    seconds_left: float
    """Until the last update, at the present pace."""

    @property
    def loss(self) -> float:
        """Waits for the device."""
        return float(self.loss_tensor)

    @property
    def grad_norm(self) -> float:
        """Waits for the device."""
        return float(self.grad_norm_tensor)


def make_optimizer(module: nn.Module, config: OptimConfig) -> torch.optim.Optimizer:
    """The optimiser of the trainable parameters; matrices are decayed, vectors are not."""
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            trainable, lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
        )
    groups = [
        {"params": [p for p in trainable if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trainable if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=config.betas,
        eps=config.epsilon,
    )


def fit(
    module: nn.Module,
    losses: Losses,
    config: OptimConfig,
    total: int,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    start: int = 0,
    rate: Callable[[int], float] | None = None,
    after_step: Callable[[], None] | None = None,
    on_update: Callable[[Progress], bool | None] | None = None,
) -> list[float]:
    """Train in place, updates `start` … `total` − 1. The caller puts the module into `train()` or `eval()` mode.

    Args:
        module: whose trainable parameters learn.
        losses: of an update by its number.
        config: rates, clip, optimiser.
        total: how many updates there are, those before `start` included.
        optimizer: goes on with its moments; a new one without.
        start: the first update; a resumed run has done those before it.
        rate: the learning rate of an update by its number, instead of the schedule of `config`.
        after_step: called after each step of the optimiser: slow copies, weights kept in a range.
        on_update: called after every update, to show progress or to save; True ends the training there.

    Returns:
        The loss of each update from `start` on.

    Raises:
        UserError: if a loss or a gradient is not finite: before the step on the CPU, within 50 updates elsewhere.
    """
    optimizer = make_optimizer(module, config) if optimizer is None else optimizer
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    limit = config.grad_clip or math.inf
    on_cpu = all(parameter.device.type == "cpu" for parameter in trainable)
    done: list[Tensor] = []
    began = time.monotonic()
    for update in range(start, total):
        step_rate = rate_at(update, total, config) if rate is None else rate(update)
        for group in optimizer.param_groups:
            group["lr"] = step_rate
        optimizer.zero_grad(set_to_none=True)
        loss = _backward(losses(update))
        grad_norm = nn.utils.clip_grad_norm_(trainable, limit)
        if on_cpu or update % _CHECK_EVERY == 0:
            _check(update, loss, grad_norm, step_rate)
        optimizer.step()
        if after_step is not None:
            after_step()
        done.append(loss)
        if on_update is not None:
            seconds = time.monotonic() - began
            left = seconds / len(done) * (total - update - 1)
            if on_update(Progress(update + 1, total, loss, grad_norm, step_rate, seconds, left)):
                break
    return torch.stack(done).tolist() if done else []


def mean_of_last_tenth(losses: Sequence[float]) -> float:
    """The mean loss of the last tenth of the updates, of the last one at least: where training ended, with less noise.

    Raises:
        ValueError: if there was no update.
    """
    if not losses:
        raise ValueError("no update, no loss")
    tail = losses[-max(1, len(losses) // 10) :]
    return sum(tail) / len(tail)


def _backward(losses: Iterable[Tensor]) -> Tensor:
    """Gradients of the sum of these losses, one pass after the other; returns the sum."""
    total: Tensor | None = None
    for loss in losses:
        loss.backward()
        total = loss.detach() if total is None else total + loss.detach()
    if total is None:
        raise ValueError("an update without a loss: the losses of each update are at least one scalar")
    return total


def _check(update: int, loss: Tensor, grad_norm: Tensor, rate: float) -> None:
    if not (math.isfinite(float(loss)) and math.isfinite(float(grad_norm))):
        raise UserError(
            f"update {update + 1}: the loss is {float(loss)} and the gradient norm {float(grad_norm)}. "
            f"Lower the learning rate ({rate:g})."
        )
