"""What the recipes for web agents share: episodes in real Chromium, and learning from those that succeeded.

A recipe's day with it:

    async with WebEpisodes(run, config.web) as web:
        demonstrations = await web.demonstrate(config.demonstrations, seed)
        policy = starting_policy(config.policy, seed, demonstrations)
        traces = await web.explore(policy, tasks, iteration, seed)                 # judged by the oracle, or a judge
        won = all_time_successes(run, iteration)                                   # the buffer is the run's store
        learn(policy, with_images(run, policy, won), optim, optimizer)             # filtered BC: rewards 0 and 1
        await web.evaluate(policy, test, iteration)

Every episode has an id that depends on its phase, iteration and place alone, so a run that goes on after a kill plays
none of them twice.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import torch

from turnsmith.agents.base import Policy
from turnsmith.agents.hf_policy import HFPolicy
from turnsmith.agents.load import load_local, new_small_policy
from turnsmith.agents.lora import add_adapter
from turnsmith.agents.render import compact, compact_response
from turnsmith.engine.sampling import Sampling, turn_seed
from turnsmith.envs.base import Environment
from turnsmith.envs.browser import BrowserEnvironment, ObservationConfig
from turnsmith.evaluate.metrics import log_summary
from turnsmith.evaluate.summary import summarize
from turnsmith.judges.base import Judge
from turnsmith.judges.named import closed, judge_named
from turnsmith.learn.examples import Transform, context_at, examples_from_traces
from turnsmith.learn.optim import OptimConfig
from turnsmith.recipes.shared.training import train_with_bar
from turnsmith.recipes.shared.web_config import Demonstrations, PolicyConfig, WebConfig
from turnsmith.recipes.shared.web_tasks import LocalTasks, WebTasks
from turnsmith.rollout.collect import Episode, Limits, evaluation_episodes
from turnsmith.rollout.stored import collect_into
from turnsmith.runs.progress import episode_bar
from turnsmith.runs.run import Run
from turnsmith.trace.store import Summary
from turnsmith.trace.types import ORACLE, Task, Trace
from turnsmith.worlds.sites.demonstrator import Demonstrator

SHIPPED_FOLDER = Path(__file__).parent / "assets" / "web_small"
"""The warm start in the package: a policy that learned from noisy demonstrations (scripts/make_warm_start.py)."""


def model_folder(name: str) -> str:
    """The folder, or the endpoint, that a user names as a model: "shipped" is the one in the package."""
    return str(SHIPPED_FOLDER) if name == "shipped" else name


class WebEpisodes:
    """The web episodes of a run: played in one Chromium, kept in the run's store. Enter it before use."""

    def __init__(self, run: Run, config: WebConfig, tasks: WebTasks | None = None, judge: str = ORACLE) -> None:
        """
        Args:
            run: keeps the episodes and their figures.
            config: which sites, how long, how many at once, what is seen.
            tasks: what is played; the local sites' own tasks without them.
            judge: who rewards training and evaluation (`judges.named`).
        """
        self.run = run
        self.config = config
        self.tasks = tasks or LocalTasks(config.sites, config.templates)
        # The local sites' tasks can be solved by the list of elements; other pages have to be seen or read.
        reads = not config.screenshots and not isinstance(self.tasks, LocalTasks)
        self._seen = ObservationConfig(page_text=reads, screenshot="marked" if config.screenshots else None)
        self.environment = BrowserEnvironment(self.tasks.host(), config.sessions, self._seen)
        self._judge = judge_named(judge)
        self.decides = ORACLE if self._judge is None else self._judge.name
        """The judge whose rewards count."""

    async def __aenter__(self) -> Self:
        await self.environment.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.environment.__aexit__(*error)
        await closed(self._judge)

    async def demonstrate(self, demonstrations: Demonstrations, seed: int) -> list[Trace]:
        """Noisy scripted demonstrations on training tasks, good and bad ones alike, judged by the oracle."""
        if not demonstrations.count:
            return []
        tasks = self.tasks.draw("train", demonstrations.count, seed)
        wrong = demonstrations
        script = Demonstrator(tasks, wrong.noise, wrong.wander, seed, detour=wrong.detour, roam=wrong.roam)
        episodes = [
            Episode(f"demonstration-{index:05d}", task, turn_seed(seed, index), "demonstrations")
            for index, task in enumerate(tasks)
        ]
        return self._logged(await self._play("demonstrations", script, episodes), episodes)

    async def explore(
        self,
        policy: Policy,
        tasks: Sequence[Task],
        iteration: int,
        seed: int,
        *,
        horizon: int | None = None,
        judge: Judge | None = None,
    ) -> list[Trace]:
        """The policy's own episodes in one iteration, a task each.

        Args:
            policy: who acts.
            tasks: of training.
            iteration: from 1.
            seed: of the episodes.
            horizon: instead of the settings'.
            judge: decides success instead of the settings'.

        Returns:
            One trace a task, in order. The run's store has them as phase "train".
        """
        episodes = [
            Episode(f"train-{iteration:03d}-{index:05d}", task, turn_seed(seed, index), "train", iteration)
            for index, task in enumerate(tasks)
        ]
        judge = judge or self._judge
        traces = await self._play(f"iteration {iteration}: exploring", policy, episodes, horizon, judge)
        return self._logged(traces, episodes, ORACLE if judge is None else judge.name)

    async def evaluate(
        self,
        policy: Policy,
        tasks: Sequence[Task],
        iteration: int,
        *,
        phase: str = "eval",
        seed: int = 0,
        horizon: int | None = None,
        pictures: int = 0,
        around: Callable[[Environment], Environment] | None = None,
    ) -> list[Trace]:
        """Play every task once.

        Args:
            policy: who acts.
            tasks: held out.
            iteration: after which this is.
            phase: names the evaluation; "eval" is the one that reports show first.
            seed: with a task's place it makes the episode's seed, so evaluations pair up.
            horizon: instead of the settings'.
            pictures: so many episodes, the first, are recorded with screenshots, whatever the policy sees.
            around: makes another environment of the browser's (re-checks).
        """
        episodes = evaluation_episodes(tasks, seed, iteration, phase)
        what = f"{phase} after iteration {iteration}"
        if pictures and not self.config.screenshots:
            self.environment.observation = replace(self._seen, screenshot="marked")
            try:
                await self._play(f"{phase} with pictures", policy, episodes[:pictures], horizon, self._judge)
            finally:
                self.environment.observation = self._seen
        traces = await self._play(what, policy, episodes, horizon, self._judge, around)  # reads those back
        return self._logged(traces, episodes, self.decides)

    async def _play(
        self,
        what: str,
        policy: Policy,
        episodes: Sequence[Episode],
        horizon: int | None = None,
        judge: Judge | None = None,
        around: Callable[[Environment], Environment] | None = None,
    ) -> list[Trace]:
        """Play what the store does not hold yet, with a bar."""
        decides = ORACLE if judge is None else judge.name
        with episode_bar(what, len(episodes), decides) as on_trace:
            return await collect_into(
                self.run.store,
                self.environment if around is None else around(self.environment),
                policy,
                episodes,
                Limits(horizon=horizon or self.config.horizon),
                workers=self.config.sessions,
                judge=judge,
                on_trace=on_trace,
            )

    def _logged(self, traces: list[Trace], episodes: Sequence[Episode], judge: str = ORACLE) -> list[Trace]:
        """The traces, with a line of figures in the run's metrics."""
        if episodes:
            log_summary(self.run, episodes[0].phase, episodes[0].iteration, summarize(traces, judge))
        return traces


def starting_policy(config: PolicyConfig, seed: int, demonstrations: Sequence[Trace] = ()) -> HFPolicy:
    """The policy before anything is learned in this run.

    Args:
        config: which model, and whether an adapter learns in its stead.
        seed: of new weights.
        demonstrations: what the tokenizer of a model from scratch is trained on.

    Raises:
        UserError: if the model's folder is missing or incomplete.
    """
    sampling = Sampling(config.temperature, config.top_p, config.max_new_tokens)
    if config.model == "scratch":
        policy = new_small_policy(
            texts_of(demonstrations),
            vocab_size=config.scratch.vocab_size,
            sampling=sampling,
            seed=seed,
            width=config.scratch.width,
            layers=config.scratch.layers,
        )
    else:
        folder = Path(model_folder(config.model))
        form = config.rendering
        policy = load_local(
            folder, rendering=form, dialect=form, sampling=sampling, device=config.device, version="step-0"
        )
    for name, parameter in policy.model.named_parameters():
        if any(part in name.split(".") for part in config.freeze):
            parameter.requires_grad_(False)
    if config.lora.rank:
        adapter = config.lora
        policy.model = add_adapter(policy.model, adapter.rank, adapter.alpha, adapter.dropout, seed)  # type: ignore
    return policy


def texts_of(traces: Sequence[Trace]) -> list[str]:
    """All prompts and responses as a small policy writes them."""
    texts = []
    for trace in traces:
        for index, turn in enumerate(trace.turns):
            texts += [compact(context_at(trace, index)), compact_response(turn.action.text)]
    return texts


def all_time_successes(run: Run, iteration: int, judge: str = ORACLE) -> list[Summary]:
    """The training episodes up to an iteration that a judge calls successes, in the order in which they were stored."""
    return [
        summary
        for summary in run.store.summaries(phase="train", judge=judge)
        if (summary.reward or 0.0) > 0.5 and (summary.iteration or 0) <= iteration
    ]


def draw(summaries: Sequence[Summary], keep: int, seed: str) -> list[Summary]:
    """At most `keep` of them, drawn without replacement (PAE and TTI learn from a draw of the buffer)."""
    if len(summaries) <= keep:
        return list(summaries)
    return random.Random(seed).sample(list(summaries), keep)


def with_images(run: Run, policy: HFPolicy, summaries: Sequence[Summary]) -> list[Trace]:
    """The traces of a list, whole; with the bytes of their images where the policy looks at them."""
    traces = [run.store.get(summary.id) for summary in summaries]
    return traces if policy.processor is None else [run.store.with_images(trace) for trace in traces]


def learn(
    what: str,
    policy: HFPolicy,
    traces: Sequence[Trace],
    optim: OptimConfig,
    optimizer: torch.optim.Optimizer | None = None,
    transform: Transform | None = None,
) -> float | None:
    """Cross-entropy on thought and action of every turn of these traces, with a bar.

    On traces with reward 1 alone this is filtered behaviour cloning, which is REINFORCE with rewards 0 and 1 and no
    baseline: L = −mean_i (1/T_i) Σ_j log π(y_ij | x_i).

    Returns:
        The mean loss of the last tenth of the updates; None where there was nothing to learn from.
    """
    examples = examples_from_traces(traces, policy)
    if not examples:
        return None
    with policy.lock:
        return train_with_bar(what, policy.model, examples, optim, optimizer, transform)
