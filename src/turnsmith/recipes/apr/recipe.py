"""Adaptive Parallel Reasoning on Countdown: threads of inference that spawn and join, trained end to end.

    warm-up: arithmetic drills (a child thread of two numbers is one)
    supervised, as many tokens each: SoS+ (one serial thread) and APR (parents and children), some with a budget
    GRPO on the checker's reward: APR with credit to parents and children, APR with credit to parents, SoS+
    evaluate by window, by total tokens, with children fixed, with siblings cancelled

After arXiv 2504.15466. What differs by default, and why, is in docs/apr.md: a small game that a small model can learn,
a compact grammar, joins that are appended instead of rewriting, a serial baseline with beams as wide as APR's. Training
rewards come from the environment's programmatic checker (the oracle), as in the paper.
"""

import copy
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from turnsmith.credit.record import record
from turnsmith.recipes.apr.config import Config, Training
from turnsmith.recipes.apr.data import (
    check_overlap,
    drills,
    parallel_budget,
    parallel_examples,
    serial_budget,
    serial_examples,
    take,
)
from turnsmith.recipes.apr.rollout import Attempt, trace_of
from turnsmith.recipes.apr.threads import CompactThreads
from turnsmith.runs.config import to_json
from turnsmith.runs.progress import console, progress_bar
from turnsmith.runs.run import Run


def main(config: Config) -> Path:
    """Run the recipe, or go on with a run that was stopped.

    Returns:
        The path of `report.html`.

    Raises:
        UserError: if something that the user can mend is missing or wrong.
    """
    with Run(Path("runs") / config.name, to_json("apr", config)) as run:
        _main(config, run)
    if config.preset_name in ("laptop", "gpu"):
        from turnsmith.recipes.apr.claims import record_seeds

        record_seeds(config)
    from turnsmith.view.report import write_report

    return write_report(run.folder, traces=10)


def _main(config: Config, run: Run) -> None:
    started = time.time()
    run.report(status="running", recipe="apr", config=run.config)
    tier, protocol = config.tier, CompactThreads(config.tier.vocabulary(), config.join)
    test = tier.test_problems(config.test_problems)
    rng = random.Random(f"{config.seed}/overlap")
    check_overlap([tier.draw(rng, test=False) for _ in range(2000)], test)
    protocol.vocabulary.save(run.folder)

    # Supervised: one warm-up, from which both models start; as many tokens for each.
    warm = supervise(config, run, "warmup", config.warmup, lambda rng: drills(tier, rng), None)
    rewrite = config.join == "rewrite"
    sos = supervise(
        config, run, "sos", config.supervised, lambda rng: serial_examples(tier, rng, config.conditioned), warm
    )
    apr = supervise(
        config,
        run,
        "apr",
        config.supervised,
        lambda rng: parallel_examples(tier, rng, config.conditioned, config.losers, rewrite),
        warm,
    )
    models = {"sos": sos, "apr": apr}
    for cell in cells(config, "sos") + cells(config, "apr"):
        measure(config, run, cell, models[cell.arm], protocol, test, iteration=0)

    # GRPO, each arm from its supervised model.
    for arm in config.arms:
        trained = reinforce(config, run, arm, models[arm.split("-")[0]], protocol)
        for cell in cells(config, f"{arm}-rl"):
            measure(config, run, cell, trained, protocol, test, iteration=_rl(config, arm).steps)
    finish(config, run, time.time() - started)


def supervise(config: Config, run: Run, arm: str, stage: Training, examples: Callable[..., Any], start: Any) -> Any:
    """One supervised stage from the weights of `start`; goes on from its last checkpoint."""
    import torch

    from turnsmith.learn import checkpoint
    from turnsmith.learn.fit import Progress, make_optimizer
    from turnsmith.learn.optim import OptimConfig
    from turnsmith.learn.sft import train
    from turnsmith.recipes.apr.model import new_model

    model = new_model(config) if start is None else copy.deepcopy(start)
    folder = run.folder / "checkpoints" / arm
    optim = OptimConfig(
        learning_rate=stage.learning_rate, batch_size=stage.batch_size, pass_tokens=16384, seed=config.seed
    )
    optimizer = make_optimizer(model, optim)
    last, done = checkpoint.latest(folder), 0
    if last is not None:
        state = checkpoint.load(last, model, optimizer)
        done = int(state["updates"])
        if state["finished"]:
            return model.eval()
    made = take(examples(random.Random(f"{config.seed}/{arm}")), stage.tokens)
    total = -(-len(made) // stage.batch_size)
    if last is None:
        torch.manual_seed(config.seed)  # of the pointers that are dropped; a checkpoint has its random state
    with progress_bar(f"{arm}: learning", total) as advance:
        advance(done)

        def on_update(progress: Progress) -> None:
            advance(note=f"loss {progress.loss:.3f}")
            if progress.update % 100 == 0:
                run.log(phase=f"supervised {arm}", step=progress.update, loss=progress.loss)
            if progress.update % 500 == 0 and progress.update < total:
                checkpoint.save(
                    folder, progress.update, model, None, optimizer, {"updates": progress.update, "finished": False}, 1
                )

        losses = train(model, made, optim, optimizer, start=done, on_update=on_update)
    checkpoint.save(folder, total, model, None, optimizer, {"updates": total, "finished": True}, 1)
    console.print(f"{arm}: {len(made)} examples, {stage.tokens} tokens, last losses {_mean(losses[-50:]):.3f}")
    return model


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(1, len(values))


def reinforce(config: Config, run: Run, arm: str, start: Any, protocol: CompactThreads) -> Any:
    """GRPO of one arm from the weights of `start`, which are also the reference; goes on from its last checkpoint."""
    import torch

    from turnsmith.learn import checkpoint
    from turnsmith.recipes.apr import rl as apr_rl

    model, folder = copy.deepcopy(start), run.folder / "checkpoints" / f"{arm}-rl"
    rl = _rl(config, arm)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rl.learning_rate, weight_decay=0.0)
    last = checkpoint.latest(folder)
    done = 0 if last is None else int(checkpoint.load(last, model, optimizer)["step"])
    phase = f"rl {arm}"
    run.drop_metrics([row for row in run.metrics() if row.get("phase") != phase or row.get("step", 0) <= done])
    method = _method(config, arm)
    with progress_bar(f"{arm}: GRPO", rl.steps) as advance:
        advance(done)
        for number in range(done, rl.steps):
            attempts, advantages, report = apr_rl.step(
                model,
                start,
                optimizer,
                protocol,
                config.tier,
                method,
                rl,
                number,
                config.seed,
                config.rows,
            )
            figures = apr_rl.summary(attempts.attempts)
            keep_attempts(run, attempts.attempts, advantages, protocol, arm, phase, number + 1)
            run.log(phase=phase, step=number + 1, **figures, loss=report.loss, kl=report.kl, clipped=report.clipped)
            advance(note=f"{100 * figures['success']:.0f} % success, {figures['children']:.1f} children")
            if (number + 1) % 5 == 0 or number + 1 == rl.steps:
                checkpoint.save(folder, number + 1, model, None, optimizer, {"step": number + 1}, 1)
    return model


def keep_attempts(
    run: Run,
    attempts: Sequence[Attempt],
    advantages: Sequence[float],
    protocol: CompactThreads,
    arm: str,
    phase: str,
    step: int,
) -> None:
    """Store the trees of one step of GRPO, each turn with the advantage of its attempt.

    A step that is played again after a kill makes the same trees: those that the store has are left alone.
    """
    known = {row.id for row in run.store.summaries(phase=phase, iteration=step)}
    made = [
        trace_of(attempt, protocol, f"{phase}/{step:04d}/{number:04d}", arm, phase, step)
        for number, attempt in enumerate(attempts)
    ]
    run.store.append_many([trace for trace in made if trace.id not in known])
    by_trace = {
        trace.id: [float(advantage)] * len(trace.turns) for trace, advantage in zip(made, advantages, strict=True)
    }
    record(run.store, arm, step, advantages=by_trace)


def _rl(config: Config, arm: str) -> Any:
    """GRPO's settings of an arm."""
    if arm == "sos":
        return config.serial_rl
    return replace(config.rl, credit="parent") if arm == "apr-parent" else config.rl


def _method(config: Config, arm: str) -> Any:
    """How an arm is asked while it learns."""
    from turnsmith.recipes.apr.rollout import Method

    budget = parallel_budget(config.fixed) if arm == "apr-enforced" else ()
    return Method(config.window, budget, join=config.join)


def cells(config: Config, arm: str) -> list[Any]:
    """What is measured of an arm (its name ends in "-rl" after GRPO)."""
    from turnsmith.recipes.apr.evaluation import ABREAST, Cell

    free = _method(config, arm.removesuffix("-rl"))
    widest = config.windows[-1]
    if arm.startswith("sos"):
        asked = [
            Cell(arm, "free", replace(free, window=widest), config.samples),
            Cell(arm, "free", replace(free, window=widest, temperature=0.0)),
        ]
        for tokens, label in ((config.window, "short budget"), (widest, "long budget")):
            asked.append(Cell(arm, label, replace(free, window=widest, budget=serial_budget(tokens))))
        return asked
    fixed = parallel_budget(config.fixed)
    asked = [
        Cell(arm, "free", free),
        Cell(arm, "free", replace(free, temperature=0.0)),
        Cell(arm, "fixed children", replace(free, budget=fixed)),
        Cell(arm, "free", replace(free, cancel="verified")),
    ]
    if arm == "apr-rl":
        asked += [Cell(arm, "free", replace(free, window=w)) for w in config.windows if w != config.window]
        asked += [Cell(arm, f"calls {n}", replace(free, window=widest, budget=parallel_budget(n))) for n in config.fans]
        asked += [
            Cell(arm, "fixed children", replace(free, budget=fixed, temperature=0.0)),
            Cell(arm, "free", replace(free, cancel="claimed")),
            Cell(arm, "free", replace(free, window=widest, cancel="verified")),
            *(Cell(arm, "free", replace(free, cancel="verified", abreast=n)) for n in ABREAST),
        ]
    return asked


def measure(
    config: Config, run: Run, cell: Any, model: Any, protocol: CompactThreads, test: Sequence[Any], iteration: int
) -> None:
    """Evaluate a cell unless the run has it; store traces of the ones at the window of the claims."""
    from turnsmith.recipes.apr.evaluation import append_result, evaluate, read_results, within

    path = run.folder / "evaluations.jsonl"
    if cell.key in read_results(path):
        return
    result, found = evaluate(cell, model, protocol, test, config.rows)
    shown = cell.label == "free" and cell.method.temperature > 0
    if shown and config.pictures:
        phase = f"eval {cell.arm}" + ("" if cell.method.cancel == "never" else f", {cell.method.cancel} cancels")
        if cell.method.window in (config.window, config.windows[-1] if cell.arm.startswith("sos") else config.window):
            known = {row.id for row in run.store.summaries()}
            for number, attempt in enumerate(found.attempts[: config.pictures]):
                id = f"{phase}/{number:04d}"
                if id not in known:
                    run.store.append(trace_of(attempt, protocol, id, cell.arm, phase, iteration))
    append_result(path, result)
    if shown and cell.method.cancel == "never" and cell.method.window in (config.window, config.windows[-1]):
        serial = cell.arm.startswith("sos")
        if serial or cell.method.window == config.window:
            values = within(result, config.window) if serial else result.by_problem()
            run.log(
                phase=f"eval {cell.arm.removesuffix('-rl')}",
                iteration=iteration,
                success=sum(values) / len(values),
                total_tokens=result.mean("total"),
                children=result.mean("children"),
            )
    console.print(
        f"{cell.key}: {100 * result.success():.1f} %, {result.mean('total'):.0f} tokens, "
        f"{result.mean('children'):.1f} children, {result.seconds:.0f} s"
    )


def finish(config: Config, run: Run, seconds: float) -> None:
    """Write `report.json`: the figures, the curves, and what the claims are made of."""
    from turnsmith.evaluate.stats import wilson
    from turnsmith.recipes.apr.evaluation import charts, read_results, within

    results = read_results(run.folder / "evaluations.jsonl")
    summary = []
    for result in results.values():
        serial = result.arm.startswith("sos")
        values = within(result, config.window) if serial else result.by_problem()
        if not serial and result.window != config.window:
            continue
        low, high = wilson(round(sum(values)), len(values))
        name = result.key.replace(f"window {result.window}", f"window {config.window}")
        summary.append({"name": name, "value": sum(values) / len(values), "low": low, "high": high, "unit": "success"})
    arms = list(dict.fromkeys(result.arm for result in results.values()))
    run.report(
        status="done",
        summary=summary,
        charts=charts(results, config.windows, arms),
        seconds=round(seconds, 1),
    )
    console.print(f"{seconds / 60:.1f} minutes in this sitting; everything is in {run.folder}")
