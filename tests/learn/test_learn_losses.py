"""Losses against values worked out by hand."""

import math

import pytest
import torch

from turnsmith.learn.losses import sample_mean_nll

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


def test_a_masked_token_has_no_gradient(logprobs, mask):
    logprobs.requires_grad_(True)
    sample_mean_nll(logprobs, mask).sum().backward()
    assert logprobs.grad is not None
    assert not logprobs.grad[~mask].any()


def test_shapes_that_do_not_fit_are_refused(logprobs, mask):
    with pytest.raises(ValueError, match="differ in shape"):
        sample_mean_nll(logprobs, mask[:, :2])
