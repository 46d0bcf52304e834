"""Digi-Q's features from a LLaVA-type model: the state at which it would answer "does this action have an effect?".

The model is shown the screen with a cursor where the action touches, and asked about the action; its hidden state at
the last token of the prompt, the one that the answer is read from, is the feature (the last layer, as in the authors'
code). After fine-tuning on the question (`yes_no_loss`) that state says what the action would do; what is tuned is a
LoRA adapter, so that the model as it was is still there to be compared with.

With `llava-hf/llava-1.5-7b-hf` this is the paper's stage 1 and 2; tests use tiny random models of the same classes.
"""

import io
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from turnsmith.agents.templates import apply_template, starts_with_bos
from turnsmith.engine.models import LanguageModel, Processor
from turnsmith.errors import UserError, require
from turnsmith.trace.types import Call, ImageRef

CURSOR_SHARE = 250 / 1080
"""Width of the cursor in widths of the screen (authors' code: 250 pixels on a screen of 1080)."""


def question(call: Call) -> str:
    """The question about an action, in our words."""
    arguments = call.arguments
    match call.name:
        case "tap":
            what = f"a tap at the cursor, at {arguments['x']:.2f} of the width and {arguments['y']:.2f} of the height,"
        case "swipe":
            what = "a swipe that begins at the cursor"
        case "type":
            what = f'typing "{arguments["text"]}"'
        case "press":
            what = f"pressing the {arguments['key']} key"
        case "status":
            what = f"ending the task as {arguments['state']}"
        case _:
            what = "text that is no action"
    return f"This is the screen of a phone. Would {what} change what it shows? Answer Yes or No."


def picture(image: ImageRef, call: Call) -> Any:
    """The screenshot as a PIL image, with a cursor whose tip is where the gesture begins, at a quarter of its size."""
    if image.data is None:
        raise ValueError(f"image {image.digest[:12]} has no bytes here; fetch it with Store.image")
    shown = Image.open(io.BytesIO(image.data)).convert("RGB")
    if call.name in ("tap", "swipe"):
        x, y = float(call.arguments["x"]) * shown.width, float(call.arguments["y"]) * shown.height
        side = CURSOR_SHARE * shown.width
        outline = [(0, 0), (0, 0.85), (0.2, 0.66), (0.36, 1.0), (0.5, 0.94), (0.35, 0.6), (0.62, 0.6)]
        ImageDraw.Draw(shown).polygon(
            [(x + side * dx, y + side * dy) for dx, dy in outline], fill=(230, 20, 40), outline="white"
        )
    return shown.resize((max(1, shown.width // 4), max(1, shown.height // 4)))


class LlavaReader:
    """A LLaVA-type model as the reader of actions.

    Args:
        model: `LlavaForConditionalGeneration` or one of its kin.
        processor: of the model.
        layer: which hidden states are the features; −1 is the last, as in the authors' code.

    Raises:
        UserError: if "Yes" and "No" are one to the tokenizer.
    """

    def __init__(self, model: LanguageModel, processor: Processor, layer: int = -1) -> None:
        self.model, self.processor, self.layer = model.eval(), processor, layer
        tokenizer = processor.tokenizer
        both = [tokenizer(word, add_special_tokens=False).input_ids for word in ("Yes", "No")]
        apart = next((pair for pair in zip(*both, strict=False) if pair[0] != pair[1]), None)  # some begin alike
        if apart is None:
            raise UserError("the model's tokenizer does not tell Yes from No.")
        self.yes, self.no = apart
        tokenizer.padding_side = "left"  # so that the last column is the last token of every prompt

    @property
    def width(self) -> int:
        """Of the hidden states."""
        return int(self.model.config.get_text_config().hidden_size)

    def add_adapter(self, rank: int, seed: int = 0) -> None:
        """Put a LoRA adapter on all linear layers of the language model, α = 2 rank as the authors do; it alone learns.

        Args:
            rank: of the adapter (the authors: 128).
            seed: of its first weights.

        Raises:
            UserError: if peft is missing, or the model has no such layers.
        """
        require("peft", "hf")
        from peft import LoraConfig, get_peft_model

        layers = r".*language_model.*\.(q|k|v|o|gate|up|down)_proj"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                adapted = get_peft_model(self.model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=layers))
            except ValueError as error:
                raise UserError(f"this model cannot take an adapter ({str(error).splitlines()[0]}).") from error
        self.model = adapted.eval()

    def adapter(self) -> dict[str, Tensor]:
        """The adapter's weights by name, on the CPU."""
        from peft import get_peft_model_state_dict

        return {name: value.detach().cpu().clone() for name, value in get_peft_model_state_dict(self.model).items()}

    def restore_adapter(self, weights: dict[str, Tensor]) -> None:
        """What `adapter` gave, into an adapter of the same rank."""
        from peft import set_peft_model_state_dict

        set_peft_model_state_dict(self.model, weights)

    def inputs(self, images: Sequence[ImageRef], calls: Sequence[Call]) -> dict[str, Tensor]:
        """The model's inputs for these pairs of screen and action."""
        token = getattr(self.processor, "image_token", "<image>")
        texts = []
        for call in calls:
            if getattr(self.processor, "chat_template", None):
                content = [{"type": "image", "image": None}, {"type": "text", "text": question(call)}]
                texts.append(apply_template(self.processor, [{"role": "user", "content": content}], pictures=True))
            else:
                texts.append(f"USER: {token}\n{question(call)} ASSISTANT:")
        pictures = [[picture(image, call)] for image, call in zip(images, calls, strict=True)]
        known = all(starts_with_bos(self.processor.tokenizer, text) for text in texts)
        options = {"add_special_tokens": False} if known else {}
        batch = self.processor(text=texts, images=pictures, return_tensors="pt", padding=True, **options)
        return {name: value.to(self.model.device) for name, value in batch.items()}

    def features(
        self, images: Sequence[ImageRef], calls: Sequence[Call], adapted: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Features (N, width) and P(yes against no) (N,), float32, without gradients; as it was, unless `adapted`."""
        with torch.inference_mode(), nullcontext() if adapted else self.model.disable_adapter():  # type: ignore[operator]
            output = self.model(**self.inputs(images, calls), output_hidden_states=True, use_cache=False)
            feature = output.hidden_states[self.layer][:, -1].float().clone()
            both = output.logits[:, -1].float()[:, [self.yes, self.no]]
            return feature, both.softmax(dim=-1)[:, 0].clone()

    def yes_no_loss(self, images: Sequence[ImageRef], calls: Sequence[Call], changed: Sequence[bool]) -> Tensor:
        """Token cross-entropy of the right answer, mean over the batch: the loss of stage 1."""
        logits = self.model(**self.inputs(images, calls), use_cache=False).logits[:, -1].float()
        right = torch.tensor([self.yes if answer else self.no for answer in changed], device=logits.device)
        return torch.nn.functional.cross_entropy(logits, right)


def load_llava_reader(folder: Path, device: str | None = None) -> LlavaReader:
    """The reader of a model folder in the Hugging Face layout.

    Raises:
        UserError: if it is no folder of a model that takes pictures and writes text.
    """
    from turnsmith.agents.load import load_model, load_tokenizer

    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder of a LLaVA-type model.")
    _, processor = load_tokenizer(folder)
    if processor is None:
        raise UserError(f"{folder}: a model that reads text alone; a reader of screens takes pictures.")
    return LlavaReader(load_model(folder, device), processor)
