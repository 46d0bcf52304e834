"""A local model as something to chat with, in OpenAI's form: challenger, user, whatever an endpoint may be.

Requests that arrive while the model is busy are answered together, so many conversations share a batch. What a model
writes for one does not depend on the others.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from turnsmith.agents.hf_policy import HFPolicy
from turnsmith.agents.manner import text_message
from turnsmith.engine.forward import Prompt
from turnsmith.engine.openai_reply import Completion
from turnsmith.engine.sampling import Sampling
from turnsmith.errors import UserError


class LocalChat:
    """See `engine.chat.Chat`."""

    def __init__(self, policy: HFPolicy) -> None:
        """Chat with the model of a policy; its rendering and grammar are not used."""
        self._policy = policy
        self._waiting: list[tuple[Prompt, int, Sampling, asyncio.Future[Completion]]] = []
        self._server: asyncio.Task[None] | None = None

    async def chat(self, messages: Sequence[Mapping[str, Any]], sampling: Sampling, seed: int) -> Completion:
        """One response; pictures are for endpoints.

        Raises:
            UserError: if a message holds more than text, or the chat does not fit into the model's context.
        """
        if not all(isinstance(message["content"], str) for message in messages):
            raise UserError("a local model is asked in words here: pictures need an endpoint, openai:MODEL@BASE_URL.")
        chat = [text_message(message["role"], message["content"]) for message in messages]
        answer: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        self._waiting.append((Prompt(*self._policy.encode_chat(chat)), seed, sampling, answer))
        if self._server is None or self._server.done():
            self._server = asyncio.ensure_future(self._serve())
        return await answer

    async def _serve(self) -> None:
        while self._waiting:
            await asyncio.sleep(0)  # whoever else is about to ask
            sampling = self._waiting[0][2]
            batch = [row for row in self._waiting if row[2] == sampling]
            self._waiting = [row for row in self._waiting if row[2] != sampling]
            try:
                drawn = await self._policy.complete([row[0] for row in batch], [row[1] for row in batch], sampling)
            except Exception as error:  # whatever it is, each of those who wait is to know
                for *_, answer in batch:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            for (prompt, _, _, answer), one in zip(batch, drawn, strict=True):
                text = self._policy.tokenizer.decode(list(one.token_ids), skip_special_tokens=True).strip()
                if not answer.done():
                    answer.set_result(
                        Completion(text, one.stop, one.logprobs, tuple(prompt.ids), one.token_ids,
                                   len(prompt.ids), len(one.token_ids))
                    )  # fmt: skip
