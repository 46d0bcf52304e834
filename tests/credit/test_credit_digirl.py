"""DigiRL's advantages against exact enumeration of a finite MDP with episodes of different lengths."""

from collections import defaultdict
from functools import cache

import pytest
import torch
from finite_mdp import STOP, log_prob, trajectories

from turnsmith.credit.digirl import (
    awr_weights,
    curriculum,
    doubly_robust_advantage,
    hard_filter,
    instruction_advantage,
    outcome_weight,
    released_advantage,
    step_weights,
)

THETA = torch.tensor([[0.3, -0.2, 0.1], [-0.4, 0.5, 0.2]], dtype=torch.float64)


def success(trajectory):
    """The sparse outcome of a device task: stopping in state 1."""
    return float(trajectory.actions[-1] == STOP and trajectory.states[-1] == 1)


@cache
def everything():
    """(trajectory, its probability, R)."""
    return [(t, t.world * float(torch.exp(log_prob(THETA, t))), success(t)) for t in trajectories()]


def mean_outcome(prefix):
    """E[R | the episode begins so]: by enumeration of all that can follow."""
    rows = [(p, r) for t, p, r in everything() if prefix(t)]
    total = sum(p for p, _ in rows)
    return sum(p * r for p, r in rows) / total


@cache
def value(h, state):
    return mean_outcome(lambda t: len(t.states) > h and t.states[h] == state)


@cache
def q_value(h, state, action):
    return mean_outcome(lambda t: len(t.states) > h and t.states[h] == state and t.actions[h] == action)


def values_along(trajectory):
    known = [value(h, state) for h, state in enumerate(trajectory.states)]
    return torch.tensor([*known, 0.0], dtype=torch.float64)


def rewards_of(trajectory, outcome):
    return torch.tensor([0.0] * (len(trajectory.actions) - 1) + [outcome], dtype=torch.float64)


def test_without_outcome_weight_the_expected_advantage_is_q_minus_v():
    """The one-step difference with the exact V: its mean over what follows is Q(s, a) − V(s)."""
    sums = defaultdict(lambda: [0.0, 0.0])
    for trajectory, chance, outcome in everything():
        # The mix of 0 leaves the outcome in the last step only, where it is the value difference plus what V knew.
        advantage = doubly_robust_advantage(
            values_along(trajectory), rewards_of(trajectory, outcome), outcome, len(trajectory.actions) + 1, mix=0.0
        )
        for h, (state, action) in enumerate(zip(trajectory.states, trajectory.actions, strict=True)):
            sums[h, state, action][0] += chance * float(advantage[h])
            sums[h, state, action][1] += chance
    assert len(sums) > 10
    for (h, state, action), (total, chance) in sums.items():
        assert total / chance == pytest.approx(q_value(h, state, action) - value(h, state), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("mix", [0.5, 0.9])
def test_the_expected_advantage_is_the_enumerated_mixture(mix):
    """Per (h, s, a): the mean of the closed form equals the mixture written out over all continuations."""
    ours, by_hand = defaultdict(float), defaultdict(float)
    for trajectory, chance, outcome in everything():
        steps = len(trajectory.actions)
        advantage = doubly_robust_advantage(values_along(trajectory), rewards_of(trajectory, outcome), outcome, mix=mix)
        for h, (state, action) in enumerate(zip(trajectory.states, trajectory.actions, strict=True)):
            ours[h, state, action] += chance * float(advantage[h])
            following = value(h + 1, trajectory.states[h + 1]) if h + 1 < steps else 0.0
            reward = outcome if h + 1 == steps else 0.0
            if outcome:
                weight = mix ** (steps - 1 - h)
                credit = weight * 1.0 + (1 - weight) * (reward + following - value(h, state))
            else:
                credit = reward + following - value(h, state)
            by_hand[h, state, action] += chance * credit
    assert ours.keys() == by_hand.keys()
    for key, expected in by_hand.items():
        assert ours[key] == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_a_failed_episode_is_pure_value_difference_and_a_success_ends_with_one():
    values, rewards = torch.tensor([0.4, 0.7, 0.2, 0.0]), torch.zeros(3)
    torch.testing.assert_close(doubly_robust_advantage(values, rewards, 0.0), torch.tensor([0.3, -0.5, -0.2]))
    won = doubly_robust_advantage(values, torch.tensor([0.0, 0.0, 1.0]), 1.0)
    torch.testing.assert_close(won, torch.tensor([0.25 + 0.75 * 0.3, 0.5 + 0.5 * -0.5, 1.0]))


def test_a_longer_horizon_than_the_episode_moves_the_weight_to_the_critic():
    assert outcome_weight(3, 1.0, 5).tolist() == [0.5**4, 0.5**3, 0.5**2]
    assert outcome_weight(3, 1.0).tolist() == [0.25, 0.5, 1.0]
    assert outcome_weight(2, 0.0).tolist() == [0.0, 0.0]


def test_the_released_rule_counts_the_last_reward_twice_and_is_clamped():
    values = torch.tensor([0.1, 0.3, 0.2, 0.0])
    failed = released_advantage(values, torch.zeros(3), 0.0)
    torch.testing.assert_close(failed, torch.tensor([0.15, 0.0, 0.0]))
    won = released_advantage(values, torch.tensor([0.0, 0.0, 1.0]), 1.0)
    torch.testing.assert_close(won, torch.tensor([0.2 - 0.05 + 0.25, -0.1 - 0.05 + 0.5, 1.0]))


def test_the_rules_keep_what_exceeds_their_threshold():
    values, rewards = torch.tensor([0.4, 0.7, 0.2, 0.0]), torch.zeros(3)
    assert step_weights(values, rewards, 0.0, threshold=0.1)[1].tolist() == [1.0, 0.0, 0.0]
    assert step_weights(values, rewards, 0.0, threshold=0.35)[1].tolist() == [0.0, 0.0, 0.0]
    assert step_weights(values, rewards, 0.0, rule="released")[1].tolist() == [1.0, 0.0, 0.0]
    assert hard_filter(torch.tensor([0.1, 0.1001]), 0.1).tolist() == [0.0, 1.0]


def test_awr_weights_are_exponential_and_never_overflow():
    weights = awr_weights(torch.tensor([0.0, 0.1, 100.0, -100.0]), temperature=0.1, largest=20.0)
    torch.testing.assert_close(weights, torch.tensor([1.0, torch.e, 20.0, 0.0]))
    assert torch.isfinite(awr_weights(torch.tensor([1e30]), 0.01)).all()


def test_the_curriculum_keeps_surprising_successes_first():
    advantage = instruction_advantage(torch.tensor([1.0, 1.0, 0.0, 0.0]), torch.tensor([0.9, 0.1, 0.5, 0.1]))
    assert curriculum(advantage, 0.25) == [1]
    assert curriculum(advantage, 0.5) == [0, 1]
    assert curriculum([0.0] * 10, 0.1) == [9]  # among equals the newest
    assert curriculum([0.0] * 10, 0.1, "released") == list(range(10))  # ties at the quantile: everything
    assert curriculum([1.0] * 3 + [0.0] * 17, 0.1, "released") == [0, 1, 2]  # all successes, more than 10 %
    assert curriculum([], 0.1) == []


def test_impossible_arguments_are_refused():
    with pytest.raises(ValueError, match="T \\+ 1"):
        doubly_robust_advantage(torch.zeros(3), torch.zeros(3), 1.0)
    with pytest.raises(ValueError, match="shorter"):
        outcome_weight(4, 1.0, 3)
    with pytest.raises(ValueError, match="unknown rule"):
        curriculum([1.0], 0.5, "other")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="fraction"):
        curriculum([1.0], 0.0)
    with pytest.raises(ValueError, match="positive"):
        awr_weights(torch.zeros(1), 0.0)
