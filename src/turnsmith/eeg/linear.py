"""Linear models in closed form, which any network must beat: ridge regression and a shrinkage discriminant."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Ridge:
    """A fitted linear map `x @ weight + bias` of standardised features."""

    weight: np.ndarray
    bias: np.ndarray

    def predict(self, features: np.ndarray) -> np.ndarray:
        """(windows, features) to (windows, outputs)."""
        return features @ self.weight + self.bias


def fit_ridge(features: np.ndarray, targets: np.ndarray, penalty: float) -> Ridge:
    """Ridge regression on standardised features, unpenalised intercept.

    Args:
        features: (windows, features).
        targets: (windows, outputs).
        penalty: lambda, in units of windows: the penalty on squared weights is lambda x windows.

    Returns:
        The map, in the units of the given features.
    """
    mean, scale = features.mean(0), features.std(0) + 1e-9
    z, centre = (features - mean) / scale, targets.mean(0)
    if z.shape[1] <= len(z):
        solved = np.linalg.solve(z.T @ z + penalty * len(z) * np.eye(z.shape[1]), z.T @ (targets - centre))
    else:
        solved = z.T @ np.linalg.solve(z @ z.T + penalty * len(z) * np.eye(len(z)), targets - centre)
    weight = solved / scale[:, None]
    return Ridge(weight, centre - mean @ weight)


def select_ridge(
    features: np.ndarray,
    targets: np.ndarray,
    held_out: tuple[np.ndarray, np.ndarray],
    penalties: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0),
) -> Ridge:
    """The ridge whose penalty gives the least squared error on held-out (features, targets)."""
    fits = [fit_ridge(features, targets, penalty) for penalty in penalties]
    errors = [float(((fit.predict(held_out[0]) - held_out[1]) ** 2).mean()) for fit in fits]
    return fits[int(np.argmin(errors))]


def time_bins(eeg: np.ndarray, bins: int = 10) -> np.ndarray:
    """Means of each channel in equal spans of time: (windows, samples, channels) to (windows, bins x channels)."""
    windows, samples, channels = eeg.shape
    length = samples // bins
    return eeg[:, : bins * length].reshape(windows, bins, length, channels).mean(2).reshape(windows, -1)


@dataclass(frozen=True, slots=True)
class Discriminant:
    """A fitted two-class linear discriminant; a positive score means class 1."""

    weight: np.ndarray
    bias: float
    shrinkage: float

    def score(self, features: np.ndarray) -> np.ndarray:
        """(windows, features) to (windows,)."""
        return features @ self.weight + self.bias


def fit_discriminant(features: np.ndarray, labels: np.ndarray) -> Discriminant:
    """Linear discriminant with the pooled covariance shrunk towards a scaled identity (Ledoit and Wolf 2004).

    The covariance is (1 - s) S + s mu I: mu is the mean variance and s = min(1, b^2 / d^2), where b^2 estimates how far
    the sample covariance S is from the truth and d^2 how far it is from mu I. With more features than trials it is
    inverted through the trials' Gram matrix, which is the small one.

    Args:
        features: (trials, features); standardised here by the pooled within-class spread.
        labels: 0 or 1, (trials,).

    Raises:
        ValueError: if a class has no trial.
    """
    if not (labels == 0).any() or not (labels == 1).any():
        raise ValueError("a discriminant needs trials of both classes")
    first, second = features[labels == 0].mean(0), features[labels == 1].mean(0)
    within = features - np.where(labels[:, None] == 0, first, second)
    scale = within.std(0) + 1e-12
    z = within / scale
    trials, columns = z.shape
    wide = columns > trials
    product = z @ z.T if wide else z.T @ z
    mean_variance = (z**2).sum() / trials / columns
    squared = (product**2).sum() / trials**2  # |S|^2: the same of either product
    distance = squared - columns * mean_variance**2
    error = (((z**2).sum(1) ** 2).sum() / trials - squared) / trials
    shrinkage = float(np.clip(error / distance, 0, 1)) if distance > 0 else 1.0
    ridge = shrinkage * mean_variance + 1e-9
    shift = (second - first) / scale
    if wide:
        # (c Z'Z + r I)^-1 v = (v - Z' (ZZ' + r/c I)^-1 Z v) / r
        share = (1 - shrinkage) / trials
        inner = np.linalg.solve(share * product + ridge * np.eye(trials), share * (z @ shift))
        weight = (shift - z.T @ inner) / ridge / scale
    else:
        weight = np.linalg.solve((1 - shrinkage) * product / trials + ridge * np.eye(columns), shift) / scale
    return Discriminant(weight, float(-weight @ (first + second) / 2), shrinkage)
