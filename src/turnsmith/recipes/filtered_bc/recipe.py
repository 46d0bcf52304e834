"""Filtered behaviour cloning of a web agent: the baseline that every later recipe is measured against.

    policy = SFT on noisy scripted demonstrations, good and bad alike
    for i in 1..K:
        roll out N fresh training tasks at temperature 1
        D += trajectories;  D+ = those of D that the reward calls successes
        cross-entropy on thought and action of at most `keep` of D+  (≡ REINFORCE with r in {0, 1}, no baseline)
    evaluate before and after on held-out entities

After PAE (arXiv 2412.13194): L = −mean_i (1/T_i) Σ_j log π(y_ij | x_i). Two things are named here because they matter:
the training reward is the sites' programmatic oracle (PAE's is a judge: `--judge`), and `method = "sft"` is the
control arm, which spends the same updates on the demonstrations instead of on what the agent found out by itself.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from turnsmith.agents.hf_policy import HFPolicy
from turnsmith.credit.record import record as record_credit
from turnsmith.engine.sampling import turn_seed
from turnsmith.errors import UserError
from turnsmith.evaluate.show import summary_table
from turnsmith.evaluate.stats import paired_bootstrap
from turnsmith.evaluate.summary import rewards_by_task, summarize
from turnsmith.learn.checkpoint import TrainingState
from turnsmith.learn.examples import examples_from_traces
from turnsmith.learn.fit import make_optimizer
from turnsmith.learn.transforms.rename import Renamer, entity_words, keep_words, kept_words, renamer_of
from turnsmith.recipes.filtered_bc.claims import record_claims
from turnsmith.recipes.filtered_bc.config import Config
from turnsmith.recipes.shared import web
from turnsmith.recipes.shared.web import WebEpisodes
from turnsmith.recipes.shared.web_tasks import task_source
from turnsmith.runs.config import changed, to_json
from turnsmith.runs.progress import console
from turnsmith.runs.run import Run
from turnsmith.tasks.splits import check_overlap
from turnsmith.trace.types import Trace
from turnsmith.view.report import write_report


def main(config: Config) -> Path:
    """Run the recipe, or go on with a run that was stopped.

    Returns:
        The path of `report.html`.

    Raises:
        UserError: if something that the user can mend is missing or wrong.
    """
    if config.method == "sft" and config.demonstrations.count == 0:
        raise UserError("method sft trains on demonstrations: set demonstrations.count above 0.")
    with Run(Path("runs") / config.name, to_json("filtered_bc", config)) as run:
        asyncio.run(_main(config, run))
    if config.preset_name == "laptop" and not changed(config, free=("method",)):
        record_claims(config)
    return write_report(run.folder, traces=10)


async def _main(config: Config, run: Run) -> None:
    started = time.time()
    run.report(status="running", recipe="filtered_bc", config=run.config)
    source = task_source(config.tasks, config.web)
    source.check_demonstrations(config.demonstrations.count)
    test = source.draw("test", config.test_tasks, seed=0)  # the same ones for every seed and arm
    check_overlap(source.draw("train", config.demonstrations.count, config.seed), test)
    for iteration in range(1, config.iterations + 1):
        check_overlap(source.draw("train", config.rollouts, _explore_seed(config, iteration)), test)

    async with WebEpisodes(run, config.web, source, config.judge) as episodes:
        demonstrations = await episodes.demonstrate(config.demonstrations, config.seed)
        policy = web.starting_policy(config.policy, config.seed, demonstrations)
        renamer = _renamer(config, policy, demonstrations)
        optimizer = make_optimizer(policy.model, config.update)
        state = TrainingState(policy.model, policy.processor or policy.tokenizer, optimizer)

        for iteration in run.iterations("policy", config.iterations, state, first=0):
            if iteration == 0:  # the warm start
                optim = replace(config.sft, seed=config.seed)
                await asyncio.to_thread(
                    web.learn, "demonstrations: learning", policy, demonstrations, optim, None, renamer
                )
                await episodes.evaluate(policy, test, 0, pictures=config.pictures)
                continue
            policy.version = f"step-{iteration - 1}"
            traces = demonstrations
            if config.method == "filtered_bc":
                seed = _explore_seed(config, iteration)
                tasks = source.draw("train", config.rollouts, seed)
                await episodes.explore(policy, tasks, iteration, seed)
                found = web.all_time_successes(run, iteration, episodes.decides)
                won = web.draw(found, config.keep, f"{config.seed}/{iteration}")
                traces = web.with_images(run, policy, won)
            # Every turn of a success counts alike: its advantage is the outcome, and there is no critic.
            record_credit(run.store, config.method, iteration, advantages={t.id: [1.0] * len(t.turns) for t in traces})
            optim = replace(config.update, seed=config.seed + iteration)
            what = f"iteration {iteration}: learning"
            loss = await asyncio.to_thread(web.learn, what, policy, traces, optim, optimizer, renamer)
            if loss is None:
                console.print(f"iteration {iteration}: no success to learn from")
            else:
                run.log(phase="update", iteration=iteration, loss=loss, trajectories=len(traces))
        policy.version = f"step-{config.iterations}"
        await episodes.evaluate(policy, test, config.iterations, pictures=config.pictures)
    _report(config, run, episodes.decides, time.time() - started)


def _explore_seed(config: Config, iteration: int) -> int:
    """Of an iteration's training tasks and episodes: other ones than the demonstrations'."""
    return turn_seed(config.seed + 1000, iteration)


def _renamer(config: Config, policy: HFPolicy, demonstrations: Sequence[Trace]) -> Renamer | None:
    """New names in every use, for a policy that knows which words are no names or has demonstrations to tell."""
    if not config.rename:
        return None
    if config.policy.model == "scratch":
        names = entity_words(demonstrations)
        examples = examples_from_traces(demonstrations, policy)
        keep_words(policy.model, kept_words(examples, policy.tokenizer, names))
    return renamer_of(policy)


def _report(config: Config, run: Run, judge: str, seconds: float) -> None:
    """Print the table of before and after, and write `report.json`."""
    ends = {0: "warm start", config.iterations: f"after {config.iterations} iterations"}
    summaries, rows, rewards = {}, [], {}
    for iteration, words in ends.items():
        traces = list(run.store.traces(phase="eval", iteration=iteration))
        summary = summaries[words] = summarize(traces, judge)
        rewards[f"eval/{iteration}"] = rewards_by_task(traces, judge)
        low, high = summary.interval
        rows.append({"name": words, "value": summary.success, "low": low, "high": high, "unit": "success"})
    heading = "The tasks to test" if config.tasks else "Held-out entities"
    console.print(summary_table(summaries, heading, by_site=True))
    before, after = rewards.values()
    tasks = [task for task in before if task in after]
    gain, low, high = paired_bootstrap([before[task] for task in tasks], [after[task] for task in tasks])
    console.print(f"gain {100 * gain:.1f} points, 95 % {100 * low:.1f} to {100 * high:.1f}, paired by task")
    console.print(f"{seconds / 60:.1f} minutes; everything is in {run.folder}")
    run.report(status="done", summary=rows, rewards=rewards, seconds=round(seconds, 1))
