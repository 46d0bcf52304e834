"""People played by models: who answers in a dialogue, and the user of a tool world, by any chat."""

from collections.abc import Mapping, Sequence
from typing import Any

from turnsmith.engine.chat import Chat
from turnsmith.engine.sampling import Sampling
from turnsmith.errors import InfraError

_TRIES = 3


async def say(
    human: Chat, chat: Sequence[Mapping[str, Any]], seed: int, longest: int, sampling: Sampling | None = None
) -> tuple[str, bool]:
    """What a person says next, and whether it was cut to `longest` characters. Temperature 0 without `sampling`.

    Raises:
        InfraError: `no_reply`, if nothing is said three times; and by the rule of `engine.openai_client`.
    """
    for attempt in range(_TRIES):
        drawn = await human.chat(chat, sampling or Sampling(temperature=0.0, max_new_tokens=1024), seed + attempt)
        said = drawn.text.strip()
        if said:
            return said[:longest], len(said) > longest
    raise InfraError("no_reply", "the model that plays the human's side says nothing")
