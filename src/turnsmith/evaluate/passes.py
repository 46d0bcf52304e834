"""pass@k and pass^k of several episodes a task: two figures that are easily taken for one another."""

from collections.abc import Sequence
from math import comb


def pass_at_k(successes: int, episodes: int, k: int) -> float:
    """pass@k: the probability that at least one of k episodes succeeds, drawn from these without replacement.

    1 − C(n−c, k) / C(n, k) (arXiv 2107.03374).

    Raises:
        ValueError: if there are fewer than k episodes.
    """
    _check(successes, episodes, k)
    return 1.0 - comb(episodes - successes, k) / comb(episodes, k)


def pass_hat_k(successes: int, episodes: int, k: int) -> float:
    """pass^k: the probability that all of k episodes succeed: C(c, k) / C(n, k) (tau-bench, arXiv 2406.12045).

    Raises:
        ValueError: if there are fewer than k episodes.
    """
    _check(successes, episodes, k)
    return comb(successes, k) / comb(episodes, k)


def mean_passes(successes: Sequence[int], episodes: Sequence[int], k: int) -> tuple[float, float]:
    """Means over tasks of (pass@k, pass^k)."""
    pairs = list(zip(successes, episodes, strict=True))
    at = [pass_at_k(c, n, k) for c, n in pairs]
    hat = [pass_hat_k(c, n, k) for c, n in pairs]
    return sum(at) / len(at), sum(hat) / len(hat)


def _check(successes: int, episodes: int, k: int) -> None:
    if not 0 <= successes <= episodes or not 1 <= k <= episodes:
        raise ValueError(f"{successes} successes of {episodes} episodes, k = {k}")
