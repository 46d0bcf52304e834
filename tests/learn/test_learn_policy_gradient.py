"""GRPO's loss and penalty against exact enumeration of a finite MDP, and the update against one whole pass."""

import math

import pytest
import torch
from finite_mdp import expected_return, log_prob, trajectories
from transformers import LlamaConfig, LlamaForCausalLM

from turnsmith.credit.group_relative import attempt_advantages
from turnsmith.errors import UserError
from turnsmith.learn.optim import OptimConfig
from turnsmith.learn.policy_gradient import (
    CreditedSequence,
    PolicyGradientConfig,
    clipped_surrogate,
    k3_penalty,
    update,
)

torch.set_num_threads(1)
THETA = torch.tensor([[0.3, -0.2, 0.1], [-0.4, 0.5, 0.2]], dtype=torch.float64)
REFERENCE = torch.tensor([[0.1, 0.2, -0.3], [0.4, 0.0, 0.3]], dtype=torch.float64)
LONGEST = 3


def token_logprobs(theta, trajectory):
    """A trajectory as a row of three tokens and its mask; what is masked carries nonsense."""
    table = torch.log_softmax(theta, dim=-1)
    row = table[list(trajectory.states), list(trajectory.actions)]
    padding = row.new_full((LONGEST - len(row),), -math.inf)
    mask = torch.tensor([True] * len(row) + [False] * len(padding))
    return torch.cat([row, padding])[None], mask[None]


def probability(theta, trajectory):
    return trajectory.world * torch.exp(log_prob(theta, trajectory)).detach()


def test_on_policy_the_expected_gradient_is_that_of_the_return_over_length():
    # With A = R and the token mean, E[grad L] = -grad E[R / T] exactly: T counts the masked-in tokens alone.
    theta = THETA.clone().requires_grad_()
    loss = theta.new_zeros(())
    exact = theta.new_zeros(())
    for trajectory in trajectories():
        logprobs, mask = token_logprobs(theta, trajectory)
        gain = torch.tensor([sum(trajectory.rewards)], dtype=torch.float64)
        loss = loss + probability(theta, trajectory) * clipped_surrogate(logprobs, logprobs.detach(), mask, gain)[0]
        exact = exact + trajectory.world * log_prob(theta, trajectory).exp() * gain[0] / len(trajectory.actions)
    estimated = torch.autograd.grad(loss, theta)[0]
    torch.testing.assert_close(estimated, -torch.autograd.grad(exact, theta)[0], rtol=1e-9, atol=1e-12)


def test_groups_of_two_give_the_exact_gradient_of_the_return():
    # Undo the token mean by the length: E = -(1 - 1/G) grad J with the group's own mean as the baseline, G = 2.
    theta = THETA.clone().requires_grad_()
    each = trajectories()
    rows = [token_logprobs(theta, trajectory) for trajectory in each]
    logprobs_NK, mask_NK = torch.cat([row for row, _ in rows]), torch.cat([mask for _, mask in rows])
    chance_N = torch.stack([probability(theta, trajectory) for trajectory in each])
    reward_N = torch.tensor([sum(trajectory.rewards) for trajectory in each], dtype=torch.float64)
    length_N = mask_NK.sum(dim=1)
    member_A = torch.cartesian_prod(torch.arange(len(each)), torch.arange(len(each))).flatten()  # all groups in a row
    group_A = torch.arange(len(member_A)) // 2
    advantage_A = attempt_advantages(reward_N[member_A], group_A.tolist(), scale=False)
    logprobs_AK = logprobs_NK[member_A]
    mean_A = clipped_surrogate(logprobs_AK, logprobs_AK.detach(), mask_NK[member_A], advantage_A)
    weight_A = chance_N[member_A].reshape(-1, 2).prod(dim=1)[group_A]
    loss = (weight_A * mean_A * length_N[member_A]).sum() / 2
    exact = torch.autograd.grad(expected_return(theta), theta)[0]
    torch.testing.assert_close(torch.autograd.grad(loss, theta)[0], -exact / 2, rtol=1e-9, atol=1e-12)


def test_the_clip_is_the_hand_computed_table():
    # ratio, advantage -> min(ratio A, clip(ratio, 0.8, 1.2) A), and whether a gradient is left
    for ratio, advantage, gain, moves in (
        (1.5, 1.0, 1.2, False),
        (1.1, 1.0, 1.1, True),
        (0.5, 1.0, 0.5, True),
        (0.5, -1.0, -0.8, False),
        (1.5, -1.0, -1.5, True),
    ):
        new = torch.tensor([[math.log(ratio)]], dtype=torch.float64, requires_grad=True)
        advantages = torch.tensor([advantage], dtype=torch.float64)
        loss = clipped_surrogate(new, torch.zeros(1, 1, dtype=torch.float64), torch.tensor([[True]]), advantages)
        assert float(loss.detach()) == pytest.approx(-gain)
        assert bool(torch.autograd.grad(loss.sum(), new)[0].abs() > 0) == moves


def test_the_expected_k3_is_the_divergence_of_each_state():
    for state in (0, 1):
        policy, reference = torch.log_softmax(THETA[state], -1), torch.log_softmax(REFERENCE[state], -1)
        exact = (policy.exp() * (policy - reference)).sum()
        each = k3_penalty(policy[:, None], reference[:, None], torch.ones(3, 1, dtype=torch.bool))
        assert (each >= 0).all()
        torch.testing.assert_close((policy.exp() * each).sum(), exact, rtol=1e-9, atol=1e-12)


def tiny():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=20,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=64,
    )
    return LlamaForCausalLM(config).eval()


def batch():
    generator = torch.Generator().manual_seed(1)

    def ids(count):
        return tuple(torch.randint(2, 20, (count,), generator=generator).tolist())

    shapes = ((3, 5), (2, 1), (7, 9), (4, 6))
    return [
        CreditedSequence(ids(p), ids(n), tuple(i % 3 != 1 for i in range(n)), (-1.0) ** k * (k + 0.5), 0.25, 0.25)
        for k, (p, n) in enumerate(shapes)
    ]


def optim(rate, pass_tokens=10_000, clip=1e9):
    return OptimConfig(
        learning_rate=rate, schedule="constant", warmup_updates=0, grad_clip=clip, pass_tokens=pass_tokens
    )


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def test_an_update_does_not_depend_on_how_it_is_cut_into_passes():
    ends = []
    for pass_tokens in (10_000, 8):
        model, reference = tiny(), tiny()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        config = PolicyGradientConfig(kl=0.5, optim=optim(0.1, pass_tokens))
        update(model, batch(), config, optimizer, reference)
        ends.append(weights(model))
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-4, atol=1e-6)
    assert not torch.equal(ends[0], weights(tiny()))


def test_joined_tokens_have_no_influence_beyond_being_read():
    """The first update's gradient is the weighted sum of the chosen tokens' log-probabilities, computed by hand."""
    model = tiny()
    expected = tiny()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    update(model, batch(), PolicyGradientConfig(kl=0, inner_updates=1, optim=optim(0.1)), optimizer)
    loss = torch.zeros(())
    for s in batch():
        logits = expected(torch.tensor([[*s.prompt_ids, *s.token_ids]])).logits[0, len(s.prompt_ids) - 1 : -1]
        logprobs = logits.log_softmax(-1)[torch.arange(len(s.token_ids)), torch.tensor(s.token_ids)]
        chosen = torch.tensor(s.mask)
        loss = loss - s.share * s.advantage * logprobs[chosen].mean()
    loss.backward()
    with torch.no_grad():
        for parameter in expected.parameters():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad
    torch.testing.assert_close(weights(model), weights(expected), rtol=1e-5, atol=1e-7)


def test_learning_raises_what_was_better_than_its_group():
    model = tiny()
    good = CreditedSequence((3, 4), (5, 6, 1), (True,) * 3, 1.0, 0.5)
    bad = CreditedSequence((3, 4), (7, 8, 1), (True,) * 3, -1.0, 0.5)

    def chance(sequence):
        logits = model(torch.tensor([[*sequence.prompt_ids, *sequence.token_ids]])).logits[0, 1:-1]
        return float(logits.log_softmax(-1)[torch.arange(3), torch.tensor(sequence.token_ids)].sum())

    before = chance(good) - chance(bad)
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(3):
        report = update(model, [good, bad], PolicyGradientConfig(kl=0.0, optim=optim(1e-2, clip=1.0)), optimizer)
    assert chance(good) - chance(bad) > before + 1
    assert report.grad_norm > 0


def test_what_cannot_be_learned_is_said():
    model = tiny()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="needs a reference"):
        update(model, batch(), PolicyGradientConfig(kl=0.1), optimizer)
    flat = [CreditedSequence((3,), (4,), (True,), 0.0, 1.0)]
    assert update(model, flat, PolicyGradientConfig(kl=0.0), optimizer).loss == 0
    broken = [CreditedSequence((3,), (4,), (True,), math.nan, 1.0)]
    with pytest.raises(UserError, match="Lower the learning rate"):
        update(model, broken, PolicyGradientConfig(kl=0.0), optimizer)
    with pytest.raises(ValueError, match="do not fit"):
        clipped_surrogate(torch.zeros(2, 3), torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool), torch.zeros(3))
    with pytest.raises(ValueError, match="differ in shape"):
        k3_penalty(torch.zeros(2, 3), torch.zeros(2, 2), torch.ones(2, 3, dtype=torch.bool))
