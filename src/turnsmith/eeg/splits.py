"""Who is trained on and who is tested on: EEGEyeNet's split by participant, and label fractions within training."""

import math
from dataclasses import dataclass

import numpy as np

from turnsmith.errors import UserError


@dataclass(frozen=True, slots=True)
class Split:
    """Indices of windows. No participant is in two of them."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def by_participant(participants: np.ndarray, validation: float = 0.15, test: float = 0.15) -> Split:
    """EEGEyeNet's split: sorted unique numbers; ceil(15 %) of the people for test (the last), as many for validation.

    Args:
        participants: the participant of each window, (windows,).
        validation, test: fractions of the participants; each is rounded up, training takes what is left.

    Raises:
        UserError: if fewer than three participants are there, or none is left to train on.
    """
    people = np.unique(participants)
    n_test, n_validation = math.ceil(test * len(people)), math.ceil(validation * len(people))
    n_train = len(people) - n_test - n_validation
    if n_train < 1:
        raise UserError(
            f"the data hold {len(people)} participant(s); a split into training, validation and test people needs at "
            "least three. With one person use leave-one-run-out: turnsmith eeg cue."
        )
    parts = people[:n_train], people[n_train : n_train + n_validation], people[n_train + n_validation :]
    return Split(*(np.flatnonzero(np.isin(participants, part)) for part in parts))


def label_fraction(train: np.ndarray, participants: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """A random share of the training windows, drawn from every participant alike, at least one each.

    Larger fractions of the same seed contain the smaller ones, so that a curve over fractions is nested.

    Args:
        train: indices of the training windows.
        participants: the participant of each window of the whole data set.
        fraction: in (0, 1].
        seed: of the draw.

    Returns:
        Sorted indices of the windows whose labels may be used.
    """
    generator = np.random.default_rng(seed)
    chosen = []
    for person in np.unique(participants[train]):
        rows = generator.permutation(train[participants[train] == person])
        chosen.append(rows[: max(1, round(fraction * len(rows)))])
    return np.sort(np.concatenate(chosen))
