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
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from turnwise.recipes.apr_data import (
    Tier,
    check_overlap,
    drills,
    parallel_budget,
    parallel_examples,
    serial_budget,
    serial_examples,
    take,
)
from turnwise.recipes.apr_rl import RL
from turnwise.recipes.apr_threads import CompactThreads, Join
from turnwise.recipes.config import to_json, unknown_preset
from turnwise.recipes.progress import console, progress_bar
from turnwise.trace.run import Run


@dataclass(frozen=True, slots=True)
class Size:
    """A Llama-style decoder from scratch: about 0.6 M parameters with these.

    Attributes:
        width, layers, heads: of the trunk.
        context: longest thread.
        number_features: embeddings of numbers start with sines and cosines of their value, see `number_features`.
    """

    width: int = 128
    layers: int = 3
    heads: int = 4
    context: int = 1024
    number_features: bool = True


@dataclass(frozen=True, slots=True)
class Training:
    """One supervised stage: so many tokens of fresh examples, each seen once."""

    tokens: int
    batch_size: int = 32
    learning_rate: float = 2e-3


@dataclass(frozen=True, slots=True)
class Config:
    """APR on Countdown.

    Attributes:
        name: the run's folder is `runs/NAME`.
        seed: of weights, examples and samples; the test problems are the same for all seeds.
        preset_name: which preset these settings started from.
        tier: the game.
        size: the model.
        device: where it runs, such as "cpu" or "cuda"; "auto" is a GPU if there is one, so that a run can move.
        join: "append" reuses all keys; "rewrite" is the paper's.
        warmup, supervised: stages; the second once for SoS+ and once for APR.
        conditioned: share of examples that are told their budget.
        losers: children without a solution that are learned a parent, at most.
        rl: GRPO.
        arms: which models get it: "apr", "apr-parent" (credit to parents alone), "apr-enforced" (fixed fan), "sos".
        window: at which GRPO samples and the claims are made: where a whole serial trace does not fit.
        windows: of the curves.
        fixed: children where they are fixed, at `window`.
        fans: numbers of children on the curve of total tokens.
        test_problems, samples: of the evaluation; serial methods get `samples` attempts, for pass@n and cons@n.
        rows: threads decoded at once.
        pictures: attempts stored as traces, of each end of GRPO.
    """

    name: str = "apr"
    seed: int = 0
    preset_name: str = "laptop"
    tier: Tier = field(default_factory=Tier)
    size: Size = field(default_factory=Size)
    device: str = "auto"
    join: Join = "append"
    warmup: Training = field(default_factory=lambda: Training(1_000_000, 32, 3e-3))
    supervised: Training = field(default_factory=lambda: Training(8_000_000))
    conditioned: float = 0.5
    losers: int = 2
    rl: RL = field(default_factory=RL)
    arms: tuple[str, ...] = ("apr", "sos", "apr-parent")
    window: int = 128
    windows: tuple[int, ...] = (64, 96, 128, 160, 192, 256, 384)
    fixed: int = 8
    fans: tuple[int, ...] = (2, 4, 6, 8, 10, 12)
    test_problems: int = 600
    samples: int = 4
    rows: int = 128
    pictures: int = 40

    @classmethod
    def preset(cls, name: str) -> "Config":
        """smoke: tests. laptop: the recorded results. gpu: four numbers up to 99, 10 M parameters. paper: 228 M."""
        presets = {
            "smoke": cls(
                name="apr-smoke",
                preset_name="smoke",
                size=Size(32, 1, 2, 512),
                warmup=Training(4_000, 16),
                supervised=Training(8_000, 16),
                rl=RL(steps=1, problems=2, group=3),
                windows=(128, 256),
                fans=(4,),
                test_problems=8,
                samples=2,
                pictures=4,
            ),
            "laptop": cls(name="apr-laptop-s0"),
            "gpu": cls(
                name="apr-gpu-s0",
                preset_name="gpu",
                tier=FOUR,
                size=Size(384, 6, 6, 4096),
                device="cuda",
                warmup=Training(10_000_000, 256, 1e-3),
                supervised=Training(100_000_000, 256, 1e-3),
                rl=RL(steps=150, problems=64, group=5, learning_rate=5e-5),
                arms=("apr", "sos", "apr-parent", "apr-enforced"),
                window=512,
                windows=(256, 512, 1024, 2048, 4096),
                fixed=10,
                fans=(2, 4, 6, 8, 10, 12, 15),
                test_problems=1000,
                rows=512,
            ),
            "paper": cls(
                name="apr-paper",
                preset_name="paper",
                tier=FOUR,
                size=Size(1024, 18, 16, 4096, number_features=False),
                device="cuda",
                join="rewrite",
                warmup=Training(1, 256, 5e-5),
                supervised=Training(200_000_000, 256, 5e-5),
                rl=RL(steps=150, problems=64, group=5, learning_rate=1e-5),
                arms=("apr", "sos", "apr-parent", "apr-enforced"),
                window=1024,
                windows=(512, 1024, 2048, 4096),
                fixed=10,
                fans=(2, 4, 6, 8, 10),
                test_problems=1000,
                rows=256,
            ),
        }
        if name not in presets:
            raise unknown_preset(name, presets)
        return presets[name]


FOUR = Tier(4, 99, (10, 100), None, beam=15, shuffle=True, digits=True, names=512, unseen=(13, 29, 47, 61, 83))
"""The paper's game: four numbers of 1 to 99. Numbers are spelled; held-out targets are ours."""


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
        from turnwise.recipes.apr_claims import record_seeds

        record_seeds(config)
    from turnwise.view.report import write_report

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
            measure(config, run, cell, trained, protocol, test, iteration=config.rl.steps)
    finish(config, run, time.time() - started)


def new_model(config: Config) -> Any:
    """A randomly initialised model of this configuration's size, fp32."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    size = config.size
    made = LlamaConfig(
        vocab_size=len(config.tier.vocabulary()),
        hidden_size=size.width,
        intermediate_size=(size.width * 8 // 3 + 15) // 16 * 16,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        max_position_embeddings=size.context,
        tie_word_embeddings=size.width < 1024,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model: Any = LlamaForCausalLM(made)
    if size.number_features:
        number_features(model, config.tier.vocabulary())
    found = "cuda" if torch.cuda.is_available() else "cpu"
    return model.eval().to(found if config.device == "auto" else config.device)


PERIODS = (2, 3, 5, 7, 10, 20, 50, 100)


def number_features(model: Any, vocabulary: Any) -> None:
    """Add sines and cosines of each number's value at several periods to its initial embedding.

    Trained models represent numbers like this by themselves (arXiv 2502.00873); starting there spares a small model
    most of the examples that it takes to find out. Everything stays trainable.
    """
    import torch

    weight = model.get_input_embeddings().weight
    with torch.no_grad():
        for index, token in enumerate(vocabulary.tokens):
            value = token.removeprefix("~")
            if value.isdigit():
                angles = [2 * math.pi * int(value) / period for period in PERIODS]
                features = [wave(angle) for angle in angles for wave in (math.cos, math.sin)][: weight.shape[1]]
                weight[index, : len(features)] += 0.05 * torch.tensor(features)


def supervise(config: Config, run: Run, arm: str, stage: Training, examples: Callable[..., Any], start: Any) -> Any:
    """One supervised stage from the weights of `start`; goes on from its last checkpoint."""
    from turnwise.learn import checkpoint
    from turnwise.learn.sft import OptimConfig, Progress, make_optimizer, train

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

    from turnwise.learn import checkpoint
    from turnwise.recipes import apr_rl

    model, folder = copy.deepcopy(start), run.folder / "checkpoints" / f"{arm}-rl"
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.rl.learning_rate, weight_decay=0.0)
    last = checkpoint.latest(folder)
    done = 0 if last is None else int(checkpoint.load(last, model, optimizer)["step"])
    phase = f"rl {arm}"
    run.drop_metrics([row for row in run.metrics() if row.get("phase") != phase or row.get("step", 0) <= done])
    rl = replace(config.rl, credit="parent" if arm == "apr-parent" else config.rl.credit)
    method = _method(config, arm)
    with progress_bar(f"{arm}: GRPO", config.rl.steps) as advance:
        advance(done)
        for number in range(done, config.rl.steps):
            attempts, report = apr_rl.step(
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
            run.log(phase=phase, step=number + 1, **figures, loss=report.loss, kl=report.kl, clipped=report.clipped)
            advance(note=f"{100 * figures['success']:.0f} % success, {figures['children']:.1f} children")
            if (number + 1) % 5 == 0 or number + 1 == config.rl.steps:
                checkpoint.save(folder, number + 1, model, None, optimizer, {"step": number + 1}, 1)
    return model


def _method(config: Config, arm: str) -> Any:
    """How an arm is asked while it learns."""
    from turnwise.recipes.apr_rollout import Method

    budget = parallel_budget(config.fixed) if arm == "apr-enforced" else ()
    return Method(config.window, budget, join=config.join)


def cells(config: Config, arm: str) -> list[Any]:
    """What is measured of an arm (its name ends in "-rl" after GRPO)."""
    from turnwise.recipes.apr_eval import Cell

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
    if arm in ("apr", "apr-rl"):
        asked += [Cell(arm, "free", replace(free, window=w)) for w in config.windows if w != config.window]
        asked += [Cell(arm, f"calls {n}", replace(free, window=widest, budget=parallel_budget(n))) for n in config.fans]
        asked += [
            Cell(arm, "fixed children", replace(free, budget=fixed, temperature=0.0)),
            Cell(arm, "free", replace(free, cancel="claimed")),
            Cell(arm, "free", replace(free, window=widest, cancel="verified")),
        ]
    return asked


def measure(
    config: Config, run: Run, cell: Any, model: Any, protocol: CompactThreads, test: Sequence[Any], iteration: int
) -> None:
    """Evaluate a cell unless the run has it; store traces of the ones at the window of the claims."""
    from turnwise.recipes.apr_eval import append_result, evaluate, read_results, within
    from turnwise.recipes.apr_rollout import trace_of

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
    from turnwise.evaluate.stats import wilson
    from turnwise.recipes.apr_eval import charts, read_results, within

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
