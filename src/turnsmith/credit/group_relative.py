"""GRPO's credit where an attempt is many sequences: threads of a tree, turns of an episode.

`returns.group_relative` says how good an attempt was within its group. Here that number is handed to the sequences that
made the attempt, and the reward may count what the attempt cost. Pure functions, no model.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from turnsmith.credit.returns import group_relative


def attempt_advantages(reward_N: Tensor, group_N: Sequence[int], scale: bool = True) -> Tensor:
    """Advantage of each attempt within the group of attempts at its task.

    Args:
        reward_N: reward of each attempt, shape (N,).
        group_N: which task each attempt was at; groups may have different sizes.
        scale: see `group_relative`.

    Returns:
        Shape (N,). The one attempt of a group (the others were lost to the infrastructure) has nothing to be compared
        with, and gets 0.

    Raises:
        ValueError: if the lengths differ.
    """
    if reward_N.shape != (len(group_N),):
        raise ValueError(f"rewards {tuple(reward_N.shape)} for {len(group_N)} attempts")
    advantage_N = torch.zeros_like(reward_N)
    members: dict[int, list[int]] = {}
    for attempt, group in enumerate(group_N):
        members.setdefault(group, []).append(attempt)
    for attempts in members.values():
        if len(attempts) > 1:
            advantage_N[attempts] = group_relative(reward_N[attempts], scale)
    return advantage_N


def sequence_weights(attempt_S: Sequence[int], credited_S: Sequence[bool] | None = None) -> Tensor:
    """The share of each sequence in its attempt: 1 / (sequences of the attempt that get credit), else 0.

    APR (arXiv 2504.15466): the loss of a parent's calls and of its children is divided by how many there are in the
    rollout, so that a tree of many threads does not count more than a small one. Crediting only the parent is
    `credited_S` True for parents.

    Args:
        attempt_S: which attempt each sequence belongs to, shape (S,).
        credited_S: whether a sequence gets any credit; without, all do.

    Returns:
        Shape (S,); the shares of an attempt add up to 1 (to 0 where none of its sequences is credited).

    Raises:
        ValueError: if the lengths differ.
    """
    credited = [True] * len(attempt_S) if credited_S is None else list(credited_S)
    if len(credited) != len(attempt_S):
        raise ValueError(f"{len(credited)} flags for {len(attempt_S)} sequences")
    counts: dict[int, int] = {}
    for attempt, counted in zip(attempt_S, credited, strict=True):
        counts[attempt] = counts.get(attempt, 0) + counted
    shares = [1.0 / counts[a] if counted else 0.0 for a, counted in zip(attempt_S, credited, strict=True)]
    return torch.tensor(shares, dtype=torch.float64)


def cost_aware(reward_N: Tensor, cost_N: Tensor, price: float, limit: float) -> Tensor:
    """Reward of a success, less what it cost: r · (1 − price · min(cost / limit, 1)).

    A failure stays 0 whatever it cost, so that giving up cheaply is never worth more than trying. (APR trains on
    correctness alone; a reward for a short critical path is ThreadWeaver's idea.)

    Args:
        reward_N: 0 or 1, shape (N,).
        cost_N: tokens in all, or on the critical path, shape (N,).
        price: what is lost at the limit, in [0, 1).
        limit: cost in the same unit.

    Raises:
        ValueError: if shapes differ, or price or limit are out of range.
    """
    if reward_N.shape != cost_N.shape:
        raise ValueError(f"rewards {tuple(reward_N.shape)} and costs {tuple(cost_N.shape)} differ in shape")
    if not 0 <= price < 1 or limit <= 0:
        raise ValueError(f"price {price} must be in [0, 1) and limit {limit} positive")
    return reward_N * (1 - price * (cost_N / limit).clamp(max=1.0))
