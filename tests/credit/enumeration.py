"""Exact bias and variance of a credit: every group of trajectories of the finite MDP with its probability.

An estimator of the policy gradient is ĝ = (1/G) Σ_i Σ_t ∇ log π(a_{i,t} | s_{i,t}) A_{i,t}. Its mean is compared with
∇J: *bias* is the distance after the best scaling (a credit that is too large by a constant is a learning rate, not a
bias), relative to ∇J. Its *variance* is the trace of the covariance, after the same scaling, for one update of G = 2.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from finite_mdp import HORIZON, Trajectory, expected_return, log_prob, trajectories

THETA = torch.tensor([[0.3, -0.2, 0.1], [-0.4, 0.5, 0.2]], dtype=torch.float64)
Credit = Callable[[Sequence[Trajectory]], Sequence[torch.Tensor]]


@dataclass(frozen=True)
class Moments:
    mean: torch.Tensor
    """E ĝ, shape (6,)."""
    variance: float
    """E |ĝ − E ĝ|²."""

    @property
    def scale(self) -> float:
        """The factor c that brings c E ĝ closest to ∇J."""
        return float(self.mean @ gradient() / (self.mean @ self.mean))

    @property
    def bias(self) -> float:
        """|c E ĝ − ∇J| / |∇J|."""
        return float((self.scale * self.mean - gradient()).norm() / gradient().norm())

    @property
    def scaled_variance(self) -> float:
        return self.scale**2 * self.variance


@lru_cache(maxsize=1)
def gradient() -> torch.Tensor:
    theta = THETA.clone().requires_grad_()
    return torch.autograd.grad(expected_return(theta), theta)[0].flatten()


@lru_cache(maxsize=1)
def weighted() -> tuple[tuple[Trajectory, float, torch.Tensor], ...]:
    """(trajectory, its probability, ∇ log π of each of its actions (T, 6))."""
    policy = torch.softmax(THETA, dim=-1)
    found = []
    for one in trajectories():
        score_T6 = torch.zeros(len(one.actions), 2, 3, dtype=torch.float64)
        for t, (state, action) in enumerate(zip(one.states, one.actions, strict=True)):
            score_T6[t, state] = -policy[state]
            score_T6[t, state, action] += 1
        found.append((one, one.world * float(torch.exp(log_prob(THETA, one))), score_T6.flatten(1)))
    return tuple(found)


def moments(credit: Credit, size: int = 2) -> Moments:
    """Mean and variance of ĝ over all groups of this size (1 or 2); a credit must not care for the order of a group."""
    mean, square = torch.zeros(6, dtype=torch.float64), 0.0
    for group in itertools.combinations_with_replacement(weighted(), size):
        chance = 2.0 if size == 2 and group[0] is not group[1] else 1.0
        for _, each, _ in group:
            chance *= each
        advantages = credit([one for one, _, _ in group])
        estimate = torch.zeros(6, dtype=torch.float64)
        for (_, _, score_T6), advantage_T in zip(group, advantages, strict=True):
            estimate += advantage_T @ score_T6
        estimate = estimate / size
        mean += chance * estimate
        square += chance * float(estimate @ estimate)
    return Moments(mean, square - float(mean @ mean))


def chance_of_length(theta: torch.Tensor, turn: int) -> torch.Tensor:
    """P(T ≥ turn), turns from 1, differentiably."""
    reached = [one for one in trajectories() if len(one.actions) >= turn]
    return torch.stack([one.world * torch.exp(log_prob(theta, one)) for one in reached]).sum()


def rewards_of(group: Sequence[Trajectory]) -> list[torch.Tensor]:
    return [torch.tensor(one.rewards, dtype=torch.float64) for one in group]


def times_and_states(group: Sequence[Trajectory]) -> list[list[tuple[int, int]]]:
    """States of a problem with a horizon are pairs of time and state."""
    return [list(enumerate(one.states)) for one in group]


@lru_cache(maxsize=1)
def values() -> dict[tuple[int, int], float]:
    """V^π of each (time, state), by averaging returns to go."""
    total: dict[tuple[int, int], list[float]] = {}
    for one, chance, _ in weighted():
        for t, state in enumerate(one.states):
            sums = total.setdefault((t, state), [0.0, 0.0])
            sums[0] += chance * sum(one.rewards[t:])
            sums[1] += chance
    return {key: value / weight for key, (value, weight) in total.items()}


__all__ = ["HORIZON", "THETA", "Moments", "chance_of_length", "gradient", "moments", "rewards_of", "times_and_states",
           "values", "weighted"]  # fmt: skip
