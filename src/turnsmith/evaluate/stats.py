"""Intervals and paired tests for success rates.

Pure functions on plain numbers. Infra errors are not in the numbers: `evaluate.report` counts them apart.
"""

import math
from collections.abc import Sequence

import numpy as np

Z95 = 1.959963984540054


def wilson(successes: float, trials: int, z: float = Z95) -> tuple[float, float]:
    """Wilson score interval of a binomial proportion (Wilson 1927).

    Args:
        successes: how many of the trials succeeded; a trial whose reward is between 0 and 1 counts by that share.
        trials: how many there were; 0 gives the whole range (0, 1).
        z: normal quantile; the default gives 95 %.

    Returns:
        (low, high), fractions in [0, 1].

    Raises:
        ValueError: if successes is not in [0, trials].
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials")
    if trials == 0:
        return 0.0, 1.0
    rate = successes / trials
    shrink = 1 + z * z / trials
    centre = (rate + z * z / (2 * trials)) / shrink
    half = z / shrink * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    return max(0.0, centre - half), min(1.0, centre + half)


def paired_bootstrap(
    first: Sequence[float], second: Sequence[float], resamples: int = 10_000, seed: int = 0
) -> tuple[float, float, float]:
    """Mean of `second - first` over paired tasks, with its percentile bootstrap interval (Efron 1979).

    Args:
        first: score of each task under the first system, shape (N,).
        second: score of the same tasks, in the same order, under the second, shape (N,).
        resamples: bootstrap resamples of the N pairs.
        seed: of the resampling.

    Returns:
        (difference, low, high) with low and high the 2.5 % and 97.5 % quantiles.

    Raises:
        ValueError: if the lengths differ or nothing is there.
    """
    if len(first) != len(second) or not first:
        raise ValueError(f"{len(first)} and {len(second)} scores cannot be paired")
    difference_N = np.asarray(second, dtype=float) - np.asarray(first, dtype=float)
    return bootstrap_mean(difference_N, resamples, seed)


def bootstrap_mean(
    values: Sequence[float] | np.ndarray, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float, float]:
    """Mean of `values` (shape (N,)) with its 95 % percentile bootstrap interval: (mean, low, high).

    Raises:
        ValueError: if nothing is there.
    """
    values_N = np.asarray(values, dtype=float)
    if values_N.size == 0:
        raise ValueError("no values")
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    for start in range(0, resamples, 1000):  # bounded memory whatever N is
        count = min(1000, resamples - start)
        rows = rng.integers(0, values_N.size, size=(count, values_N.size))
        means[start : start + count] = values_N[rows].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(values_N.mean()), float(low), float(high)


def clustered_bootstrap(
    clusters: Sequence[Sequence[float]], resamples: int = 10_000, seed: int = 0
) -> tuple[float, float, float]:
    """Mean over clusters (seeds) of the cluster mean, resampling clusters and then values within them.

    For "seeds × tasks" results: the interval covers both which seeds were drawn and which tasks.

    Args:
        clusters: one sequence of values a cluster (seed); lengths may differ.

    Returns:
        (mean, low, high) at 95 %.

    Raises:
        ValueError: if there is no cluster or an empty one.
    """
    if not clusters or any(len(cluster) == 0 for cluster in clusters):
        raise ValueError("each cluster needs at least one value")
    arrays = [np.asarray(cluster, dtype=float) for cluster in clusters]
    low, high = np.quantile(resampled_means(arrays, resamples, seed), [0.025, 0.975])
    return float(np.mean([array.mean() for array in arrays])), float(low), float(high)


def resampled_means(clusters: Sequence[np.ndarray], resamples: int, seed: int) -> np.ndarray:
    """The mean over clusters of the mean in each, where clusters and then rows in them are drawn anew: (resamples, …).

    Args:
        clusters: arrays (N, …) with rows of one shape; N may differ.
        resamples: how often.
        seed: of the resampling. Clusters of one length are drawn at once, from the stream that drawing them one after
            the other reads, so a figure does not depend on which way it was made.
    """
    rng, count = np.random.default_rng(seed), len(clusters)
    if len({len(cluster) for cluster in clusters}) > 1:
        found = []
        for _ in range(resamples):
            drawn = [clusters[i] for i in rng.integers(0, count, size=count)]
            rows = [cluster[rng.integers(0, len(cluster), size=len(cluster))] for cluster in drawn]
            found.append(np.mean([part.mean(axis=0) for part in rows], axis=0))
        return np.array(found)
    table, size = np.stack(clusters), len(clusters[0])
    limits = np.concatenate([np.full(count, count), np.full(count * size, size)])  # of one resample's draws, in order
    at_once, means = max(1, 1_000_000 // len(limits)), []
    for start in range(0, resamples, at_once):
        drawn = rng.integers(0, np.broadcast_to(limits, (min(at_once, resamples - start), len(limits))))
        rows = drawn[:, count:].reshape(len(drawn), count, size)
        means.append(table[drawn[:, :count, None], rows].mean(axis=2).mean(axis=1))
    return np.concatenate(means)
