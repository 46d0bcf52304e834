"""Filtered behaviour cloning is REINFORCE with rewards 0 and 1 and no baseline: the same gradient, by number."""

import pytest

torch = pytest.importorskip("torch")

from turnsmith.agents.copy_llama import new_copy_llama  # noqa: E402
from turnsmith.engine.forward import Prompt, collate, response_logprobs  # noqa: E402
from turnsmith.learn.examples import Example  # noqa: E402
from turnsmith.learn.optim import OptimConfig  # noqa: E402
from turnsmith.learn.sft import train  # noqa: E402


def episodes(count: int) -> list[tuple[Example, float]]:
    """Responses of different lengths to different prompts, some with tokens that do not count, with rewards 0 and 1."""
    source = torch.Generator().manual_seed(0)
    found = []
    for number in range(count):
        prompt = torch.randint(2, 40, (4 + number % 3,), generator=source).tolist()
        response = torch.randint(2, 40, (2 + number % 5,), generator=source).tolist()
        mask = tuple(place != 1 or number % 4 != 0 for place in range(len(response)))
        found.append((Example(tuple(prompt), tuple(response), mask), float(number % 3 == 0)))
    return found


def gradient(model, loss) -> torch.Tensor:  # type: ignore
    """All gradients of a loss in one row."""
    model.zero_grad(set_to_none=True)
    loss.backward()
    rows = [p.grad if p.grad is not None else torch.zeros_like(p) for p in model.parameters()]
    return torch.cat([row.flatten() for row in rows]).double()


def reinforce(model, pairs: list[tuple[Example, float]]) -> torch.Tensor:  # type: ignore
    """−(1/N) Σ_i r_i (1/T_i) Σ_j log π(y_ij | x_i), written out one episode after the other."""
    total = torch.zeros(())
    for example, reward in pairs:
        batch = collate([Prompt(example.prompt_ids, {})], [example.token_ids], model.device)
        logprobs = response_logprobs(model, batch)[0][-len(example.token_ids) :]
        counted = torch.tensor(example.mask)
        total = total - reward * logprobs[counted].sum() / counted.sum()
    return total / len(pairs)


@pytest.fixture
def model():
    return new_copy_llama(48, width=16, layers=1, heads=2, seed=3).eval()


def test_gradients_of_filtered_cloning_and_of_reinforce_with_rewards_0_and_1_are_the_same(model):
    pairs = episodes(18)
    won = [example for example, reward in pairs if reward]
    with_rewards = gradient(model, reinforce(model, pairs))
    cloned = gradient(model, reinforce(model, [(example, 1.0) for example in won]))
    share = len(won) / len(pairs)  # REINFORCE divides by all episodes, cloning by the successes
    assert (with_rewards - share * cloned).norm() < 1e-5 * with_rewards.norm()  # in single precision
    assert with_rewards.norm() > 1e-3


def test_the_trainer_of_the_recipes_takes_that_very_step(model):
    """One SGD step of `learn.sft.train` on the successes moves the weights by the rate times REINFORCE's gradient."""
    pairs = episodes(18)
    won = [example for example, reward in pairs if reward]
    wanted = gradient(model, reinforce(model, pairs)) * len(pairs) / len(won)
    before = torch.cat([p.detach().flatten() for p in model.parameters()]).double()
    optim = OptimConfig(
        learning_rate=0.5, batch_size=len(won), max_updates=1, warmup_updates=0, schedule="constant", grad_clip=0.0,
        optimizer="sgd", momentum=0.0, weight_decay=0.0,
    )  # fmt: skip
    train(model, won, optim)
    after = torch.cat([p.detach().flatten() for p in model.parameters()]).double()
    assert torch.allclose(before - after, 0.5 * wanted, rtol=1e-4, atol=1e-6)


def test_weights_of_examples_are_rewards(model):
    """Trained on all episodes with their rewards as weights, the same step again: failures add nothing."""
    pairs = episodes(18)
    from dataclasses import replace

    weighted = [replace(example, weight=reward) for example, reward in pairs]
    wanted = gradient(model, reinforce(model, pairs))
    before = torch.cat([p.detach().flatten() for p in model.parameters()]).double()
    optim = OptimConfig(
        learning_rate=0.5, batch_size=len(pairs), max_updates=1, warmup_updates=0, schedule="constant", grad_clip=0.0,
        optimizer="sgd", momentum=0.0, weight_decay=0.0,
    )  # fmt: skip
    train(model, weighted, optim)
    after = torch.cat([p.detach().flatten() for p in model.parameters()]).double()
    assert torch.allclose(before - after, 0.5 * wanted, rtol=1e-4, atol=1e-6)
