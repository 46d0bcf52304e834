"""Preferences: reductions by hand, gradients by finite differences, shared prompts, and what training does."""

import copy
import math

import pytest
import torch

from turnsmith.agents.copy_llama import new_copy_llama
from turnsmith.engine.branches import branch_logprobs, score_branches
from turnsmith.engine.forward import Prompt, collate, response_logprobs
from turnsmith.engine.score import score
from turnsmith.errors import UserError
from turnsmith.learn.examples import Example
from turnsmith.learn.optim import OptimConfig
from turnsmith.learn.preference import (
    PreferenceConfig,
    anchor,
    bradley_terry,
    comparison_losses,
    dpo_loss,
    pair,
    reference_scores,
    side_scores,
    token_scores,
    train,
    turn_index,
    turn_means,
)


def example(prompt, tokens, mask=None):
    return Example(tuple(prompt), tuple(tokens), tuple(mask or [True] * len(tokens)))


@pytest.fixture(params=["copy_llama", "llama"])
def model(request):
    if request.param == "copy_llama":
        return new_copy_llama(40, width=32, layers=2, heads=2, context=128, seed=3).eval()
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(3)
    sizes = LlamaConfig(vocab_size=40, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2)
    return LlamaForCausalLM(sizes).eval()


# -- by hand

# A row of two turns (two tokens, then one) with the world's two tokens between them; a row of one turn of three tokens.
VALUES = torch.tensor([[0.5, -0.1, 9.0, 9.0, 0.3], [0.2, 0.4, -0.9, 9.0, 9.0]], dtype=torch.float64)
MASK = torch.tensor([[1, 1, 0, 0, 1], [1, 1, 1, 0, 0]]).bool()


def test_a_turn_is_a_stretch_of_counted_tokens():
    assert turn_index(MASK).tolist() == [[0, 0, -1, -1, 1], [0, 0, 0, -1, -1]]
    torch.testing.assert_close(turn_means(VALUES, MASK), torch.tensor([[0.2, 0.3], [-0.1, 0.0]], dtype=torch.float64))


@pytest.mark.parametrize(
    ("reduction", "by_hand"), [("sum", [0.7, -0.3]), ("turn_mean", [0.5, -0.1]), ("trajectory_mean", [0.7 / 3, -0.1])]
)
def test_scores_of_two_turns_of_unequal_length_by_hand(reduction, by_hand):
    score_S = side_scores(VALUES, MASK, torch.tensor([0, 1]), 2, reduction)
    torch.testing.assert_close(score_S, torch.tensor(by_hand, dtype=torch.float64))


def test_an_episode_in_one_row_scores_as_its_turns_in_a_row_each():
    rows = torch.tensor([[0.5, -0.1], [0.3, 9.0]], dtype=torch.float64)
    mask = torch.tensor([[1, 1], [1, 0]]).bool()
    for reduction in ("sum", "turn_mean", "trajectory_mean"):
        apart = side_scores(rows, mask, torch.tensor([0, 0]), 1, reduction)
        together = side_scores(VALUES[:1], MASK[:1], torch.tensor([0]), 1, reduction)
        torch.testing.assert_close(apart, together)


def test_losses_by_hand():
    better, worse = torch.tensor([0.5], dtype=torch.float64), torch.tensor([-0.1], dtype=torch.float64)
    assert bradley_terry(better, worse, 0.1).item() == pytest.approx(math.log(1 + math.exp(-0.06)), rel=1e-12)
    # Log-likelihoods −3 (reference −4) and −2 (reference −1): gains of +1 and −1, so β · 2 inside the sigmoid.
    sides = [torch.tensor([value], dtype=torch.float64) for value in (-3.0, -2.0, -4.0, -1.0)]
    assert dpo_loss(*sides, beta=0.1).item() == pytest.approx(-math.log(1 / (1 + math.exp(-0.2))), rel=1e-12)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="unknown reduction"):
        side_scores(VALUES, MASK, torch.tensor([0, 1]), 2, "median")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="differ in shape"):
        bradley_terry(torch.zeros(2), torch.zeros(3), 0.1)
    with pytest.raises(UserError, match="positive beta"):
        PreferenceConfig(beta=0)
    with pytest.raises(UserError, match="no pairs"):
        train(new_copy_llama(40, width=32, layers=1, heads=2), [], PreferenceConfig(), OptimConfig())


@pytest.mark.parametrize("reduction", ["sum", "turn_mean", "trajectory_mean"])
def test_gradient_equals_finite_differences(reduction):
    """Of the whole loss in the token log-probabilities, NLL included, two turns against one."""
    logprob = torch.tensor([[-0.5, -1.1, 0.0, 0.0, -0.3], [-0.2, -0.4, -0.9, 0.0, 0.0]], dtype=torch.float64)
    reference = torch.tensor([-1.3, -0.8], dtype=torch.float64)
    config = PreferenceConfig(beta=0.7, nll=0.3, reduction=reduction)
    both = [pair(example([1], range(2, 7), [1, 1, 0, 0, 1]), example([1], range(2, 5)))]

    def loss(logprob_BK):
        from turnsmith.learn.preference import TokenScores

        scores = TokenScores(logprob_BK, MASK, torch.tensor([0, 1]), 2)
        return comparison_losses(scores, both, reference, config)[0].sum()

    assert torch.autograd.gradcheck(loss, (logprob.requires_grad_(),), eps=1e-6, atol=1e-8)


# -- prompts that are read once


def test_responses_after_a_shared_prompt_score_as_apart(model):
    prompts = [(5, 6, 7, 8), (9, 10), (11, 12, 13)]
    responses = [(1, 2, 3), (4,), (5, 6, 7, 8, 9), (2, 2), (3, 1)]
    owner = [0, 0, 1, 2, 2]
    shared, real = branch_logprobs(model, prompts, responses, owner)
    apart = score(model, [Prompt(prompts[i]) for i in owner], responses)
    for row, numbers in enumerate(apart):
        assert real[row].sum() == len(numbers)
        torch.testing.assert_close(shared[row, : len(numbers)], torch.tensor(numbers), rtol=1e-4, atol=1e-5)
    grouped = score_branches(model, prompts, [responses[:2], responses[2:3], responses[3:]], pass_tokens=20)
    for numbers, expected in zip((row for group in grouped for row in group), apart, strict=True):
        torch.testing.assert_close(torch.tensor(numbers), torch.tensor(expected), rtol=1e-4, atol=1e-5)


def test_gradients_flow_through_a_shared_prompt_as_apart(model):
    prompt, responses = (5, 6, 7, 8), [(1, 2, 3), (4, 5)]
    weights = torch.tensor([1.0, -2.0])
    found = []
    for shared in (True, False):
        model.zero_grad()
        if shared:
            logprobs, _ = branch_logprobs(model, [prompt], responses, [0, 0])
        else:
            logprobs = response_logprobs(model, collate([Prompt(prompt)] * 2, responses))
        (logprobs.sum(dim=1) * weights).sum().backward()
        found.append([parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None])
    assert len(found[0]) == len(found[1]) > 5
    for first, second in zip(*found, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-5)


# -- training


def test_at_the_start_every_side_scores_nothing_and_the_loss_is_log_two(model):
    both = [pair(example([5, 6], [1, 2, 9]), example([5, 6], [3, 4])), anchor(example([7], [8, 9]))]
    config = PreferenceConfig(nll=0.0)
    reference = torch.cat(reference_scores(model, both, config))
    losses, right = comparison_losses(token_scores(model, both), both, reference, config)
    assert losses.tolist() == pytest.approx([math.log(2), 0.0], abs=1e-5)
    assert math.isnan(right[1])


def test_the_better_side_gains_and_the_anchor_is_learned(model):
    chosen, rejected = example([5, 6], [1, 2, 9]), example([5, 6], [3, 4])
    kept = example([7], [8, 9])
    before = copy.deepcopy(model)
    optim = OptimConfig(learning_rate=3e-3, batch_size=2, epochs=30, warmup_updates=1)
    losses, accuracy = train(model, [pair(chosen, rejected), anchor(kept)], PreferenceConfig(nll=0.3), optim)
    assert accuracy[-1] == 1.0
    assert losses[-1] < losses[0]

    def likelihood(net, one):
        return sum(score(net, [Prompt(one.prompt_ids)], [one.token_ids])[0])

    gain = {name: likelihood(model, one) - likelihood(before, one) for name, one in
            (("chosen", chosen), ("rejected", rejected), ("kept", kept))}  # fmt: skip
    assert gain["chosen"] > gain["rejected"] + 1
    assert gain["kept"] > 1


def test_splitting_an_update_into_passes_changes_nothing(model):
    pairs = [pair(example([5, 6, k], [1, 2, 9]), example([5, 6, k], [3, k])) for k in range(10, 16)]
    pairs += [pair([example([7], [8, 9]), example([7, 8, 9, 3], [2])], [example([7], [6])])]
    ends = []
    for tokens in (8, 4096):
        net = copy.deepcopy(model)
        train(net, pairs, PreferenceConfig(nll=0.1), OptimConfig(batch_size=7, epochs=2, pass_tokens=tokens))
        ends.append(torch.cat([parameter.detach().flatten() for parameter in net.parameters()]))
    torch.testing.assert_close(*ends, rtol=1e-3, atol=2e-5)
