"""Settings of Digi-Q's critics. No torch here: recipes have them in their settings."""

from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

import tyro

Backup = Literal["td", "mc"]
Form = Literal["direct", "advantage"]
T = TypeVar("T")
_Fixed = Annotated[T, tyro.conf.Suppress]

EPSILON = 1.0
"""Mean squared pixel difference, at a quarter of the screen's size, from which a screen of the local phone has changed.

The authors' code has 30, for pictures of real phones. On the local phone nothing flickers: where nothing happened the
difference is 0, and a typed text makes 4 to 15, so that with 30 a reader learns that typing has no effect.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class QConfig:
    """How the critics learn; defaults are the paper's.

    Attributes:
        form: "direct" learns Q and V as the paper does; "advantage" as V + A, see `critics.advantage`.
        backup: "td" bootstraps, "mc" regresses to the discounted return (an ablation; nothing else changes).
        discount: γ.
        decay: λ of the bootstrap; 0 is the paper's TD(0).
        refresh: updates after which the λ-returns of the log are computed anew from the slow V (direct, λ > 0).
        rate: τ, applied after every update (direct).
        updates, batch_size, learning_rate, grad_clip: of Adam.
        folds, value_updates: how many parts the episodes are in, so that what is said of each comes from the others,
            and the updates of each V and W (advantage).
        heads: how the two heads become one number where a policy is extracted.
        width: of the hidden layers.
    """

    form: Form = "direct"
    backup: _Fixed[Backup] = "td"
    discount: float = 0.95
    decay: float = 0.0
    refresh: _Fixed[int] = 100
    rate: _Fixed[float] = 0.1
    updates: int = 800
    batch_size: _Fixed[int] = 128
    learning_rate: float = 1e-5
    grad_clip: _Fixed[float] = 0.01
    folds: _Fixed[int] = 4
    value_updates: _Fixed[int] = 600
    heads: _Fixed[Literal["min", "max", "mean"]] = "max"
    width: _Fixed[int] = 128


SMALL_CRITICS = QConfig(
    form="advantage", discount=0.9, decay=0.5, updates=3000, batch_size=256, learning_rate=1e-3, grad_clip=1.0,
    heads="min",
)  # fmt: skip
"""What the small critics of the preset `laptop` learn with."""
