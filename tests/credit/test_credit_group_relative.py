"""GRPO's credit over groups of different sizes and attempts of many sequences, against hand-computed shares."""

import pytest
import torch

from turnsmith.credit.group_relative import attempt_advantages, cost_aware, sequence_weights


def test_each_group_is_compared_with_itself_whatever_the_order():
    rewards = torch.tensor([1.0, 0.0, 0.0, 1.0, 5.0, 0.0], dtype=torch.float64)
    groups = [7, 9, 7, 9, 3, 9]  # 7: 1, 0; 9: 0, 1, 0; 3: one attempt alone
    advantages = attempt_advantages(rewards, groups, scale=False)
    torch.testing.assert_close(advantages, torch.tensor([0.5, -1 / 3, -0.5, 2 / 3, 0.0, -1 / 3], dtype=torch.float64))
    scaled = attempt_advantages(rewards, groups)
    assert float(scaled[0]) == pytest.approx(0.5 / 0.5**0.5)  # the sample deviation of 1, 0 is sqrt(1/2)


def test_a_rollouts_sequences_share_its_advantage():
    # attempt 0: a parent in two calls and a child; attempt 1: one parent
    weights = sequence_weights([0, 0, 0, 1])
    assert weights.tolist() == [1 / 3, 1 / 3, 1 / 3, 1]
    parents = sequence_weights([0, 0, 0, 1], [True, True, False, True])
    assert parents.tolist() == [0.5, 0.5, 0, 1]
    assert sequence_weights([4, 4], [False, False]).tolist() == [0, 0]


def test_only_successes_pay_for_their_cost():
    rewards = cost_aware(torch.tensor([1.0, 1.0, 1.0, 0.0]), torch.tensor([0.0, 50.0, 900.0, 900.0]), 0.2, 100)
    torch.testing.assert_close(rewards, torch.tensor([1.0, 0.9, 0.8, 0.0]))


def test_impossible_arguments_are_refused():
    with pytest.raises(ValueError, match="2 attempts"):
        attempt_advantages(torch.ones(3), [0, 0])
    with pytest.raises(ValueError, match="1 flags"):
        sequence_weights([0, 0], [True])
    with pytest.raises(ValueError, match="price"):
        cost_aware(torch.ones(2), torch.ones(2), 1.5, 10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("value", [0.9, 0.1, 1 / 3, 0.7, 1e-30, 1e30, 0.0, -0.3])
def test_equal_rewards_prefer_nothing_whatever_they_are_stored_in(dtype, value):
    for count in (2, 3, 5, 7, 8, 16, 33):
        reward = torch.full((count,), value, dtype=dtype)
        assert not attempt_advantages(reward, [0] * count).any()
        assert not attempt_advantages(reward, [0] * count, scale=False).any()


def test_equal_costs_prefer_nothing_and_a_small_real_difference_does():
    reward = cost_aware(torch.ones(8), torch.full((8,), 200.0), 0.5, 1000.0)
    assert not attempt_advantages(reward, [0] * 8).any()
    reward[0] += 1e-4
    assert attempt_advantages(reward, [0] * 8)[0] > 2
