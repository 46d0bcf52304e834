"""The Auto-UI architecture (arXiv 2309.11436), DigiRL's policy: T5 that looks at one frozen image vector.

After T5's encoder, h of the text is fused with the image vector x (BLIP-2's pooled vector, 1408 numbers):

    e = W_e x        a = attention(h, e, e)  (one head)        g = sigmoid(W_g [h; a])        h' = (1 − g) h + g a

and the decoder reads h'. Names of the added weights are those of the released checkpoints (`cooelf/Auto-UI`), so that
such a folder loads as it is; that was not tried here, where no weights can be had: tests use tiny random models.

Notable: sampling has a random stream for each row, as in `engine.local`, and log-probabilities are at temperature 1.
"""

import asyncio
import io
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor, nn
from transformers import T5Config, T5ForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from turnsmith.agents import aitw
from turnsmith.agents.base import Context
from turnsmith.agents.screen_policy import prompt_text
from turnsmith.engine.draw import draw
from turnsmith.engine.forward import left_pad
from turnsmith.engine.models import LanguageModel, Processor, Tokenizer
from turnsmith.engine.sampling import Sampling
from turnsmith.errors import ParseError, UserError
from turnsmith.trace.types import Action, ImageRef, StopReason


class AutoUIConfig(T5Config):
    """A T5 configuration with the width of the image vector."""

    model_type = "t5"

    def __init__(self, image_width: int = 1408, **more: Any) -> None:
        super().__init__(**more)
        self.image_width = image_width


class AutoUIModel(T5ForConditionalGeneration):
    """T5 whose encoder states are fused with an image vector by gated cross-attention."""

    config_class = AutoUIConfig

    def __init__(self, config: AutoUIConfig) -> None:
        super().__init__(config)
        width = config.d_model
        self.image_dense = nn.Linear(config.image_width, width)
        self.mha_layer = nn.MultiheadAttention(width, num_heads=1, batch_first=True)
        self.gate_dense = nn.Linear(2 * width, width)

    def encode(self, input_ids: Tensor, attention_mask: Tensor, image_BV: Tensor) -> BaseModelOutput:
        """Fused states of the text, (B, L, width).

        Args:
            input_ids, attention_mask: (B, L).
            image_BV: image vectors.
        """
        hidden_BLD = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        image_B1D = self.image_dense(image_BV)[:, None]
        seen_BLD, _ = self.mha_layer(hidden_BLD, image_B1D, image_B1D)
        gate_BLD = torch.sigmoid(self.gate_dense(torch.cat([hidden_BLD, seen_BLD], dim=-1)))
        return BaseModelOutput(last_hidden_state=(1 - gate_BLD) * hidden_BLD + gate_BLD * seen_BLD)

    def response_logprobs(
        self, input_ids: Tensor, attention_mask: Tensor, image_BV: Tensor, targets_BK: Tensor, clamp: bool = False
    ) -> Tensor:
        """Natural log-probability of each response token, (B, K), with gradients; 0 where the target is −100.

        Args:
            input_ids, attention_mask, image_BV: as in `encode`.
            targets_BK: response tokens, −100 on padding.
            clamp: keep each probability within [0.001, 0.99], as DigiRL's code does in its loss.
        """
        real_BK = targets_BK >= 0
        safe_BK = targets_BK.clamp_min(0)
        start_B1 = safe_BK.new_full((len(safe_BK), 1), int(self.config.decoder_start_token_id or 0))
        logits = self(
            encoder_outputs=self.encode(input_ids, attention_mask, image_BV),
            attention_mask=attention_mask,
            decoder_input_ids=torch.cat([start_B1, safe_BK[:, :-1]], dim=1),
            use_cache=False,
        ).logits
        chosen_BK = logits.float().log_softmax(dim=-1).gather(2, safe_BK[..., None])[..., 0]
        if clamp:
            chosen_BK = chosen_BK.clamp(float(np.log(0.001)), float(np.log(0.99)))
        return chosen_BK.masked_fill(~real_BK, 0.0)


class ImageVectors(Protocol):
    """Images to frozen vectors, (N, image_width)."""

    def __call__(self, images: Sequence[ImageRef]) -> Tensor: ...


class Blip2Vectors:
    """Pooled vectors of a frozen BLIP-2 vision tower (`Salesforce/blip2-opt-2.7b`, vision part only).

    Args:
        model: a `Blip2VisionModel` (or a BLIP-2 model, whose `vision_model` is taken).
        processor: its image processor; one of the `…Pil` kind needs no torchvision.
    """

    def __init__(self, model: LanguageModel, processor: Processor) -> None:
        self.model = getattr(model, "vision_model", model).eval().requires_grad_(False)
        self.processor = processor

    def __call__(self, images: Sequence[ImageRef]) -> Tensor:
        """(N, hidden width) in float32."""
        pictures = []
        for image in images:
            if image.data is None:
                raise ValueError(f"image {image.digest[:12]} has no bytes here; fetch it with Store.image")
            pictures.append(Image.open(io.BytesIO(image.data)).convert("RGB"))
        pixels = self.processor(images=pictures, return_tensors="pt").pixel_values
        with torch.inference_mode():
            return self.model(pixel_values=pixels.to(self.model.device)).pooler_output.float().clone()


class AutoUIPolicy:
    """An Auto-UI model that acts. `agents.base.Policy` is the contract."""

    def __init__(
        self,
        model: AutoUIModel,
        tokenizer: Tokenizer,
        vectors: ImageVectors,
        *,
        sampling: Sampling | None = None,
        version: str = "step-0",
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.vectors = vectors
        self.sampling = sampling or Sampling(max_new_tokens=128)
        self.version = version
        self.lock = threading.Lock()

    async def act(self, contexts: Sequence[Context]) -> list[Action]:
        """One action a context, in order."""
        return await asyncio.to_thread(self._act, list(contexts))

    async def log_prob(self, steps: Sequence[tuple[Context, Action]]) -> list[list[float]]:
        """Log-probability of each token of each action at temperature 1, ids taken as they are."""
        return await asyncio.to_thread(self._log_prob, list(steps))

    def encode_prompt(self, context: Context) -> tuple[int, ...]:
        """Token ids of `Previous Actions: … Goal: …</s>`."""
        text = prompt_text(context).removesuffix("</s>")
        ids = tuple(self.tokenizer(text, add_special_tokens=False).input_ids)
        return (*ids, int(self.model.config.eos_token_id))  # type: ignore[arg-type]

    def _images(self, contexts: Sequence[Context]) -> Tensor:
        for context in contexts:
            if not context.observation.images:
                raise UserError(f"task {context.task.id}: Auto-UI needs a screenshot, and there is none.")
        return self.vectors([context.observation.images[-1] for context in contexts]).to(self.model.device)

    def _act(self, contexts: list[Context]) -> list[Action]:
        prompts = [self.encode_prompt(context) for context in contexts]
        ids, mask = (tensor.to(self.model.device) for tensor in left_pad(prompts))
        with self.lock, torch.inference_mode():
            encoded = self.model.encode(ids, mask, self._images(contexts))
            rows = self._sample(encoded, mask, [context.seed for context in contexts])
        actions = []
        for prompt, (tokens, logprobs, stop) in zip(prompts, rows, strict=True):
            text = self.tokenizer.decode(tokens, skip_special_tokens=True).strip()
            try:
                call, error = aitw.parse_aitw(text), ""
            except ParseError as trouble:
                call, error = None, str(trouble)
            actions.append(Action(text, call, error, prompt_ids=prompt, token_ids=tokens, logprobs=logprobs, stop=stop))
        return actions

    def _sample(
        self, encoded: BaseModelOutput, mask: Tensor, seeds: Sequence[int]
    ) -> list[tuple[tuple[int, ...], tuple[float, ...], StopReason]]:
        sampling, count = self.sampling, len(seeds)
        uniform = torch.from_numpy(
            np.stack([np.random.Generator(np.random.Philox(key=s)).random(sampling.max_new_tokens) for s in seeds])
        ).to(mask.device)
        end = self.model.config.eos_token_id
        tokens: list[list[int]] = [[] for _ in seeds]
        logprobs: list[list[float]] = [[] for _ in seeds]
        stops = [StopReason.LENGTH] * count
        chosen = torch.full((count,), int(self.model.config.decoder_start_token_id or 0), device=mask.device)
        cache = None
        for step in range(sampling.max_new_tokens):
            output: Any = self.model(
                encoder_outputs=encoded,
                attention_mask=mask,
                decoder_input_ids=chosen[:, None],
                past_key_values=cache,
                use_cache=True,
            )
            cache = output.past_key_values
            logits = output.logits[:, -1].float()
            chosen = draw(logits, uniform[:, step], sampling.temperature, sampling.top_p)
            picked = logits.log_softmax(dim=-1).gather(1, chosen[:, None])[:, 0].tolist()
            for row, (token, logprob) in enumerate(zip(chosen.tolist(), picked, strict=True)):
                if stops[row] is StopReason.EOS:
                    continue
                tokens[row].append(token)
                logprobs[row].append(logprob)
                if token == end:
                    stops[row] = StopReason.EOS
            if all(stop is StopReason.EOS for stop in stops):
                break
        return [(tuple(t), tuple(p), s) for t, p, s in zip(tokens, logprobs, stops, strict=True)]

    def _log_prob(self, steps: list[tuple[Context, Action]]) -> list[list[float]]:
        ids, mask = (tensor.to(self.model.device) for tensor in left_pad([action.prompt_ids for _, action in steps]))
        longest = max(len(action.token_ids) for _, action in steps)
        targets = torch.full((len(steps), longest), -100, device=ids.device)
        for row, (_, action) in enumerate(steps):
            targets[row, : len(action.token_ids)] = torch.tensor(action.token_ids)
        with self.lock, torch.inference_mode():
            images = self._images([context for context, _ in steps])
            scored = self.model.response_logprobs(ids, mask, images, targets).tolist()
        return [row[: len(action.token_ids)] for row, (_, action) in zip(scored, steps, strict=True)]


def load_autoui(folder: str | Path, vectors: ImageVectors, **options: Any) -> AutoUIPolicy:
    """The Auto-UI policy of a Hugging Face folder.

    Args:
        folder: config, weights and tokenizer; the image width comes from the shape of `image_dense`.
        vectors: the frozen image encoder.
        options: of `AutoUIPolicy`.

    Raises:
        UserError: if the folder is missing something.
    """
    import transformers

    folder = Path(folder)
    try:
        config = AutoUIConfig.from_pretrained(folder)
        weights = folder / "model.safetensors"
        if weights.exists():
            with safe_open(weights, framework="pt") as file:
                if "image_dense.weight" in file.keys():  # noqa: SIM118
                    config.image_width = file.get_slice("image_dense.weight").get_shape()[1]
        model = AutoUIModel.from_pretrained(folder, config=config)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, RuntimeError) as error:
        line = str(error).strip().splitlines()[0]
        raise UserError(f"{folder}: not an Auto-UI folder ({line}).") from error
    return AutoUIPolicy(model, tokenizer, vectors, **options)
