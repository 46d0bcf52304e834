"""What tests of several folders share, and the order of files when they run side by side (`make test`)."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # read when torch is loaded: two busy threads a process are slower than one

LONG = (
    "test_critics_device.py",
    "test_recipes_filtered_bc.py",
    "test_recipes_apr.py",
    "test_sites_chromium.py",
    "test_commands_cim.py",
    "test_miniwob_scripted.py",
    "test_recipes_device.py",
    "test_countdown_search.py",
    "test_package.py",
    "test_docs_examples.py",
    "test_device_environment.py",
    "test_view_look.py",
)
"""Files that take longest, the longest first: they begin first, so that both processes end together."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; within a file and among the others the order stays."""
    rank = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path.name, len(LONG)))


@pytest.fixture(scope="session")
def tiny_llava() -> Callable[[Sequence[str]], tuple[Any, Any]]:
    """From texts for its tokenizer to a LLaVA of 16 numbers a state with random weights, and its processor."""

    def made(texts: Sequence[str]) -> tuple[Any, Any]:
        import torch
        from transformers import (
            AutoModelForImageTextToText,
            CLIPVisionConfig,
            LlamaConfig,
            LlavaConfig,
            LlavaProcessor,
            PreTrainedTokenizerFast,
        )
        from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

        from turnsmith.agents.tokenizer import train_tokenizer

        trained = train_tokenizer(texts, 1200)
        trained.add_tokens(["<image>"], special_tokens=True)
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=trained.backend_tokenizer, pad_token="<pad>", eos_token="<eos>",
            clean_up_tokenization_spaces=False, extra_special_tokens={"image_token": "<image>"},
        )  # fmt: skip
        size: Any = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
        config = LlavaConfig(
            vision_config=CLIPVisionConfig(image_size=28, patch_size=14, **size),
            text_config=LlamaConfig(vocab_size=len(tokenizer), eos_token_id=1, pad_token_id=0, **size),
            image_token_index=int(tokenizer.convert_tokens_to_ids("<image>")),  # pyright: ignore[reportArgumentType]
            vision_feature_layer=-1,
        )
        processor = LlavaProcessor(
            image_processor=CLIPImageProcessorPil(size={"height": 28, "width": 28}, do_center_crop=False),
            tokenizer=tokenizer, patch_size=14, vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
        )  # fmt: skip
        torch.manual_seed(0)
        return AutoModelForImageTextToText.from_config(config), processor

    return made


@pytest.fixture
def llava_folder(tiny_llava: Callable[[Sequence[str]], tuple[Any, Any]], tmp_path: Path) -> Path:
    """PAE's architecture with 16 numbers a state and random weights, as a folder."""
    model, processor = tiny_llava(["Thought: the door is open\nAction: Click [3]", "Action: ANSWER; [yes]"])
    processor.chat_template = (
        "{% for message in messages %}{{ message.role }}: {% for part in message.content %}"
        "{% if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif %}{% endfor %}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    model.save_pretrained(tmp_path / "llava")
    processor.save_pretrained(tmp_path / "llava")
    return tmp_path / "llava"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def phones():
    """One browser and one server of phones for all tests of phones."""
    from turnsmith.worlds.phone import LocalPhones

    phones = LocalPhones()
    await phones.start()
    yield phones
    await phones.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def phone(phones):
    """One of them, fresh."""
    phone = await phones.borrow()
    yield phone
    await phone.close()
