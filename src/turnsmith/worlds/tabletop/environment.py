"""The table top as an environment: one image, one action of five keypoints, one open-loop execution.

Task params: {"task": id, "geometry": set, "scene": seed}. The observation is the camera's colour image; the action is
the call `keypoints(points=[[x, y], …])` in thousandths of the image, in the order of `points.NAMES`. The episode is
over after one such call. An action that did not parse changes nothing.

Scenes are built, rendered and executed in worker processes, so that several run at once; what the camera saw is kept on
disk, since many policies are asked about the same scenes.
"""

import asyncio
import io
import multiprocessing
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from turnsmith.arrays import read_npz
from turnsmith.envs.base import Step
from turnsmith.errors import InfraError, UserError
from turnsmith.runs.once import whole_folder
from turnsmith.trace.types import ORACLE, Action, ImageRef, Observation, Task, Verdict
from turnsmith.worlds.tabletop.camera import Camera
from turnsmith.worlds.tabletop.points import from_thousandths
from turnsmith.worlds.tabletop.tasks import SPECS, TableTask, table_task

ENVIRONMENT = "tabletop"
_DEPTH_UNIT = 1e-4
"""Depth is kept in tenths of a millimetre."""


@dataclass(frozen=True)
class Seen:
    """What the camera saw of a scene before anything moved.

    Attributes:
        jpeg: the colour image, as the agent gets it.
        depth_HW: metres.
        oracle_52: the true keypoints, pixels. For reporting, and for the oracle policy.
    """

    jpeg: bytes
    depth_HW: np.ndarray
    oracle_52: np.ndarray

    @property
    def rgb_HW3(self) -> np.ndarray:
        """The colour image, uint8."""
        with Image.open(io.BytesIO(self.jpeg)) as opened:
            return np.asarray(opened.convert("RGB"))


def make_task(task: TableTask, geometry: int, scene: int, split: str = "test") -> Task:
    """The task of one scene."""
    params = {"task": str(task), "geometry": geometry, "scene": scene}
    return Task(f"{task}-g{geometry}-{scene:05d}", SPECS[task].instruction, ENVIRONMENT, params, split)


def tasks_of(task: TableTask, geometries: Iterable[int], scenes: Iterable[int], split: str = "test") -> list[Task]:
    """Tasks of these scenes, set by set."""
    scenes = list(scenes)
    return [make_task(task, geometry, scene, split) for geometry in geometries for scene in scenes]


def scene_of(task: Task) -> tuple[TableTask, int, int]:
    """What a task's params say: task, geometry set, seed of the scene.

    Raises:
        UserError: if they are not this environment's.
    """
    try:
        return table_task(task.params["task"]), int(task.params["geometry"]), int(task.params["scene"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f'task {task.id}: params must be {{"task", "geometry", "scene"}} ({error}).') from error


def look(task: TableTask, geometry: int, seed: int, cache: Path | None = None) -> Seen:
    """What the camera sees of a scene; rendered once and kept below `cache`."""
    place = None if cache is None else cache / f"{task}-g{geometry}" / f"{seed:05d}"
    if place is not None and (place / "depth.npz").exists():
        with suppress(UserError, KeyError, OSError):  # what is damaged is rendered again
            kept = read_npz(place / "depth.npz")
            return Seen((place / "rgb.jpg").read_bytes(), kept["depth"] * _DEPTH_UNIT, kept["oracle"])
    from turnsmith.worlds.tabletop.scenes import make_scene
    from turnsmith.worlds.tabletop.trial import observe

    scene = make_scene(task, geometry, seed)
    picture = observe(scene)
    buffer = io.BytesIO()
    Image.fromarray(picture.rgb_HW3).save(buffer, "JPEG", quality=95, subsampling=0)
    depth = np.rint(np.clip(picture.depth_HW, 0, 6) / _DEPTH_UNIT).astype(np.uint16)
    seen = Seen(buffer.getvalue(), depth * _DEPTH_UNIT, scene.oracle())
    if place is not None:
        with whole_folder(place) as folder:
            (folder / "rgb.jpg").write_bytes(seen.jpeg)
            np.savez_compressed(folder / "depth.npz", depth=depth, oracle=seen.oracle_52)
    return seen


def execute_in(
    task: TableTask, geometry: int, seed: int, thousandths: list[list[float]], film: bool, cache: Path | None
) -> dict[str, Any]:
    """Build the scene again, execute the keypoints, and say as JSON what came of it (with "film", WebP bytes)."""
    from turnsmith.worlds.tabletop.scenes import make_scene
    from turnsmith.worlds.tabletop.trial import Film, execute

    seen = look(task, geometry, seed, cache)
    camera = Camera(seen.depth_HW.shape[1])
    points = from_thousandths(np.array(thousandths), camera.size, camera.size)
    recorded = Film() if film else None
    result = execute(make_scene(task, geometry, seed), seen.depth_HW, points, film=recorded)
    apart = np.linalg.norm(points - seen.oracle_52, axis=1) * 224 / camera.size
    return {
        "success": result.success,
        "phase": result.phase,
        "failure": result.failure,
        "steps": result.steps,
        "pixel_errors": [round(float(value), 2) for value in apart],
        "film": recorded.webp() if recorded is not None else None,
    }


class TabletopEnvironment:
    """See the module.

    Args:
        processes: how many scenes are worked on at once; 0 works in this process, one at a time.
        cache: a folder for what the camera saw; None renders every time.
        film: which tasks' executions are filmed; the film is the last observation's image.
    """

    name = ENVIRONMENT

    def __init__(
        self, processes: int = 0, cache: Path | None = None, film: Callable[[Task], bool] = lambda task: False
    ) -> None:
        self.processes, self.cache, self.film = processes, cache, film
        self._pool: ProcessPoolExecutor | None = None
        self._free = asyncio.Semaphore(max(1, processes))

    async def __aenter__(self) -> "TabletopEnvironment":
        if self.processes:
            context = multiprocessing.get_context("spawn")  # a forked graphics library is not to be trusted
            self._pool = ProcessPoolExecutor(self.processes, mp_context=context)
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    @asynccontextmanager
    async def session(self) -> AsyncIterator["TabletopSession"]:
        """One episode at a time each; as many as there are processes."""
        async with self._free:
            yield TabletopSession(self)

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in a worker.

        Raises:
            InfraError: if the worker died.
        """
        if self._pool is None:
            return function(*arguments)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)
        except BrokenProcessPool as error:
            raise InfraError("simulator_died", str(error)) from error


class TabletopSession:
    """One scene."""

    def __init__(self, environment: TabletopEnvironment) -> None:
        self.environment = environment
        self.task: Task | None = None
        self.seen: Seen | None = None
        self.result: dict[str, Any] | None = None

    async def reset(self, task: Task, seed: int) -> Observation:
        """Look at the task's scene. The scene is the task's own; `seed` changes nothing."""
        self.task, self.result = task, None
        self.seen = await self.environment.run(look, *scene_of(task), self.environment.cache)
        return self._observation()

    async def step(self, action: Action) -> Step:
        """Execute the keypoints; anything else is an error that changes nothing."""
        if self.task is None:
            raise InfraError("not_reset", "step before reset")
        points = None if action.call is None else _points_of(action)
        if points is None:
            return Step(self._observation(action.error or "say keypoints(points): five pairs from 0 to 999"))
        film = self.environment.film(self.task)
        result = await self.environment.run(execute_in, *scene_of(self.task), points, film, self.environment.cache)
        video = result.pop("film")
        self.result = result
        images = () if video is None else (ImageRef.of(video, "image/webp"),)
        text = "success" if result["success"] else f"failed: {result['failure']}"
        return Step(Observation(text, images, info=result), float(result["success"]), done=True, info=result)

    async def grade(self) -> Verdict | None:
        """The scene's own condition after the execution."""
        if self.result is None:
            return Verdict(ORACLE, 0.0, "no keypoints were executed")
        words = SPECS[scene_of(self.task)[0]].success if self.task else ""
        if self.result["success"]:
            return Verdict(ORACLE, 1.0, words)
        return Verdict(ORACLE, 0.0, f"not so: {words} (failure: {self.result['failure']})")

    def _observation(self, error: str = "") -> Observation:
        if self.seen is None or self.task is None:
            raise InfraError("not_reset", "observed before reset")
        return Observation(self.task.instruction, (ImageRef.of(self.seen.jpeg),), error)


def _points_of(action: Action) -> list[list[float]] | None:
    """Five pairs of numbers within the image, or None."""
    if action.call is None or action.call.name != "keypoints":
        return None
    try:
        points = np.asarray(action.call.arguments["points"], float)
    except (KeyError, TypeError, ValueError):
        return None
    if points.shape != (5, 2) or not np.isfinite(points).all():
        return None
    return np.clip(points, 0, 999).tolist()
