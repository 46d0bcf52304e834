"""Digi-Q's targets: their fixed point on an enumerated MDP is the exact Q and V of the policy that made the log."""

from functools import cache

import pytest
import torch
from finite_mdp import HORIZON, STOP, _transitions, expected_return, log_prob, trajectories

from turnsmith.credit.td import (
    best_of_n,
    join_heads,
    lambda_target,
    mc_target,
    polyak,
    q_target,
    softmax_of_n,
    squared_error,
)

THETA = torch.tensor([[0.3, -0.2, 0.1], [-0.4, 0.5, 0.2]], dtype=torch.float64)
DISCOUNT = 0.9


@cache
def exact_q(h, state, action):
    """E[discounted return | s_h, a_h] by enumeration of the trajectories that pass there."""
    total, mass = 0.0, 0.0
    for trajectory in trajectories():
        if len(trajectory.actions) > h and (trajectory.states[h], trajectory.actions[h]) == (state, action):
            chance = trajectory.world * float(torch.exp(log_prob(THETA, trajectory)))
            gain = sum(DISCOUNT**k * r for k, r in enumerate(trajectory.rewards[h:]))
            total, mass = total + chance * gain, mass + chance
    return total / mass


def reachable():
    return [(h, s, a) for h in range(HORIZON) for s in range(2) for a in range(3) if h > 0 or s == 0]


def every_transition():
    """(h, s, a, chance given (s, a), next state or None, reward)."""
    for h, state, action in reachable():
        for chance, following, reward in _transitions(state, action):
            yield h, state, action, chance, following, reward


def test_td_with_slow_copies_converges_to_the_enumerated_q_and_v():
    """SARSA-style evaluation: no maximum, two heads from different starts, Polyak targets, episodes of any length."""
    policy = THETA.softmax(dim=-1)
    generator = torch.Generator().manual_seed(0)
    q = torch.rand(2, HORIZON, 2, 3, generator=generator, dtype=torch.float64)
    v = torch.rand(2, HORIZON + 1, 2, generator=generator, dtype=torch.float64)
    slow_q, slow_v = q.clone(), v.clone()
    rows = list(every_transition())
    for _ in range(400):
        fresh = torch.zeros_like(q)
        for h, s, a, chance, following, reward in rows:
            done = torch.tensor(float(following is None or h + 1 == HORIZON))
            next_value = slow_v[:, h + 1, following if following is not None else 0]
            fresh[:, h, s, a] += chance * q_target(
                torch.tensor(reward, dtype=torch.float64), next_value, done, DISCOUNT
            )
        q = fresh  # the minimiser of J_Q over all (s, a)
        v[:, :HORIZON] = (policy * slow_q).sum(dim=-1)  # the minimiser of J_V when actions follow the policy
        polyak([slow_q, slow_v], [q, v], 0.3)
    for h, s, a in reachable():
        for head in range(2):
            assert float(q[head, h, s, a]) == pytest.approx(exact_q(h, s, a), rel=1e-6)
    assert float(v[0, 0, 0]) == pytest.approx(float(expected_return(THETA, DISCOUNT)), rel=1e-6)


def test_the_expected_monte_carlo_target_is_the_enumerated_q():
    sums = {}
    for trajectory in trajectories():
        chance = trajectory.world * float(torch.exp(log_prob(THETA, trajectory)))
        targets = mc_target(torch.tensor(trajectory.rewards, dtype=torch.float64), DISCOUNT)
        for h, pair in enumerate(zip(trajectory.states, trajectory.actions, strict=True)):
            total, mass = sums.get((h, *pair), (0.0, 0.0))
            sums[(h, *pair)] = (total + chance * float(targets[h]), mass + chance)
    assert set(sums) == set(reachable())
    for (h, s, a), (total, mass) in sums.items():
        assert total / mass == pytest.approx(exact_q(h, s, a), rel=1e-6)


@pytest.mark.parametrize("decay", [0.0, 0.5, 1.0])
def test_the_expected_lambda_target_on_exact_values_is_the_enumerated_q(decay):
    policy = THETA.softmax(dim=-1)
    sums = {}
    for trajectory in trajectories():
        chance = trajectory.world * float(torch.exp(log_prob(THETA, trajectory)))
        steps = len(trajectory.rewards)
        following = [
            sum(float(policy[s, a]) * exact_q(h, s, a) for a in range(3)) if h < steps else float("nan")
            for h, s in enumerate((*trajectory.states[1:steps], 0), start=1)
        ]
        targets = lambda_target(
            torch.tensor(trajectory.rewards, dtype=torch.float64),
            torch.tensor(following, dtype=torch.float64),
            torch.tensor([float(h + 1 == steps) for h in range(steps)]),
            DISCOUNT,
            decay,
        )
        for h, pair in enumerate(zip(trajectory.states, trajectory.actions, strict=True)):
            total, mass = sums.get((h, *pair), (0.0, 0.0))
            sums[(h, *pair)] = (total + chance * float(targets[h]), mass + chance)
    for (h, s, a), (total, mass) in sums.items():
        assert total / mass == pytest.approx(exact_q(h, s, a), rel=1e-6)


def test_lambda_targets_of_several_episodes_lie_between_td_and_monte_carlo():
    reward, done = torch.tensor([0.0, 0.0, 1.0, 0.0, 1.0]), torch.tensor([0.0, 0.0, 1.0, 0.0, 1.0])
    following = torch.tensor([0.3, 0.6, 9.0, 0.2, 9.0])
    td = q_target(reward, following, done, 0.9)
    mc = torch.cat([mc_target(part, 0.9) for part in (reward[:3], reward[3:])])
    torch.testing.assert_close(lambda_target(reward, following, done, 0.9, 0.0), td)
    torch.testing.assert_close(lambda_target(reward, following, done, 0.9, 1.0), mc)
    assert lambda_target(reward, following, done, 0.9, 0.5)[0] == pytest.approx(
        0.9 * (0.5 * 0.3 + 0.5 * 0.9 * (0.5 * 0.6 + 0.5 * 1.0))
    )
    with pytest.raises(ValueError, match="decay"):
        lambda_target(reward, following, done, 0.9, 1.1)


def test_the_end_of_an_episode_does_not_bootstrap_and_a_cut_does():
    reward, following = torch.tensor([1.0, 0.0]), torch.tensor([[5.0, 0.5], [5.0, 0.7]])
    target = q_target(reward, following, torch.tensor([1, 0]), 0.9)
    torch.testing.assert_close(target, torch.tensor([[1.0, 0.45], [1.0, 0.63]]))


def test_no_gradient_flows_into_targets():
    estimate = torch.tensor([[0.5, 0.2]], requires_grad=True)
    following = torch.tensor([0.1, 0.3], requires_grad=True)
    loss = squared_error(estimate, q_target(torch.zeros(2), following, torch.zeros(2), 1.0))
    loss.backward()
    assert following.grad is None
    torch.testing.assert_close(estimate.grad, torch.tensor([[0.4, -0.1]]))
    assert float(loss.detach()) == pytest.approx((0.4**2 + 0.1**2) / 2)


def test_best_of_n_picks_the_valid_candidate_with_the_most_to_gain():
    q = torch.tensor([[0.1, 0.9, 0.5], [0.2, 0.3, 0.1], [0.9, 0.1, 0.1]])
    valid = torch.tensor([[True, False, True], [True, True, True], [False, False, False]])
    best, kept = best_of_n(q, torch.tensor([0.3, 0.3, 0.0]), valid)
    assert best[:2].tolist() == [2, 1]
    assert kept.tolist() == [True, False, False]  # the second gains exactly nothing
    assert best_of_n(q, torch.tensor([0.3, 0.3, 0.0]), valid, margin=0.25)[1].tolist() == [False, False, False]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_expected_q_of_the_chosen_candidate_rises_with_n(count):
    """By enumeration of all draws of N candidates from the behaviour policy: E max Q grows with N, and N = 1 is E Q."""
    policy, q = THETA.softmax(dim=-1)[0], torch.tensor([exact_q(0, 0, a) for a in range(3)], dtype=torch.float64)

    def expected(n):
        total = torch.zeros((), dtype=torch.float64)
        for draw in torch.cartesian_prod(*[torch.arange(3)] * n).reshape(-1, n):
            best, _ = best_of_n(q[draw][None], torch.zeros(1).double(), torch.ones(1, n, dtype=torch.bool))
            total = total + policy[draw].prod() * q[draw[best[0]]]
        return float(total)

    if count == 1:
        assert expected(1) == pytest.approx(float((policy * q).sum()), rel=1e-9)
    else:
        assert expected(count) > expected(count - 1)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 5.0])
def test_softmax_of_n_draws_from_the_policy_tilted_by_q(temperature):
    """Of many candidates from π_β it draws π_β exp(Q / β) / Z: the frequencies of 20,000 draws against that."""
    policy, q = torch.tensor([0.6, 0.3, 0.1, 0.0]), torch.tensor([0.0, 0.2, 0.5, 9.0])
    source = torch.Generator().manual_seed(4)
    drawn = torch.multinomial(policy, 20_000 * 64, replacement=True, generator=source).view(20_000, 64)
    chosen = softmax_of_n(q[drawn], torch.ones_like(drawn, dtype=torch.bool), temperature, source)
    found = torch.bincount(drawn.gather(1, chosen[:, None])[:, 0], minlength=4) / 20_000
    expected = policy * (q.masked_fill(policy == 0, 0) / temperature).exp()
    torch.testing.assert_close(found, expected / expected.sum(), atol=0.02, rtol=0)


def test_softmax_of_n_leaves_out_what_did_not_parse():
    valid = torch.tensor([[False, True, False], [False, False, False]])
    chosen = softmax_of_n(torch.zeros(2, 3), valid, 0.1, torch.Generator().manual_seed(0))
    assert chosen.tolist() == [1, 0]


def test_heads_are_joined_by_name():
    heads = torch.tensor([[1.0, 4.0], [3.0, 2.0]])
    assert join_heads(heads, "max").tolist() == [3.0, 4.0]
    assert join_heads(heads, "min").tolist() == [1.0, 2.0]
    assert join_heads(heads, "mean").tolist() == [2.0, 3.0]


def test_impossible_arguments_are_refused():
    with pytest.raises(ValueError, match="discount"):
        q_target(torch.zeros(1), torch.zeros(1), torch.zeros(1), 1.5)
    with pytest.raises(ValueError, match="rate"):
        polyak([], [], 2.0)
    with pytest.raises(ValueError, match="do not fit"):
        best_of_n(torch.zeros(2, 3), torch.zeros(3), torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="do not fit"):
        softmax_of_n(torch.zeros(2, 3), torch.ones(2, 2, dtype=torch.bool), 1.0, torch.Generator())
    with pytest.raises(ValueError, match="positive"):
        softmax_of_n(torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool), 0.0, torch.Generator())
    assert STOP == 2
