"""Training: the loss that is written down, however it is cut into passes; and a small model that does learn."""

import copy
from dataclasses import replace

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from turnsmith.errors import UserError
from turnsmith.learn.examples import Example
from turnsmith.learn.fit import make_optimizer
from turnsmith.learn.optim import OptimConfig, rate_at
from turnsmith.learn.sft import evaluate_loss, train

torch.set_num_threads(1)


def small_llama() -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=20,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=64,
        pad_token_id=0,
        eos_token_id=1,
    )
    torch.manual_seed(0)
    return LlamaForCausalLM(config)


def some_examples(count: int = 12) -> list[Example]:
    """The response repeats the prompt's first token and ends."""
    generator = torch.Generator().manual_seed(5)
    examples = []
    for index in range(count):
        prompt = torch.randint(2, 20, (2 + index % 5,), generator=generator).tolist()
        examples.append(Example(tuple(prompt), (prompt[0], prompt[0], 1), (True, index % 3 > 0, True), 1 + index % 2))
    return examples


def test_the_loss_of_an_update_is_that_of_the_definition():
    model, examples = small_llama(), some_examples(5)
    total = 0.0
    for example in examples:
        with torch.no_grad():
            logits = model(torch.tensor([[*example.prompt_ids, *example.token_ids]])).logits[0].double()
        logprobs = logits.log_softmax(-1)[len(example.prompt_ids) - 1 : -1]
        chosen = [-logprobs[k, token].item() for k, token in enumerate(example.token_ids) if example.mask[k]]
        total += example.weight * sum(chosen) / len(chosen)
    losses = train(model, examples, OptimConfig(batch_size=5))
    assert losses[0] == pytest.approx(total / 5, rel=1e-5)


def test_cutting_an_update_into_passes_changes_nothing():
    one, many = small_llama(), small_llama()
    examples = some_examples()
    config = OptimConfig(batch_size=6, epochs=2, warmup_updates=1)
    whole = train(one, examples, config)
    parts = train(many, examples, replace(config, pass_tokens=12))
    assert whole == pytest.approx(parts, rel=1e-5)
    for a, b in zip(one.parameters(), many.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_the_same_seed_trains_to_the_same_bits():
    runs = [small_llama(), small_llama()]
    losses = [train(model, some_examples(), OptimConfig(batch_size=4, epochs=2, seed=9)) for model in runs]
    assert losses[0] == losses[1]
    assert all(torch.equal(a, b) for a, b in zip(runs[0].parameters(), runs[1].parameters(), strict=True))


def test_masked_tokens_and_prompts_are_not_learned():
    """Where only the last token counts, the model learns it and not the others."""
    model = small_llama()
    example = Example((2, 3), (4, 5, 6), (False, False, True))
    before = model(torch.tensor([[2, 3, 4, 5]])).logits.log_softmax(-1)[0].detach()
    train(model, [example], OptimConfig(learning_rate=1e-2, batch_size=1, epochs=30, warmup_updates=1))
    after = model(torch.tensor([[2, 3, 4, 5]])).logits.log_softmax(-1)[0].detach()
    assert after[3, 6] > -0.1 > before[3, 6]
    assert after[1, 4] < -1


def test_a_model_learns_its_examples_and_says_when_it_is_done():
    model, examples = small_llama(), some_examples(40)
    seen = []
    config = OptimConfig(learning_rate=1e-2, batch_size=8, epochs=40, warmup_updates=5)
    before = evaluate_loss(model, examples)
    train(model, examples, config, on_update=seen.append)
    assert evaluate_loss(model, examples) < 0.1 * before
    assert [progress.update for progress in seen] == list(range(1, 201))
    assert {progress.total for progress in seen} == {200}
    assert seen[-1].seconds_left == 0
    assert not model.training


def test_the_rate_warms_up_and_falls():
    config = OptimConfig(learning_rate=1.0, warmup_updates=4, final_rate=0.1)
    rates = [rate_at(update, 100, config) for update in range(100)]
    assert rates[0] == pytest.approx(0.25)
    assert max(rates) == rates[3] or max(rates) == rates[4]
    assert rates[-1] == pytest.approx(0.1, abs=0.01)
    assert rate_at(99, 100, replace(config, schedule="constant")) == 1.0


def test_vectors_are_not_decayed_and_frozen_weights_not_trained():
    model = small_llama()
    model.model.embed_tokens.weight.requires_grad_(False)
    decayed, free = make_optimizer(model, OptimConfig(weight_decay=0.3)).param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.3, 0.0)
    assert {p.dim() for p in free["params"]} == {1}
    assert all(p.requires_grad for p in decayed["params"])
    frozen = copy.deepcopy(model.model.embed_tokens.weight)
    train(model, some_examples(4), OptimConfig(batch_size=4))
    assert torch.equal(frozen, model.model.embed_tokens.weight)


def test_updates_can_be_limited():
    assert len(train(small_llama(), some_examples(), OptimConfig(batch_size=2, epochs=5, max_updates=3))) == 3


def test_what_cannot_be_trained_is_said():
    with pytest.raises(UserError, match="no examples"):
        train(small_llama(), [], OptimConfig())
    with pytest.raises(UserError, match="Lower the learning rate"):
        train(small_llama(), some_examples(), OptimConfig(learning_rate=1e30, batch_size=2, warmup_updates=1, epochs=3))
    with pytest.raises(UserError, match="schedule 'steps' is unknown"):
        OptimConfig(schedule="steps")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="batch_size"):
        OptimConfig(batch_size=0)
