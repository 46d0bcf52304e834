"""BrowserGym's tasks for our agents: its registered environments as an `envs.base.Environment`.

    tasks = [Task("click-test", "", "browsergym", {"env": "browsergym/miniwob.click-test"})]
    async with BrowserGymTasks(sessions=2) as environment: …

A task's instruction is what the environment says at reset (it is also the first line of the observation). Elements are
those that BrowserGym puts into its set of marks; mark n is the n-th of them. BrowserGym drives one Playwright a
process, synchronously, so all sessions share one thread: for real parallelism start more processes. Its
WebArena tasks validate after every step and may end an episode before the agent answers: such an end is the
environment's own (`Step.done`).
"""

import asyncio
import importlib
import io
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from turnsmith.envs.base import Step
from turnsmith.envs.browser.observe import element_list
from turnsmith.envs.browsergym.calls import write_action
from turnsmith.errors import InfraError, ParseError, UserError, require
from turnsmith.trace.types import ORACLE, Action, ImageRef, Observation, Task, Verdict

T = TypeVar("T")

_THREAD = ThreadPoolExecutor(1, "browsergym")
"""Where BrowserGym lives: its Playwright is one for the whole process and belongs to the thread that started it."""

_TAGS = {"button": "button", "textbox": "input", "searchbox": "input", "combobox": "select", "link": "a"}
_TAGS |= {"checkbox": "input", "radio": "input", "option": "option", "menuitem": "a", "tab": "button"}
_MODULES = {"miniwob": "browsergym.miniwob", "webarena": "browsergym.webarena", "openended": "browsergym.core"}


class BrowserGymTasks:
    """Sessions over BrowserGym's environments. `envs.base.Environment` is the contract.

    Args:
        sessions: episodes at once, a browser each; their steps take turns.
        screenshots: observations have pictures.
        options: further arguments of `gymnasium.make`, such as {"headless": True}.
        chromium: an executable to drive instead of the one that Playwright would download.
        name: the environment's name in tasks and traces.
    """

    def __init__(
        self,
        sessions: int = 1,
        screenshots: bool = False,
        options: Mapping[str, Any] | None = None,
        chromium: str | None = None,
        name: str = "browsergym",
    ) -> None:
        self.name, self.screenshots, self.options, self.chromium = name, screenshots, dict(options or {}), chromium
        self._free = asyncio.Semaphore(sessions)

    async def __aenter__(self) -> "BrowserGymTasks":
        require("browsergym", "browsergym in a virtual environment of its own, see docs/browsergym.md")
        if self.chromium is not None:
            _drive(self.chromium)
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Sessions close what they opened."""

    @asynccontextmanager
    async def session(self) -> AsyncIterator["BrowserGymSession"]:
        """Borrow a session; waits while all are in use."""
        async with self._free:
            session = BrowserGymSession(self)
            try:
                yield session
            finally:
                await session.close()


def _drive(chromium: str) -> None:
    """Let every browser that Playwright starts be this one (BrowserGym's chat window takes no path)."""
    from playwright.sync_api import BrowserType

    launch = BrowserType.launch
    if not getattr(launch, "of_turnsmith", False):

        def launch_that(self: Any, **options: Any) -> Any:
            return launch(self, **{"executable_path": chromium, **options})

        launch_that.of_turnsmith = True  # type: ignore[attr-defined]
        BrowserType.launch = launch_that  # type: ignore[method-assign]


class BrowserGymSession:
    """Plays episodes of BrowserGym. `envs.base.Session` is the contract."""

    def __init__(self, settings: BrowserGymTasks) -> None:
        self._settings = settings
        self._env: Any = None
        self._env_id = ""
        self._bids: list[str] = []
        self._reward = 0.0
        self._reason = ""

    async def reset(self, task: Task, seed: int) -> Observation:
        """Start an episode.

        Raises:
            UserError: if the task names no environment that BrowserGym has.
            InfraError: if BrowserGym or its browser failed.
        """
        env_id = task.params.get("env")
        if not isinstance(env_id, str) or not env_id.startswith("browsergym/"):
            raise UserError(f'task {task.id}: "env" must name an environment such as "browsergym/miniwob.click-test".')
        self._reward, self._reason = 0.0, ""
        seen, _ = await self._call(lambda: self._begin(task, env_id, seed))
        return self._look(seen)

    def _begin(self, task: Task, env_id: str, seed: int) -> Any:
        import gymnasium

        if self._env is None or self._env_id != env_id:
            if self._env is not None:
                self._env.close()
            family = env_id.removeprefix("browsergym/").split(".")[0]
            try:
                importlib.import_module(_MODULES.get(family, f"browsergym.{family}"))
                self._env = gymnasium.make(env_id, **{**self._settings.options, **task.params.get("options", {})})
            except (ImportError, gymnasium.error.Error) as error:
                raise UserError(f"task {task.id}: BrowserGym has no {env_id!r} here ({error}).") from error
            self._env_id = env_id
            self._env.unwrapped.action_mapping = _both_lines()
        return self._env.reset(seed=seed)

    async def step(self, action: Action) -> Step:
        """Do one action; what BrowserGym cannot express is an error for the agent."""
        try:
            if action.call is None:
                raise ParseError(action.error or "The action is not in the grammar; nothing was done.")
            text = write_action(action.call, self._bid)
        except ParseError as error:
            text, trouble = "noop(1)", str(error)
        else:
            trouble = ""
        seen, reward, terminated, truncated, info = await self._call(lambda: self._env.step(text))
        self._reward, self._reason = float(reward), str(info.get("task_info") or "")[:200]
        answered = action.call is not None and action.call.name == "answer" and not trouble
        observation = self._look(seen, trouble or str(seen.get("last_action_error") or ""))
        return Step(observation, self._reward, bool(terminated or truncated or answered), {"browsergym_action": text})

    async def grade(self) -> Verdict | None:
        """BrowserGym's reward after the last step: above 0 is a success."""
        return Verdict(ORACLE, float(self._reward > 0), self._reason or f"BrowserGym's reward is {self._reward:g}")

    async def close(self) -> None:
        """Close the environment."""
        if self._env is not None:
            env, self._env = self._env, None
            await self._call(env.close)

    async def _call(self, work: Callable[[], T]) -> T:
        """Run something in BrowserGym's thread; what Playwright raises there is a failure of the machinery."""
        try:
            return await asyncio.get_running_loop().run_in_executor(_THREAD, work)
        except (UserError, InfraError):
            raise
        except Exception as error:
            raise InfraError("browsergym", f"{type(error).__name__}: {str(error).splitlines()[0][:200]}") from error

    def _bid(self, mark: object) -> str:
        if isinstance(mark, bool) or not isinstance(mark, int) or not 0 <= mark < len(self._bids):
            raise ParseError(f"There is no element [{mark}]; nothing was done.")
        return self._bids[mark]

    def _look(self, seen: Mapping[str, Any], error: str = "") -> Observation:
        elements, self._bids = elements_of(seen)
        info = {
            "url": str(seen.get("url", "")),
            "title": str((seen.get("open_pages_titles") or ("",))[0]),
            "scroll": [0, 0],
            "elements": elements,
            "goal": goal_of(seen),
            "notes": [f"task: {goal_of(seen)}"],
        }
        images = (_picture(seen["screenshot"]),) if self._settings.screenshots else ()
        text = "\n".join([f"Task: {goal_of(seen)}", element_list(elements)])
        return Observation(text, images, error, info)


def goal_of(seen: Mapping[str, Any]) -> str:
    """The instruction in an observation of BrowserGym."""
    parts = seen.get("goal_object") or ()
    return " ".join(str(part.get("text", "")) for part in parts if part.get("type") == "text") or str(
        seen.get("goal", "")
    )


def elements_of(seen: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """The elements of an observation in our form, and the bid behind each mark.

    Elements are the nodes of the accessibility tree that BrowserGym would draw a mark on, in the tree's order.
    """
    properties = seen.get("extra_element_properties", {})
    elements: list[dict[str, Any]] = []
    bids: list[str] = []
    for node in seen.get("axtree_object", {}).get("nodes", ()):
        bid = node.get("browsergym_id")
        known = properties.get(bid, {}) if bid else {}
        if not bid or bid in bids or not (known.get("set_of_marks") and known.get("bbox")):
            continue
        role = str(node.get("role", {}).get("value", ""))
        name = str(node.get("name", {}).get("value", ""))
        element = {
            "mark": len(bids),
            "tag": _TAGS.get(role, role),
            "text": "" if _TAGS.get(role) == "input" else name,
            "aria": name if _TAGS.get(role) == "input" else "",
            "box": [round(side) for side in known["bbox"]],
        }
        value = node.get("value", {}).get("value")
        if value is not None:
            element["value"] = str(value)
        elements.append(element)
        bids.append(bid)
    return elements, bids


def _both_lines() -> Any:
    """BrowserGym's mapping of actions, with several lines allowed: our typing is `fill` and `press`."""
    from browsergym.core.action.highlevel import HighLevelActionSet  # pyright: ignore[reportMissingImports]

    return HighLevelActionSet(subsets=["chat", "infeas", "nav", "bid", "coord"], multiaction=True).to_python_code


def _picture(pixels: Any) -> ImageRef:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=70)
    return ImageRef.of(buffer.getvalue())
