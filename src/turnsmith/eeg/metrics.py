"""How far off a prediction is. For gaze position two figures circulate, and they are not the same one.

EEGEyeNet's code scores the mean Euclidean distance; EEGViT and EEG-MAE report the root of the squared error averaged
over both coordinates, halved to millimetres. On the same predictions the two differ by a fifth or more, so every report
here prints both.
"""

from dataclasses import asdict, dataclass

import numpy as np

from turnsmith.eeg.files import PX_PER_MM


@dataclass(frozen=True, slots=True)
class PositionError:
    """The error of predicted gaze positions.

    Attributes:
        euclidean_px, euclidean_mm: mean Euclidean distance (EEGEyeNet's position score).
        rmse_px, rmse_mm: sqrt of the mean squared error over both coordinates (EEGViT, EEG-MAE).
    """

    euclidean_px: float
    euclidean_mm: float
    rmse_px: float
    rmse_mm: float

    def as_dict(self) -> dict[str, float]:
        """The four figures by name, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.euclidean_mm:.1f} mm mean distance, {self.rmse_mm:.1f} mm per-coordinate RMSE"


def position_error(predicted: np.ndarray, truth: np.ndarray) -> PositionError:
    """Both position metrics.

    Args:
        predicted, truth: screen positions in pixels, (windows, 2).

    Raises:
        ValueError: if the shapes differ or are not (windows, 2).
    """
    if predicted.shape != truth.shape or predicted.ndim != 2 or predicted.shape[1] != 2:
        raise ValueError(f"positions of shapes {predicted.shape} and {truth.shape}; both must be (windows, 2)")
    difference = np.asarray(predicted, np.float64) - np.asarray(truth, np.float64)
    euclidean = float(np.sqrt((difference**2).sum(1)).mean())
    rmse = float(np.sqrt((difference**2).mean()))
    return PositionError(euclidean, euclidean / PX_PER_MM, rmse, rmse / PX_PER_MM)


def angle_error(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Root mean square of the wrapped difference of angles, radians (EEGEyeNet's direction task)."""
    difference = np.asarray(predicted, np.float64) - np.asarray(truth, np.float64)
    return float(np.sqrt((np.arctan2(np.sin(difference), np.cos(difference)) ** 2).mean()))


def r_squared(predicted: np.ndarray, truth: np.ndarray) -> float:
    """1 - residual sum of squares / sum of squares around the truth's own mean."""
    truth = np.asarray(truth, np.float64)
    return float(1 - ((truth - predicted) ** 2).sum() / ((truth - truth.mean()) ** 2).sum())
