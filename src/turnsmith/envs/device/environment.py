"""The device environment: phones and the AitW action space.

The screenshot is all that is observed: `Observation.images` holds the current screen, `Observation.text` is empty.
`Step.info` keeps what the record needs and no policy reads: "gesture", where on the screen the action went, in pixels.
A phone gives no rewards: DigiRL's come from a judge that the rollout asks after each step (`judges.base`).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

from turnsmith.envs.base import Step
from turnsmith.envs.browser.faults import StepError
from turnsmith.envs.device.base import Device
from turnsmith.errors import InfraError, UserError
from turnsmith.trace.types import ORACLE, Action, Call, Observation, Task, Verdict

Script = Callable[[Device], Awaitable[Mapping[str, object]]]
"""What a scripted policy may know of a phone, as JSON."""


class Phones(Protocol):
    """Who owns phones: the local ones (`phone.LocalPhones`), or those attached over adb (`adb.AdbPhones`)."""

    async def start(self) -> None:
        """Make ready. Called once."""
        ...

    async def stop(self) -> None:
        """Give everything back. Called once."""
        ...

    async def borrow(self) -> Device:
        """A phone that nobody else uses; waits while all are in use."""
        ...

    async def give_back(self, device: Device) -> None:
        """The phone is free again."""
        ...

    async def truth(self, device: Device, task: Task) -> tuple[bool, str] | None:
        """Whether the task is done on this phone as it stands, and why (not); None where nobody knows."""
        ...


class DeviceEnvironment:
    """Phones that an agent sees and touches. `envs.base.Environment` is the contract.

    async with DeviceEnvironment(LocalPhones(), sessions=4) as environment:
        async with environment.session() as session:
            observation = await session.reset(task, seed=0)
            step = await session.step(Action(text, parse_aitw(text)))
    """

    def __init__(
        self,
        phones: Phones,
        sessions: int = 4,
        *,
        script: Script | None = None,
        name: str = "device",
    ) -> None:
        """
        Args:
            phones: the backend.
            sessions: how many episodes are played at once; further ones wait.
            script: adds to `Observation.info` what a scripted policy needs (`ChromiumPhone.boxes` for the
                demonstrator). Leave it out for anything that learns or is measured.
            name: the environment's name in tasks and traces.
        """
        if sessions < 1:
            raise ValueError(f"sessions must be at least 1, not {sessions}")
        self.name = name
        self.phones = phones
        self.script = script
        self._free = asyncio.Semaphore(sessions)

    @asynccontextmanager
    async def session(self) -> AsyncIterator["DeviceSession"]:
        """Borrow a session for one or more episodes; waits while all are in use."""
        async with self._free:
            session = DeviceSession(self.phones, self.script)
            try:
                yield session
            finally:
                await session.close()

    async def __aenter__(self) -> "DeviceEnvironment":
        await self.phones.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.phones.stop()


class DeviceSession:
    """Plays episodes on a phone. `envs.base.Session` is the contract."""

    def __init__(self, phones: Phones, script: Script | None = None) -> None:
        self._phones = phones
        self._script = script
        self._device: Device | None = None
        self._task: Task | None = None
        self._broken: InfraError | None = None

    @property
    def device(self) -> Device:
        """The phone in use: for scripts that may know more than the policy (the demonstrator asks it for boxes)."""
        if self._device is None:
            raise RuntimeError("the session has no episode: call reset first")
        return self._device

    async def reset(self, task: Task, seed: int) -> Observation:
        """Start an episode.

        Raises:
            UserError: if the task's params are not what the phone needs.
            InfraError: if the phone cannot be brought to its start.
        """
        self._broken = None
        try:
            if self._device is not None and await self._device.health():
                await self.close()
            if self._device is None:
                self._device = await self._phones.borrow()
            await self._device.reset(seed, task.params)
            self._task = task
            return await self._observation("")
        except InfraError as error:
            self._broken = error
            raise

    async def step(self, action: Action) -> Step:
        """Execute one parsed action and look at the screen.

        Raises:
            InfraError: if the phone failed; the session must be reset before it is used again.
        """
        if self._broken is not None:
            raise self._broken
        if self._task is None:
            raise RuntimeError("the session has no episode: call reset first")
        try:
            return await self._step(action)
        except InfraError as error:
            self._broken = error
            raise

    async def _step(self, action: Action) -> Step:
        info: dict[str, object] = {}
        error, over = "", False
        if action.call is None:
            error = action.error or "The action is not in the grammar; nothing was done."
        elif action.call.name == "status":
            over = True
        else:
            try:
                info["gesture"] = await execute(self.device, action.call)
            except StepError as trouble:
                error = str(trouble)
        return Step(await self._observation(error), done=over, info=info)

    async def _observation(self, error: str) -> Observation:
        screen = await self.device.screenshot()
        more = {} if self._script is None else await self._script(self.device)
        return Observation(images=(screen,), error=error, info=more)

    async def grade(self) -> Verdict | None:
        """The oracle about the phone as it stands; None where the task has none, or before any episode.

        Raises:
            InfraError: if the phone failed.
        """
        if self._device is None or self._task is None:
            return None
        known = await self._phones.truth(self._device, self._task)
        return None if known is None else Verdict(ORACLE, float(known[0]), known[1])

    async def close(self) -> None:
        """End the episode and give the phone back."""
        device, self._device, self._task = self._device, None, None
        if device is not None:
            await self._phones.give_back(device)


async def execute(device: Device, call: Call) -> Mapping[str, object]:
    """Carry out a call of the AitW action space (other than a status) on a device.

    Returns:
        What was done, in pixels, as JSON for the record.

    Raises:
        UserError: if the action space has no such call.
    """
    width, height = await device.measure() if call.name in ("tap", "swipe") else device.size

    def pixel(y: str, x: str) -> tuple[int, int]:
        across, down = float(call.arguments[x]), float(call.arguments[y])
        return min(int(across * width), width - 1), min(int(down * height), height - 1)

    match call.name:
        case "tap":
            x, y = pixel("y", "x")
            await device.tap(x, y)
            return {"tap": [x, y]}
        case "swipe":
            (x, y), (to_x, to_y) = pixel("y", "x"), pixel("to_y", "to_x")
            await device.swipe(x, y, to_x, to_y)
            return {"swipe": [x, y, to_x, to_y]}
        case "type":
            await device.type_text(str(call.arguments["text"]))
            return {"type": len(str(call.arguments["text"]))}
        case "press":
            await device.press(call.arguments["key"])
            return {"press": call.arguments["key"]}
        case "idle":
            return {}
    raise UserError(f"a device knows no action {call.name!r}: it taps, swipes, types, presses keys and ends by status.")
