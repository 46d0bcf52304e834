"""The one class of settings that says how to train. No torch here: recipes have it in their settings."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from turnsmith.errors import UserError

Schedule = Literal["cosine", "late_cosine", "linear", "stairs", "constant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimConfig:
    """How to train.

    Attributes:
        learning_rate: the peak. 1.5e-3 suits the small models; 1e-5 or less a pretrained one.
        batch_size: examples an update.
        epochs: passes over the examples.
        max_updates: stop after so many updates, whatever the epochs; None for all.
        warmup_updates: updates over which the rate rises linearly.
        schedule: "cosine" falls to `final_rate` of the peak at the last update, "linear" too, evenly, both from the
            first update on; "late_cosine" once the warm-up is over; "stairs" is multiplied by `stair_factor` at each
            of the updates `stairs`; "constant" stays.
        final_rate, stairs, stair_factor: see schedule.
        optimizer: "adamw", which without weight decay is Adam, or "sgd" with momentum.
        weight_decay: of matrices; vectors (norms, biases) are not decayed.
        betas, epsilon: of AdamW.
        momentum: of SGD.
        grad_clip: largest global gradient norm; 0 leaves gradients alone.
        pass_tokens: padded tokens of one forward and backward pass; an update takes as many passes as it needs.
        seed: order of the examples.
    """

    learning_rate: float = 1.5e-3
    batch_size: int = 8
    epochs: int = 1
    max_updates: int | None = None
    warmup_updates: int = 50
    schedule: Schedule = "cosine"
    final_rate: float = 0.05
    stairs: tuple[int, ...] = ()
    stair_factor: float = 0.1
    optimizer: Literal["adamw", "sgd"] = "adamw"
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)
    epsilon: float = 1e-8
    momentum: float = 0.9
    grad_clip: float = 1.0
    pass_tokens: int = 8192
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in (("schedule", get_args(Schedule)), ("optimizer", ("adamw", "sgd"))):
            if getattr(self, name) not in known:
                raise UserError(f"{name} {getattr(self, name)!r} is unknown; there are {', '.join(known)}.")
        if self.batch_size < 1 or self.epochs < 1 or self.learning_rate <= 0:
            raise UserError(
                f"training needs batch_size and epochs of at least 1 and a positive learning_rate; got "
                f"{self.batch_size}, {self.epochs} and {self.learning_rate}."
            )

    def updates(self, examples: int) -> int:
        """How many updates `examples` examples make."""
        total = self.epochs * -(-examples // self.batch_size)
        return total if self.max_updates is None else min(total, self.max_updates)


def rate_at(update: int, total: int, config: OptimConfig) -> float:
    """Learning rate of update `update` (from 0) of `total`."""
    peak, warm = config.learning_rate, min(1.0, (update + 1) / max(1, config.warmup_updates))
    if config.schedule == "constant":
        return peak * warm
    if config.schedule == "stairs":
        return peak * warm * config.stair_factor ** sum(update >= stair for stair in config.stairs)
    if config.schedule == "late_cosine":
        share = min(1.0, max(0, update - config.warmup_updates) / max(1, total - config.warmup_updates))
    else:
        share = update / max(1, total)
    fall = 1 - share if config.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * share))
    return peak * warm * (config.final_rate + (1 - config.final_rate) * fall)
