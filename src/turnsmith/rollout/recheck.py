"""More interaction at test time: an answer is a reason to look again, not the end (TTI, arXiv 2506.07976, section 3).

After an answer the agent sees the same page once more, with the request to check: it may answer again, the same or
otherwise, or go on acting. The episode ends with the k-th answer (`answers` = 2 is the paper's "double-check"), or with
an answer on the last step that the horizon allows. An answer that was taken back by acting on is no answer.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

from turnsmith.envs.base import Environment, Session, Step
from turnsmith.trace.types import Action, Observation, Task, Verdict

REQUEST = (
    "Before this answer counts, pause and look at the page again. If the answer is right and complete, give it once "
    "more; if it is not, correct it or go on with the task."
)


class Recheck:
    """An environment in which the first answers of an episode are not carried out.

    Args:
        environment: whose episodes are meant; entered by whoever made it.
        answers: how many answers end an episode; 1 changes nothing.
        horizon: of the episodes: on the last step an answer counts at once.
        request: what the agent is told, as a note on the page.
    """

    def __init__(self, environment: Environment, answers: int, horizon: int, request: str = REQUEST) -> None:
        if answers < 1 or horizon < 1:
            raise ValueError(f"re-check: answers {answers} and horizon {horizon} must be at least 1")
        self.name = environment.name
        self.environment, self.answers, self.horizon, self.request = environment, answers, horizon, request

    def session(self) -> AbstractAsyncContextManager["Session"]:
        """A session of the environment, with re-checks."""
        return self._session()

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Session]:
        async with self.environment.session() as session:
            yield _Rechecked(session, self)

    async def __aenter__(self) -> "Recheck":
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Whoever made the environment leaves it."""


class _Rechecked:
    """One session. `envs.base.Session` is the contract."""

    def __init__(self, session: Session, settings: Recheck) -> None:
        self._session, self._settings = session, settings
        self._answers = self._steps = 0
        self._seen = Observation()

    async def reset(self, task: Task, seed: int) -> Observation:
        """Start an episode."""
        self._answers = self._steps = 0
        self._seen = await self._session.reset(task, seed)
        return self._seen

    async def step(self, action: Action) -> Step:
        """Carry an action out, unless it is an answer that is to be checked first."""
        self._steps += 1
        if action.call is not None and action.call.name == "answer":
            self._answers += 1
            if self._answers < self._settings.answers and self._steps < self._settings.horizon:
                return Step(_noted(self._seen, self._settings.request), info={"rechecked": self._answers})
        step = await self._session.step(action)
        self._seen = step.observation
        return step

    async def grade(self) -> Verdict | None:
        """The environment's oracle."""
        return await self._session.grade()


def _noted(observation: Observation, note: str) -> Observation:
    """What was seen, with one more note, as the browser writes them."""
    info = {**observation.info, "notes": [*observation.info.get("notes", ()), note]}
    text = "\n".join(part for part in (observation.text, f"Note: {note}") if part)
    return replace(observation, text=text, error="", info=info)
