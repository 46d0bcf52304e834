"""KALIE's own predictor: a Hugging Face vision-language model with a LoRA adapter writes the keypoints as JSON.

Any image-and-text model of `transformers` serves (the paper has CogVLM-17B, rank 10 on language model and vision
encoder); tests use a tiny random LLaVA. The response is trained by token cross-entropy, the prompt is not in the loss,
and answers are decoded greedily. Examples, training and sampling are the house's own (`learn.sft`, `engine.local`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from turnsmith.errors import ParseError, UserError, require
from turnsmith.robot.kalie_files import read_text, target_text
from turnsmith.robot.labelled import Labelled
from turnsmith.worlds.tabletop.points import NAMES, tie
from turnsmith.worlds.tabletop.tasks import SPECS, TableTask

if TYPE_CHECKING:
    from turnsmith.engine.forward import Prompt
    from turnsmith.learn.optim import OptimConfig


def prompt_of(task: TableTask) -> str:
    """What the model is asked, in our words: the task, the five points, what is tied, the form of the answer."""
    spec = SPECS[task]
    tied = "".join(f" The {NAMES[key]} equals the {NAMES[same]}." for key, same in spec.ties.items())
    return (
        f"A robot's gripper works on this table, seen from above. Task: {spec.instruction} Name five points of the "
        "image: the Grasp Point where the gripper takes the tool, the Function Point of the tool that makes contact, "
        "the Target Point on what is acted on, and the Pre-contact Point and Post-contact Point that the function "
        f"point visits before and after.{tied} Answer in JSON with these five keys, each a list of x and y as "
        "three-digit strings from 000 to 999, in thousandths of the image's width and height."
    )


class VlmPredictor:
    """A vision-language model that writes keypoints.

    Args:
        model: of `AutoModelForImageTextToText`, or a LoRA-wrapped one.
        processor: of the model.
        max_new_tokens: the longest answer.
    """

    def __init__(self, model: Any, processor: Any, max_new_tokens: int = 256) -> None:
        self.model: Any = model
        self.processor, self.max_new_tokens = processor, max_new_tokens
        self.unreadable = 0
        """How many answers could not be read so far; such an image's points are in its middle."""

    def add_adapter(self, rank: int = 10, seed: int = 0, layers: str = "all-linear") -> None:
        """Put a LoRA adapter on the model; it alone learns.

        Args:
            rank: the paper's is 10.
            seed: of its first weights.
            layers: which: "all-linear", or a regular expression of module names (the language model's alone, say).

        Raises:
            UserError: if peft is missing, or the model has no such layers.
        """
        require("peft", "hf")
        import torch
        from peft import LoraConfig, get_peft_model

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                self.model = get_peft_model(
                    self.model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=layers)
                ).eval()
            except ValueError as error:
                raise UserError(f"this model cannot take an adapter ({str(error).splitlines()[0]}).") from error

    def prompt(self, task: TableTask, image_HW3: np.ndarray) -> "Prompt":
        """Token ids and image inputs of a question."""
        from turnsmith.agents.templates import apply_template, starts_with_bos
        from turnsmith.engine.forward import Prompt

        if getattr(self.processor, "chat_template", None):
            content = [{"type": "image", "image": None}, {"type": "text", "text": prompt_of(task)}]
            text = apply_template(self.processor, [{"role": "user", "content": content}], pictures=True)
        else:
            text = f"USER: {getattr(self.processor, 'image_token', '<image>')}\n{prompt_of(task)} ASSISTANT:"
        options = {"add_special_tokens": False} if starts_with_bos(self.processor.tokenizer, text) else {}
        inputs = self.processor(text=[text], images=[[Image.fromarray(image_HW3)]], return_tensors="pt", **options)
        ids = tuple(inputs.pop("input_ids")[0].tolist())
        inputs.pop("attention_mask", None)
        return Prompt(ids, dict(inputs))

    def train(self, samples: Sequence[Labelled], optim: "OptimConfig") -> list[float]:
        """Fine-tune on labelled images; returns the loss of every update.

        Raises:
            UserError: if there is nothing to learn from.
        """
        from turnsmith.learn.examples import Example
        from turnsmith.learn.sft import train

        tokenizer, examples = self.processor.tokenizer, []
        for sample in samples:
            prompt = self.prompt(sample.task, sample.rgb_HW3)
            text = target_text(sample.points_52, sample.size, sample.size)
            ids = (*tokenizer(text, add_special_tokens=False).input_ids, tokenizer.eos_token_id)
            examples.append(Example(tuple(prompt.ids), ids, (True,) * len(ids), vision=prompt.vision))
        return train(self.model, examples, optim)

    def answers(self, task: TableTask, images: Sequence[np.ndarray]) -> list[str]:
        """What the model writes, greedily."""
        from turnsmith.engine.local import sample
        from turnsmith.engine.sampling import Sampling

        prompts = [self.prompt(task, image) for image in images]
        sampling = Sampling(temperature=0.0, max_new_tokens=self.max_new_tokens)
        drawn = sample(self.model, prompts, [0] * len(prompts), sampling, (self.processor.tokenizer.eos_token_id,))
        return [self.processor.tokenizer.decode(sampled.token_ids, skip_special_tokens=True) for sampled in drawn]

    def predict(self, task: TableTask, images: Sequence[np.ndarray]) -> np.ndarray:
        """See `affordance.Predictor.predict`."""
        points = []
        for image, answer in zip(images, self.answers(task, images), strict=True):
            height, width = image.shape[:2]
            try:
                points.append(tie(read_text(answer, width, height), SPECS[task].ties))
            except ParseError:
                self.unreadable += 1
                points.append(np.full((5, 2), [width / 2, height / 2]))
        return np.stack(points)


def load_vlm(folder: Path, device: str | None = None) -> VlmPredictor:
    """The predictor of a model folder in the Hugging Face layout (an adapter's too).

    Raises:
        UserError: if it is no folder of a model that takes pictures and writes text.
    """
    from turnsmith.agents.load import load_model, load_tokenizer

    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder of a vision-language model.")
    _, processor = load_tokenizer(folder)
    if processor is None:
        raise UserError(f"{folder}: a model that reads text alone; keypoints need one that takes pictures.")
    return VlmPredictor(load_model(folder, device), processor)
