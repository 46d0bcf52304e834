"""Trials and keypoint errors on unseen geometry. Test scenes are the same for every arm and every seed of a run."""

from pathlib import Path
from typing import Any

import numpy as np

from turnsmith.agents.base import Policy
from turnsmith.recipes.kalie.config import Config
from turnsmith.recipes.kalie.learning import TEST_SCENES, inputs_of, trained_network
from turnsmith.robot.affordance import NetPredictor, Predictor, point_errors, squared_error
from turnsmith.robot.policy import AffordancePolicy, ScenePolicy
from turnsmith.rollout.collect import Episode, Limits
from turnsmith.rollout.stored import collect_into
from turnsmith.runs.progress import episode_bar
from turnsmith.runs.run import Run
from turnsmith.trace.types import Task
from turnsmith.worlds.tabletop.environment import TabletopEnvironment, look, scene_of, tasks_of
from turnsmith.worlds.tabletop.tasks import TableTask, table_task

LIMITS = Limits(horizon=1, turn_seconds=600.0)


class ByTask:
    """One predictor a task, as one."""

    def __init__(self, predictors: dict[str, Predictor]) -> None:
        self.predictors = predictors

    def predict(self, task: TableTask, images: Any) -> np.ndarray:
        """See `affordance.Predictor.predict`."""
        return self.predictors[str(task)].predict(task, images)


def test_tasks(config: Config, task: str, trials: int) -> list[Task]:
    """The test scenes of a task: `trials` of each set."""
    return tasks_of(table_task(task), config.sets, range(TEST_SCENES, TEST_SCENES + trials))


def trained_policy(config: Config, run: Run, arm: str) -> AffordancePolicy:
    """The networks of an arm as one policy."""
    made = run.folder / "made"
    nets: dict[str, Predictor] = {task: NetPredictor(trained_network(config, made, arm, task)) for task in config.tasks}
    return AffordancePolicy(ByTask(nets), arm)


def scripted(kind: str, config: Config, cache: Path) -> ScenePolicy:
    """A policy that does not learn."""
    return ScenePolicy(kind, cache, seed=config.seed)


async def play(
    config: Config,
    run: Run,
    environment: TabletopEnvironment,
    policy: Policy,
    phase: str,
    tasks: tuple[str, ...],
    trials: int,
) -> None:
    """Execute a policy's keypoints in every test scene of these tasks; traces go to the store, once each."""
    episodes = [
        Episode(f"{phase}/{task.id}", task, config.seed, phase)
        for name in tasks
        for task in test_tasks(config, name, trials)
    ]
    with episode_bar(phase, len(episodes)) as on_trace:
        await collect_into(
            run.store, environment, policy, episodes, LIMITS, workers=max(1, config.processes), on_trace=on_trace
        )


async def error_rows(config: Config, run: Run, environment: TabletopEnvironment, arm: str, task: str) -> dict[str, Any]:
    """How far an arm's keypoints are off in the test scenes: KALIE's squared error and pixels, by scene and point."""
    scenes = test_tasks(config, task, config.trials)
    seen = [await environment.run(look, *scene_of(scene), environment.cache) for scene in scenes]

    def measure() -> dict[str, Any]:
        size = seen[0].depth_HW.shape[1]
        predictor = NetPredictor(trained_network(config, run.folder / "made", arm, task))
        found = predictor.predict(table_task(task), [view.rgb_HW3 for view in seen])
        truth = np.stack([view.oracle_52 for view in seen])
        apart = np.linalg.norm(found - truth, axis=2).mean(1) * 224 / size
        squared = squared_error(found, truth, size)
        return {
            "pixels": float(apart.mean()),
            "squared": float(squared.mean()),
            "by_scene": {one.id: round(float(value), 3) for one, value in zip(scenes, apart, strict=True)},
            "squared_by_scene": {one.id: round(float(value), 2) for one, value in zip(scenes, squared, strict=True)},
            "by_point": point_errors(found, truth, size),
            "found": np.round(found, 1).tolist(),
        }

    inputs = {**inputs_of(config, arm), "scenes": [scene.id for scene in scenes]}
    return run.once(f"errors/{arm}/{task}", inputs, measure)
