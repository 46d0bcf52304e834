"""Families of models that keep states, read with changing factors, or cannot be served: sampled equals scored."""

import dataclasses

import numpy as np
import pytest
import torch
import transformers

from turnsmith.engine.branches import branch_logprobs
from turnsmith.engine.forward import Prompt
from turnsmith.engine.local import sample
from turnsmith.engine.sampling import Sampling
from turnsmith.engine.score import score
from turnsmith.engine.serves import check_served
from turnsmith.engine.threads import Engine
from turnsmith.engine.tree import Limits, NoThreads
from turnsmith.errors import UserError

torch.set_num_threads(1)

SIZES = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "pad_token_id": 0, "eos_token_id": 2}
HEADS = {"intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2}
MAMBA2 = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1}
FAMILIES = {
    "mamba": {"state_size": 8},
    "falcon_mamba": {"state_size": 8},
    "mamba2": {"state_size": 8, "num_heads": 8, "head_dim": 8, "n_groups": 1, "chunk_size": 8},
    "jamba": HEADS | {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "num_experts": 2,
                      "use_mamba_kernels": False, "mamba_d_state": 8},
    "bamba": HEADS | MAMBA2 | {"attn_layer_indices": [1]},
    "lfm2": HEADS | {"layer_types": ["conv", "full_attention"]},
    "qwen3_next": HEADS | {"head_dim": 8, "layer_types": ["linear_attention", "full_attention"], "num_experts": 0,
                           "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8,
                           "linear_value_head_dim": 8, "mlp_only_layers": [0, 1]},
}  # fmt: skip


def sharp(config, seed=0):
    """A model whose distributions are far from uniform."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = transformers.AutoModelForCausalLM.from_config(config).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.mul_(3.0)
    return model


def made(name):
    return sharp(transformers.AutoConfig.for_model(name, **(SIZES | FAMILIES[name])))


def prompts_of(*lengths):
    generator = torch.Generator().manual_seed(0)
    return [Prompt(torch.randint(3, 64, (length,), generator=generator).tolist()) for length in lengths]


def generated(model, prompt, count):
    ids = torch.tensor([list(prompt.ids)])
    found = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=count,
                           pad_token_id=0, eos_token_id=None)  # fmt: skip
    return found[0][len(prompt.ids) :].tolist()


@pytest.mark.parametrize("name", FAMILIES)
def test_models_with_states_sample_what_they_score_and_what_transformers_generates(name):
    model, prompts = made(name), prompts_of(12, 5, 9)
    check_served(model)
    greedy = sample(model, prompts, [1, 2, 3], Sampling(temperature=0, max_new_tokens=8), ())
    assert [list(one.token_ids) for one in greedy] == [generated(model, prompt, 8) for prompt in prompts]
    ends = (greedy[1].token_ids[1], greedy[2].token_ids[4])  # rows leave the batch one after the other
    drawn = sample(model, prompts, [1, 2, 3], Sampling(max_new_tokens=8), ends)
    for one, again in zip(drawn, score(model, prompts, [one.token_ids for one in drawn]), strict=True):
        np.testing.assert_allclose(one.logprobs, again, atol=2e-4)


def test_responses_to_one_prompt_score_alike_where_states_cannot_be_copied():
    model, prompts = made("bamba"), prompts_of(6)
    responses = [(5, 6, 7), (8, 9)]
    found, real = branch_logprobs(model, [prompt.ids for prompt in prompts], responses, [0, 0])
    assert real.tolist() == [[True] * 3, [True, True, False]]
    for row, scored in zip(found, score(model, prompts * 2, responses), strict=True):
        np.testing.assert_allclose(row[: len(scored)].detach(), scored, atol=1e-5)


def test_a_model_that_forgets_is_refused():
    model = made("mamba")
    inner = model.forward
    model.forward = lambda *args, cache_params=None, **kwargs: inner(*args, **kwargs)  # type: ignore[method-assign]
    with pytest.raises(UserError, match="'mamba' cannot be served: the log-probabilities that it samples with"):
        check_served(model)


def test_a_model_that_takes_no_cache_is_refused_in_one_line():
    config = transformers.AutoConfig.for_model("rwkv", vocab_size=64, hidden_size=16, num_hidden_layers=2)
    with pytest.raises(UserError, match="'rwkv' cannot be") as caught:
        check_served(sharp(config))
    assert "\n" not in str(caught.value)


# -- rotary factors that change with the length


SWITCH = 16


@pytest.fixture(scope="module")
def phi():
    rope = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [8.0] * 4}
    sizes = {"max_position_embeddings": 256, "original_max_position_embeddings": SWITCH, "bos_token_id": 1}
    return sharp(transformers.AutoConfig.for_model("phi3", **SIZES, **HEADS, **sizes, rope_parameters=rope))


def alone(model, prompt, response):
    """Each token's log-probability after exactly what stands before it, by one plain pass a token."""
    found = []
    with torch.no_grad():
        for index, token in enumerate(response):
            ids = torch.tensor([[*prompt.ids, *response[:index]]])
            found.append(float(model(ids).logits[0, -1].log_softmax(-1)[token]))
    return found


def test_rows_that_cross_into_long_factors_are_read_as_transformers_reads_them_and_alone(phi):
    prompts = prompts_of(12, 40, 3, 16, 17)
    greedy = sample(phi, prompts, range(5), Sampling(temperature=0, max_new_tokens=12), ())
    assert [list(one.token_ids) for one in greedy] == [generated(phi, prompt, 12) for prompt in prompts]
    drawn = sample(phi, prompts, range(5), Sampling(max_new_tokens=12), ())
    scored = score(phi, prompts, [one.token_ids for one in drawn])
    for index, (prompt, one, again) in enumerate(zip(prompts, drawn, scored, strict=True)):
        assert one == dataclasses.replace(
            sample(phi, [prompt], [index], Sampling(max_new_tokens=12), ())[0], logprobs=one.logprobs
        )
        np.testing.assert_allclose(one.logprobs, again, atol=1e-4)
        np.testing.assert_allclose(alone(phi, prompt, one.token_ids), again, atol=1e-4)


def test_a_stop_string_may_lie_across_the_switch(phi):
    prompt = prompts_of(12)[0]
    free = sample(phi, [prompt], [3], Sampling(max_new_tokens=12), ())[0].token_ids
    cut = SWITCH + 1 - 12

    def decode(ids):
        return "".join(chr(200 + token) for token in ids)

    stop = decode(free)[cut - 1 : cut + 1]
    assert decode(free).index(stop) == cut - 1
    found = sample(phi, [prompt], [3], Sampling(max_new_tokens=12, stop=(stop,)), (), decode)[0]
    assert (found.token_ids, found.stop) == (free[: cut + 1], "stop")


def test_gradients_flow_through_both_sets_of_factors(phi):
    prompts, responses = prompts_of(12, 40), [tuple(range(3, 13)), tuple(range(3, 13))]
    found, _ = branch_logprobs(phi, [prompt.ids for prompt in prompts], responses, [0, 1])
    np.testing.assert_allclose(found[0].detach(), alone(phi, prompts[0], responses[0]), atol=1e-4)
    found.sum().backward()
    gradient = phi.get_input_embeddings().weight.grad
    assert gradient is not None
    assert bool(gradient[list(prompts[0].ids)].abs().sum(-1).gt(0).all())
    phi.zero_grad(set_to_none=True)


def test_the_engine_of_threads_serves_such_a_model_up_to_the_switch(phi):
    with pytest.raises(UserError, match="rotary embedding changes beyond 16"):
        Engine(phi, NoThreads([2]), Limits(window=SWITCH + 2))
