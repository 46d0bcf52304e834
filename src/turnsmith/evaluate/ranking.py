"""How well scores tell two classes apart."""

from collections.abc import Sequence

import numpy as np


def auc(scores: Sequence[float], labels: Sequence[bool]) -> float | None:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties counting half.

    Returns:
        In [0, 1]; None where there is only one class.

    Raises:
        ValueError: if the lengths differ.
    """
    if len(scores) != len(labels):
        raise ValueError(f"{len(scores)} scores for {len(labels)} labels")
    score_N, label_N = np.asarray(scores, dtype=float), np.asarray(labels, dtype=bool)
    positive, negative = score_N[label_N], np.sort(score_N[~label_N])
    if not positive.size or not negative.size:
        return None
    below = np.searchsorted(negative, positive, side="left")
    up_to = np.searchsorted(negative, positive, side="right")
    return float((below + up_to).mean() / 2 / negative.size)
