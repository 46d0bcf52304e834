"""The episodes of a TTI run: demonstrations, exploration on a budget of steps, tests; kept in the run's store."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from turnsmith.agents.base import Policy
from turnsmith.engine.openai_client import endpoint_of
from turnsmith.engine.sampling import turn_seed
from turnsmith.envs.base import Environment
from turnsmith.envs.browser import BrowserEnvironment, ObservationConfig, OpenWeb, SiteHost
from turnsmith.errors import UserError
from turnsmith.evaluate.metrics import log_summary
from turnsmith.evaluate.summary import summarize
from turnsmith.judges.outcome_endpoint import EndpointOutcomeJudge
from turnsmith.judges.webarena.host import WebArenaHost
from turnsmith.recipes.tti.config import Config
from turnsmith.rollout.collect import Episode, Limits, evaluation_episodes
from turnsmith.rollout.steps import spend_steps
from turnsmith.rollout.stored import collect_into
from turnsmith.runs.progress import episode_bar
from turnsmith.runs.run import Run
from turnsmith.tasks.files import load_tasks
from turnsmith.trace.types import ORACLE, Task, Trace
from turnsmith.worlds.sites.demonstrator import Demonstrator
from turnsmith.worlds.sites.server import LocalSites
from turnsmith.worlds.sites.tasks import generate

DEMONSTRATIONS = "demonstrations"


class Episodes:
    """Plays in one Chromium, and never twice: ids depend on phase, iteration and place alone. Enter it before use."""

    def __init__(self, run: Run, config: Config) -> None:
        self.run, self.config = run, config
        self._seen = ObservationConfig(screenshot="marked" if config.screenshots else None)
        self._own = load_tasks(config.tasks) if config.tasks else []
        self.environment = BrowserEnvironment(host_of(self._own), config.sessions, self._seen)
        self._judge = None if config.judge == ORACLE else EndpointOutcomeJudge(endpoint_of(config.judge, "judge"))
        self.decides = ORACLE if self._judge is None else self._judge.name
        """The judge whose rewards count."""

    async def __aenter__(self) -> "Episodes":
        await self.environment.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.environment.__aexit__(*error)
        if self._judge is not None:
            await self._judge.close()

    def tasks(self, split: str, count: int, seed: int) -> list[Task]:
        """Tasks of one split; the same seed draws the same ones, and fewer are the first of more.

        Long tasks of the local sites, no two alike; or those of the user's file: in training again and again, in an
        order that the seed shuffles anew each time.

        Raises:
            UserError: if the file has no task of this split.
        """
        if not self.config.tasks:
            return generate(self.config.sites, split, count, seed, long=True)
        mine = [task for task in self._own if task.split == split]
        if not mine:
            raise UserError(f'{self.config.tasks}: no task has the split "{split}"; training and test need some each.')
        if split == "test":
            return mine[:count]
        rounds = [random.Random(f"{seed}/{turn}").sample(mine, len(mine)) for turn in range(-(-count // len(mine)))]
        return [task for turn in rounds for task in turn][:count]

    async def demonstrate(self) -> list[Trace]:
        """Demonstrations that also wander and go back, good and bad ones alike."""
        settings, seed = self.config.demonstrations, self.config.seed
        tasks = self.tasks("train", settings.count, seed)
        script = Demonstrator(tasks, settings.noise, settings.wander, seed, detour=settings.detour, roam=settings.roam)
        episodes = [
            Episode(f"demonstration-{index:05d}", task, turn_seed(seed, index), DEMONSTRATIONS)
            for index, task in enumerate(tasks)
        ]
        return await self._play(DEMONSTRATIONS, script, episodes, self.config.horizons.longest)

    async def explore(
        self, policy: Policy, phase: str, iteration: int, horizon: int, budget: int, least: int
    ) -> list[Trace]:
        """The policy's own episodes on fresh training tasks, as many as the budget of steps pays for.

        All arms meet the same tasks in an iteration, in the same order.
        """
        seed = turn_seed(self.config.seed + 1000, iteration)
        tasks: list[Task] = []

        def episode(index: int) -> Episode:
            if index >= len(tasks):
                tasks[:] = self.tasks("train", 2 * index + 8, seed)
            name = f"{phase}-{iteration:03d}-{index:05d}"
            return Episode(name, tasks[index], turn_seed(seed, index), phase, iteration)

        async def play(episodes: Sequence[Episode]) -> list[Trace]:
            return await self._play(f"{phase} {iteration}, {horizon} steps", policy, episodes, horizon)

        return await spend_steps(play, episode, budget, horizon, least)

    async def test(
        self,
        policy: Policy,
        phase: str,
        iteration: int,
        tasks: Sequence[Task],
        pictures: int = 0,
        around: Callable[[Environment], Environment] | None = None,
    ) -> list[Trace]:
        """Play every test task once under the test horizon; seeds pair up across arms.

        Args:
            policy: who acts.
            phase: names the evaluation.
            iteration: after which this is.
            tasks: held out.
            pictures: so many episodes, the first, are recorded with screenshots, whatever the policy sees.
            around: makes another environment of the browser's (re-checks).
        """
        episodes = evaluation_episodes(tasks, 0, iteration, phase)
        horizon = self.config.horizons.test
        if pictures and not self.config.screenshots:
            self.environment.observation = replace(self._seen, screenshot="marked")
            try:
                await self._play(f"{phase}, pictures", policy, episodes[:pictures], horizon)
            finally:
                self.environment.observation = self._seen
        traces = await self._play(phase, policy, episodes, horizon, around)
        log_summary(self.run, phase, iteration, summarize(traces, self.decides))
        return traces

    async def _play(
        self,
        what: str,
        policy: Policy,
        episodes: Sequence[Episode],
        horizon: int,
        around: Callable[[Environment], Environment] | None = None,
    ) -> list[Trace]:
        """Play what the store does not hold yet, with a bar."""
        judge = None if policy.version.startswith("demonstrator") else self._judge
        with episode_bar(what, len(episodes), ORACLE if judge is None else judge.name) as on_trace:
            return await collect_into(
                self.run.store,
                self.environment if around is None else around(self.environment),
                policy,
                episodes,
                Limits(horizon=horizon),
                workers=self.config.sessions,
                judge=judge,
                on_trace=on_trace,
            )


def host_of(tasks: Sequence[Task]) -> SiteHost:
    """Who serves these tasks: the local sites, WebArena's host for its tasks, else the web as it is."""
    if all("site" in task.params and "world" in task.params for task in tasks):
        return LocalSites()
    return WebArenaHost() if all("eval" in task.hidden for task in tasks) else OpenWeb()
