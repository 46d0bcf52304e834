"""Adaptive Parallel Reasoning on Countdown: threads of inference that spawn and join, trained end to end.

    warm-up: arithmetic drills (a child thread of two numbers is one); the paper has none
    supervised, equally much each: SoS+ (one serial thread) and APR (parents and children), some with a budget
    GRPO on the checker's reward: APR with credit to parents and children, APR with credit to parents, SoS+
    evaluate by window, by total tokens, with children fixed, with siblings cancelled

After arXiv 2504.15466; what the laptop preset does in another way, and why, is in the README beside this file. Training
rewards come from the environment's programmatic checker (the oracle), as in the paper.
"""

import copy
import random
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch
from transformers import PreTrainedModel

from turnsmith.credit.record import record as record_credit
from turnsmith.evaluate.stats import wilson
from turnsmith.learn.checkpoint import ModelFormat, TrainingState
from turnsmith.learn.fit import Progress, fit, make_optimizer
from turnsmith.recipes.apr import rl
from turnsmith.recipes.apr.claims import record_seeds
from turnsmith.recipes.apr.config import RL, Arm, Budget, Config, Stage
from turnsmith.recipes.apr.data import Source, new_wording, sources
from turnsmith.recipes.apr.evaluation import RESULT, Cell, Cells, Result, charts, evaluate
from turnsmith.recipes.apr.lessons import Lessons
from turnsmith.recipes.apr.model import new_model
from turnsmith.recipes.apr.rollout import Attempts, Method, trace_of
from turnsmith.recipes.apr.threads import Wording
from turnsmith.recipes.apr.tier import check_overlap
from turnsmith.runs.config import to_json
from turnsmith.runs.progress import console, progress_bar
from turnsmith.runs.run import Run
from turnsmith.view.report import write_report
from turnsmith.worlds.countdown.problem import Problem

SAVE_EVERY = 500
"""Updates of supervised training between checkpoints."""


def main(config: Config) -> Path:
    """Run the recipe, or go on with a run that was stopped.

    Returns:
        The path of `report.html`.

    Raises:
        UserError: if something that the user can mend is missing or wrong.
    """
    with Run(Path("runs") / config.name, to_json("apr", config)) as run:
        _main(config, run)
    if config.preset_name != "smoke":
        record_seeds(config)
    return write_report(run.folder, traces=10)


def _main(config: Config, run: Run) -> None:
    started = time.time()
    run.report(status="running", recipe="apr", config=run.config)
    wording, test = new_wording(config), config.tier.test_problems(config.test_problems)
    rng = random.Random(f"{config.seed}/overlap")
    check_overlap([config.tier.draw(rng, test=False) for _ in range(2000)], test)
    wording.save(run.folder)

    # Supervised: both models start from the same weights and learn equally much.
    examples = sources(config, wording)
    start = new_model(config, wording)
    if config.warmup.tokens != 0:
        start = supervise(config, run, "warmup", config.warmup, examples["warmup"], start)
    models = {arm: supervise(config, run, arm, config.supervised, examples[arm], start) for arm in ("sos", "apr")}
    results: dict[Cell, Result] = {}
    for arm, model in models.items():
        results |= measure(config, run, arm, model, wording, test, iteration=0)

    # GRPO, each arm from its supervised model.
    for arm in config.arms:
        trained = reinforce(config, run, arm, models["sos" if arm == "sos" else "apr"], wording)
        results |= measure(config, run, f"{arm}-rl", trained, wording, test, grpo(config, arm).steps)
    finish(config, run, results, time.time() - started)


def supervise(
    config: Config, run: Run, arm: str, stage: Stage, source: Source, start: PreTrainedModel
) -> PreTrainedModel:
    """One supervised stage from the weights of `start`; goes on from its last checkpoint."""
    model = copy.deepcopy(start)

    def learn() -> PreTrainedModel:
        lessons = Lessons(stage, source, f"{config.seed}/{arm}", config.seed)
        optimizer = make_optimizer(model, stage.optim)
        torch.manual_seed(config.seed)  # of the pointers that are dropped; a checkpoint has its random state
        state = TrainingState(model, None, optimizer)
        losses: list[float] = []
        with progress_bar(f"{arm}: learning", lessons.total) as advance:
            for part in run.iterations(f"supervised/{arm}", -(-lessons.total // SAVE_EVERY), state):
                first, end = (part - 1) * SAVE_EVERY, min(part * SAVE_EVERY, lessons.total)
                advance(first if part == 1 or not losses else 0)

                def on_update(progress: Progress, end: int = end) -> bool:
                    advance(note=f"loss {progress.loss:.3f}")
                    if progress.update % 100 == 0:
                        run.log(phase=f"supervised {arm}", step=progress.update, loss=progress.loss)
                    return progress.update == end

                model.train()
                losses += fit(
                    model, lambda update: lessons.losses(model, update), stage.optim, lessons.total,
                    optimizer=optimizer, start=first, on_update=on_update,
                )  # fmt: skip
                model.eval()
        last = losses[-50:]
        console.print(f"{arm}: {lessons.total} updates, last losses {sum(last) / max(1, len(last)):.3f}")
        return model

    inputs = {"stage": asdict(stage), "seed": config.seed}
    return run.once(f"models/{arm}", inputs, learn, ModelFormat(model))


def grpo(config: Config, arm: Arm) -> RL:
    """GRPO's settings of an arm."""
    if arm == "sos":
        return config.serial_rl
    return replace(config.rl, credit="parent") if arm == "apr-parent" else config.rl


def reinforce(config: Config, run: Run, arm: Arm, start: PreTrainedModel, wording: Wording) -> PreTrainedModel:
    """GRPO of one arm from the weights of `start`, which are also the reference; goes on from its last checkpoint."""
    model, settings = copy.deepcopy(start), grpo(config, arm)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0.0)
    budget = Budget("calls", config.fixed) if arm == "apr-enforced" else None
    method = Method(config.window, budget, serial=arm == "sos")
    sampling = rl.Sampling(config.tier, wording, method, config.seed, config.rows)
    with progress_bar(f"{arm}: GRPO", settings.steps) as advance:
        for number in run.iterations(f"rl/{arm}", settings.steps, TrainingState(model, None, optimizer), every=5):
            learned = rl.step(model, start, optimizer, sampling, settings, number - 1)
            keep_attempts(run, learned, wording, arm, number)
            figures, report = rl.summary(learned.attempts), learned.report
            run.log(phase=f"rl {arm}", step=number, **figures, loss=report.loss, kl=report.kl, clipped=report.clipped)
            advance(note=f"{100 * figures['success']:.0f} % success, {figures['children']:.1f} children")
    return model


def keep_attempts(run: Run, learned: rl.Learned, wording: Wording, arm: Arm, step: int) -> None:
    """Store the trees of one step of GRPO, each turn with the advantage of its attempt.

    A step that is played again after a kill makes the same trees: those that the store has are left alone.
    """
    phase = f"rl {arm}"
    known = {row.id for row in run.store.summaries(phase=phase, iteration=step)}
    made = [
        trace_of(attempt, wording, f"{phase}/{step:04d}/{number:04d}", arm, phase, step)
        for number, attempt in enumerate(learned.attempts)
    ]
    run.store.append_many([trace for trace in made if trace.id not in known])
    pairs = zip(made, learned.advantages, strict=True)
    record_credit(
        run.store, arm, step, advantages={trace.id: [advantage] * len(trace.turns) for trace, advantage in pairs}
    )


def measure(
    config: Config, run: Run, arm: str, model: PreTrainedModel, wording: Wording, test: list[Problem], iteration: int
) -> dict[Cell, Result]:
    """Every cell of an arm that the run has not measured yet; all of their results."""
    results = {}
    for cell in Cells(config).of(arm):

        def make(cell: Cell = cell) -> Result:
            result, made = evaluate(cell, model, wording, test, config.rows)
            picture(config, run, cell, made, wording, iteration)
            note(config, run, cell, result, iteration)
            return result

        inputs = {"cell": asdict(cell), "problems": len(test)}
        results[cell] = run.once(f"evaluations/{cell.name}", inputs, make, RESULT)
    return results


def picture(config: Config, run: Run, cell: Cell, made: Attempts, wording: Wording, iteration: int) -> None:
    """Store traces of the first attempts of an arm as it is asked by default, and with siblings cancelled."""
    default, method = Cells(config).free(cell.arm).method, cell.method
    if replace(method, cancel="never", abreast=None) != default:
        return
    phase = f"eval {cell.arm}" + ("" if method.cancel == "never" else f", {method.cancel} cancels")
    known = {row.id for row in run.store.summaries()}
    for number, attempt in enumerate(made.attempts[: config.pictures]):
        id = f"{phase}/{number:04d}"
        if id not in known:
            run.store.append(trace_of(attempt, wording, id, cell.arm, phase, iteration))


def note(config: Config, run: Run, cell: Cell, result: Result, iteration: int) -> None:
    """Say what a cell gave; the default one goes into the metrics."""
    if cell == Cells(config).free(cell.arm):
        values = in_window(config, cell, result)
        run.log(
            phase=f"eval {cell.arm.removesuffix('-rl')}",
            iteration=iteration,
            success=sum(values) / len(values),
            total_tokens=result.mean("total"),
            children=result.mean("children"),
        )
    console.print(
        f"{cell.name}: {100 * result.success():.1f} %, {result.mean('total'):.0f} tokens, "
        f"{result.mean('children'):.1f} children, {result.seconds:.0f} s"
    )


def in_window(config: Config, cell: Cell, result: Result) -> list[float]:
    """Success of each problem in the window of the claims."""
    return result.within(config.window) if cell.serial else result.by_problem()


def finish(config: Config, run: Run, results: dict[Cell, Result], seconds: float) -> None:
    """Write `report.json`: the figures and the curves."""
    summary = []
    for cell, result in results.items():
        if not cell.serial and cell.method.window != config.window:
            continue
        values = in_window(config, cell, result)
        low, high = wilson(sum(values), len(values))
        name = Cell(cell.arm, replace(cell.method, window=config.window), cell.samples).name
        summary.append({"name": name, "value": sum(values) / len(values), "low": low, "high": high, "unit": "success"})
    run.report(status="done", summary=summary, charts=charts(results, config), seconds=round(seconds, 1))
    console.print(f"{seconds / 60:.1f} minutes in this sitting; everything is in {run.folder}")
