"""The device environment: phones, the AitW action space, and a reward after each step.

The screenshot is all that is observed: `Observation.images` holds the current screen, `Observation.text` is empty.
`Step.info` keeps what the record needs and no policy reads: "gesture" (where on the screen the action went, in pixels),
"oracle" (0 or 1, the truth about the screen after the action) and "evaluator" (the name of who gave the reward).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Protocol

from turnsmith.envs.base import Step
from turnsmith.envs.browser.faults import StepError
from turnsmith.envs.device.base import Device, Look, StepEvaluator
from turnsmith.errors import InfraError, UserError
from turnsmith.trace.types import ORACLE, Action, Call, ImageRef, Observation, Task, Verdict

Script = Callable[[Any], Awaitable[Mapping[str, Any]]]


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

    async with DeviceEnvironment(LocalPhones(), sessions=4, evaluator=OracleEvaluator()) as environment:
        async with environment.session() as session:
            observation = await session.reset(task, seed=0)
            step = await session.step(Action(text, parse_aitw(text)))
    """

    def __init__(
        self,
        phones: Phones,
        sessions: int = 4,
        evaluator: StepEvaluator | None = None,
        *,
        script: Script | None = None,
        name: str = "device",
    ) -> None:
        """
        Args:
            phones: the backend.
            sessions: how many episodes are played at once; further ones wait.
            evaluator: gives the reward of each step and ends the episode at its first success, as in DigiRL. Without
                one, rewards are 0 and only the agent's status ends an episode.
            script: adds to `Observation.info` what a scripted policy needs (`ChromiumPhone.boxes` for the
                demonstrator). Leave it out for anything that learns or is measured.
            name: the environment's name in tasks and traces.
        """
        if sessions < 1:
            raise ValueError(f"sessions must be at least 1, not {sessions}")
        self.name = name
        self.phones = phones
        self.evaluator = evaluator
        self.script = script
        self._free = asyncio.Semaphore(sessions)

    @asynccontextmanager
    async def session(self) -> AsyncIterator["DeviceSession"]:
        """Borrow a session for one or more episodes; waits while all are in use."""
        async with self._free:
            session = DeviceSession(self.phones, self.evaluator, self.script)
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

    def __init__(self, phones: Phones, evaluator: StepEvaluator | None, script: Script | None = None) -> None:
        self._phones = phones
        self._evaluator = evaluator
        self._script = script
        self._device: Device | None = None
        self._task: Task | None = None
        self._seed = 0
        self._images: list[ImageRef] = []
        self._truth: Verdict | None = None
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
        self._truth = None
        try:
            if self._device is not None and await self._device.health():
                await self.close()
            if self._device is None:
                self._device = await self._phones.borrow()
            await self._device.reset(seed, task.params)
            self._task, self._seed = task, seed
            self._images = [await self._device.screenshot()]
            self._truth = await self._look_up(task)
            return await self._observation("")
        except InfraError as error:
            self._broken = error
            raise

    async def step(self, action: Action) -> Step:
        """Execute one parsed action, look at the screen, and ask the evaluator.

        Raises:
            InfraError: if the phone or the evaluator failed; the session must be reset before it is used again.
        """
        if self._broken is not None:
            raise self._broken
        if self._task is None:
            raise RuntimeError("the session has no episode: call reset first")
        try:
            return await self._step(self._task, action)
        except InfraError as error:
            self._broken = error
            raise

    async def _step(self, task: Task, action: Action) -> Step:
        info: dict[str, Any] = {}
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
        self._images.append(await self.device.screenshot())
        self._truth = await self._look_up(task)
        if self._truth is not None:
            info["oracle"] = self._truth.reward
        reward = 0.0
        if self._evaluator is not None:
            public = replace(task, hidden={})
            step = len(self._images) - 1
            verdict = await self._evaluator.judge(Look(public, tuple(self._images), self._seed, step, self._truth))
            reward = float(verdict.reward > 0.5)
            info["evaluator"] = self._evaluator.name
        return Step(await self._observation(error), reward, over or reward > 0, info)

    async def _observation(self, error: str) -> Observation:
        more = {} if self._script is None else await self._script(self.device)
        return Observation(images=(self._images[-1],), error=error, info=more)

    async def _look_up(self, task: Task) -> Verdict | None:
        known = await self._phones.truth(self.device, task)
        return None if known is None else Verdict(ORACLE, float(known[0]), known[1])

    async def grade(self) -> Verdict | None:
        """The oracle about the last screen; None where the task has none, or before any episode."""
        return self._truth

    async def close(self) -> None:
        """End the episode and give the phone back."""
        device, self._device, self._task = self._device, None, None
        if device is not None:
            await self._phones.give_back(device)


async def execute(device: Device, call: Call) -> Mapping[str, Any]:
    """Carry out a call of the AitW action space (other than a status) on a device.

    Returns:
        What was done, in pixels, as JSON for the record.

    Raises:
        UserError: if the action space has no such call.
    """
    width, height = device.size

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
