"""A finite MDP small enough to enumerate: every trajectory with its probability, so that expectations are exact.

States 0 and 1, actions 0, 1 and 2 (stop). Episodes have different lengths: action 2 ends one, and so does the horizon.
Transitions are stochastic; the reward depends on state, action and next state.
"""

from dataclasses import dataclass
from functools import cache

import torch

HORIZON = 3
STOP = 2


@dataclass(frozen=True)
class Trajectory:
    states: tuple[int, ...]
    actions: tuple[int, ...]
    rewards: tuple[float, ...]
    world: float
    """Product of the transition probabilities (without the policy's)."""


def _transitions(state, action):
    """(probability, next state, reward); a next state of None ends the episode."""
    if action == STOP:
        return [(1.0, None, 1.0 if state == 1 else 0.0)]
    stay = 0.7 if action == 0 else 0.2
    return [(stay, state, 0.1 * action), (1 - stay, 1 - state, -0.05)]


@cache
def trajectories():
    """Every trajectory from state 0."""

    def walk(state, states, actions, rewards, world):
        if len(actions) == HORIZON:
            yield Trajectory(states, actions, rewards, world)
            return
        for action in range(3):
            for chance, following, reward in _transitions(state, action):
                step = ((*states, state), (*actions, action), (*rewards, reward), world * chance)
                if following is None:
                    yield Trajectory(*step)
                else:
                    yield from walk(following, *step)

    return tuple(walk(0, (), (), (), 1.0))


def log_prob(theta, trajectory):
    """Σ_t log π(a_t | s_t) for the tabular softmax policy with logits `theta` of shape (2, 3)."""
    table = torch.log_softmax(theta, dim=-1)
    return table[list(trajectory.states), list(trajectory.actions)].sum()


def expected_return(theta, discount=1.0):
    """J(θ), exactly and differentiably."""
    total = theta.new_zeros(())
    for trajectory in trajectories():
        gain = sum(discount**t * reward for t, reward in enumerate(trajectory.rewards))
        total = total + trajectory.world * torch.exp(log_prob(theta, trajectory)) * gain
    return total
