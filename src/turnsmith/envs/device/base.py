"""The contract of device control: a device, which is a phone of ours or a real one over adb.

A `Device` speaks pixels: `screenshot` gives encoded pictures, gestures take whole pixels from the top left corner. It
knows nothing of tasks; `environment.DeviceEnvironment` stands between it and the action space of the agent, whose
gestures are normalised (agents/aitw.py).
"""

from collections.abc import Mapping
from typing import Any, Literal, Protocol

from turnsmith.trace.types import ImageRef

Key = Literal["back", "home", "enter"]


class Device(Protocol):
    """One phone. Every method but `health` and `close` raises `InfraError` when the machinery fails."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the screen in pixels."""
        ...

    async def measure(self) -> tuple[int, int]:
        """The size as it is at this moment: a phone may have been turned since the reset."""
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
