"""The episodes of a TTI run: those of every web recipe, and exploration on a budget of steps."""

from collections.abc import Sequence
from dataclasses import replace

from turnsmith.agents.base import Policy
from turnsmith.engine.sampling import turn_seed
from turnsmith.recipes.shared.web import WebEpisodes
from turnsmith.recipes.shared.web_tasks import task_source
from turnsmith.recipes.tti.config import Config
from turnsmith.rollout.collect import Episode
from turnsmith.rollout.steps import spend_steps
from turnsmith.runs.run import Run
from turnsmith.trace.types import Task, Trace


class Episodes(WebEpisodes):
    """Plays in one Chromium, and never twice: ids depend on phase, iteration and place alone. Enter it before use."""

    def __init__(self, run: Run, config: Config) -> None:
        web = replace(config.web, horizon=config.horizons.longest)
        super().__init__(run, web, task_source(config.tasks, web, long=True), config.judge)
        self._seed = config.seed + 1000

    async def spend(
        self, policy: Policy, phase: str, iteration: int, horizon: int, budget: int, least: int
    ) -> list[Trace]:
        """The policy's own episodes on fresh training tasks, as many as the budget of steps pays for.

        All arms meet the same tasks in an iteration, in the same order.
        """
        seed = turn_seed(self._seed, iteration)
        tasks: list[Task] = []

        def episode(index: int) -> Episode:
            if index >= len(tasks):
                tasks[:] = self.tasks.draw("train", 2 * index + 8, seed)
            name = f"{phase}-{iteration:03d}-{index:05d}"
            return Episode(name, tasks[index], turn_seed(seed, index), phase, iteration)

        async def play(episodes: Sequence[Episode]) -> list[Trace]:
            return await self._play(f"{phase} {iteration}, {horizon} steps", policy, episodes, horizon, self._judge)

        return await spend_steps(play, episode, budget, horizon, least)
