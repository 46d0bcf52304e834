"""How critics and readers are fitted: `learn.fit` on examples that are drawn by index, with replacement."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from turnsmith.errors import UserError
from turnsmith.learn.fit import Progress, fit
from turnsmith.learn.optim import OptimConfig

ADAM = OptimConfig(
    learning_rate=1e-3, batch_size=128, max_updates=200, warmup_updates=0, schedule="constant", weight_decay=0.0,
    betas=(0.9, 0.999), grad_clip=1.0, final_rate=0.0,
)  # fmt: skip
"""Adam at a constant rate; `adam` changes some of it."""


def adam(updates: int, *, falling: bool = False, **more: float | int) -> OptimConfig:
    """So many updates of Adam; with `falling` the rate falls to 0 in equal steps. `more`: fields of `OptimConfig`."""
    return replace(ADAM, max_updates=updates, schedule="linear" if falling else "constant", **more)  # type: ignore[arg-type]


def fit_rows(
    module: nn.Module,
    loss_of: Callable[[Tensor], Tensor],
    count: int,
    config: OptimConfig,
    optimizer: torch.optim.Optimizer | None = None,
    on_update: Callable[[], None] | None = None,
    after_step: Callable[[], None] | None = None,
) -> list[float]:
    """Train a module on examples 0..count−1 by index; leaves it in `eval()` mode.

    Args:
        module: changed in place.
        loss_of: the loss of the examples at these indices (B,).
        count: how many examples there are.
        config: `max_updates` says how many updates.
        optimizer: goes on with its moments; a new one without.
        on_update: called after every update, to show progress.
        after_step: called after each step of the optimiser (slow copies).

    Returns:
        The loss of each update.

    Raises:
        UserError: if there is nothing to learn from, or a loss is not finite.
    """
    if count == 0:
        raise UserError("there is nothing to train the value functions on.")
    source = np.random.default_rng(config.seed)

    def losses(_: int) -> Iterator[Tensor]:
        yield loss_of(torch.from_numpy(source.integers(0, count, size=config.batch_size)))

    def told(_: Progress) -> None:
        if on_update is not None:
            on_update()

    module.train()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)  # of the dropout
            total = config.max_updates or 0
            return fit(module, losses, config, total, optimizer=optimizer, after_step=after_step, on_update=told)
    finally:
        module.eval()
