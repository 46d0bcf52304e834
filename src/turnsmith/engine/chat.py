"""Anything that continues a chat: an endpoint's client, or a local model (`agents.hf_chat`)."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from turnsmith.engine.openai_reply import Completion
from turnsmith.engine.sampling import Sampling


class Chat(Protocol):
    """What answers: `engine.openai_client.OpenAIClient` is one."""

    async def chat(self, messages: Sequence[Mapping[str, Any]], sampling: Sampling, seed: int) -> Completion:
        """One response to a chat in OpenAI's form.

        Raises:
            UserError, InfraError: by the rule of `engine.openai_client`.
        """
        ...
