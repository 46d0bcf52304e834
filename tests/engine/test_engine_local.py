"""Sampling and scoring: exact ids, log-probabilities that score again to the same, rows that do not see each other."""

import math

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from turnsmith.agents.copy_llama import new_copy_llama
from turnsmith.engine.forward import Prompt, collate, group_by_length, left_pad, response_logits
from turnsmith.engine.local import draw, end_tokens, sample
from turnsmith.engine.sampling import Sampling
from turnsmith.engine.score import score
from turnsmith.errors import UserError
from turnsmith.trace.types import StopReason

torch.set_num_threads(1)


def tiny_llama(seed=0):
    config = LlamaConfig(
        vocab_size=60,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        eos_token_id=1,
        pad_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def sharp(model):
    """Weights large enough that the distribution is far from uniform."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


@pytest.fixture(scope="module", params=["llama", "copy"])
def model(request):
    if request.param == "llama":
        return sharp(tiny_llama())
    return sharp(new_copy_llama(1000, width=16, layers=2, heads=2, context=64))


@pytest.fixture(scope="module")
def prompts() -> list[Prompt]:
    generator = torch.Generator().manual_seed(4)
    return [Prompt(torch.randint(2, 60, (n,), generator=generator).tolist()) for n in (3, 17, 9, 17, 1, 30, 5, 12)]


SEEDS = [11, 2, 33, 4, 55, 6, 77, 8]
ENDS = (1, *range(2, 1000, 9))


def test_log_probabilities_score_again_to_the_same(model, prompts):
    samples = sample(model, prompts, SEEDS, Sampling(max_new_tokens=20), (1,))
    scored = score(model, prompts, [drawn.token_ids for drawn in samples])
    for drawn, again in zip(samples, scored, strict=True):
        assert len(drawn.logprobs) == len(drawn.token_ids) == len(again)
        np.testing.assert_allclose(drawn.logprobs, again, atol=1e-4)


def test_a_row_does_not_depend_on_the_rest_of_the_batch(model, prompts):
    sampling = Sampling(temperature=4.0, top_p=0.9, max_new_tokens=16)
    together = sample(model, prompts, SEEDS, sampling, ENDS)
    small = sample(model, prompts, SEEDS, sampling, ENDS, batch_tokens=60)
    alone = [sample(model, [p], [s], sampling, ENDS)[0] for p, s in zip(prompts, SEEDS, strict=True)]
    assert [s.token_ids for s in together] == [s.token_ids for s in alone] == [s.token_ids for s in small]
    assert [s.stop for s in together] == [s.stop for s in alone]
    assert len({len(s.token_ids) for s in together}) > 2  # rows did end at different times, and left the batch


def test_greedy_equals_an_uncached_reference(model, prompts):
    drawn = sample(model, prompts, SEEDS, Sampling(temperature=0, max_new_tokens=12), (1,))
    for prompt, result in zip(prompts, drawn, strict=True):
        ids = list(prompt.ids)
        with torch.no_grad():
            while len(ids) < len(prompt.ids) + 12 and ids[-1] != 1:
                ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        assert result.token_ids == tuple(ids[len(prompt.ids) :])


def test_the_same_seed_draws_the_same_and_another_does_not(model, prompts):
    sampling = Sampling(max_new_tokens=20)
    first, again, other = (sample(model, prompts[:2], s, sampling, ()) for s in ([1, 2], [1, 2], [3, 4]))
    assert first == again
    assert first != other


def test_responses_end_for_the_right_reason(model, prompts):
    everything = range(2, 1000)
    assert sample(model, prompts[:1], [0], Sampling(max_new_tokens=5), everything)[0].stop is StopReason.EOS
    cut = sample(model, prompts[:1], [0], Sampling(max_new_tokens=5), ())[0]
    assert (cut.stop, len(cut.token_ids)) == (StopReason.LENGTH, 5)

    def decode(ids):
        return "".join(chr(97 + i % 26) for i in ids)

    free = sample(model, prompts[:1], [0], Sampling(max_new_tokens=12), ())[0]
    wanted = decode(list(free.token_ids))[3:5]
    stopped = sample(model, prompts[:1], [0], Sampling(max_new_tokens=12, stop=(wanted,)), (), decode)[0]
    assert stopped.stop is StopReason.STOP
    assert stopped.token_ids == free.token_ids[: decode(list(free.token_ids)).index(wanted) + 2]


def test_what_does_not_fit_into_the_context_is_said(model):
    with pytest.raises(
        UserError, match="a prompt of 60 tokens and 5 new ones do not fit into the model's context of 64"
    ):
        sample(model, [Prompt([3] * 60)], [0], Sampling(max_new_tokens=5), ())


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.5, 1.0), (1.0, 0.8), (2.0, 0.55)])
def test_draws_follow_the_distribution(temperature, top_p):
    """An even grid of uniform numbers gives every token its exact share."""
    logits = torch.tensor([0.3, -1.0, 2.0, 0.31, -math.inf])
    weights = {i: math.exp(v / temperature) for i, v in enumerate(logits.tolist())}
    kept: dict[int, float] = {}
    for index in sorted(weights, key=lambda i: -weights[i]):
        if sum(kept.values()) / sum(weights.values()) < top_p:
            kept[index] = weights[index]
    points = 20000
    grid = (torch.arange(points, dtype=torch.double) + 0.5) / points
    chosen = draw(logits.expand(points, 5), grid, temperature, top_p)
    for index in range(5):
        share = kept.get(index, 0.0) / sum(kept.values())
        assert (chosen == index).double().mean().item() == pytest.approx(share, abs=2 / points)


def test_the_largest_uniform_number_never_draws_the_impossible():
    logits = torch.tensor([[0.1, 0.7, -math.inf], [-math.inf, 0.0, -math.inf]])
    edges = torch.tensor([1 - 2**-53, 0.0], dtype=torch.double)
    for at in edges:
        assert draw(logits, at.repeat(2), 1.0, 1.0).tolist()[1] == 1
    assert draw(logits, edges[:1].repeat(2), 1.0, 1.0).tolist()[0] == 1


def test_wrong_sampling_is_refused():
    for temperature, top_p, limit in ((-1, 1, 9), (1, 0, 9), (1, 1.1, 9), (1, 1, 0)):
        with pytest.raises(UserError, match="sampling:"):
            Sampling(temperature, top_p, limit)


def test_groups_stay_within_the_budget_and_hold_everything():
    lengths = [5, 100, 7, 30, 8, 31, 6]
    groups = group_by_length(lengths, 64)
    assert sorted(index for group in groups for index in group) == list(range(7))
    assert all(len(group) == 1 or len(group) * max(lengths[i] for i in group) <= 64 for group in groups)
    assert groups[0] == [1]


def test_targets_stand_where_their_logits_are(model):
    """Row by row, the logits of a batch are those of the unpadded sequence at the position before each token."""
    prompts, responses = [Prompt([5, 6, 7]), Prompt([8])], [[9], [10, 11, 12]]
    batch = collate(prompts, responses)
    with torch.no_grad():
        logits = response_logits(model, batch)
        for row, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
            full = model(torch.tensor([[*prompt.ids, *response]])).logits[0]
            expected = full[len(prompt.ids) - 1 : -1]
            torch.testing.assert_close(logits[row, -len(response) :], expected, atol=1e-4, rtol=0)
            assert batch.targets_BK[row, -len(response) :].tolist() == response
            assert batch.real_BK[row].sum() == len(response)


def test_empty_prompts_and_responses_are_refused(model):
    with pytest.raises(ValueError, match="at least one token"):
        collate([Prompt([])], [[1]])
    with pytest.raises(ValueError, match="at least one token"):
        sample(model, [Prompt([])], [0], Sampling(), ())


def test_end_tokens_of_model_and_tokenizer_are_joined():
    model = tiny_llama()
    model.generation_config.eos_token_id = [7, 1]

    class Tokenizer:
        eos_token_id = 9

    assert end_tokens(model, Tokenizer()) == (7, 1, 9)  # type: ignore


def test_left_padding():
    ids, mask = left_pad([[1, 2], [3, 4, 5]], pad=9)
    assert ids.tolist() == [[9, 1, 2], [3, 4, 5]]
    assert mask.tolist() == [[0, 1, 1], [1, 1, 1]]
