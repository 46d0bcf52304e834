"""A policy behind any Hugging Face model: small from-scratch ones, text models, vision-language models, LoRA.

One code path: render the context, encode it, sample with the local engine, decode, parse. A prompt is a compact text or
a chat; a chat goes through the model's own template where it has one, and as a plain transcript where it has none.

Notable: sampling runs in a worker thread, so that an asyncio loop goes on driving browsers meanwhile; a lock keeps
training and sampling of one model apart.
"""

import asyncio
import io
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from turnsmith.agents import grammar, render
from turnsmith.agents.base import Context
from turnsmith.agents.manner import Manner
from turnsmith.agents.parsing import parse
from turnsmith.agents.templates import apply_template, starts_with_bos
from turnsmith.engine.forward import Prompt
from turnsmith.engine.local import end_tokens, sample
from turnsmith.engine.models import LanguageModel, Processor, Tokenizer
from turnsmith.engine.sampling import Sample, Sampling
from turnsmith.engine.score import score
from turnsmith.trace.types import Action, ImageRef, StopReason


class HFPolicy:
    """A local model that acts.

    Attributes:
        model: the Hugging Face model; hold `lock` while training it.
        tokenizer: of the model.
        processor: of a vision-language model, else None.
        version: names the weights; change it when they change.
        sampling: how `act` samples; replace it for another temperature.
    """

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: Tokenizer,
        *,
        rendering: render.Rendering = "compact",
        dialect: grammar.Dialect = "webvoyager",
        sampling: Sampling | None = None,
        processor: Processor | None = None,
        version: str = "step-0",
        batch_tokens: int = 16384,
        manner: Manner | None = None,
    ) -> None:
        """Wrap a model; `agents.load.load_policy` does it for a folder.

        Args:
            model: causal LM or vision-language model.
            tokenizer: of the model.
            rendering: how contexts become prompts.
            dialect: of the action grammar that responses are parsed with.
            sampling: temperature 1 and at most 64 new tokens (compact) or 512 (chats) without.
            processor: turns text and pictures into inputs; without one, pictures are left out of prompts.
            version: names the weights.
            batch_tokens: rows times columns of one forward pass.
            manner: of a world that is no web page, instead of rendering and dialect; its prompts are chats.
        """
        self.manner = manner
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.processor = processor
        self.rendering: render.Rendering = "webvoyager" if manner is not None else rendering
        self.dialect: grammar.Dialect = dialect
        self.version = version
        self.sampling = sampling or Sampling(max_new_tokens=64 if self.rendering == "compact" else 512)
        self.batch_tokens = batch_tokens
        self.lock = threading.Lock()
        self._turn_end = self._find_turn_end()
        self.eos_ids = tuple(dict.fromkeys((self._turn_end, *end_tokens(model, tokenizer))))

    # -- the protocol

    async def act(self, contexts: Sequence[Context]) -> list[Action]:
        """One action a context, in order; see `agents.base.Policy`."""
        return await asyncio.to_thread(self._act, list(contexts))

    async def log_prob(self, steps: Sequence[tuple[Context, Action]]) -> list[list[float]]:
        """Log-probability of each token of each action at temperature 1, ids taken as they are."""
        return await asyncio.to_thread(self._log_prob, list(steps))

    def _act(self, contexts: list[Context]) -> list[Action]:
        prompts = [Prompt(*self.encode_prompt(context)) for context in contexts]
        samples = self._complete(prompts, [context.seed for context in contexts], self.sampling)
        return [
            self.action(prompt, drawn.token_ids, drawn.logprobs, drawn.stop)
            for prompt, drawn in zip(prompts, samples, strict=True)
        ]

    # -- pieces of an action, for those who put one together themselves (`rollout.thinking`)

    async def complete(self, prompts: Sequence[Prompt], seeds: Sequence[int], sampling: Sampling) -> list[Sample]:
        """What follows each prompt; see `engine.local.sample`."""
        return await asyncio.to_thread(self._complete, list(prompts), list(seeds), sampling)

    def _complete(self, prompts: list[Prompt], seeds: list[int], sampling: Sampling) -> list[Sample]:
        with self.lock:
            return sample(
                self.model,
                prompts,
                seeds,
                sampling,
                self.eos_ids,
                decode=self.tokenizer.decode if sampling.stop else None,
                batch_tokens=self.batch_tokens,
            )

    def action(
        self,
        prompt: Prompt,
        token_ids: Sequence[int],
        logprobs: Sequence[float],
        stop: StopReason,
        sampled: Sequence[bool] = (),
    ) -> Action:
        """The action that these tokens after a prompt are, parsed with the policy's grammar."""
        text = self.tokenizer.decode(list(token_ids), skip_special_tokens=True).strip()
        call, error = parse(text, self.dialect) if self.manner is None else self.manner.parse(text)
        return Action(
            text,
            call,
            error,
            prompt_ids=tuple(prompt.ids),
            token_ids=tuple(token_ids),
            logprobs=tuple(logprobs),
            sampled=tuple(sampled),
            stop=stop,
        )

    def _log_prob(self, steps: list[tuple[Context, Action]]) -> list[list[float]]:
        prompts = [
            Prompt(action.prompt_ids, self.encode_prompt(context)[1] if self.processor is not None else {})
            for context, action in steps
        ]
        with self.lock:
            return score(self.model, prompts, [action.token_ids for _, action in steps], self.batch_tokens)

    # -- prompts and responses as tokens

    def encode_prompt(self, context: Context) -> tuple[tuple[int, ...], Mapping[str, Any]]:
        """Token ids of the prompt in this context, and the inputs of its pictures."""
        if self.rendering == "compact":
            # `split_special_tokens`: what a page says is text, even where it says "<eos>".
            ids = self.tokenizer(render.compact(context), add_special_tokens=False, split_special_tokens=True).input_ids
            return tuple(ids), {}
        chat = render.CHATS[self.rendering] if self.manner is None else self.manner.messages
        return self.encode_chat(chat(context))

    def encode_chat(self, messages: Sequence[render.Message]) -> tuple[tuple[int, ...], Mapping[str, Any]]:
        """Token ids of a chat with the cue for the response, and the inputs of its pictures."""
        if self.processor is not None:
            return self._encode_with_pictures(messages)
        text = self._chat_text(messages)
        return tuple(
            self.tokenizer(text, add_special_tokens=not getattr(self.tokenizer, "chat_template", None)).input_ids
        ), {}

    def encode_response(self, text: str) -> tuple[int, ...]:
        """Token ids of a response as this model would have written it, with the token that ends its turn."""
        text = render.compact_response(text) if self.rendering == "compact" else text
        ids = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
        return (*ids, self._turn_end)

    def _encode_with_pictures(self, messages: Sequence[render.Message]) -> tuple[tuple[int, ...], Mapping[str, Any]]:
        assert self.processor is not None
        pictures = [_open(image) for image in render.image_parts(messages)]
        text = self._chat_text(messages)
        options = {"add_special_tokens": False} if starts_with_bos(self.tokenizer, text) else {}
        inputs = self.processor(text=[text], images=[pictures] if pictures else None, return_tensors="pt", **options)
        ids = tuple(inputs.pop("input_ids")[0].tolist())
        inputs.pop("attention_mask", None)
        return ids, dict(inputs)

    def _chat_text(self, messages: Sequence[render.Message]) -> str:
        """The chat as one text with the cue for the response, by the model's template or as a transcript."""
        templated = self.processor or self.tokenizer
        if not getattr(templated, "chat_template", None):
            return render.plain(messages)
        return apply_template(templated, messages, pictures=self.processor is not None)

    def _find_turn_end(self) -> int:
        """The token that the chat template writes after a response; the tokenizer's end-of-sequence without one."""
        eos = getattr(self.tokenizer, "eos_token_id", None)
        ends = end_tokens(self.model, self.tokenizer)
        templated = self.processor or self.tokenizer
        if self.rendering == "compact" or not getattr(templated, "chat_template", None):
            return ends[0] if eos is None else eos
        exchange: list[render.Message] = [
            {"role": "user", "content": [{"type": "text", "text": "1"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "turnsmith"}]},
        ]
        text = apply_template(templated, exchange, pictures=self.processor is not None, cue=False)
        after = self.tokenizer(text.rpartition("turnsmith")[2], add_special_tokens=False).input_ids
        added = self.tokenizer.added_tokens_decoder.items()
        special = {token for token, entry in added if entry.special} | set(ends)
        return next((token for token in after if token in special), eos if eos is not None else ends[0])


def _open(image: ImageRef) -> Any:
    if image.data is None:
        raise ValueError(f"image {image.digest[:12]} has no bytes here; fetch it with Store.image")
    return Image.open(io.BytesIO(image.data)).convert("RGB")
