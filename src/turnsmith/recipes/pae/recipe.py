"""Proposer, agent, evaluator: a web agent that learns from tasks that it set itself (arXiv 2412.13194).

    policy = SFT on demonstrations, good and bad alike
    tasks  = proposer(context)              context: the site's name alone, or browsing that users recorded
    for i in 1..K:
        roll out N of the tasks at temperature 1
        r = judge(task, answer, last three observations)  in {0, 1}
        D += trajectories;  D+ = those of D with r = 1
        cross-entropy on thought and action of at most `keep` of D+  (≡ REINFORCE with r in {0, 1}, no baseline)
    evaluate by the oracle: templates without a training task, and sites that nothing has seen

Neither proposer nor judge sees a template, a test task or a state behind a page. What they are worth is measured: how
many proposals are bad (`worlds.sites.referee`), and the judge's precision and recall against the oracle.

Every arm is a run of its own below the run's folder, with its own episodes; all share the demonstrations, the warm
start, the judge and the proposals, which are made once. With `--site` the site is yours: `own_site.py`.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from turnsmith.agents.hf_policy import HFPolicy
from turnsmith.engine.sampling import turn_seed
from turnsmith.errors import UserError
from turnsmith.evaluate.summary import rewards_by_task
from turnsmith.judges.base import Agreement, Judge
from turnsmith.learn.checkpoint import ModelFormat, TrainingState
from turnsmith.learn.examples import examples_from_traces
from turnsmith.learn.fit import make_optimizer
from turnsmith.learn.transforms.rename import Renamer, entity_words, keep_words, kept_words, renamer_of
from turnsmith.recipes.pae import own_site
from turnsmith.recipes.pae.buffer import not_longer, without_thoughts
from turnsmith.recipes.pae.claims import record_claims
from turnsmith.recipes.pae.config import Arm, Config, Tests
from turnsmith.recipes.pae.figures import judged_again, measured, show
from turnsmith.recipes.pae.parts import judge_of, proposed_tasks
from turnsmith.recipes.shared import web
from turnsmith.recipes.shared.web import WebEpisodes
from turnsmith.recipes.shared.web_tasks import task_source
from turnsmith.runs.config import changed, to_json
from turnsmith.runs.progress import console
from turnsmith.runs.run import Run
from turnsmith.tasks.splits import check_overlap
from turnsmith.trace.types import ORACLE, Task, Trace
from turnsmith.view.report import write_report


def main(config: Config) -> Path:
    """Run the recipe, or go on with a run that was stopped.

    Returns:
        The path of `report.html`.

    Raises:
        UserError: if something that the user can mend is missing or wrong.
    """
    if config.own.site:
        return own_site.main(config)
    if config.own.acts:
        raise UserError("--policy goes with --site URL. On the local sites, --policy.model names who learns.")
    if config.proposer != "local" and Arm.ORACLE in config.arms:
        raise UserError("the arm oracle_reward needs tasks whose truth is known: those of --proposer local.")
    if shared := set(config.web.sites) & set(config.unseen):
        raise UserError(f"{', '.join(sorted(shared))} cannot be trained on and unseen: change --web.sites or --unseen.")
    with Run(Path("runs") / config.name, to_json("pae", config), may_grow=("arms",)) as run:
        asyncio.run(_main(config, run))
    if config.preset_name == "laptop" and not changed(config):
        record_claims(config)
    return write_report(run.folder, traces=10)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the arms share.

    Attributes:
        demonstrations: of the warm start.
        tasks: what was proposed, by context: "name", "demonstrations".
        judge: says what an episode was worth.
        tests: test tasks, by test.
    """

    demonstrations: Sequence[Trace]
    tasks: dict[str, list[Task]]
    judge: Judge
    tests: dict[Tests, list[Task]]


async def _main(config: Config, run: Run) -> None:
    started = time.time()
    run.report(status="running", recipe="pae", config=run.config)
    known, unseen = task_source("", config.web), task_source("", replace(config.web, sites=config.unseen))
    tests = {
        Tests.TEMPLATES: known.draw("test_templates", config.test_tasks, seed=0),
        Tests.UNSEEN: unseen.draw("test", config.unseen_tasks, seed=0),
    }  # the same ones for every seed and arm
    every = [task for tasks in tests.values() for task in tasks]
    check_overlap(known.draw("train", config.demonstrations.count, config.seed), every)

    async with WebEpisodes(run, config.web) as episodes:
        demonstrations = await episodes.demonstrate(config.demonstrations, config.seed)
        proposed = await proposed_tasks(config, run, episodes.environment, demonstrations, every)
        judge = await judge_of(config, run, demonstrations)
        parts = _Parts(demonstrations, proposed.tasks, judge, tests)
        policy, _ = await _warm_start(config, run, demonstrations, thoughts=True)
        for test, tasks in tests.items():
            await episodes.evaluate(policy, tasks, 0, phase=test, pictures=config.pictures)
    agreements: dict[str, Agreement | None] = {"sft": await judged_again(run, judge, tests)}
    rewards = {f"sft/{test}": rewards_by_task(run.store.traces(phase=test, iteration=0)) for test in tests}

    for arm in map(Arm, config.arms):
        with Run(run.folder / "arms" / arm, {**run.config, "arms": arm}) as arm_run:
            arm_run.report(status="running", recipe="pae", config=arm_run.config)
            await _learn(config, run, arm_run, arm, parts)
            for test in tests:
                rewards[f"{arm}/{test}"] = rewards_by_task(
                    arm_run.store.traces(phase=test, iteration=config.iterations)
                )
                if arm is Arm.NO_THOUGHTS:
                    rewards[f"sft_no_thoughts/{test}"] = rewards_by_task(arm_run.store.traces(phase=test, iteration=0))
            agreements[arm] = measured(arm_run, judge.name)
            arm_run.report(status="done", rewards={test: rewards[f"{arm}/{test}"] for test in tests})
    show(run, rewards, agreements, proposed.quality, time.time() - started)


async def _learn(config: Config, run: Run, arm_run: Run, arm: Arm, parts: _Parts) -> None:
    """One arm: K iterations from the warm start, then the tests."""
    thoughts = arm is not Arm.NO_THOUGHTS
    policy, renamer = await _warm_start(config, run, parts.demonstrations, thoughts)
    optimizer = make_optimizer(policy.model, config.update)
    state = TrainingState(policy.model, policy.processor or policy.tokenizer, optimizer)
    judge = parts.judge if arm in (Arm.NAME, Arm.DEMOS, Arm.NO_THOUGHTS) else None
    console.print(f"[bold]{arm}[/bold]")
    async with WebEpisodes(arm_run, config.web) as episodes:
        if not thoughts:
            for test, tasks in parts.tests.items():
                await episodes.evaluate(policy, tasks, 0, phase=test)
        for iteration in arm_run.iterations("policy", config.iterations, state):
            policy.version = f"step-{iteration - 1}"
            traces = parts.demonstrations
            if arm is not Arm.SFT_MORE:
                seed = turn_seed(config.seed + 1000, iteration)
                tasks = _tasks(config, arm, episodes, parts, iteration)
                await episodes.explore(policy, tasks, iteration, seed, judge=judge)
                won = web.all_time_successes(arm_run, iteration, ORACLE if judge is None else judge.name)
                won = not_longer(won, config.shortest)
                traces = web.with_images(arm_run, policy, web.draw(won, config.keep, f"{config.seed}/{iteration}"))
            optim = replace(config.update, seed=config.seed + iteration)
            what = f"iteration {iteration}: learning"
            loss = await asyncio.to_thread(web.learn, what, policy, traces, optim, optimizer, renamer)
            if loss is None:
                console.print(f"iteration {iteration}: no success to learn from")
            else:
                arm_run.log(phase="update", iteration=iteration, loss=loss, trajectories=len(traces))
        policy.version = f"step-{config.iterations}"
        for test, tasks in parts.tests.items():
            pictures = config.pictures if test is Tests.TEMPLATES else 0
            await episodes.evaluate(policy, tasks, config.iterations, phase=test, pictures=pictures)


def _tasks(config: Config, arm: Arm, episodes: WebEpisodes, parts: _Parts, iteration: int) -> list[Task]:
    """The tasks of one iteration: the next N of those proposed, or fresh ones of the sites' own templates."""
    if arm is Arm.TRUE_TASKS:
        return episodes.tasks.draw("train", config.rollouts, turn_seed(config.seed + 1000, iteration))
    pool = parts.tasks["demonstrations" if arm is Arm.DEMOS else "name"]
    first = (iteration - 1) * config.rollouts
    return [pool[number % len(pool)] for number in range(first, first + config.rollouts)]


async def _warm_start(
    config: Config, run: Run, demonstrations: Sequence[Trace], thoughts: bool
) -> tuple[HFPolicy, Renamer | None]:
    """The policy after SFT, the same for all arms that think (or for all that do not), and its renamer."""
    shown = list(demonstrations) if thoughts else [without_thoughts(trace) for trace in demonstrations]
    policy = web.starting_policy(config.policy, config.seed, shown)
    renamer = None
    if config.rename:
        if config.policy.model == "scratch":
            examples = examples_from_traces(shown, policy)
            keep_words(policy.model, kept_words(examples, policy.tokenizer, entity_words(shown)))
        renamer = renamer_of(policy)
    optim = replace(config.sft, seed=config.seed)
    traces = shown if policy.processor is None else [run.store.with_images(trace) for trace in shown]

    def train() -> object:
        web.learn("demonstrations: learning", policy, traces, optim, None, renamer)
        return policy.model

    made_of = {key: run.config[key] for key in ("seed", "policy", "demonstrations", "sft", "rename", "web")}
    name = "sft" if thoughts else "sft_no_thoughts"
    await asyncio.to_thread(run.once, name, made_of, train, ModelFormat(policy.model, policy.tokenizer))
    policy.version = name
    return policy, renamer
