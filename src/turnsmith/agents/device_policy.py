"""What recipes ask of a policy that operates a phone, whatever its architecture."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from transformers import PreTrainedModel

from turnsmith.agents.base import Context
from turnsmith.agents.frames import Frames
from turnsmith.engine.sampling import Sample, Sampling
from turnsmith.trace.types import Action


class DevicePolicy(Protocol):
    """`agents.base.Policy` and `learn.examples.Encoder`, with its parts: `ScreenPolicy` and `AutoUIPolicy` are two.

    Attributes:
        tokenizer: of its prompts and responses.
        frames: screens by content, and where their bytes come from.
        version: names the weights; change it when they change.
        sampling: temperature and limits.
    """

    tokenizer: Any
    frames: Frames
    version: str
    sampling: Sampling
    lock: threading.Lock

    @property
    def model(self) -> PreTrainedModel:
        """Hold `lock` while training it."""
        ...

    async def act(self, contexts: Sequence[Context]) -> list[Action]:
        """One action a context, in order."""
        ...

    async def log_prob(self, steps: Sequence[tuple[Context, Action]]) -> list[list[float]]:
        """Log-probability of each token of each action at temperature 1."""
        ...

    def propose(
        self, contexts: Sequence[Context], seeds: Sequence[int], sampling: Sampling | None = None
    ) -> list[Action]:
        """What `act` does, now and with these seeds."""
        ...

    def score(self, steps: Sequence[tuple[Context, Action]]) -> list[list[float]]:
        """What `log_prob` does, now."""
        ...

    def action(self, prompt_ids: Sequence[int], drawn: Sample) -> Action:
        """The action that these sampled tokens are."""
        ...

    def encode_prompt(self, context: Context) -> tuple[tuple[int, ...], Mapping[str, Any]]:
        """Token ids and image inputs of the prompt."""
        ...

    def encode_response(self, text: str) -> tuple[int, ...]:
        """Token ids of a response, end-of-sequence included."""
        ...

    def copy(self, version: str) -> "DevicePolicy":
        """Another policy with the same weights, to be trained apart."""
        ...
