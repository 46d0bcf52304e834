"""How to sample, and what comes back: shared by the local engine and the endpoints (no torch here)."""

import hashlib
from dataclasses import dataclass

from turnsmith.errors import UserError
from turnsmith.trace.types import StopReason


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample.

    Attributes:
        temperature: 0 is greedy; 1 is the model's own distribution.
        top_p: keep the smallest set of tokens whose probability (at this temperature) reaches it; 1 keeps all.
        max_new_tokens: where a response is cut off (`StopReason.LENGTH`).
        stop: strings that end a response once its text contains one (`StopReason.STOP`).
    """

    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int = 64
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.temperature < 0 or not 0 < self.top_p <= 1 or self.max_new_tokens < 1:
            raise UserError(
                f"sampling: temperature {self.temperature}, top_p {self.top_p}, max_new_tokens {self.max_new_tokens}; "
                "needed are temperature >= 0, 0 < top_p <= 1, max_new_tokens >= 1."
            )


@dataclass(frozen=True, slots=True)
class Sample:
    """One response.

    Attributes:
        token_ids: what was sampled, the end-of-sequence token included.
        logprobs: natural log-probability of each at temperature 1.
        stop: why it ended.
    """

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    stop: StopReason


def turn_seed(episode_seed: int, turn: int) -> int:
    """The sampling seed of one turn: stable across processes, unrelated between turns and episodes."""
    digest = hashlib.blake2b(f"{episode_seed}/{turn}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
