"""A stand-in for an eye tracker on real EEG: the horizontal EOG, regressed from channels that are not part of it.

The target is the mean of the left temple's channels minus that of the right's; the model sees only other channels, of
runs that it was not fitted on. Where a recording has EOG electrodes, their difference is the target.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from turnsmith.eeg.linear import fit_ridge
from turnsmith.eeg.metrics import r_squared
from turnsmith.eeg.recordings import Signal, filtered
from turnsmith.errors import UserError

LEFT_TEMPLE, RIGHT_TEMPLE = ("AF7", "F7", "FT7"), ("AF8", "F8", "FT8")
BAND_HZ = (0.5, 20.0)
PENALTY = 1e-4


@dataclass(frozen=True, slots=True)
class ProxyResult:
    """R^2 on held-out recordings.

    Attributes:
        r2: mean over held-out runs (or folds).
        by_fold: R^2 of each.
        channels: how many channels the model saw.
        targets: the channels that made the target; the model never saw them.
    """

    r2: float
    by_fold: dict[str, float]
    channels: int
    targets: tuple[str, ...]


def split_channels(
    signal: Signal, left: Sequence[str] = LEFT_TEMPLE, right: Sequence[str] = RIGHT_TEMPLE
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Target mean(left) - mean(right), (samples, 1); the other channels, (samples, channels); their indices.

    Raises:
        UserError: if a target channel is missing.
    """
    missing = [name for name in (*left, *right) if name not in signal.channels]
    if missing:
        raise UserError(f"{signal.name}: has no channel {', '.join(missing)}, which the EOG proxy is made of.")
    plus, minus = ([signal.channels.index(name) for name in side] for side in (left, right))
    others = np.array([index for index in range(len(signal.channels)) if index not in {*plus, *minus}])
    target = signal.values[:, plus].mean(1) - signal.values[:, minus].mean(1)
    return target[:, None], signal.values[:, others], others


def is_posterior(name: str) -> bool:
    """Central, parietal, temporal and occipital channels: far from the eyes."""
    return name[:1] in "CPOIT" and not name.startswith("FT")


def leave_one_run_out(
    signals: Sequence[tuple[str, Signal]],
    left: Sequence[str] = LEFT_TEMPLE,
    right: Sequence[str] = RIGHT_TEMPLE,
    posterior_only: bool = False,
) -> ProxyResult:
    """Ridge regression of the proxy, each run predicted from the others.

    Args:
        signals: (run, signal), unfiltered.
        left, right: the target's channels.
        posterior_only: leave out frontal channels too: what volume conduction carries to the back of the head.

    Raises:
        UserError: if there are fewer than two runs, or target channels are missing.
    """
    if len(signals) < 2:
        raise UserError("the proxy regression leaves one run out: it needs at least two.")
    data: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for run, signal in signals:
        target, features, others = split_channels(filtered(signal, *BAND_HZ), left, right)
        if posterior_only:
            features = features[:, [is_posterior(signal.channels[index]) for index in others]]
        data[run] = features, target
    scores = {}
    for run, (features, target) in data.items():
        rest = [pair for other, pair in data.items() if other != run]
        model = fit_ridge(np.concatenate([x for x, _ in rest]), np.concatenate([y for _, y in rest]), PENALTY)
        scores[run] = r_squared(model.predict(features), target)
    width = next(iter(data.values()))[0].shape[1]
    return ProxyResult(float(np.mean(list(scores.values()))), scores, width, (*left, *right))


def temples(signal: Signal) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The channels whose difference is the target: the first two that are named EOG, or else the temples'."""
    eog = [name for name in signal.channels if "EOG" in name.upper()]
    return ((eog[0],), (eog[1],)) if len(eog) >= 2 else (LEFT_TEMPLE, RIGHT_TEMPLE)


def in_folds(signal: Signal, left: Sequence[str], right: Sequence[str], folds: int = 5) -> ProxyResult:
    """The same within one recording: contiguous folds, each predicted from the others."""
    length = len(signal.values) // folds
    parts = [
        (f"fold {fold + 1}", Signal(signal.values[fold * length : (fold + 1) * length], signal.rate, signal.channels))
        for fold in range(folds)
    ]
    return leave_one_run_out(parts, left, right)
