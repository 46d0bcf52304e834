"""What the recipes for web agents share: tasks of the local sites, the browser, demonstrations, evaluation.

Plain functions; each recipe puts them together in its own order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turnsmith.agents.base import Policy
from turnsmith.engine.sampling import turn_seed
from turnsmith.envs.browser import BrowserEnvironment, ObservationConfig
from turnsmith.evaluate.metrics import log_summary
from turnsmith.evaluate.summary import summarize
from turnsmith.rollout.collect import Episode, Limits, evaluation_episodes
from turnsmith.rollout.stored import collect_into
from turnsmith.runs.progress import episode_bar, progress_bar
from turnsmith.runs.run import Run
from turnsmith.tasks.splits import check_overlap
from turnsmith.trace.types import Task, Trace
from turnsmith.worlds.sites.demonstrator import Demonstrator
from turnsmith.worlds.sites.server import LocalSites
from turnsmith.worlds.sites.tasks import generate

SHIPPED = Path(__file__).parent / "assets" / "web_small"
"""The warm start in the package: a policy that learned from noisy demonstrations (scripts/make_warm_start.py)."""

TEXT_ONLY = ObservationConfig()
WITH_SCREENSHOTS = ObservationConfig(screenshot="marked")


@dataclass(frozen=True, slots=True)
class WebConfig:
    """Where web episodes are played.

    Attributes:
        sites: which local sites.
        templates: only these task templates ("template" or "site/template"); None for all.
        horizon: the most actions of an episode.
        sessions: browser sessions at once.
    """

    sites: tuple[str, ...] = ("shop", "forum", "docs", "recipes", "courses")
    templates: tuple[str, ...] | None = None
    horizon: int = 12
    sessions: int = 8

    @property
    def limits(self) -> Limits:
        """The limits of an episode."""
        return Limits(horizon=self.horizon)

    def tasks(self, split: str, count: int, seed: int) -> list[Task]:
        """Draw tasks of one split; the same seed draws the same tasks."""
        return generate(self.sites, split, count, seed, self.templates)

    def environment(self) -> BrowserEnvironment:
        """The local sites in real Chromium; enter it before use."""
        return BrowserEnvironment(LocalSites(), self.sessions, TEXT_ONLY)


async def demonstrate(
    run: Run, environment: BrowserEnvironment, web: WebConfig, count: int, noise: float, wander: float, seed: int
) -> list[Trace]:
    """Noisy scripted demonstrations on training tasks, good and bad ones alike."""
    tasks = web.tasks("train", count, seed)
    demonstrator = Demonstrator(tasks, noise, wander, seed)
    episodes = [
        Episode(f"demonstration-{index:05d}", task, turn_seed(seed, index), "demonstrations")
        for index, task in enumerate(tasks)
    ]
    with episode_bar("demonstrations", len(episodes)) as on_trace:
        traces = await collect_into(
            run.store, environment, demonstrator, episodes, web.limits, workers=web.sessions, on_trace=on_trace
        )
    log_summary(run, "demonstrations", 0, summarize(traces))
    return traces


async def explore(
    run: Run, environment: BrowserEnvironment, web: WebConfig, policy: Policy, count: int, iteration: int, seed: int
) -> list[Trace]:
    """The policy's own episodes on fresh training tasks."""
    base = turn_seed(seed, iteration)
    tasks = web.tasks("train", count, base)
    episodes = [
        Episode(f"train-{iteration:03d}-{index:05d}", task, turn_seed(base, index), "train", iteration)
        for index, task in enumerate(tasks)
    ]
    with episode_bar(f"iteration {iteration}: exploring", len(episodes)) as on_trace:
        traces = await collect_into(
            run.store, environment, policy, episodes, web.limits, workers=web.sessions, on_trace=on_trace
        )
    log_summary(run, "train", iteration, summarize(traces))
    return traces


async def evaluate(
    run: Run,
    environment: BrowserEnvironment,
    web: WebConfig,
    policy: Policy,
    tasks: Sequence[Task],
    iteration: int,
    *,
    phase: str = "eval",
    seed: int = 0,
    pictures: int = 0,
) -> list[Trace]:
    """Play every task once; the first `pictures` of them with screenshots in the record (the policy reads the same).

    Returns:
        One trace a task, in order; seeds depend on `seed` and the task's place only, so evaluations pair up.
    """
    episodes = evaluation_episodes(tasks, seed, iteration, phase)
    traces: list[Trace] = []
    with episode_bar(f"{phase} after {iteration} iterations", len(episodes)) as on_trace:
        for observation, part in ((WITH_SCREENSHOTS, episodes[:pictures]), (TEXT_ONLY, episodes[pictures:])):
            environment.observation = observation
            traces += await collect_into(
                run.store, environment, policy, part, web.limits, workers=web.sessions, on_trace=on_trace
            )
    environment.observation = TEXT_ONLY
    log_summary(run, phase, iteration, summarize(traces))
    return traces


def check_splits(web: WebConfig, test: Sequence[Task], count: int, seed: int) -> None:
    """Fail the run when a training task of this draw overlaps a test task (by id, instruction or entity).

    Raises:
        UserError: naming the overlapping tasks.
    """
    check_overlap(web.tasks("train", count, seed), test)


def train_with_bar(
    what: str, model: Any, examples: Sequence[Any], optim: Any, optimizer: Any = None, transform: Any = None
) -> float:
    """`learn.sft.train` with a progress bar; returns the mean loss of the last tenth of the updates."""
    from turnsmith.learn.sft import train

    total = optim.epochs * -(-len(examples) // optim.batch_size)
    total = total if optim.max_updates is None else min(total, optim.max_updates)
    with progress_bar(what, total) as advance:
        losses = train(
            model,
            examples,
            optim,
            optimizer,
            transform=transform,
            on_update=lambda progress: advance(note=f"loss {progress.loss:.3f}"),
        )
    tail = losses[-max(1, len(losses) // 10) :]
    return sum(tail) / len(tail)
