"""An environment whose observations never hold certain words: what somebody logged in with.

Nothing of ours puts them there; a site may ("Signed in as …"). Each stands as ••• in texts, labels, titles, notes and
errors; in addresses only what is long enough to be nobody's path. Pictures are not changed: use a login made for this.
"""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from turnsmith.envs.base import Environment, Session, Step
from turnsmith.trace.types import Action, Observation, Task, Verdict

HIDDEN = "•••"
_LEAST = 4  # shorter words are parts of too many others


class Redacted:
    """`environment` with every one of `words` taken out of what is seen."""

    def __init__(self, environment: Environment, words: Sequence[str]) -> None:
        self.environment = environment
        self.name = environment.name
        self._words = [word for word in words if len(word) >= _LEAST]

    @asynccontextmanager
    async def session(self) -> AsyncIterator["RedactedSession"]:
        """Borrow a session."""
        async with self.environment.session() as session:
            yield RedactedSession(session, self._words)

    async def __aenter__(self) -> "Redacted":
        await self.environment.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.environment.__aexit__(*error)


class RedactedSession:
    """A session whose observations are redacted."""

    def __init__(self, session: Session, words: Sequence[str]) -> None:
        self._session = session
        self._pattern = re.compile("|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in words)) if words else None
        self._long = [word for word in words if len(word) >= 8]

    async def reset(self, task: Task, seed: int) -> Observation:
        """As the session's."""
        return self._seen(await self._session.reset(task, seed))

    async def step(self, action: Action) -> Step:
        """As the session's."""
        step = await self._session.step(action)
        return replace(step, observation=self._seen(step.observation), info=self._clean(dict(step.info)))

    async def grade(self) -> Verdict | None:
        """As the session's."""
        return await self._session.grade()

    def _seen(self, seen: Observation) -> Observation:
        if self._pattern is None:
            return seen
        text, error = self._clean(seen.text), self._clean(seen.error)
        return replace(seen, text=text, error=error, info=self._clean(dict(seen.info)))

    def _clean(self, value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: self._clean(one, name) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [self._clean(part, key) for part in value]
        if not isinstance(value, str) or self._pattern is None:
            return value
        if key == "url":
            for word in self._long:
                value = value.replace(word, HIDDEN)
            return value
        return self._pattern.sub(HIDDEN, value)
