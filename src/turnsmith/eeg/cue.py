"""Which side did the target appear on? Decoded from single trials of real EEG, leaving out one run at a time.

PhysioNet's EEGMMIDB (Schalk et al. 2004) has no eye tracker, but its targets appear left or right (top or bottom) of
the screen and people look at them: frontal channels carry the saccade. Annotation T1 is left (top), T2 right (bottom);
in the imagery and movement runs alike. A shrinkage discriminant on 50 ms means is enough.

Notable: this is cue side, not gaze, and one participant says nothing about others.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from turnsmith.eeg.linear import fit_discriminant
from turnsmith.eeg.recordings import (
    LEFT_RIGHT_RUNS,
    TOP_BOTTOM_RUNS,
    Signal,
    filtered,
    read_recording,
    run_number,
    windows,
)
from turnsmith.errors import UserError
from turnsmith.evaluate.stats import wilson

MARKS = ("T1", "T2")


@dataclass(frozen=True, slots=True)
class CueSettings:
    """How trials become features.

    Over 84 combinations of band, baseline, span and bin that were looked at on subject 1, left/right accuracy went from
    0.83 to 0.97; these values are in the middle of that range.

    Attributes:
        band_hz: of the filter.
        baseline_s: the span around the cue whose mean is subtracted, in seconds from the cue.
        span_s: the span that is used.
        bin_s: length of the means that are the features.
        permutations: how often labels are shuffled within runs for the chance level.
        seed: of the shuffling.
    """

    band_hz: tuple[float, float] = (0.5, 20.0)
    baseline_s: tuple[float, float] = (-0.2, 0.0)
    span_s: tuple[float, float] = (0.1, 0.5)
    bin_s: float = 0.05
    permutations: int = 200
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Trials:
    """Cued trials of several runs.

    Attributes:
        features: (trials, features).
        labels: 0 for T1, 1 for T2, (trials,).
        runs: the run of each trial, (trials,).
    """

    features: np.ndarray
    labels: np.ndarray
    runs: np.ndarray


@dataclass(frozen=True, slots=True)
class CueResult:
    """What leave-one-run-out decoding gave.

    Attributes:
        targets: "left/right", "top/bottom" or "T1/T2".
        accuracy: share of trials decoded right.
        correct, trials: counts.
        ci95: Wilson interval of the accuracy.
        by_run: accuracy of each held-out run.
        permutation_mean, permutation_95: mean and 95 % quantile of the accuracy with shuffled labels.
        p_value: share of shufflings (this one counted) that do as well.
        settings: how.
    """

    targets: str
    accuracy: float
    correct: int
    trials: int
    ci95: tuple[float, float]
    by_run: dict[str, float]
    permutation_mean: float
    permutation_95: float
    p_value: float
    settings: CueSettings

    def as_dict(self) -> dict[str, Any]:
        """JSON."""
        return asdict(self)


def recordings_in(folder: str | Path) -> dict[str, list[tuple[str, Path]]]:
    """The EDF runs of a folder by kind of target: {"left/right": [(run, path), …], "top/bottom": …}.

    Runs are told apart by the number in their names (S001R04.edf is run 4); files without one are of kind "T1/T2".

    Raises:
        UserError: if there are no EDF files.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder. Name one that holds EDF runs, such as S001R03.edf.")
    kinds: dict[str, list[tuple[str, Path]]] = {}
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() == ".edf"):
        number = run_number(path.name)
        if number in (1, 2):
            continue  # rest, without targets
        kind = "left/right" if number in LEFT_RIGHT_RUNS else "top/bottom" if number in TOP_BOTTOM_RUNS else "T1/T2"
        kinds.setdefault(kind, []).append((path.stem, path))
    if not kinds:
        raise UserError(f"{folder}: holds no EDF runs with targets. Runs are named like S001R03.edf.")
    return kinds


def trials_of(signals: Sequence[tuple[str, Signal]], settings: CueSettings) -> Trials:
    """Features of every trial that is annotated T1 or T2.

    Raises:
        UserError: if channels differ between runs or there are no such annotations.
    """
    features, labels, runs = [], [], []
    if len({text for _, signal in signals for _, text in signal.marks} & set(MARKS)) < 2:
        raise UserError("the runs have no annotations T1 and T2. Cue decoding needs both; see docs/eeg.md.")
    for run, signal in signals:
        if signal.channels != signals[0][1].channels:
            raise UserError(f"{signal.name}: its channels differ from those of {signals[0][1].name}.")
        marks = [(onset, MARKS.index(text)) for onset, text in signal.marks if text in MARKS]
        eeg, labelled = _epochs(filtered(signal, *settings.band_hz), marks, settings)
        features.append(_means(eeg, signal.rate, settings))
        labels.append(labelled)
        runs += [run] * len(labelled)
    every = np.concatenate(labels) if labels else np.zeros(0)
    if len(set(every.tolist())) < 2:
        raise UserError("no trials of both T1 and T2 lie whole in the runs. Cue decoding needs both; see docs/eeg.md.")
    return Trials(np.concatenate(features), every, np.array(runs))


def _epochs(signal: Signal, marks: Sequence[tuple[float, int]], settings: CueSettings) -> tuple[np.ndarray, np.ndarray]:
    """Windows from the start of the baseline to the end of the span."""
    length = round((settings.span_s[1] - settings.baseline_s[0]) * signal.rate)
    eeg, kept = windows(signal, [onset + settings.baseline_s[0] for onset, _ in marks], length)
    return eeg, np.array([label for _, label in marks], int)[kept]


def _means(eeg: np.ndarray, rate: float, settings: CueSettings) -> np.ndarray:
    time = settings.baseline_s[0] + np.arange(eeg.shape[1]) / rate
    before = (time >= settings.baseline_s[0] - 1e-9) & (time < settings.baseline_s[1] - 1e-9)
    eeg = eeg - eeg[:, before].mean(1, keepdims=True)
    bins = round((settings.span_s[1] - settings.span_s[0]) / settings.bin_s)
    edges = settings.span_s[0] + settings.bin_s * np.arange(bins + 1) - 1e-9
    return np.concatenate([eeg[:, (time >= low) & (time < high)].mean(1) for low, high in pairwise(edges)], 1)


def leave_one_run_out(trials: Trials) -> np.ndarray:
    """Whether each trial is decoded right by a discriminant that was fitted on the other runs, (trials,).

    Raises:
        UserError: if there is only one run.
    """
    runs = sorted(set(trials.runs.tolist()))
    if len(runs) < 2:
        raise UserError(f"only the run {runs[0]} is there; leaving one run out needs at least two.")
    right = np.zeros(len(trials.labels), bool)
    for run in runs:
        held = trials.runs == run
        model = fit_discriminant(trials.features[~held], trials.labels[~held])
        right[held] = (model.score(trials.features[held]) > 0) == (trials.labels[held] == 1)
    return right


def decode(trials: Trials, targets: str, settings: CueSettings) -> CueResult:
    """Accuracy, its interval, and what shuffled labels give."""
    right = leave_one_run_out(trials)
    rng, shuffled = np.random.default_rng(settings.seed), []
    for _ in range(settings.permutations):
        labels = trials.labels.copy()
        for run in sorted(set(trials.runs.tolist())):
            inside = np.flatnonzero(trials.runs == run)
            labels[inside] = labels[rng.permutation(inside)]
        shuffled.append(leave_one_run_out(Trials(trials.features, labels, trials.runs)).mean())
    accuracy = float(right.mean())
    as_good = sum(value >= accuracy for value in shuffled)
    return CueResult(
        targets,
        accuracy,
        int(right.sum()),
        len(right),
        wilson(int(right.sum()), len(right)),
        {str(run): float(right[trials.runs == run].mean()) for run in sorted(set(trials.runs.tolist()))},
        float(np.mean(shuffled)) if shuffled else float("nan"),
        float(np.quantile(shuffled, 0.95)) if shuffled else float("nan"),
        float((1 + as_good) / (1 + len(shuffled))),
        settings,
    )


def decode_folder(folder: str | Path, settings: CueSettings) -> dict[str, CueResult]:
    """Decode every kind of target whose runs (at least two) are in the folder.

    Raises:
        UserError: if no kind has two runs, or a file cannot be used.
    """
    kinds = recordings_in(folder)
    usable = {kind: paths for kind, paths in kinds.items() if len(paths) > 1}
    if not usable:
        found = ", ".join(f"{len(paths)} {kind}" for kind, paths in kinds.items())
        raise UserError(f"{folder}: leaving one run out needs two runs of a kind; here are {found}.")
    results = {}
    for kind, paths in usable.items():
        signals = [(run, read_recording(path)) for run, path in paths]
        results[kind] = decode(trials_of(signals, settings), kind, settings)
    return results
