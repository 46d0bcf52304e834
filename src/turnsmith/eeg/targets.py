"""What each EEGEyeNet task asks of a model: how labels become targets, the loss, and how predictions are scored."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from turnsmith.eeg.files import PX_PER_MM
from turnsmith.eeg.metrics import angle_error, position_error


@dataclass(frozen=True, slots=True)
class Target:
    """One task, made from its training labels.

    Attributes:
        outputs: what the model's outputs are.
        mean, spread: outputs x spread + mean are in the labels' units.
        criterion: loss of (outputs, scaled targets).
        score: predictions and labels, both in the labels' units, to figures by name.
        error: which figure is the one to be small.
        unit: of that figure.
    """

    outputs: tuple[str, ...]
    mean: np.ndarray
    spread: np.ndarray
    criterion: Callable[[Tensor, Tensor], Tensor]
    score: Callable[[np.ndarray, np.ndarray], dict[str, float]]
    error: str
    unit: str

    def scaled(self, labels: np.ndarray) -> np.ndarray:
        """Labels as the loss wants them."""
        return (labels - self.mean) / self.spread

    def predictions(self, raw: np.ndarray) -> np.ndarray:
        """Outputs in the labels' units."""
        return raw * self.spread + self.mean


def target_of(task: str, labels: np.ndarray, in_pixels: bool = False) -> Target:
    """The target of a task.

    Args:
        task: "Position", "LR" or "Direction".
        labels: of the training windows, (windows, k).
        in_pixels: leave positions unscaled, as the released code does.
    """
    mean, spread = labels.mean(0), labels.std(0) + 1e-9
    if task == "Position":
        if in_pixels:
            mean, spread = np.zeros(2), np.ones(2)
        return Target(("x_px", "y_px"), mean, spread, functional.mse_loss, _position, "euclidean_mm", "mm")
    if task == "LR":
        return Target(
            ("right",),
            np.zeros(1),
            np.ones(1),
            functional.binary_cross_entropy_with_logits,
            _side,
            "wrong_pct",
            "% wrong",
        )
    # The angle is left in radians: its loss wraps.
    mean, spread = np.array([mean[0], 0.0]), np.array([spread[0], 1.0])
    return Target(("amplitude_px", "angle_rad"), mean, spread, _direction_loss, _direction, "angle_rmse_rad", "rad")


def squared_angle(predicted: Tensor, truth: Tensor) -> Tensor:
    """EEGEyeNet's loss of the direction task: mean squared wrapped difference of angles."""
    difference = predicted - truth
    return (torch.atan2(difference.sin(), difference.cos()) ** 2).mean()


def _direction_loss(predicted: Tensor, truth: Tensor) -> Tensor:
    return functional.mse_loss(predicted[:, 0], truth[:, 0]) + squared_angle(predicted[:, 1], truth[:, 1])


def _position(predicted: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    return position_error(predicted, labels).as_dict()


def _side(predicted: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    wrong = (predicted[:, 0] > 0) != (labels[:, 0] > 0.5)
    return {"wrong_pct": 100 * float(wrong.mean()), "accuracy": 1 - float(wrong.mean())}


def _direction(predicted: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    amplitude = float(np.sqrt(((predicted[:, 0] - labels[:, 0]) ** 2).mean()))
    return {
        "angle_rmse_rad": angle_error(predicted[:, 1], labels[:, 1]),
        "amplitude_rmse_mm": amplitude / PX_PER_MM,
    }
