"""Credit estimators against exact enumeration of a finite MDP with episodes of different lengths."""

import itertools

import pytest
import torch
from finite_mdp import expected_return, log_prob, trajectories

from turnsmith.credit.returns import group_relative, rewards_to_go

THETA = torch.tensor([[0.3, -0.2, 0.1], [-0.4, 0.5, 0.2]], dtype=torch.float64)


def exact_gradient(discount=1.0):
    theta = THETA.clone().requires_grad_()
    return torch.autograd.grad(expected_return(theta, discount), theta)[0]


def test_trajectories_are_a_probability_distribution():
    total = sum(t.world * torch.exp(log_prob(THETA, t)) for t in trajectories())
    assert float(total) == pytest.approx(1.0, abs=1e-12)
    assert {len(t.actions) for t in trajectories()} == {1, 2, 3}


def test_rewards_to_go_are_the_hand_computed_sums():
    returns = rewards_to_go(torch.tensor([1.0, 0.0, 2.0]), 0.5)
    assert returns.tolist() == [1.5, 1.0, 2.0]
    assert rewards_to_go(torch.zeros(0)).tolist() == []


@pytest.mark.parametrize("baseline", [0.0, 0.37])
def test_the_expected_policy_gradient_with_rewards_to_go_is_the_exact_gradient(baseline):
    theta = THETA.clone().requires_grad_()
    table = torch.log_softmax(theta, dim=-1)
    surrogate = theta.new_zeros(())
    for trajectory in trajectories():
        weight = trajectory.world * torch.exp(log_prob(theta, trajectory)).detach()
        credit = rewards_to_go(torch.tensor(trajectory.rewards, dtype=torch.float64)) - baseline
        for t, (state, action) in enumerate(zip(trajectory.states, trajectory.actions, strict=True)):
            surrogate = surrogate + weight * credit[t] * table[state, action]
    estimated = torch.autograd.grad(surrogate, theta)[0]
    torch.testing.assert_close(estimated, exact_gradient(), rtol=1e-9, atol=1e-12)


def test_mean_centred_groups_give_the_exact_gradient_times_g_minus_one_over_g():
    # The group's own mean is a baseline that contains the attempt itself: E = (1 − 1/G) ∇J, here with G = 2.
    theta = THETA.clone().requires_grad_()
    each = trajectories()
    log_prob_N = torch.stack([log_prob(theta, trajectory) for trajectory in each])
    chance_N = torch.tensor([t.world for t in each], dtype=torch.float64) * log_prob_N.detach().exp()
    reward_N = torch.tensor([sum(t.rewards) for t in each], dtype=torch.float64)
    credit_N = torch.zeros(len(each), dtype=torch.float64)  # of each trajectory, over all groups that it is in
    for group in itertools.product(range(len(each)), repeat=2):
        advantages = group_relative(reward_N[list(group)], scale=False)
        for member, advantage in zip(group, advantages, strict=True):
            credit_N[member] += chance_N[list(group)].prod() * advantage / 2
    estimated = torch.autograd.grad((credit_N * log_prob_N).sum(), theta)[0]
    torch.testing.assert_close(estimated, exact_gradient() / 2, rtol=1e-9, atol=1e-12)


def test_scaled_groups_have_mean_zero_and_unit_deviation():
    advantages = group_relative(torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0], dtype=torch.float64))
    assert float(advantages.mean()) == pytest.approx(0, abs=1e-12)
    assert float(advantages.std()) == pytest.approx(1, abs=1e-9)


def test_a_group_without_differences_has_no_preference():
    assert group_relative(torch.ones(5)).tolist() == [0.0] * 5


def test_impossible_arguments_are_refused():
    with pytest.raises(ValueError, match="at least two"):
        group_relative(torch.ones(1))
    with pytest.raises(ValueError, match="discount"):
        rewards_to_go(torch.ones(2), 1.5)
