"""Our browser tasks for BrowserGym's agents: a gymnasium environment with its observations and action strings.

    env = GymEnvironment(BrowserEnvironment(LocalSites(), observation=ObservationConfig(screenshot="plain")), tasks)
    observation, info = env.reset(seed=0)
    observation, reward, terminated, truncated, info = env.step('click("3")')

Observations have BrowserGym's keys. `axtree_object` and `dom_object` are what the browser's protocol gives, with a
`browsergym_id` (the mark) on the nodes of marked elements, so that BrowserGym's own flattening functions read them.
The reward is 0 until the end and then the oracle's. Nothing is ever truncated here: wrap it in a `TimeLimit`.

Gymnasium's interface is synchronous and ours is not: a thread of its own runs the event loop of the environment.
"""

import asyncio
import io
import threading
import time
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import gymnasium
import numpy as np
from PIL import Image

from turnsmith.envs.browser.environment import BrowserEnvironment
from turnsmith.envs.browser.session import BrowserSession
from turnsmith.envs.browsergym.calls import last_answer, parse_actions
from turnsmith.errors import ParseError, UserError
from turnsmith.trace.types import Action, Observation, Task

T = TypeVar("T")


class GymEnvironment(gymnasium.Env):
    """A browser environment of ours, one session of it, with the tasks that it draws from.

    Attributes:
        task: of the present episode.
    """

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012  (gymnasium's own declaration)

    def __init__(self, environment: BrowserEnvironment, tasks: Sequence[Task]) -> None:
        """
        Args:
            environment: not entered yet: it lives in this environment's thread until `close`.
            tasks: `reset` takes `options={"task": index}`, or draws one by its seed.
        """
        if not tasks:
            raise UserError("a gymnasium environment needs at least one task.")
        self.tasks = list(tasks)
        self.task = self.tasks[0]
        self.render_mode = "rgb_array"
        self.action_space = gymnasium.spaces.Text(max_length=10_000)
        # What BrowserGym's own environments declare is as loose: nested objects of the browser's protocol.
        self.observation_space = gymnasium.spaces.Dict({})
        self._environment = environment
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="gym-environment", daemon=True)
        self._thread.start()
        self._session: BrowserSession | None = None
        self._borrowed: Any = None
        self._chat: list[dict[str, Any]] = []
        self._screen: np.ndarray | None = None
        self._over = True

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode.

        Raises:
            UserError: if there is no such task, or its params are not what the environment needs.
            InfraError: if the browser failed.
        """
        super().reset(seed=seed)
        index = (options or {}).get("task", int(self.np_random.integers(len(self.tasks))))
        if not isinstance(index, int) or not 0 <= index < len(self.tasks):
            raise UserError(f"there is no task {index!r}; there are {len(self.tasks)}, from 0.")
        self.task = self.tasks[index]
        self._chat = [_said("assistant", "Hi! What can I do for you?"), _said("user", self.task.instruction)]
        episode_seed = 0 if seed is None else seed
        observation = self._run(self._begin(episode_seed))
        self._over = False
        return observation, {"task_id": self.task.id}

    async def _begin(self, seed: int) -> dict[str, Any]:
        if self._session is None:
            await self._environment.__aenter__()
            self._borrowed = self._environment.session()
            self._session = await self._borrowed.__aenter__()
        assert self._session is not None
        return await self._seen(await self._session.reset(self.task, seed), "")

    def step(self, action: str) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Do one action of BrowserGym, or several statements in order until one is in error.

        Raises:
            RuntimeError: if no episode is under way.
            InfraError: if the browser failed.
        """
        if self._over or self._session is None:
            raise RuntimeError("no episode is under way: call reset first")
        observation, reward, done, info = self._run(self._do(self._session, str(action)))
        self._over = done
        return observation, reward, done, False, info

    async def _do(self, session: BrowserSession, text: str) -> tuple[dict[str, Any], float, bool, dict[str, Any]]:
        try:
            calls, error = parse_actions(text), ""
        except ParseError as trouble:
            calls, error = [], str(trouble)
        info: dict[str, Any] = {"task_id": self.task.id}
        step = None
        for call in calls:
            step = await session.step(Action(text, call))
            if step.done or step.observation.error:
                break
        if step is None:
            step = await session.step(Action(text, None, error))
        answer = last_answer(calls) if step.done else None
        if answer is not None:
            self._chat.append(_said("assistant", answer))
        reward = 0.0
        if step.done:
            verdict = await session.grade()
            reward = 0.0 if verdict is None else verdict.reward
            info |= {} if verdict is None else {"judge": verdict.judge, "reason": verdict.reason}
        return await self._seen(step.observation, text), reward, step.done, info

    async def _seen(self, look: Observation, action: str) -> dict[str, Any]:
        assert self._session is not None
        dom, tree, focused = await self._session.snapshots()
        page, elements = look.info, look.info["elements"]
        if look.images and look.images[-1].data is not None:
            self._screen = np.asarray(Image.open(io.BytesIO(look.images[-1].data)).convert("RGB"))
        return {
            "chat_messages": tuple(self._chat),
            "goal": self.task.instruction,
            "goal_object": ({"type": "text", "text": self.task.instruction},),
            "open_pages_urls": (page["url"],),
            "open_pages_titles": (page["title"],),
            "active_page_index": np.asarray([0]),
            "url": page["url"],
            "screenshot": self._screen,
            "dom_object": dom,
            "axtree_object": tree,
            "extra_element_properties": {
                str(element["mark"]): {
                    "visibility": 1.0,
                    "bbox": list(map(float, element["box"])),
                    "clickable": not element.get("disabled", False),
                    "set_of_marks": True,
                }
                for element in elements
            },
            "focused_element_bid": "" if focused is None else str(focused),
            "last_action": action,
            "last_action_error": look.error,
            "elapsed_time": np.asarray([time.monotonic()]),
        }

    def render(self) -> Any:
        """The last screenshot, (height, width, 3); None where the environment takes none."""
        return self._screen

    def close(self) -> None:
        """End the episode, the browser and the thread."""
        if self._loop.is_closed():
            return
        if self._session is not None:
            self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        await self._borrowed.__aexit__(None, None, None)
        await self._environment.__aexit__(None, None, None)
        self._session = None


def _said(role: str, message: str) -> dict[str, Any]:
    return {"role": role, "timestamp": time.time(), "message": message}
