"""The contract between a rollout and an environment.

An environment is a bounded pool of sessions; a session plays one episode at a time. The environment executes parsed
calls and never parses text: an action whose `call` is None (it did not parse) changes nothing, consumes the step, and
its error text stands in the next observation. The horizon is the rollout's business, not the environment's: `done`
means that the episode is over by its own rules (an answer was given, the page's own game ended), never that time ran
out.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from turnsmith.trace.types import Action, Observation, Task, Verdict


@dataclass(frozen=True, slots=True)
class Step:
    """What an action led to.

    Attributes:
        observation: what is seen now; `observation.error` says what was wrong with the action, if anything.
        reward: the environment's own reward for this step (0 for most steps of most environments).
        done: the episode is over by the environment's rules.
        info: JSON for the record: where on the screen the action went, how many requests were blocked.
    """

    observation: Observation
    reward: float = 0.0
    done: bool = False
    info: Mapping[str, Any] = field(default_factory=dict)


class Session(Protocol):
    """One episode at a time. Every method raises `InfraError` when the machinery fails."""

    async def reset(self, task: Task, seed: int) -> Observation:
        """Start an episode in a state that depends on `task` and `seed` only.

        Raises:
            UserError: if the task's params are not what this environment needs.
            InfraError: if the episode could not be set up.
        """
        ...

    async def step(self, action: Action) -> Step:
        """Execute one parsed action and observe again.

        Raises:
            InfraError: if the machinery failed; the session must be reset before it is used again.
        """
        ...

    async def grade(self) -> Verdict | None:
        """The oracle: the programmatic ground truth of the episode so far; None where the task has none.

        For reporting, and for training only where a recipe says so by name. Call it before the session is given back.
        """
        ...


class Environment(Protocol):
    """A bounded pool of sessions. Use as `async with environment: ...`."""

    name: str

    def session(self) -> AbstractAsyncContextManager[Session]:
        """Borrow a session for one or more episodes; waits while all are in use."""
        ...

    async def __aenter__(self) -> "Environment": ...

    async def __aexit__(self, *exc: object) -> None: ...
