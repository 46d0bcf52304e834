"""Which trajectories of all iterations an update learns from: weights over an all-time buffer, drawn without return.

Recency after TTI (arXiv 2506.07976): the k-th of |D| trajectories has weight k / |D|. The authors' code mixes it half
and half with the inverse frequency of a trajectory's site, so that an easy site does not crowd out the others; its
index is taken after trajectories were regrouped by task and so is not chronological, which here it is.
"""

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """How to weigh what a buffer holds. With neither, all weigh the same.

    Attributes:
        recency: share of the weight that grows with a trajectory's place in time. The paper: 1.
        balance: share that is the inverse frequency of its site. The authors' code: 0.5 each.
    """

    recency: float = 1.0
    balance: float = 0.0

    def __post_init__(self) -> None:
        if self.recency < 0 or self.balance < 0 or self.recency + self.balance > 1 + 1e-9:
            raise ValueError(f"recency {self.recency} and balance {self.balance} must be shares of one weight")


def weights(sites: Sequence[str], replay: Replay) -> list[float]:
    """The probability of each trajectory to be drawn first.

    p_k = recency · k / Σ_j j + balance · f_k / Σ_j f_j + (1 − recency − balance) / N,
    with k the place in time, from 1, and f_k = 1 / (trajectories of the same site).

    Args:
        sites: of each trajectory, the oldest first.
        replay: the shares.

    Returns:
        N probabilities that sum to 1; none where there is no trajectory.
    """
    count = len(sites)
    often = Counter(sites)
    ranks, spread = count * (count + 1) / 2, len(often)
    rest = 1 - replay.recency - replay.balance
    return [
        replay.recency * (place / ranks) + replay.balance / (often[site] * spread) + rest / count
        for place, site in enumerate(sites, start=1)
    ]


def draw(items: Sequence[T], chances: Sequence[float], count: int, seed: object) -> list[T]:
    """At most `count` of the items, without replacement, one after the other in proportion to their chances.

    By exponential races (Efraimidis and Spirakis 2006): item k has the key log(u_k) / p_k, and the largest keys win,
    which is the same as drawing one after the other. Items of chance 0 are never drawn.

    Args:
        items, chances: of equal length.
        count: how many.
        seed: of the draw; the same seed draws the same.

    Returns:
        The items, in their own order.
    """
    if len(items) != len(chances):
        raise ValueError(f"{len(items)} items and {len(chances)} chances do not fit")
    rng = random.Random(f"replay/{seed}")
    keys = [math.log(1 - rng.random()) / chance if chance > 0 else -math.inf for chance in chances]
    possible = [k for k, chance in enumerate(chances) if chance > 0]
    best = sorted(possible, key=lambda k: keys[k], reverse=True)[:count]
    return [items[k] for k in sorted(best)]
