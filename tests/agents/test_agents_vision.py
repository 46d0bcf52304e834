"""Vision-language models of several families: built from config, saved, loaded, acting, scored and trained.

The models are tiny and random. Their processors are the ones that real folders of the family bring, with the image
processors that need no torchvision.
"""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    Gemma3Processor,
    Idefics3Processor,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

from turnsmith.agents.base import Context
from turnsmith.agents.load import load_local
from turnsmith.agents.render import instructions
from turnsmith.agents.tokenizer import train_tokenizer
from turnsmith.engine.sampling import Sampling
from turnsmith.learn.examples import example_from_turn
from turnsmith.learn.optim import OptimConfig
from turnsmith.learn.sft import train
from turnsmith.trace.types import Action, Call, ImageRef, Observation, Task, Turn

SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = {**SIZES, "num_key_value_heads": 2, "max_position_embeddings": 4096, "eos_token_id": 1, "pad_token_id": 0}
TEMPLATE = (
    "{% for m in messages %}{{ m.role }}: {% for p in m.content %}"
    "{% if p.type == 'image' %}IMAGE{% else %}{{ p.text }}{% endif %}"
    "{% endfor %}<end>{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"


def tokenizer_with(**special: str):
    """The small models' tokenizer with these special tokens, by the names that the family's processor asks for."""
    made = train_tokenizer([instructions("webvoyager"), instructions("tti")], 1200)
    made.add_tokens(["<end>", *special.values()], special_tokens=True)
    return PreTrainedTokenizerFast(
        tokenizer_object=made.backend_tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        clean_up_tokenization_spaces=False,
        extra_special_tokens=special,
    )


def build_llava():
    tokenizer = tokenizer_with(image_token="<image>")
    config = AutoConfig.for_model(
        "llava",
        vision_config={"model_type": "clip_vision_model", "image_size": 28, "patch_size": 14, **SIZES},
        text_config={"model_type": "llama", "vocab_size": len(tokenizer), **TEXT},
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
    )
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        chat_template=TEMPLATE.replace("IMAGE", "<image>"),
        num_additional_image_tokens=1,
    )
    return config, processor


def build_idefics3():
    """The family of SmolVLM (whose own processor asks for one package more)."""
    tokenizer = tokenizer_with(
        image_token="<image>",
        fake_image_token="<fake_token_around_image>",
        global_image_token="<global-img>",
        end_of_utterance_token="<end_of_utterance>",
    )
    config = AutoConfig.for_model(
        "idefics3",
        vision_config={"model_type": "idefics3_vision", "image_size": 32, "patch_size": 8, **SIZES},
        text_config={"model_type": "llama", "vocab_size": len(tokenizer), **TEXT},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=0,
    )
    images = Idefics3ImageProcessorPil(
        size={"longest_edge": 32}, max_image_size={"longest_edge": 32}, do_image_splitting=False
    )
    template = TEMPLATE.replace("IMAGE", "<image>")
    return config, Idefics3Processor(images, tokenizer, image_seq_len=4, chat_template=template)


def build_gemma3():
    tokenizer = tokenizer_with(
        image_token="<image_soft_token>", boi_token="<start_of_image>", eoi_token="<end_of_image>"
    )
    image, start, end = (
        tokenizer.convert_tokens_to_ids(t) for t in ("<image_soft_token>", "<start_of_image>", "<end_of_image>")
    )
    config = AutoConfig.for_model(
        "gemma3",
        vision_config={"model_type": "siglip_vision_model", "image_size": 32, "patch_size": 8, **SIZES},
        text_config={
            "model_type": "gemma3_text",
            "vocab_size": len(tokenizer),
            "head_dim": 8,
            "sliding_window": 16,
            "layer_types": ["sliding_attention", "full_attention"],
            **TEXT,
        },
        mm_tokens_per_image=4,
        image_token_index=image,
        boi_token_index=start,
        eoi_token_index=end,
    )
    processor = Gemma3Processor(
        Gemma3ImageProcessorPil(size={"height": 32, "width": 32}),
        tokenizer,
        chat_template=NO_SYSTEM + TEMPLATE.replace("IMAGE", "<start_of_image>"),
        image_seq_length=4,
    )
    return config, processor


@pytest.fixture(scope="module", params=[build_llava, build_idefics3, build_gemma3])
def policy(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("vlm") / "tiny"
    config, processor = request.param()
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(config)
    for parameter in model.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return load_local(folder, rendering="tti", sampling=Sampling(max_new_tokens=12))


def picture(color: tuple[int, int, int], size: tuple[int, int] = (64, 48)) -> ImageRef:
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, "PNG")
    return ImageRef.of(file.getvalue(), "image/png")


def look(color: tuple[int, int, int] | None = None) -> Observation:
    return Observation('[0]: "Home";', () if color is None else (picture(color),))


@pytest.fixture
def contexts() -> list[Context]:
    """One picture; three pictures over an episode; none."""
    task = Task("t", "Find the kettle", "browser")
    action = Action("Thought: home\nAction: Click [0]", Call("click", {"mark": 0}))
    turns = (Turn(look((255, 0, 0)), action), Turn(look((0, 255, 0)), action))
    return [
        Context(task, look((0, 0, 255)), seed=1),
        Context(task, look((9, 9, 9)), turns, seed=2),
        Context(task, look(), seed=3),
    ]


async def test_it_acts_and_scores_what_it_said(policy, contexts):
    with_pictures = contexts[:2]
    actions = await policy.act(with_pictures)
    scored = await policy.log_prob(list(zip(with_pictures, actions, strict=True)))
    for action, logprobs in zip(actions, scored, strict=True):
        assert action.token_ids
        np.testing.assert_allclose(action.logprobs, logprobs, atol=1e-4)
    alone = [(await policy.act([context]))[0] for context in with_pictures]
    assert [a.token_ids for a in actions] == [a.token_ids for a in alone]


async def test_it_sees(policy, contexts):
    """The same words with another picture are another distribution."""
    red, other = (Context(contexts[0].task, look(color), seed=1) for color in ((255, 0, 0), (0, 40, 90)))
    action = (await policy.act([red]))[0]
    ours, theirs = await policy.log_prob([(red, action), (other, action)])
    assert np.abs(np.subtract(ours, theirs)).max() > 1e-4


async def test_it_acts_without_pictures(policy, contexts):
    action = (await policy.act(contexts[2:]))[0]
    assert action.token_ids
    assert policy.encode_prompt(contexts[2])[0] == action.prompt_ids


def test_every_picture_of_the_chat_is_in_the_prompt(policy, contexts):
    one, three = (policy.encode_prompt(context) for context in contexts[:2])
    values_one, values_three = one[1]["pixel_values"], three[1]["pixel_values"]
    assert values_three.numel() == 3 * values_one.numel()


async def test_it_learns_from_sampled_and_scripted_turns(policy, contexts):
    sampled = Turn(contexts[1].observation, (await policy.act(contexts[1:2]))[0])
    scripted = Turn(contexts[0].observation, Action("Thought: home\nAction: Click [0]", Call("click", {"mark": 0})))
    examples = [
        example_from_turn(sampled, contexts[1], policy),
        example_from_turn(scripted, contexts[0], policy),
    ]
    assert examples[0].token_ids == sampled.action.token_ids
    # The turn ends with the token that the chat template writes there.
    assert policy.tokenizer.convert_ids_to_tokens(examples[1].token_ids[-1]) == "<end>"
    assert examples[1].token_ids[-1] in policy.eos_ids
    losses = train(policy.model, examples, OptimConfig(learning_rate=3e-3, batch_size=2, epochs=8, warmup_updates=1))
    assert losses[-1] < losses[0]
