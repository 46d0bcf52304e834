"""The contracts of device control: a device (a phone of ours, or a real one over adb), and who rewards each step.

A `Device` speaks pixels: `screenshot` gives encoded pictures, gestures take whole pixels from the top left corner. It
knows nothing of tasks; `environment.DeviceEnvironment` stands between it and the action space of the agent, whose
gestures are normalised (agents/aitw.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from turnsmith.trace.types import ORACLE, ImageRef, Task, Verdict

Key = Literal["back", "home", "enter"]


class Device(Protocol):
    """One phone. Every method but `health` and `close` raises `InfraError` when the machinery fails."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the screen in pixels."""
        ...

    async def reset(self, seed: int, setup: Mapping[str, Any] | None = None) -> None:
        """Bring the phone to the start of an episode.

        Args:
            seed: decides everything that happens by chance on this phone during the episode.
            setup: what the phone holds at the start, by device (a task's params).

        Raises:
            UserError: if `setup` is not what this device takes.
        """
        ...

    async def screenshot(self) -> ImageRef:
        """What is on the screen, after it has come to rest."""
        ...

    async def tap(self, x: int, y: int) -> None:
        """Touch and lift at a pixel."""
        ...

    async def swipe(self, x: int, y: int, to_x: int, to_y: int) -> None:
        """Touch at one pixel, move in a straight line, lift at another."""
        ...

    async def type_text(self, text: str) -> None:
        """Type into whatever has the focus; where nothing has, nothing happens.

        Raises:
            StepError: if this device cannot type such a text; nothing is typed then.
        """
        ...

    async def press(self, key: Key) -> None:
        """Press a key of the phone."""
        ...

    async def health(self) -> str:
        """What is wrong with the phone, in a sentence; "" when it is fine. Never raises."""
        ...

    async def close(self) -> None:
        """Give the phone back. It cannot be used after that."""
        ...


@dataclass(frozen=True, slots=True)
class Look:
    """What a step evaluator may look at after one executed action.

    Attributes:
        task: what was asked, without hidden fields.
        images: every screenshot of the episode so far, the first screen first, the current one last.
        seed: of the episode.
        step: how many actions were executed, from 1.
        truth: the oracle's verdict on the current screen; None where there is none. Only evaluators that say "oracle"
            in their name read it.
    """

    task: Task
    images: tuple[ImageRef, ...]
    seed: int
    step: int
    truth: Verdict | None = field(default=None, repr=False)


class StepEvaluator(Protocol):
    """Says after each step whether the task is done: the reward that learning sees. It keeps no state of episodes."""

    @property
    def name(self) -> str:
        """The judge's name in verdicts."""
        ...

    async def judge(self, look: Look) -> Verdict:
        """Reward 1 when the task is done on the current screen, else 0.

        Raises:
            InfraError: if the model or endpoint behind it failed.
        """
        ...


@dataclass(frozen=True, slots=True)
class OracleEvaluator:
    """The programmatic truth as the reward: for reporting and for upper bounds, by name."""

    name: str = ORACLE

    async def judge(self, look: Look) -> Verdict:
        """The oracle's own verdict.

        Raises:
            ValueError: if the task has no oracle.
        """
        if look.truth is None:
            raise ValueError(f"the task {look.task.id} has no oracle; use a model as the evaluator")
        return look.truth
