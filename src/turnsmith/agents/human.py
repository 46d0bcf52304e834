"""People played by models: who answers in a dialogue, and the user of a tool world, by any chat."""

from collections.abc import Mapping, Sequence
from typing import Any

from turnsmith.engine.chat import Chat
from turnsmith.engine.sampling import Sampling
from turnsmith.envs.tools.user import STOP, Utterance
from turnsmith.errors import InfraError

_TRIES = 3
_LONGEST = 2_000
GREETING = "Hello. What can I do for you?"

USER = f"""You play a customer who writes to a help desk; the messages that you get are from the agent who works there.

About you and what you want:
{{brief}}

Stay in this role. Write one short message at a time. Say what is needed for the next step and no more: answer what you
are asked, and never hand over all of the above at once. What is not said above you do not know; make nothing up. Do not
copy its wording. When all that you want is done, or it is clear that it will not be, or you are handed on to somebody
else, write {STOP} and nothing else."""


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


class ChatUser:
    """The user of a tool world, played by a model that knows the brief; see `envs.tools.user.User`."""

    def __init__(self, human: Chat, brief: str, seed: int, by: str = "") -> None:
        """Play a user.

        Args:
            human: the model.
            brief: who they are and what they want: the task's hidden field, which the agent never reads.
            seed: of the sampling.
            by: the model's name, for the record.
        """
        self._human, self._seed, self._by = human, seed, by
        self._chat: list[dict[str, Any]] = [{"role": "system", "content": USER.format(brief=brief)}]

    async def opening(self) -> Utterance:
        """What they begin with, once they are greeted."""
        return await self.reply(GREETING)

    async def reply(self, message: str) -> Utterance:
        """What they say to the agent's message."""
        self._chat.append({"role": "user", "content": message or "(says nothing)"})
        sampling = Sampling(temperature=1.0, max_new_tokens=1024)
        text, _ = await say(self._human, self._chat, self._seed + len(self._chat), _LONGEST, sampling)
        self._chat.append({"role": "assistant", "content": text})
        return Utterance(text, by=self._by)
