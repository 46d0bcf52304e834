"""Turn credits where the policy decides when to stop: biases by name, unbiased forms exactly, and the table in docs."""

import re
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from enumeration import (
    THETA,
    Moments,
    chance_of_length,
    gradient,
    moments,
    rewards_of,
    times_and_states,
    values,
    weighted,
)
from finite_mdp import HORIZON

from turnsmith.credit.digirl import doubly_robust_advantage
from turnsmith.credit.returns import group_relative, rewards_to_go
from turnsmith.credit.turns import (
    per_turn_baseline,
    recurring_states,
    score_differences,
    to_go_baseline,
    turn_shares,
)


def assert_exact(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


# -- by turn index


def test_the_bias_of_a_baseline_by_turn_is_the_mean_reward_times_the_gradient_of_getting_there():
    found = row("per-turn baseline")
    mean_reward = [0.0] * HORIZON  # of the other trajectory's turn k, 0 where it has none
    for one, chance, _ in weighted():
        for k, reward in enumerate(one.rewards):
            mean_reward[k] += chance * reward
    theta = THETA.clone().requires_grad_()
    bias = torch.stack([m * chance_of_length(theta, k + 1) for k, m in enumerate(mean_reward)]).sum()
    predicted = gradient() - torch.autograd.grad(bias, theta)[0].flatten()
    assert_exact(found.mean, predicted)
    assert found.bias > 0.05


def test_a_baseline_by_turn_is_right_where_the_length_is_fixed():
    """The same rewards, but the last turn is the horizon's for all: then the bias has nothing to act on."""
    full = [entry for entry in weighted() if len(entry[0].actions) == HORIZON]
    rewards = rewards_of([full[0][0], full[1][0]])
    of_turns, to_go = per_turn_baseline(rewards), to_go_baseline(rewards)
    assert_exact(torch.stack(of_turns), torch.stack(to_go))


def test_returns_to_go_against_the_others_are_unbiased():
    found = row("to-go baseline")
    assert_exact(found.mean, gradient())


def test_baselines_by_hand():
    rewards = [torch.tensor([1.0, 2.0]), torch.tensor([3.0]), torch.tensor([0.0, 0.0, 4.0])]
    # Turn 1: others' means 1.5, 0.5, 2; turn 2: others 0 and 2; turn 3: nobody else.
    assert [row.tolist() for row in per_turn_baseline(rewards)] == [[1.5, 2.0], [2.5], [0.0, 2.0, 4.0]]
    # Returns to go: 3 2 | 3 | 4 4 4.
    assert [row.tolist() for row in to_go_baseline(rewards)] == [[-0.5, -2.0], [-0.5], [1.0, 2.0, 4.0]]
    with pytest.raises(ValueError, match="at least two"):
        to_go_baseline(rewards[:1])


# -- by state


def test_recurring_states_compared_among_other_trajectories_are_unbiased():
    found = moments(lambda g: recurring_states([list(t.states) for t in g], rewards_of(g), others_only=True))
    assert_exact(found.mean, gradient())


def test_recurring_states_with_the_own_visits_are_biased():
    found = moments(lambda group: recurring_states([list(t.states) for t in group], rewards_of(group)))
    assert found.bias > 0.05


def test_recurring_states_by_hand():
    rewards = [torch.tensor([0.0, 1.0]), torch.tensor([3.0])]
    states = [["a", "a"], ["a"]]
    assert [row.tolist() for row in recurring_states(states, rewards)] == [
        pytest.approx([1 - 5 / 3] * 2),
        pytest.approx([3 - 5 / 3]),
    ]
    assert [row.tolist() for row in recurring_states(states, rewards, others_only=True)] == [[-2.0, -2.0], [2.0]]
    assert recurring_states([["a"], ["b"]], [torch.ones(1), torch.ones(1)])[0].tolist() == [0.0]
    with pytest.raises(ValueError, match="states for"):
        recurring_states([["a"]], rewards)


# -- by scores of states


def scored(group, score, decay, end=None):
    """Credit from scores φ(t, s); the reward so far is in the score, so that the last one is the return."""
    found = []
    for one in group:
        so_far = [sum(one.rewards[:t]) for t in range(len(one.rewards) + 1)]
        phi = [so_far[t] + score(t, state) for t, state in enumerate(one.states)] + [so_far[-1]]
        if end is not None:
            phi[-1] = end(one)
        found.append(score_differences(torch.tensor(phi, dtype=torch.float64), decay))
    return found


def wrong(t, state):
    return 0.3 * state - 0.2 * t


@pytest.mark.parametrize("decay", [0.0, 0.5, 1.0])
def test_differences_of_the_true_value_are_unbiased_however_they_are_spread(decay):
    found = moments(lambda group: scored(group, lambda t, s: values()[t, s], decay), size=1)
    assert_exact(found.mean, gradient())


def test_differences_of_any_scores_are_unbiased_when_they_are_spread_whole_and_end_with_the_outcome():
    found = moments(lambda group: scored(group, wrong, 1.0), size=1)
    assert_exact(found.mean, gradient())


def test_differences_of_wrong_scores_are_biased_when_they_fade_or_when_a_judge_scores_the_end():
    assert moments(lambda group: scored(group, wrong, 0.5), size=1).bias > 0.05
    pleased = moments(lambda group: scored(group, wrong, 1.0, end=lambda one: 0.5 + 0.3 * one.states[-1]), size=1)
    assert pleased.bias > 0.05


def test_score_differences_by_hand():
    assert score_differences(torch.tensor([0.2, 0.5, 0.4]), 0.5).tolist() == pytest.approx([0.25, -0.1])
    assert score_differences(torch.tensor([0.2, 0.5, 0.4]), 1.0, outcome=1.0).tolist() == pytest.approx([0.8, 0.5])
    with pytest.raises(ValueError, match=r"T \+ 1"):
        score_differences(torch.tensor([0.2]))


# -- normalisers


def outcome_credit(group, normaliser, baseline):
    shares = turn_shares([len(one.actions) for one in group], normaliser, HORIZON)
    return [
        torch.full((len(one.actions),), (sum(one.rewards) - baseline) * float(share), dtype=torch.float64)
        for one, share in zip(group, shares, strict=True)
    ]


def test_one_over_the_length_ascends_the_outcome_a_turn():
    """E[(1/T) Σ_t ∇ log π (R − b)] = ∇ E[(R − b) / T], exactly: a failure costs less, the longer it takes."""
    baseline = 0.4
    found = moments(lambda group: outcome_credit(group, "trajectory", baseline), size=1)
    theta = THETA.clone().requires_grad_()
    from finite_mdp import log_prob, trajectories

    gains = [
        one.world * torch.exp(log_prob(theta, one)) * (sum(one.rewards) - baseline) / len(one.actions)
        for one in trajectories()
    ]
    objective = torch.stack(gains).sum()
    assert_exact(found.mean, torch.autograd.grad(objective, theta)[0].flatten())
    assert found.bias > 0.05


def test_a_constant_normaliser_leaves_the_gradient_alone():
    found = moments(lambda group: outcome_credit(group, "constant", 0.4), size=1)
    assert_exact(found.mean * HORIZON, gradient())


def test_one_over_the_length_prefers_the_longer_failure():
    shares = turn_shares([2, 8], "trajectory")
    assert (shares * -0.5).tolist() == [-0.25, -0.0625]
    for bad in ([], [0, 2]):
        with pytest.raises(ValueError, match="at least one turn"):
            turn_shares(bad)
    with pytest.raises(ValueError, match="longer than the horizon"):
        turn_shares([5], horizon=4)


# -- the table


def group_outcome(group, scale):
    totals = torch.tensor([sum(one.rewards) for one in group], dtype=torch.float64)
    advantage = group_relative(totals, scale)
    return [advantage[i].expand(len(one.actions)) for i, one in enumerate(group)]


def others_outcome(group):
    totals = torch.tensor([sum(one.rewards) for one in group], dtype=torch.float64)
    return [(totals[i] - totals[1 - i]).expand(len(one.actions)) for i, one in enumerate(group)]


def gigpo(group):
    steps = recurring_states(times_and_states(group), rewards_of(group))
    return [a + b for a, b in zip(group_outcome(group, False), steps, strict=True)]


def value_rows(one):
    return torch.tensor([*(values()[t, s] for t, s in enumerate(one.states)), 0.0], dtype=torch.float64)


def one_step(group):
    found = []
    for one, reward in zip(group, rewards_of(group), strict=True):
        value = value_rows(one)
        found.append(reward + value[1:] - value[:-1])
    return found


def digirl(group):
    # The outcome is whether a stop in state 1 was rewarded, as DigiRL's is 0 or 1.
    return [
        doubly_robust_advantage(value_rows(one), reward, float(one.rewards[-1] == 1.0))
        for one, reward in zip(group, rewards_of(group), strict=True)
    ]


def advantages():
    """Q^π − V^π of each (time, state, action), by averaging returns to go."""
    total: dict[tuple[int, int, int], list[float]] = {}
    for one, chance, _ in weighted():
        for t, key in enumerate(zip(one.states, one.actions, strict=True)):
            sums = total.setdefault((t, *key), [0.0, 0.0])
            sums[0] += chance * sum(one.rewards[t:])
            sums[1] += chance
    return {key: gain / chance - values()[key[:2]] for key, (gain, chance) in total.items()}


def turn_critic(group):
    exact = advantages()
    keys = [[(t, *key) for t, key in enumerate(zip(one.states, one.actions, strict=True))] for one in group]
    return [torch.tensor([exact[key] for key in row], dtype=torch.float64) for row in keys]


def length_normalised(group):
    return [a / len(a) for a in others_outcome(group)]


ROWS = {
    "return to go": lambda group: [rewards_to_go(row) for row in rewards_of(group)],
    "outcome − the others' mean": others_outcome,
    "outcome − group mean, / std": lambda group: group_outcome(group, True),
    "the same as the second, × 1/T": length_normalised,
    "per-turn baseline": lambda group: per_turn_baseline(rewards_of(group)),
    "to-go baseline": lambda group: to_go_baseline(rewards_of(group)),
    "GiGPO (outcome + recurring states)": gigpo,
    "recurring states, others only": lambda g: recurring_states(times_and_states(g), rewards_of(g), others_only=True),
    "score differences, whole": lambda group: scored(group, wrong, 1.0),
    "score differences, fading": lambda group: scored(group, wrong, 0.5),
    "one-step difference of V": one_step,
    "doubly robust (DigiRL)": digirl,
    "Q − V, or a turn critic": turn_critic,
}


ALONE = {"return to go", "score differences, whole", "score differences, fading", "one-step difference of V",
         "doubly robust (DigiRL)", "Q − V, or a turn critic"}  # fmt: skip
"""What needs no group."""


@lru_cache
def row(name):
    """Moments of a credit of the table, as an update of two trajectories."""
    if name in ALONE:
        one = moments(ROWS[name], 1)
        return Moments(one.mean, one.variance / 2)  # two trajectories that know nothing of each other
    return moments(ROWS[name])


def table():
    """Rows of docs/credit.md: (name, bias in per cent, variance)."""
    found = {name: row(name) for name in ROWS}
    return {
        name: (f"{100 * one.bias:.0f} %" if one.bias > 1e-6 else "none", f"{one.scaled_variance:.2f}")
        for name, one in found.items()
    }


def test_the_table_in_docs_is_what_enumeration_gives():
    text = (Path(__file__).parents[2] / "docs" / "credit.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+?) \| [^|]+ \| ([^|]+?) \| ([^|]+?) \| [^|]+ \|$", text, re.MULTILINE)
    documented = {name: (bias, variance) for name, bias, variance in rows if name in ROWS}
    assert documented == table()
