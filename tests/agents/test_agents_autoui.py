"""Auto-UI's architecture and the LLaVA reader with tiny random weights: the formula, sampling, saving, reading."""

import asyncio
import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    Blip2VisionConfig,
    Blip2VisionModel,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from turnsmith.agents import aitw
from turnsmith.agents.autoui import AutoUIConfig, AutoUIModel, AutoUIPolicy, load_autoui
from turnsmith.agents.base import Context
from turnsmith.agents.blip2 import Blip2Vectors
from turnsmith.agents.llava_reader import LlavaReader, picture, question
from turnsmith.agents.tokenizer import train_tokenizer
from turnsmith.engine.forward import Prompt
from turnsmith.engine.sampling import Sampling
from turnsmith.engine.score import score
from turnsmith.errors import UserError
from turnsmith.learn.examples import Example
from turnsmith.learn.optim import OptimConfig
from turnsmith.learn.sft import train
from turnsmith.trace.types import Call, ImageRef, Observation, Task

torch.set_num_threads(1)

CALLS = [
    Call("tap", {"y": 0.25, "x": 0.5}),
    Call("type", {"text": "lamp"}),
    Call("press", {"key": "back"}),
    Call("swipe", {"y": 0.8, "x": 0.5, "to_y": 0.2, "to_x": 0.5}),
]


def shot(colour: str) -> ImageRef:
    file = io.BytesIO()
    Image.new("RGB", (72, 152), colour).save(file, "PNG")
    return ImageRef.of(file.getvalue(), "image/png")


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["Previous Actions: Goal: Go to shoply.com", aitw.render_aitw(CALLS[0])] * 3, 1200)


@pytest.fixture(scope="module")
def policy(tokenizer):
    torch.manual_seed(0)
    sizes: Any = {
        "image_width": 24, "vocab_size": len(tokenizer), "d_model": 32, "d_ff": 48, "d_kv": 8, "num_layers": 1,
        "num_decoder_layers": 2, "num_heads": 2,
        "decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0, "dropout_rate": 0.0,
    }  # fmt: skip
    config = AutoUIConfig(**sizes)
    model = AutoUIModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    tower = Blip2VisionModel(
        Blip2VisionConfig(hidden_size=24, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
                          image_size=28, patch_size=14)
    )  # fmt: skip
    with torch.no_grad():
        for parameter in tower.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    images = CLIPImageProcessorPil(size={"height": 28, "width": 28}, do_center_crop=False)
    return AutoUIPolicy(model, tokenizer, Blip2Vectors(tower, images), sampling=Sampling(max_new_tokens=10))


def context(colour: str = "red", seed: int = 0, goal: str = "Go to shoply.com") -> Context:
    return Context(Task("t", goal, "device"), Observation(images=(shot(colour),)), seed=seed)


def test_the_fusion_is_the_gated_cross_attention_of_the_paper(policy):
    model = policy.model
    ids, mask = torch.tensor([[5, 6, 7]]), torch.ones(1, 3, dtype=torch.long)
    image = torch.randn(1, 24)
    with torch.no_grad():
        h = model.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        e = model.image_dense(image)
        # One key only: the attention is that key's value, whatever the query.
        weight, bias = model.mha_layer.in_proj_weight, model.mha_layer.in_proj_bias
        a = model.mha_layer.out_proj(e @ weight[64:].T + bias[64:])[:, None].expand_as(h)
        g = torch.sigmoid(model.gate_dense(torch.cat([h, a], dim=-1)))
        expected = (1 - g) * h + g * a
        torch.testing.assert_close(model.encode(ids, mask, image).last_hidden_state, expected, atol=1e-5, rtol=1e-4)


def test_what_auto_ui_sampled_scores_the_same(policy):
    contexts = [context("red", 1), context("blue", 2, "Go to bigbox.com, search for 'kettle'")]
    actions = asyncio.run(policy.act(contexts))
    scored = asyncio.run(policy.log_prob(list(zip(contexts, actions, strict=True))))
    for one, action, logprobs in zip(contexts, actions, scored, strict=True):
        np.testing.assert_allclose(action.logprobs, logprobs, atol=1e-4)
        assert asyncio.run(policy.act([one]))[0].token_ids == action.token_ids


def test_auto_ui_depends_on_the_image_vector(policy):
    responses = [policy.encode_response("tap")] * 2
    prompts = [Prompt((5, 6, 7), {"image_vectors": vector}) for vector in (torch.zeros(1, 24), torch.ones(1, 24))]
    one, other = score(policy.model, prompts, responses)
    assert max(abs(a - b) for a, b in zip(one, other, strict=True)) > 1e-4
    pair = policy.vectors([shot("red"), shot("blue")])
    assert pair.shape == (2, 24)
    assert (pair[0] - pair[1]).abs().max() > 0


def test_a_batch_of_prompts_and_responses_of_any_lengths_scores_as_each_alone(policy):
    """The one forward pass of all models reads prompts in the encoder and writes responses in the decoder here."""
    vectors = torch.randn(3, 24, generator=torch.Generator().manual_seed(2))
    prompts = [
        Prompt(ids, {"image_vectors": vectors[row : row + 1]}) for row, ids in enumerate(((5, 6, 7), (8,), (9, 4)))
    ]
    responses = [(11, 1), (12, 13, 14, 1), (1,)]
    with torch.no_grad():
        for prompt, response, together in zip(prompts, responses, score(policy.model, prompts, responses), strict=True):
            decoder = torch.tensor([[0, *response[:-1]]])
            logits = policy.model(
                input_ids=torch.tensor([prompt.ids]),
                attention_mask=torch.ones(1, len(prompt.ids), dtype=torch.long),
                decoder_input_ids=decoder,
                **prompt.vision,
            ).logits
            alone = logits[0].log_softmax(dim=-1)[range(len(response)), list(response)].tolist()
            np.testing.assert_allclose(together, alone, atol=1e-4)


def test_auto_ui_learns_what_it_is_shown(policy):
    learner = policy.copy("learner")
    texts = [aitw.render_aitw(call) for call in CALLS[:2]]
    contexts = [context("red"), context("blue", goal="Type a lamp")]
    examples = [
        Example(ids, learner.encode_response(text), (True,) * len(learner.encode_response(text)), vision=vision)
        for text, (ids, vision) in zip(texts, map(learner.encode_prompt, contexts), strict=True)
    ]
    optim = OptimConfig(learning_rate=1e-2, batch_size=2, epochs=40, warmup_updates=0, schedule="constant")
    losses = train(learner.model, examples, optim)
    assert losses[-1] < 0.5 * losses[0]
    with pytest.raises(UserError, match="image vectors of 24 numbers"):
        AutoUIPolicy(learner.model, learner.tokenizer, Wide())


class Wide:
    """Image vectors of another width than the model reads."""

    size = 25

    def __call__(self, images):
        return torch.zeros(len(images), 25)


def test_an_auto_ui_folder_loads_with_its_image_width(policy, tmp_path):
    policy.model.save_pretrained(tmp_path)
    policy.tokenizer.save_pretrained(tmp_path)
    again = load_autoui(tmp_path, policy.vectors, sampling=policy.sampling)
    assert again.model.config.image_width == 24
    before, after = (asyncio.run(p.act([context(seed=4)]))[0] for p in (policy, again))
    assert before.token_ids == after.token_ids
    with pytest.raises(UserError, match="not an Auto-UI folder"):
        load_autoui(tmp_path / "nothing", policy.vectors)


@pytest.fixture(scope="module")
def reader(tiny_llava):
    return LlavaReader(*tiny_llava([question(call) for call in CALLS]))


def test_the_reader_gives_the_state_at_the_answer_whatever_the_batch(reader):
    images = [shot("red"), shot("blue"), shot("red"), shot("white")]
    features, yes = reader.features(images, CALLS)
    assert features.shape == (4, 16)
    assert ((yes > 0) & (yes < 1)).all()
    alone, alone_yes = reader.features(images[1:2], CALLS[1:2])
    torch.testing.assert_close(features[1:2], alone, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(yes[1:2], alone_yes, atol=1e-4, rtol=1e-3)
    moved, _ = reader.features(images[:1], [Call("tap", {"y": 0.75, "x": 0.1})])
    assert (moved - features[:1]).abs().max() > 1e-4  # the action is in the feature


def test_the_reader_learns_the_question(reader):
    images, changed = [shot("red"), shot("red")], [True, False]
    optimizer = torch.optim.Adam(reader.model.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        loss = reader.yes_no_loss(images, CALLS[:2], changed)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 2
    assert reader.features(images, CALLS[:2])[1].tolist() == pytest.approx([1.0, 0.0], abs=0.2)


def test_the_cursor_points_at_the_tap():
    shown = np.asarray(picture(shot("white"), CALLS[0])).astype(int)
    reddish = np.argwhere((shown[..., 0] > 150) & (shown[..., 1] < 150))
    assert reddish[:, 0].min() == pytest.approx(0.25 * shown.shape[0], abs=1.5)
    assert reddish[:, 1].min() == pytest.approx(0.5 * shown.shape[1], abs=1.5)
    assert (np.asarray(picture(shot("white"), CALLS[2])) == 255).all()
