"""The critic of turns that PPO has: its fit against enumeration, its features against the model, GAE by hand."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from turnsmith.critics.turn_value import TurnValue, features, turn_advantages


def test_advantages_are_gae_by_hand():
    value = torch.tensor([0.2, 0.5, 0.4])
    d = [0.3, -0.1, 0.6]
    for decay in (0.0, 0.5, 1.0):
        found = turn_advantages(value, 1.0, decay)
        wanted = [d[0] + decay * d[1] + decay**2 * d[2], d[1] + decay * d[2], d[2]]
        assert found.tolist() == pytest.approx(wanted)
    assert turn_advantages(value, 1.0, 1.0).tolist() == pytest.approx([0.8, 0.5, 0.6])  # outcome − V


def test_features_are_the_last_hidden_state_whatever_else_is_in_the_batch():
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=50, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
                                         num_attention_heads=2, num_key_value_heads=2)).eval()  # fmt: skip
    prompts = [(3, 4, 5), (6,), (7, 8, 9, 10, 11)]
    found = features(model, prompts)
    for row, ids in zip(found, prompts, strict=True):
        with torch.no_grad():
            last = model.model(torch.tensor([ids])).last_hidden_state[0, -1]
        torch.testing.assert_close(row, last, atol=1e-5, rtol=1e-4)


def test_the_value_is_the_share_of_successes_where_features_say_nothing_and_separates_what_can_be_told_apart():
    torch.manual_seed(0)
    value = TurnValue()
    assert value(torch.zeros(2, 4)).tolist() == [0.5, 0.5]
    value.learn(torch.zeros(10, 4), torch.tensor([1.0] * 3 + [0.0] * 7))
    assert value(torch.zeros(1, 4)).item() == pytest.approx(0.3, abs=1e-3)
    told = torch.randn(400, 4)
    outcome = (told[:, 0] + 0.3 * torch.randn(400) > 0).float()
    value = TurnValue()
    value.learn(told[:200], outcome[:200])
    said = value(told[200:])
    right = ((said > 0.5) == (outcome[200:] > 0.5)).float().mean()
    assert right > 0.85
    only = TurnValue()
    only.learn(torch.randn(5, 4), torch.ones(5))
    assert only(torch.randn(3, 4)).tolist() == [1.0] * 3
