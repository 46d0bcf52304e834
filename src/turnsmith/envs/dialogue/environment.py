"""The environment of collaborative dialogues (ColBench, arXiv 2503.15478): talk, then hand something in.

The human's side knows what the agent does not (a reference), and says of it what it is asked. An episode ends when the
agent hands its work in (a call `answer`), or at the limit of turns, where what it says is taken as its work. What the
human's side hears is what the agent said, never its prompt or its thoughts; what the agent hears is what the human's
side said, and nothing else of the task's hidden fields.

Notable: every observation's info says who spoke ("from") and how many turns are left ("left"); what came of the work
stands in the last turn's info, so that two scorers may stand side by side.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from turnsmith.envs.base import Step
from turnsmith.errors import UserError
from turnsmith.trace.types import Action, ImageRef, Observation, Task, Verdict


@dataclass(frozen=True, slots=True)
class Reply:
    """What the human's side says.

    Attributes:
        text: as the agent hears it.
        images: what it is shown besides.
        info: JSON for the record: who speaks for the human's side, what was cut off.
    """

    text: str
    images: tuple[ImageRef, ...] = ()
    info: Mapping[str, Any] = field(default_factory=dict)


class Dialogue(Protocol):
    """The human's side of one episode, and what the agent's work is worth."""

    async def reply(self, said: str) -> Reply:
        """The answer to what the agent says (or shows).

        Raises:
            InfraError: if the machinery behind the human's side failed.
        """
        ...

    async def hand_in(self, work: str | None) -> tuple[Mapping[str, Any], Verdict]:
        """Take the agent's work and say what it is worth.

        Args:
            work: what the agent gives; None where its last words are none.

        Returns:
            (JSON for the record of the last turn, the oracle's verdict).

        Raises:
            InfraError: if it could not be tried.
        """
        ...


class Dialogues(Protocol):
    """Makes the human's side of episodes. `start` and `stop` hold what all of them share.

    Attributes:
        name: of the world.
        limit: agent turns of an episode; at the last one, what the agent says is its work.
    """

    @property
    def name(self) -> str: ...

    @property
    def limit(self) -> int: ...

    async def start(self) -> None:
        """Take what is needed (a browser, sandboxes)."""
        ...

    async def stop(self) -> None:
        """Give it back."""
        ...

    def open(self, task: Task, seed: int) -> Dialogue:
        """The human's side of an episode.

        Raises:
            UserError: if the task's hidden fields are not what this world needs.
        """
        ...


class DialogueEnvironment:
    """Episodes of dialogues; use as `async with environment`. `envs.base.Environment` is the contract."""

    def __init__(self, dialogues: Dialogues) -> None:
        self.name = dialogues.name
        self.dialogues = dialogues

    async def __aenter__(self) -> Self:
        await self.dialogues.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.dialogues.stop()

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator["DialogueSession"]:
        """A session; there is no limit to how many."""
        yield DialogueSession(self.dialogues)


class DialogueSession:
    """One episode at a time."""

    def __init__(self, dialogues: Dialogues) -> None:
        self._dialogues = dialogues
        self._dialogue: Dialogue | None = None
        self._turns = 0
        self._verdict: Verdict | None = None

    async def reset(self, task: Task, seed: int) -> Observation:
        """A fresh dialogue. The agent has the task's instruction; nobody has said anything else yet."""
        self._dialogue, self._turns, self._verdict = self._dialogues.open(task, seed), 0, None
        return Observation(info={"from": "task", "left": self._dialogues.limit})

    async def step(self, action: Action) -> Step:
        """Hand in (`answer`, or anything at the last turn), or be answered (every other call with a `text`)."""
        if self._dialogue is None:
            raise UserError("a dialogue has to be reset before its first step.")
        self._turns += 1
        left = self._dialogues.limit - self._turns
        said = None if action.call is None else str(action.call.arguments.get("text", ""))
        if left <= 0 or (action.call is not None and action.call.name == "answer"):
            info, self._verdict = await self._dialogue.hand_in(said)
            return Step(Observation(info={"from": "environment", "left": left}), done=True, info=info)
        if said is None:
            error = action.error or "nothing was said"
            return Step(Observation(error=error, info={"from": "environment", "left": left}))
        reply = await self._dialogue.reply(said)
        info = {**reply.info, "from": "user", "left": left}
        return Step(Observation(reply.text, reply.images, info=info), info={"from": "user"})

    async def grade(self) -> Verdict | None:
        """The oracle's verdict on the work that was handed in; None before that."""
        return self._verdict
