"""A Hugging Face text model as a policy: tokens in, tokens out, by template, transcript or compact prompt."""

import asyncio
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from turnsmith.agents.hf_policy import HFPolicy
from turnsmith.agents.load import load_local, new_small_policy
from turnsmith.agents.render import compact, compact_response, instructions
from turnsmith.agents.tokenizer import train_tokenizer
from turnsmith.engine.sampling import Sampling
from turnsmith.learn.examples import example_from_turn
from turnsmith.learn.optim import OptimConfig
from turnsmith.learn.sft import train
from turnsmith.trace.types import Action, Call, Observation, StopReason, Turn

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHATML


@pytest.fixture(scope="module")
def small(shelves) -> HFPolicy:
    texts = [compact(context) + response for context, response in shelves(100, 0)]
    return new_small_policy(texts, vocab_size=1100, width=32, layers=1, heads=2, sampling=Sampling(max_new_tokens=24))


def llama(template: str | None) -> HFPolicy:
    tokenizer = train_tokenizer([instructions("webvoyager"), instructions("tti")], 1200)
    tokenizer.add_tokens(["<|im_start|>", "<|im_end|>"], special_tokens=True)
    tokenizer.chat_template = template
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        eos_token_id=1,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    return HFPolicy(
        LlamaForCausalLM(config), tokenizer, rendering="tti", dialect="tti", sampling=Sampling(max_new_tokens=8)
    )


async def test_actions_hold_exactly_what_was_sampled(small, shelves):
    contexts = [context for context, _ in shelves(5, 1)]
    actions = await small.act(contexts)
    scored = await small.log_prob(list(zip(contexts, actions, strict=True)))
    for context, action, logprobs in zip(contexts, actions, scored, strict=True):
        assert action.prompt_ids == small.encode_prompt(context)[0]
        assert small.tokenizer.decode(action.prompt_ids) == compact(context)
        assert small.tokenizer.decode(action.token_ids, skip_special_tokens=True).strip() == action.text
        np.testing.assert_allclose(action.logprobs, logprobs, atol=1e-4)
        assert action.sampled == ()
        assert action.stop in (StopReason.EOS, StopReason.LENGTH)


async def test_what_does_not_parse_has_no_call_and_says_why(small, shelves):
    action = (await small.act([shelves(1, 1)[0][0]]))[0]  # an untrained model
    assert action.call is None
    assert "Action:" in action.error


async def test_a_small_model_learns_to_act(small, shelves):
    """Trained to a handful of pages, it writes what it was taught, and that parses."""
    pages = shelves(8, 2)
    turns = [(Turn(c.observation, Action(response)), c) for c, response in pages]
    examples = [example_from_turn(turn, context, small) for turn, context in turns]
    assert all(example.token_ids[-1] == small.tokenizer.eos_token_id for example in examples)
    train(small.model, examples, OptimConfig(learning_rate=5e-3, batch_size=8, epochs=100, warmup_updates=5))
    small.sampling = replace(small.sampling, temperature=0.0)
    for action, (_, response) in zip(await small.act([context for context, _ in pages]), pages, strict=True):
        assert action.text == compact_response(response)
        assert action.call == Call("click", {"mark": int(response.rsplit("[", 1)[1][:-1])})
        assert action.stop is StopReason.EOS


async def test_the_loop_goes_on_while_the_model_thinks(small, shelves):
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.001)
            beats += 1

    heart = asyncio.create_task(beat())
    await small.act([context for context, _ in shelves(8, 3)])
    heart.cancel()
    assert beats > 0


async def test_acting_waits_while_the_lock_is_held(small, shelves):
    small.lock.acquire()
    acting = asyncio.create_task(small.act([shelves(1, 1)[0][0]]))
    await asyncio.sleep(0.05)
    assert not acting.done()
    released = time.monotonic()
    small.lock.release()
    await acting
    assert time.monotonic() >= released


def test_a_chat_goes_through_the_models_template(later):
    policy = llama(CHATML)
    text = policy.tokenizer.decode(policy.encode_prompt(later)[0])
    assert text.startswith("<|im_start|>system\nYou carry out a task")
    assert text.count("<|im_start|>assistant\n") == 3
    assert text.endswith("<|im_start|>assistant\n")
    ids = policy.encode_response("Action: Wait")
    assert policy.tokenizer.convert_ids_to_tokens(ids[-1]) == "<|im_end|>"
    assert ids[-1] in policy.eos_ids
    assert 1 in policy.eos_ids


def test_a_template_without_system_role_gets_it_in_the_first_user_message(later):
    text = llama(NO_SYSTEM).tokenizer.decode(llama(NO_SYSTEM).encode_prompt(later)[0])
    assert text.startswith("<|im_start|>user\nYou carry out a task")
    assert "system\n" not in text


def test_without_a_template_the_chat_is_a_transcript(later):
    policy = llama(None)
    text = policy.tokenizer.decode(policy.encode_prompt(later)[0])
    assert text.startswith("System: You carry out a task")
    assert text.endswith("Assistant: ")
    assert policy.encode_response("x")[-1] == policy.tokenizer.eos_token_id  # type: ignore


async def test_a_chat_model_acts_and_scores(later, tmp_path):
    made = llama(CHATML)
    made.model.save_pretrained(tmp_path)
    made.tokenizer.save_pretrained(tmp_path)
    policy = load_local(tmp_path, rendering="tti", sampling=made.sampling)
    action = (await policy.act([later]))[0]
    assert action == (await made.act([later]))[0]
    np.testing.assert_allclose((await policy.log_prob([(later, action)]))[0], action.logprobs, atol=1e-4)


async def test_an_action_of_a_page_that_says_eos_is_not_cut_short(small, later):
    info = {"elements": [{"mark": 0, "tag": "a", "text": "<eos> <pad>", "aria": "", "box": [0, 0, 1, 1]}]}
    context = replace(later, observation=Observation(info=info))
    assert small.tokenizer.eos_token_id not in small.encode_prompt(context)[0]
