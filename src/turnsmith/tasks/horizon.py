"""Curricula over the interaction horizon (TTI, arXiv 2506.07976): how many steps an episode may take, by iteration.

| schedule       | h_i, i counted from 1            | note                                                        |
|----------------|----------------------------------|-------------------------------------------------------------|
| fixed          | h_min                            |                                                             |
| additive       | clip(h_min + step · i, h_max)    | the paper's step is 1                                       |
| multiplicative | clip(h_min · i, h_max)           | the paper's: linear in i, and faster than the additive one  |
| geometric      | clip(h_min · factor^(i−1), h_max)| what one might take "multiplicative" to mean                |
| list           | the i-th value, then the last    | the authors' script has (10, 20, 20, 30)                    |

Training and test horizons are different things: an agent that learned under a short one may be tested under a long one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from turnsmith.errors import UserError

Schedule = Literal["fixed", "additive", "multiplicative", "geometric", "list"]
AUTHORS_LIST = (10, 20, 20, 30)
"""What the authors' training script does, which is neither of the paper's formulas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Horizons:
    """How the training horizon goes, and under which one is tested.

    Attributes:
        schedule: see the table above.
        shortest: h_min; the horizon of "fixed".
        longest: h_max.
        step: of "additive".
        factor: of "geometric".
        values: of "list".
        reverse: the same horizons in opposite order (a control: is it the order that helps?).
        test: of evaluations.
    """

    schedule: Schedule = "multiplicative"
    shortest: int = 10
    longest: int = 30
    step: int = 1
    factor: float = 2.0
    values: tuple[int, ...] = ()
    reverse: bool = False
    test: int = 30

    def __post_init__(self) -> None:
        if not 1 <= self.shortest <= self.longest or self.test < 1:
            raise UserError(
                f"horizons: shortest {self.shortest}, longest {self.longest}, test {self.test}; needed are "
                "1 <= shortest <= longest and test >= 1."
            )
        if self.step < 1 or self.factor < 1:
            raise UserError(f"horizons: step {self.step} and factor {self.factor} must be at least 1.")
        if (self.schedule == "list") != bool(self.values) or any(value < 1 for value in self.values):
            raise UserError('horizons: "values" (each at least 1) belong to the schedule "list", and only to it.')


def training_horizons(horizons: Horizons, iterations: int) -> list[int]:
    """The horizon of each training iteration, in order."""
    found = [_at(horizons, iteration) for iteration in range(1, iterations + 1)]
    return found[::-1] if horizons.reverse else found


def _at(horizons: Horizons, iteration: int) -> int:
    low, high = horizons.shortest, horizons.longest
    match horizons.schedule:
        case "fixed":
            return low
        case "additive":
            wanted: float = low + horizons.step * iteration
        case "multiplicative":
            wanted = low * iteration
        case "geometric":
            wanted = low * horizons.factor ** min(iteration - 1, 64)
        case "list":
            return horizons.values[min(iteration, len(horizons.values)) - 1]
    return int(min(max(wanted, low), high))


def needed_bin(steps: int, bounds: Sequence[int] = (6, 12)) -> str:
    """The bin of a task by the steps that it needs, in words: "up to 6", "7 to 12", "13 and more"."""
    low = None
    for high in bounds:
        if steps <= high:
            return f"up to {high}" if low is None else f"{low} to {high}"
        low = high + 1
    return f"{low} and more"
