"""KALIE (arXiv 2409.14066): keypoint affordances from a few labelled images, multiplied by synthesis.

    label 50 images of one object set                        images/TASK
    for each arm: make variants, train a network             nets/ARM/TASK
    measure keypoints on unseen geometry                     errors/ARM/TASK
    execute them open loop, one trial a scene                traces in run.db, phase = the arm
    beyond the paper: play, keep what succeeded, learn       filtered behaviour cloning on one task

Every arm sees the same labelled images and is trained for as many updates; every trial of a scene is the same scene.
Splits are by parent: test scenes have other objects altogether. Nothing of the simulator but colour and depth reaches a
predictor or the executor.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from turnsmith.errors import UserError, require
from turnsmith.evaluate.stats import wilson
from turnsmith.recipes.kalie.claims import record_claims
from turnsmith.recipes.kalie.config import ARMS, SCRIPTS, TASKS, Config
from turnsmith.recipes.kalie.evaluation import error_rows, play, scripted, test_tasks, trained_policy
from turnsmith.recipes.kalie.learning import adapted_vlm, learn_all
from turnsmith.recipes.kalie.report import write_report
from turnsmith.recipes.kalie.rl import learn_from_success
from turnsmith.robot.policy import AffordancePolicy
from turnsmith.runs.config import changed, to_json
from turnsmith.runs.progress import console, progress_bar
from turnsmith.runs.run import Run
from turnsmith.worlds.tabletop.environment import TabletopEnvironment


def main(config: Config) -> Path:
    """Run the recipe, or go on with a run that was stopped.

    Returns:
        The path of `report.html`.

    Raises:
        UserError: if something that the user can mend is missing or wrong.
    """
    check(config)
    with Run(Path("runs") / config.name, to_json("kalie", config)) as run:
        page = asyncio.run(_main(config, run))
    if config.preset_name == "laptop" and not changed(config, free=("processes", "films")):
        record_claims(config)
    return page


def check(config: Config) -> None:
    """Raise a `UserError` where names are wrong or settings do not fit together."""
    for what, named, known in (
        ("task", (*config.tasks, *config.error_tasks, config.rl.task), TASKS),
        ("arm", (*config.arms, *config.vlm.arms, config.rl.start), tuple(ARMS)),
        ("script", config.scripts, SCRIPTS),
    ):
        wrong = sorted(set(named) - set(known))
        if wrong:
            raise UserError(f"unknown {what} {wrong[0]!r}. There are: {', '.join(known)}.")
    if config.rl.iterations and (config.rl.start not in config.trial_arms or config.rl.task not in config.tasks):
        raise UserError(
            f"rl.start ({config.rl.start}) must be one of trial_arms and rl.task ({config.rl.task}) one of tasks: "
            "what is learned from success is compared with them. --rl.iterations 0 leaves it out."
        )
    if config.vlm.folder and not Path(config.vlm.folder).is_dir():
        raise UserError(
            f"--vlm.folder {config.vlm.folder}: there is no such model folder. Put one there, or --vlm.folder '' leaves"
            " the vision-language model out."
        )
    if config.diffusers.base:
        require("diffusers", "diffusion")
    short = [arm for arm in config.arms if ARMS[arm].synthesis is None and config.images < 1]
    if short or config.trials < 1 or not config.sets:
        raise UserError("images, trials and sets must be at least one each.")


async def _main(config: Config, run: Run) -> Path:
    made, cache = run.folder / "made", run.folder / "seen"
    run.report(status="running", recipe="kalie", config=run.config)
    jobs = [(arm, task) for arm in config.arms for task in _tasks_of(config, arm)]
    with progress_bar("networks", len(jobs)) as advance:

        def on_network(arm: str, task: str, seconds: float) -> None:
            advance(1, note=f"{arm}, {task}")
            if seconds > 1:
                run.log(phase="training", arm=arm, task=task, seconds=round(seconds, 1))

        learn_all(config, made, jobs, on_network)

    filmed = _filmed(config)
    environment = TabletopEnvironment(config.processes, cache, film=lambda task: task.id in filmed)
    async with environment:
        for script in config.scripts:
            count = config.trials if script == "oracle" else config.script_trials
            await play(config, run, environment, scripted(script, config, cache), script, config.tasks, count)  # pyright: ignore[reportArgumentType]
        errors = {}
        for arm in config.arms:
            for task in _tasks_of(config, arm):
                errors[f"{arm}/{task}"] = await error_rows(config, run, environment, arm, task)
            if arm in config.trial_arms:
                await play(config, run, environment, trained_policy(config, run, arm), arm, config.tasks, config.trials)
        if config.vlm.folder:
            await _vision_language_model(config, run, environment)
        if config.rl.iterations:
            await learn_from_success(config, run, environment)
    summary = summarize(config, run)
    page = write_report(config, run, summary, errors)
    run.report(status="done", summary=summary, rewards=rewards(run), errors=errors)
    print_summary(summary, errors)
    console.print(f"everything is in {run.folder}; the report is {page}")
    return page


def _tasks_of(config: Config, arm: str) -> tuple[str, ...]:
    return config.tasks if arm in config.trial_arms else tuple(t for t in config.error_tasks if t in config.tasks)


def _filmed(config: Config) -> set[str]:
    """Ids of the test scenes that are filmed: the first ones of every task, set after set."""
    return {task.id for name in config.tasks for task in test_tasks(config, name, 1)[: max(0, config.films)]}


async def _vision_language_model(config: Config, run: Run, environment: TabletopEnvironment) -> None:
    """Fine-tune a vision-language model with LoRA on the data of each of its arms, and execute what it says."""
    for arm in config.vlm.arms:
        policy = AffordancePolicy(adapted_vlm(config, run, arm), f"vlm-{arm}")
        await play(config, run, environment, policy, policy.version, config.tasks, config.trials)


def rewards(run: Run) -> dict[str, dict[str, float]]:
    """Reward of every trial: phase -> task id -> reward."""
    found: dict[str, dict[str, float]] = {}
    for summary in run.store.summaries():
        if summary.reward is not None and summary.phase and not summary.phase.startswith("play"):
            found.setdefault(summary.phase, {})[summary.task_id] = summary.reward
    return found


def summarize(config: Config, run: Run) -> list[dict[str, Any]]:
    """Success of every arm over everything and task by task, with Wilson's interval."""
    rows = []
    for phase, by_task in rewards(run).items():
        for name in ("all", *config.tasks):
            values = [value for task, value in by_task.items() if name == "all" or task.startswith(f"{name}-g")]
            if values:
                low, high = wilson(round(sum(values)), len(values))
                label = phase if name == "all" else f"{phase}, {name}"
                rows.append(
                    {
                        "name": label, "value": float(np.mean(values)), "low": low, "high": high, "unit": "success",
                        "arm": phase, "task": name, "trials": len(values),
                    }
                )  # fmt: skip
    return rows


def print_summary(summary: Sequence[dict[str, Any]], errors: dict[str, dict[str, Any]]) -> None:
    """A table of success, an arm a line and a task a column, and the keypoint errors; it fits 80 columns."""
    tasks = [name for name in ("all", *TASKS) if any(row["task"] == name for row in summary)]
    table = Table(title="Success, per cent of trials on unseen geometry", title_justify="left", pad_edge=False)
    table.add_column("")
    for task in tasks:
        table.add_column(task.partition("_")[0], justify="right")
    for arm in dict.fromkeys(row["arm"] for row in summary):
        cells = {row["task"]: f"{100 * row['value']:.0f}" for row in summary if row["arm"] == arm}
        table.add_row(arm, *(cells.get(task, "") for task in tasks))
    console.print(table)
    for name, row in errors.items():
        console.print(f"{name}: {row['pixels']:.1f} px off (of 224), squared error {row['squared']:.0f}")
