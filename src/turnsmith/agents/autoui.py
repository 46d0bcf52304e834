"""The Auto-UI architecture (arXiv 2309.11436), DigiRL's policy: T5 that looks at one frozen image vector.

After T5's encoder, h of the text is fused with the image vector x (BLIP-2's pooled vector, 1408 numbers):

    e = W_e x        a = attention(h, e, e)  (one head)        g = sigmoid(W_g [h; a])        h' = (1 − g) h + g a

and the decoder reads h'. Names of the added weights are those of the released checkpoints (`cooelf/Auto-UI`), so that
such a folder loads as it is; that was not tried here, where no weights can be had: tests use tiny random models.

Notable: sampling has a random stream for each row, as in `engine.local`; scoring and training are `engine.forward`'s,
with the image vector as the prompt's `vision`.
"""

import asyncio
import copy
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import transformers
from safetensors import safe_open
from torch import Tensor, nn
from transformers import T5Config, T5ForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from turnsmith.agents.base import Context
from turnsmith.agents.frames import Frames
from turnsmith.agents.parsing import device_action
from turnsmith.agents.screen_policy import prompt_text
from turnsmith.engine.draw import draw
from turnsmith.engine.forward import Prompt, left_pad
from turnsmith.engine.sampling import Sample, Sampling
from turnsmith.engine.score import score
from turnsmith.errors import UserError
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

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_vectors: Tensor | None = None,
        encoder_outputs: BaseModelOutput | None = None,
        **more: Any,
    ) -> Any:
        """As T5's, with the image vectors (B, image_width) of the prompts; `encoder_outputs` are fused ones."""
        if encoder_outputs is None:
            if input_ids is None or attention_mask is None or image_vectors is None:
                raise ValueError("Auto-UI reads a prompt with its image vector")
            encoder_outputs = self.encode(input_ids, attention_mask, image_vectors)
        return super().forward(attention_mask=attention_mask, encoder_outputs=encoder_outputs, **more)  # type: ignore[arg-type]


class ImageVectors(Protocol):
    """Images to frozen vectors, (N, size)."""

    @property
    def size(self) -> int:
        """Numbers of a vector."""
        ...

    def __call__(self, images: Sequence[ImageRef]) -> Tensor: ...


class AutoUIPolicy:
    """An Auto-UI model that acts. `agents.device_policy.DevicePolicy` is the contract."""

    def __init__(
        self,
        model: AutoUIModel,
        tokenizer: Any,
        vectors: ImageVectors,
        *,
        frames: Frames | None = None,
        sampling: Sampling | None = None,
        version: str = "step-0",
    ) -> None:
        """
        Args:
            model, tokenizer: hold `lock` while training the model.
            vectors: the frozen image encoder, as wide as the model's `image_dense`.
            frames: where the bytes of images come from that carry none.
            sampling: without one, temperature 1 and at most 128 tokens.
            version: names the weights.
        """
        if vectors.size != model.config.image_width:
            raise UserError(
                f"Auto-UI reads image vectors of {model.config.image_width} numbers, and these have {vectors.size}."
            )
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.vectors = vectors
        self.frames = frames or Frames()
        self.sampling = sampling or Sampling(max_new_tokens=128)
        self.version = version
        self.lock = threading.Lock()

    def copy(self, version: str) -> "AutoUIPolicy":
        """Another policy with the same weights, to be trained apart."""
        return AutoUIPolicy(
            copy.deepcopy(self.model),
            self.tokenizer,
            self.vectors,
            frames=self.frames,
            sampling=self.sampling,
            version=version,
        )

    async def act(self, contexts: Sequence[Context]) -> list[Action]:
        """One action a context, in order."""
        return await asyncio.to_thread(self.propose, list(contexts), [context.seed for context in contexts])

    async def log_prob(self, steps: Sequence[tuple[Context, Action]]) -> list[list[float]]:
        """Log-probability of each token of each action at temperature 1, ids taken as they are."""
        return await asyncio.to_thread(self.score, list(steps))

    def encode_prompt(self, context: Context) -> tuple[tuple[int, ...], Mapping[str, Any]]:
        """Token ids of `Previous Actions: … Goal: …</s>`, and the vector of the screen.

        Raises:
            UserError: if the observation has no screenshot.
        """
        if not context.observation.images:
            raise UserError(f"task {context.task.id}: Auto-UI needs a screenshot, and there is none.")
        ids = tuple(self.tokenizer(prompt_text(context).removesuffix("</s>"), add_special_tokens=False).input_ids)
        image = context.observation.images[-1]
        return (*ids, self._end), {"image_vectors": self.vectors([replace(image, data=self.frames.bytes_of(image))])}

    def encode_response(self, text: str) -> tuple[int, ...]:
        """Token ids of a response, end-of-sequence included."""
        return (*self.tokenizer(text, add_special_tokens=False).input_ids, self._end)

    @property
    def _end(self) -> int:
        return int(self.model.config.eos_token_id)  # type: ignore[arg-type]

    def propose(
        self, contexts: Sequence[Context], seeds: Sequence[int], sampling: Sampling | None = None
    ) -> list[Action]:
        """What `act` does, now and with these seeds: candidates of one context differ by their seeds."""
        once = {id(context): context for context in contexts}
        read = {key: self.encode_prompt(context) for key, context in once.items()}
        prompts = [read[id(context)] for context in contexts]
        device = self.model.device
        ids, mask = (tensor.to(device) for tensor in left_pad([ids for ids, _ in prompts]))
        images = torch.cat([vision["image_vectors"] for _, vision in prompts]).to(device)
        with self.lock, torch.inference_mode():
            rows = self._sample(self.model.encode(ids, mask, images), mask, seeds, sampling or self.sampling)
        return [self.action(ids, row) for (ids, _), row in zip(prompts, rows, strict=True)]

    def action(self, prompt_ids: Sequence[int], drawn: Sample) -> Action:
        """The action that these sampled tokens are."""
        text = self.tokenizer.decode(drawn.token_ids, skip_special_tokens=True).strip()
        return device_action(text, prompt_ids, drawn)

    def score(self, steps: Sequence[tuple[Context, Action]]) -> list[list[float]]:
        """What `log_prob` does, now."""
        prompts = [Prompt(action.prompt_ids, self.encode_prompt(context)[1]) for context, action in steps]
        with self.lock:
            return score(self.model, prompts, [action.token_ids for _, action in steps])

    def _sample(self, encoded: BaseModelOutput, mask: Tensor, seeds: Sequence[int], sampling: Sampling) -> list[Sample]:
        count = len(seeds)
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
        return [Sample(tuple(t), tuple(p), s) for t, p, s in zip(tokens, logprobs, stops, strict=True)]


def load_autoui(folder: str | Path, vectors: ImageVectors, **options: Any) -> AutoUIPolicy:
    """The Auto-UI policy of a Hugging Face folder.

    Args:
        folder: config, weights and tokenizer; the image width comes from the shape of `image_dense`.
        vectors: the frozen image encoder.
        options: of `AutoUIPolicy`.

    Raises:
        UserError: if the folder is missing something.
    """
    folder = Path(folder)
    if (folder / "trainer.json").exists():
        folder = folder / "model"
    try:
        config = AutoUIConfig.from_pretrained(folder)
        weights = folder / "model.safetensors"
        if weights.exists():
            with safe_open(weights, framework="pt") as file:
                if "image_dense.weight" in file.keys():  # noqa: SIM118
                    config.image_width = file.get_slice("image_dense.weight").get_shape()[1]
        model = AutoUIModel.from_pretrained(folder, config=config)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, RuntimeError) as error:
        line = str(error).strip().splitlines()[0]
        raise UserError(f"{folder}: not an Auto-UI folder ({line}).") from error
    return AutoUIPolicy(model, tokenizer, vectors, **options)
