"""Filtered behaviour cloning of a web agent: the baseline that every later recipe is measured against.

    policy = SFT on noisy scripted demonstrations           (or a shipped warm start)
    for i in 1..K:
        roll out N fresh training tasks at temperature 1
        D += trajectories;  D+ = those that the reward calls successes
        one or two epochs of cross-entropy on thought and action of D+   (≡ REINFORCE with r in {0, 1}, no baseline)
    evaluate before and after on held-out entities

After PAE (arXiv 2412.13194), section 2 of its update: L = −mean_i (1/T_i) Σ_j log π(y_ij | x_i) over at most `keep`
successful trajectories of all iterations. Two things are named here because they matter: the training reward is the
sites' programmatic oracle, and `method = "sft"` is the control arm, which spends the same updates on the demonstrations
instead of on what the agent found out by itself.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from turnsmith.credit.record import record as record_credit
from turnsmith.engine.sampling import turn_seed
from turnsmith.errors import UserError
from turnsmith.evaluate.claims import record
from turnsmith.evaluate.seeds import commands_of, finished_runs, gain_claims
from turnsmith.evaluate.summary import rewards_by_task, summarize
from turnsmith.recipes.shared import web
from turnsmith.recipes.shared.web import WebConfig
from turnsmith.runs.config import changed, to_json, unknown_preset
from turnsmith.runs.progress import console
from turnsmith.runs.run import Run
from turnsmith.trace.types import Task, Trace


@dataclass(frozen=True, slots=True)
class Demonstrations:
    """How many noisy demonstrations, and how noisy: see `sites.demonstrator`."""

    count: int = 64
    noise: float = 0.25
    wander: float = 0.1


@dataclass(frozen=True, slots=True)
class Training:
    """Optimiser settings of one stage (see `learn.sft.OptimConfig`); it ends after `epochs`, or `updates` if given."""

    learning_rate: float = 3e-4
    batch_size: int = 8
    epochs: int = 2
    updates: int | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """Size of a small policy that is made from scratch."""

    vocab_size: int = 2400
    width: int = 128
    layers: int = 2


@dataclass(frozen=True, slots=True)
class Config:
    """Filtered behaviour cloning on the local sites.

    Attributes:
        name: the run's folder is `runs/NAME`.
        seed: of everything.
        preset_name: which preset these settings started from (recorded results combine the seeds of one preset).
        web: sites, horizon, sessions.
        policy: "shipped" (the warm start in the package), "scratch", or a model folder.
        model: of a policy from scratch.
        demonstrations: collected first, good and bad alike.
        sft: training on them.
        method: "filtered_bc", or "sft": as many updates on the demonstrations, without exploring (control).
        iterations, rollouts: K and N.
        keep: the most successful trajectories an update uses, the newest first.
        update: training in each iteration; a fixed number of updates, so that both methods make as many.
        rename: learn everything under new names, demonstrations and the policy's own successes alike
            (`transforms.rename`); for policies whose folder says which words are no names, and for those from scratch.
        temperature: of sampling, in training and evaluation alike.
        test_tasks: held-out tasks for the evaluation before and after.
        greedy: also evaluate both ends at temperature 0.
        pictures: how many evaluation episodes are recorded with screenshots.
    """

    name: str = "filtered_bc"
    seed: int = 0
    preset_name: str = "laptop"
    web: WebConfig = field(default_factory=WebConfig)
    policy: str = "shipped"
    model: Model = field(default_factory=Model)
    demonstrations: Demonstrations = field(default_factory=Demonstrations)
    sft: Training = field(default_factory=Training)
    method: Literal["filtered_bc", "sft"] = "filtered_bc"
    iterations: int = 6
    rollouts: int = 128
    keep: int = 1024
    update: Training = field(default_factory=lambda: Training(3e-4, updates=200))
    rename: bool = True
    temperature: float = 1.0
    test_tasks: int = 116
    greedy: bool = False
    pictures: int = 12

    @classmethod
    def preset(cls, name: str) -> "Config":
        """smoke: for tests. demo: at most six minutes. laptop: makes the recorded results. paper: for GPUs."""
        presets = {
            "smoke": cls(
                name="filtered_bc-smoke",
                preset_name="smoke",
                web=WebConfig(sites=("shop",), horizon=4, sessions=2),
                policy="scratch",
                model=Model(vocab_size=1300, width=32, layers=2),
                demonstrations=Demonstrations(count=6),
                sft=Training(1e-3, 8, 1),
                iterations=1,
                rollouts=4,
                update=Training(1e-3, 8, updates=2),
                test_tasks=4,
                pictures=4,
            ),
            "demo": cls(name="demo", preset_name="demo", iterations=2, rollouts=96, test_tasks=96),
            "laptop": cls(name="filtered_bc-laptop-s0"),
            "paper": cls(
                name="filtered_bc-paper",
                preset_name="paper",
                web=WebConfig(horizon=10, sessions=64),
                update=Training(2e-5, 32, updates=128),
                iterations=20,
                rollouts=512,
                test_tasks=512,
            ),
        }
        if name not in presets:
            raise unknown_preset(name, presets)
        return presets[name]


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
        _record(config)
    from turnsmith.view.report import write_report

    return write_report(run.folder, traces=10)


async def _main(config: Config, run: Run) -> None:
    from turnsmith.learn import checkpoint
    from turnsmith.learn.fit import make_optimizer

    started = time.time()
    run.report(status="running", recipe="filtered_bc", config=run.config)
    sites, pages = config.web, config.web.environment()
    test = sites.tasks("test", config.test_tasks, seed=0)  # the same test tasks for every seed and arm
    rollout_seed = config.seed + 1000
    web.check_splits(sites, test, config.demonstrations.count, config.seed)
    for iteration in range(1, config.iterations + 1):
        web.check_splits(sites, test, config.rollouts, turn_seed(rollout_seed, iteration))

    async with pages:
        demonstrations: list[Trace] = []
        if config.demonstrations.count:
            noise = config.demonstrations
            demonstrations = await web.demonstrate(
                run, pages, sites, noise.count, noise.noise, noise.wander, config.seed
            )
        policy = _starting_policy(config, demonstrations)
        # New names in every use: they are to be copied, not remembered.
        transform = _renamer(config, policy, demonstrations) if config.rename else None
        optimizer = make_optimizer(policy.model, _optim(config.update, config.seed))
        done = checkpoint.latest(run.folder / "checkpoints")
        if done is None:
            if demonstrations:
                examples = _examples(demonstrations, policy)
                await asyncio.to_thread(
                    web.train_with_bar,
                    "demonstrations: learning",
                    policy.model,
                    examples,
                    _optim(config.sft, config.seed),
                    transform=transform,
                )
            _save(run, policy, optimizer, 0)
            iteration = 0
        else:
            iteration = int(checkpoint.load(done, policy.model, optimizer)["iteration"])
            console.print(f"going on after iteration {iteration} ({done})")

        if iteration == 0:
            await _evaluate(config, run, pages, policy, test, 0)
        while iteration < config.iterations:
            iteration += 1
            policy.version = f"step-{iteration - 1}"
            traces = demonstrations
            if config.method == "filtered_bc":
                await web.explore(run, pages, sites, policy, config.rollouts, iteration, rollout_seed)
                traces = _successes(config, run, iteration)
            # Every turn of a success counts alike: its advantage is the outcome, and there is no critic.
            record_credit(run.store, config.method, iteration, advantages={t.id: [1.0] * len(t.turns) for t in traces})
            examples = _examples(traces, policy)
            if examples:
                optim = _optim(config.update, config.seed + iteration)
                what = f"iteration {iteration}: learning"
                loss = await asyncio.to_thread(
                    web.train_with_bar, what, policy.model, examples, optim, optimizer, transform
                )
                run.log(
                    phase="update", iteration=iteration, loss=loss, trajectories=len(traces), examples=len(examples)
                )
            else:
                console.print(f"iteration {iteration}: no success to learn from")
            _save(run, policy, optimizer, iteration)
        policy.version = f"step-{iteration}"
        await _evaluate(config, run, pages, policy, test, iteration)
    _report(config, run, time.time() - started)


def _starting_policy(config: Config, demonstrations: Sequence[Trace]) -> Any:
    """The policy before anything is learned in this run."""
    from turnsmith.agents.load import load_policy, new_small_policy
    from turnsmith.agents.render import compact, compact_response
    from turnsmith.engine.sampling import Sampling
    from turnsmith.learn.examples import context_at

    sampling = Sampling(temperature=config.temperature, max_new_tokens=48)
    if config.policy != "scratch":
        folder = web.SHIPPED if config.policy == "shipped" else Path(config.policy)
        return load_policy(folder, sampling=sampling, version="step-0")
    texts = []
    for trace in demonstrations:
        for index, turn in enumerate(trace.turns):
            texts += [compact(context_at(trace, index)), compact_response(turn.action.text)]
    return new_small_policy(
        texts,
        vocab_size=config.model.vocab_size,
        sampling=sampling,
        seed=config.seed,
        width=config.model.width,
        layers=config.model.layers,
    )


def _renamer(config: Config, policy: Any, demonstrations: Sequence[Trace]) -> Any:
    """For a policy that knows which words are no names, or has demonstrations to tell."""
    from turnsmith.learn.transforms.rename import entity_words, keep_words, kept_words, renamer_of

    if config.policy == "scratch":
        names = entity_words(demonstrations)
        keep_words(policy.model, kept_words(_examples(demonstrations, policy), policy.tokenizer, names))
    return renamer_of(policy)


def _optim(training: Training, seed: int) -> Any:
    from turnsmith.learn.optim import OptimConfig

    return OptimConfig(
        learning_rate=training.learning_rate,
        batch_size=training.batch_size,
        epochs=training.epochs if training.updates is None else 10_000,
        max_updates=training.updates,
        warmup_updates=5,
        schedule="constant",
        seed=seed,
    )


def _examples(traces: Sequence[Trace], policy: Any) -> list[Any]:
    from turnsmith.learn.examples import examples_from_traces

    return examples_from_traces(traces, policy)


def _successes(config: Config, run: Run, iteration: int) -> list[Trace]:
    """The all-time successes that this iteration trains on: the newest first, at most `keep`."""
    won = [
        summary
        for summary in run.store.summaries(phase="train")
        if (summary.reward or 0.0) > 0.5 and (summary.iteration or 0) <= iteration
    ]
    rng = random.Random(f"{config.seed}/{iteration}")
    rng.shuffle(won)
    won.sort(key=lambda summary: -(summary.iteration or 0))  # stable: newest iterations first, shuffled within
    return [run.store.get(summary.id) for summary in won[: config.keep]]


async def _evaluate(config: Config, run: Run, pages: Any, policy: Any, test: Sequence[Task], iteration: int) -> None:
    """Held-out tasks at the training temperature and, where asked for, greedily."""
    await web.evaluate(run, pages, config.web, policy, test, iteration, pictures=config.pictures)
    if config.greedy:
        sampling = policy.sampling
        policy.sampling = replace(sampling, temperature=0.0)
        await web.evaluate(run, pages, config.web, policy, test, iteration, phase="eval-greedy")
        policy.sampling = sampling


def _save(run: Run, policy: Any, optimizer: Any, iteration: int) -> None:
    from turnsmith.learn import checkpoint

    folder = run.folder / "checkpoints"
    checkpoint.save(folder, iteration, policy.model, policy.tokenizer, optimizer, {"iteration": iteration}, keep=2)


def _report(config: Config, run: Run, seconds: float) -> None:
    """Print the table of before and after, and write `report.json`."""
    from turnsmith.evaluate.show import summary_table

    ends = {0: "warm start", config.iterations: f"after {config.iterations} iterations"}
    summaries, rows, rewards = {}, [], {}
    for phase in ("eval", "eval-greedy"):
        for iteration, words in ends.items():
            traces = list(run.store.traces(phase=phase, iteration=iteration))
            if not traces:
                continue
            name = words if phase == "eval" else f"{words}, greedy"
            summaries[name] = summarize(traces)
            rewards[f"{phase}/{iteration}"] = rewards_by_task(traces)
            low, high = summaries[name].interval
            rows.append({"name": name, "value": summaries[name].success, "low": low, "high": high, "unit": "success"})
    console.print(summary_table(summaries, "Held-out entities", by_site=True))
    console.print(f"{seconds / 60:.1f} minutes; everything is in {run.folder}")
    run.report(status="done", summary=rows, rewards=rewards, seconds=round(seconds, 1))


def _record(config: Config) -> None:
    """Combine the finished runs of this preset, all seeds and both methods, into `results/filtered_bc.json`."""
    reports = finished_runs("filtered_bc", config, ignore=("method",))
    ours = {row["config"]["seed"]: row["rewards"] for row in reports if row["config"]["method"] == "filtered_bc"}
    control = [row["rewards"] for row in reports if row["config"]["method"] == "sft"]
    if not ours:
        return
    claims = []
    for phase, suffix, words in (("eval", "", ""), ("eval-greedy", "_greedy", ", greedy")):
        ends = (f"{phase}/0", f"{phase}/{config.iterations}")
        if any(end not in rewards for rewards in ours.values() for end in ends):
            continue
        finals = [sum(rewards[ends[1]].values()) / len(rewards[ends[1]]) for rewards in control if ends[1] in rewards]
        baseline = sum(finals) / len(finals) if finals else None
        claims += gain_claims(
            {seed: (rewards[ends[0]], rewards[ends[1]]) for seed, rewards in ours.items()},
            what=f"success on held-out entities{words}",
            names=("success_gain_points", "warm_start_success", "final_success"),
            suffix=suffix,
            goal="" if suffix else ">= 25 and interval above 0",
            baseline=None if baseline is None else f"SFT for as many updates ends at {100 * baseline:.1f} %",
        )
    made = [row for row in reports if row["config"]["method"] == "filtered_bc"]
    console.print(f"recorded {record('filtered_bc', claims, commands_of('filtered_bc', Config, made))}")
