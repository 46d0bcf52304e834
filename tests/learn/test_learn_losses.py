"""Losses against values worked out by hand."""

import math

import pytest
import torch

from turnsmith.learn.losses import policy_gradient_loss, sample_mean_nll, token_sum_nll

HALF, THIRD, TENTH = math.log(0.5), math.log(1 / 3), math.log(0.1)


@pytest.fixture
def logprobs() -> torch.Tensor:
    return torch.tensor([[HALF, THIRD, TENTH], [0.0, HALF, HALF], [THIRD, THIRD, THIRD]], dtype=torch.double)


@pytest.fixture
def mask() -> torch.Tensor:
    return torch.tensor([[True, True, True], [False, True, False], [False, False, False]])


def test_sample_mean_is_per_token_then_per_sample(logprobs, mask):
    # rows: (ln 2 + ln 3 + ln 10) / 3 = ln 60 / 3;  ln 2 / 1;  nothing counts
    expected = torch.tensor([math.log(60) / 3, math.log(2), 0.0], dtype=torch.double)
    torch.testing.assert_close(sample_mean_nll(logprobs, mask), expected, rtol=1e-12, atol=0)


def test_a_long_sample_weighs_as_much_as_a_short_one():
    logprobs = torch.full((2, 4), HALF)
    mask = torch.tensor([[1, 0, 0, 0], [1, 1, 1, 1]])
    assert sample_mean_nll(logprobs, mask).tolist() == pytest.approx([math.log(2)] * 2)


def test_token_sum(logprobs, mask):
    expected = torch.tensor([math.log(60), math.log(2), 0.0], dtype=torch.double)
    torch.testing.assert_close(token_sum_nll(logprobs, mask), expected, rtol=1e-12, atol=0)


def test_policy_gradient_weighs_by_the_advantage(logprobs, mask):
    advantage = torch.tensor([1.0, -2.0, 5.0], dtype=torch.double)
    expected = torch.tensor([math.log(60) / 3, -2 * math.log(2), 0.0], dtype=torch.double)
    torch.testing.assert_close(policy_gradient_loss(logprobs, mask, advantage), expected, rtol=1e-12, atol=0)


def test_with_zero_and_one_it_is_filtered_behaviour_cloning(logprobs, mask):
    reward = torch.tensor([0.0, 1.0, 1.0], dtype=torch.double)
    assert torch.equal(policy_gradient_loss(logprobs, mask, reward)[1:], sample_mean_nll(logprobs, mask)[1:])
    assert policy_gradient_loss(logprobs, mask, reward)[0] == 0


def test_the_gradient_is_the_score_function_times_the_advantage():
    """d/dz of -A log softmax(z)_y is A (softmax(z) - onehot(y)), by hand for a two-token vocabulary."""
    logits = torch.tensor([[[1.0, -0.5]]], dtype=torch.double, requires_grad=True)
    advantage = torch.tensor([3.0], dtype=torch.double, requires_grad=True)
    logprob = logits.log_softmax(-1)[..., 0]
    policy_gradient_loss(logprob, torch.ones(1, 1), advantage).sum().backward()
    other = 1 / (1 + math.exp(1.5))
    assert logits.grad is not None
    assert logits.grad.flatten().tolist() == pytest.approx([-3 * other, 3 * other])
    assert advantage.grad is None


def test_a_masked_token_has_no_gradient(logprobs, mask):
    logprobs.requires_grad_(True)
    sample_mean_nll(logprobs, mask).sum().backward()
    assert logprobs.grad is not None
    assert not logprobs.grad[~mask].any()


def test_shapes_that_do_not_fit_are_refused(logprobs, mask):
    for loss in (sample_mean_nll, token_sum_nll):
        with pytest.raises(ValueError, match="differ in shape"):
            loss(logprobs, mask[:, :2])
    with pytest.raises(ValueError, match="advantage"):
        policy_gradient_loss(logprobs, mask, torch.ones(2))
