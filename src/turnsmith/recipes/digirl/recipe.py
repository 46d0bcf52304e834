"""DigiRL (arXiv 2406.11896): a device agent that learns from its own attempts, first offline, then online.

    first policy = SFT on demonstrations of old layouts                  (no pop-ups, no drift: it mostly fails today)
    log  = its own attempts at training tasks                            (offline data, shared by all arms)
    V_step, V_instruct <- cross-entropy on outcomes
    actor <- steps of successes with A_step > 1/H                        (offline)
    for i in 1..K:                                                       (online)
        roll out N fresh tasks; log += them (the first 80 % train, the rest validate)
        V_instruct, V_step <- log
        actor <- steps with A_step > 1/H of the p % of episodes with the highest R − V_instruct
    evaluate on held-out tasks by the oracle

`fbc` is filtered behaviour cloning with all code shared but the choice of what to learn from: same first policy, same
offline data, as many episodes and updates. `sft` is the first policy. Then the drift: the phone's layouts move on, one
copy of the DigiRL policy goes on learning and one is frozen.

Training never sees the truth unless `phone.judge` says so: rewards come from the judge named there, and its agreement
with the oracle is logged.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from turnsmith.credit.record import record
from turnsmith.engine.sampling import turn_seed
from turnsmith.evaluate.summary import rewards_by_task, summarize
from turnsmith.judges.base import Judge, ever_rewarded
from turnsmith.recipes.shared import phone as phones
from turnsmith.recipes.shared import phone_policy as policies
from turnsmith.recipes.shared.digirl_filter import Chosen, CreditConfig
from turnsmith.recipes.shared.phone import FeatureConfig, PhoneConfig
from turnsmith.recipes.shared.phone_policy import PolicyConfig
from turnsmith.runs.config import changed, to_json, unknown_preset
from turnsmith.runs.progress import console
from turnsmith.runs.run import Run
from turnsmith.trace.types import ORACLE, Trace

ARMS = ("fbc", "digirl", "digirl-released", "digirl-awr", "digirl-no-step", "digirl-squared-error")
"""What can be compared. The last four change one thing of `digirl` each."""


@dataclass(frozen=True, slots=True)
class LearnConfig:
    """Sizes of one stage of learning.

    Attributes:
        actor, step_critic, instruction_critic: updates of each.
        batch_size: steps in an update of the actor.
        learning_rate: of the actor (Adam), where a stage begins.
        schedule: "cosine" lets it fall to 0 until the end of the stage; "constant" is the authors'.
    """

    actor: int = 400
    step_critic: int = 300
    instruction_critic: int = 100
    batch_size: int = 32
    learning_rate: float = 1e-3
    schedule: Literal["cosine", "constant"] = "cosine"


@dataclass(frozen=True, slots=True)
class DriftConfig:
    """The drift experiment: `iterations` of `rollouts` episodes while the days go by; then both are tested on the days
    that follow. 0 iterations leave it out."""

    iterations: int = 2
    rollouts: int = 48
    days_each: int = 12


@dataclass(frozen=True, slots=True)
class Config:
    """DigiRL on the local phone.

    Attributes:
        name: the run's folder is `runs/NAME`.
        seed: of everything but the test tasks.
        preset_name: which preset these settings started from.
        phone: tasks, weather, judge.
        policy: the first policy.
        first: a run whose first policy this one starts from, as all runs of the paper start from one checkpoint; ""
            makes demonstrations and trains one.
        features: frozen image vectors of the critics.
        credit: advantages, filter, curriculum.
        arms: which of `ARMS` are run, one after the other on the same offline data; none makes the first policy alone.
        offline_rollouts: episodes of the first policy.
        offline: updates on them.
        iterations, rollouts: K and N of the online stage.
        online: updates of each iteration.
        test_tasks: held-out tasks.
        test_rollouts: episodes of each of them in an evaluation.
        drift: see there.
        device: of the policy and the image encoders, such as "cpu" or "cuda"; the phones' browser is on the CPU.
    """

    name: str = "digirl-laptop-s0"
    seed: int = 0
    preset_name: str = "laptop"
    phone: PhoneConfig = field(default_factory=PhoneConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    first: str = ""
    features: FeatureConfig = field(default_factory=FeatureConfig)
    credit: CreditConfig = field(default_factory=lambda: CreditConfig(mix=0.1, threshold=0.02, fraction=0.25))
    arms: tuple[str, ...] = ("fbc", "digirl")
    offline_rollouts: int = 240
    offline: LearnConfig = field(default_factory=LearnConfig)
    iterations: int = 4
    rollouts: int = 96
    online: LearnConfig = field(default_factory=lambda: LearnConfig(200, 60, 40))
    test_tasks: int = 96
    test_rollouts: int = 2
    drift: DriftConfig = field(default_factory=DriftConfig)
    device: str = "cpu"

    @classmethod
    def preset(cls, name: str) -> "Config":
        """smoke: for tests. laptop: makes the recorded results. paper: the paper's numbers."""
        tiny = LearnConfig(2, 2, 2, 4)
        presets = {
            "smoke": cls(
                name="digirl-smoke",
                preset_name="smoke",
                phone=PhoneConfig(phones=2, horizon=3, weather=0.3, false_positive=0.4),  # something to learn from
                policy=policies.TINY_POLICY,
                features=FeatureConfig(16, 2),
                credit=CreditConfig(fraction=0.5),
                offline_rollouts=4,
                offline=tiny,
                iterations=1,
                rollouts=4,
                online=tiny,
                test_tasks=2,
                test_rollouts=1,
                drift=DriftConfig(1, 2, 4),
            ),
            "laptop": cls(),
            "general": cls(
                name="digirl-general-s0",
                preset_name="general",
                phone=PhoneConfig(kind="general"),
                credit=CreditConfig(mix=0.1, threshold=0.05, fraction=0.25),
            ),
            "paper": cls(
                name="digirl-paper",
                preset_name="paper",
                credit=CreditConfig(),
                offline_rollouts=1296,
                offline=LearnConfig(600, 100, 100, 128, 1e-4, "constant"),
                iterations=400,
                rollouts=16,
                online=LearnConfig(20, 5, 5, 128, 1e-4, "constant"),
                test_rollouts=1,
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
    from turnsmith.errors import UserError

    unknown = [arm for arm in config.arms if arm not in ARMS]
    if unknown:
        raise UserError(f"unknown arms {', '.join(unknown)}. Arms: {', '.join(ARMS)}.")
    with Run(Path("runs") / config.name, to_json("digirl", config)) as run:
        asyncio.run(phones.in_one_browser(_main(config, run)))
    if config.arms and config.preset_name == "laptop" and not changed(config, free=("first", "device")):
        from turnsmith.recipes.digirl.claims import record_digirl

        record_digirl(config)
    from turnsmith.view.report import write_report

    return write_report(run.folder, traces=10)


async def _main(config: Config, run: Run) -> None:
    started = time.time()
    run.report(status="running", recipe="digirl", config=run.config)
    test = config.phone.tasks("test", config.test_tasks, seed=0)  # the same test tasks for every seed and arm
    seeds = [config.seed, *(_task_seed(config, i) for i in range(config.iterations + 1))]
    counts = [config.policy.demonstrations, config.offline_rollouts, *[config.rollouts] * config.iterations]
    for seed, count in zip(seeds, counts, strict=True):
        phones.check_splits(config.phone, test, count, [seed])

    first = await policies.warm_start(run, config.phone, config.policy, config.seed, config.device, config.first)
    test *= config.test_rollouts
    await phones.play(run, config.phone, first, test, "eval-sft")
    if not config.arms:
        _report(config, run, time.time() - started)
        return
    judge = phones.make_judge(run, config.phone, first, config.features, config.seed)
    tasks = config.phone.tasks("train", config.offline_rollouts, _task_seed(config, 0))
    log = await phones.play(run, config.phone, first, tasks, "offline", 0, _task_seed(config, 0), judge)
    phones.report_agreement(run, "offline", judge, log)
    features = phones.image_features(run, first, config.features, ["demonstrations", "offline"], config.seed)

    rehearsal = policies.Rehearsal(run.folder, first, config.policy.rehearsal)
    for arm in config.arms:
        learner = Learner(config, run, arm, first, features, rehearsal)
        if learner.done < 0:
            await asyncio.to_thread(learner.update, 0)
        for iteration in range(1, config.iterations + 1):
            seed = _task_seed(config, iteration)
            if learner.done < iteration:
                tasks = config.phone.tasks("train", config.rollouts, seed)
                learner.policy.version = f"{arm}-{iteration - 1}"
                await phones.play(run, config.phone, learner.policy, tasks, f"train-{arm}", iteration, seed, judge)
                await asyncio.to_thread(learner.update, iteration)
        learner.policy.version = f"{arm}-{config.iterations}"
        await phones.play(run, config.phone, learner.policy, test, f"eval-{arm}", config.iterations)
        if arm == "digirl" and config.drift.iterations:
            await _drift(config, run, learner, judge)
    features.save(run.folder / "cache")
    _report(config, run, time.time() - started)


async def _drift(config: Config, run: Run, learner: "Learner", judge: Judge) -> None:
    """The layouts move on: one copy goes on learning, one is frozen; both are tested on the days that follow."""
    drift = config.drift
    end = drift.iterations * drift.days_each
    test = phones.drift_tasks(config.phone, config.test_tasks, 0, end, end + drift.days_each, "test")
    test *= config.test_rollouts
    learner.policy.version = f"digirl-{config.iterations}"
    await phones.play(run, config.phone, learner.policy, test, "eval-frozen", drift.iterations)
    moving = Learner(config, run, "continual", learner.policy, learner.features, learner.rehearsal, base=learner)
    for step in range(1, drift.iterations + 1):
        iteration, seed = config.iterations + step, _task_seed(config, 100 + step)
        if moving.done < iteration:
            days = ((step - 1) * drift.days_each, step * drift.days_each)
            tasks = phones.drift_tasks(config.phone, drift.rollouts, seed, *days)
            moving.policy.version = f"continual-{step - 1}"
            await phones.play(
                run, config.phone, moving.policy, tasks, "train-continual", iteration, seed, judge
            )  # fmt: skip
            await asyncio.to_thread(moving.update, iteration)
    moving.policy.version = f"continual-{drift.iterations}"
    await phones.play(run, config.phone, moving.policy, test, "eval-continual", drift.iterations)


class Learner:
    """One arm: an actor, its critics and optimisers, and where they stand; resumes from its last checkpoint.

    `done` is the last finished iteration: −1 before the offline stage, 0 after it. Critics are fitted anew from the log
    at each iteration with seeds of their own, so they need no checkpoint.
    """

    def __init__(
        self,
        config: Config,
        run: Run,
        arm: str,
        first: Any,
        features: Any,
        rehearsal: policies.Rehearsal,
        base: "Learner | None" = None,
    ) -> None:
        from turnsmith.learn import checkpoint
        from turnsmith.learn.fit import make_optimizer
        from turnsmith.learn.optim import OptimConfig

        self.config, self.run, self.arm, self.features = config, run, arm, features
        self.rehearsal = rehearsal
        self.phases = ["offline", f"train-{arm}"] if base is None else [*base.phases, f"train-{arm}"]
        self.policy = policies.copy_policy(first, arm)
        self.optimizer = make_optimizer(self.policy.model, OptimConfig(learning_rate=config.online.learning_rate))
        self.done = -1 if base is None else base.done
        self.credit = _credit_of(arm, config.credit)
        saved = checkpoint.latest(policies.checkpoints_of(run, arm))
        if saved is not None:
            self.done = int(checkpoint.load(saved, self.policy.model, self.optimizer)["iteration"])
            self.policy.model.eval()

    def update(self, iteration: int) -> None:
        """One stage of learning on everything logged so far, and a checkpoint."""
        from turnsmith.critics.episodes import read
        from turnsmith.learn import checkpoint
        from turnsmith.learn.examples import examples_from_traces

        sizes = self.config.offline if iteration == 0 else self.config.online
        log = read(self.run.store, self.phases, up_to=iteration)
        seed = turn_seed(self.config.seed, 1000 + iteration)
        chosen = self.choose(log, iteration, sizes, seed)
        record(self.run.store, self.arm, iteration, values=chosen.values, advantages=chosen.advantages)
        traces = [one.trace for one in chosen.episodes]
        examples = [
            example
            for example in examples_from_traces(traces, self.policy, chosen.weights)
            if example.weight > 0
        ]  # fmt: skip
        loss = None
        if examples:
            loss = policies.train_policy(
                f"{self.arm} {iteration}: learning",
                self.policy,
                self.rehearsal.beside(examples, seed),
                learning_rate=sizes.learning_rate,
                batch_size=sizes.batch_size,
                updates=sizes.actor,
                augment=self.config.policy.augment,
                seed=seed,
                optimizer=self.optimizer,
                schedule=sizes.schedule,
            )
        else:
            console.print(f"{self.arm} {iteration}: nothing to learn from")
        self.run.log(
            phase=f"update-{self.arm}",
            iteration=iteration,
            loss=loss,
            episodes=len(chosen.episodes),
            examples=len(examples),
            wins=sum(one.success for one in log),
            log=len(log),
        )
        self.done = iteration
        folder = policies.checkpoints_of(self.run, self.arm)
        state = {"iteration": iteration}
        checkpoint.save(folder, iteration, self.policy.model, self.policy.tokenizer, self.optimizer, state, keep=1)

    def choose(self, log: Sequence[Any], iteration: int, sizes: LearnConfig, seed: int) -> Chosen:
        """What this arm learns from."""
        from turnsmith.critics.episodes import successes
        from turnsmith.critics.values import FitConfig, InstructionCritic, Nameless, StepCritic
        from turnsmith.recipes.shared.digirl_filter import choose

        train, held_out = _split(log)
        if self.arm == "fbc":
            return Chosen.whole(successes(train))
        loss = "squared_error" if self.arm == "digirl-squared-error" else "cross_entropy"
        words = Nameless(self.policy)
        step_critic = StepCritic(words, self.features, loss, seed=seed)
        instruction_critic = InstructionCritic(words, loss, seed=seed)
        # Critics are fitted anew: an online stage makes up for the updates that earlier stages made.
        rounds = self.config.offline.step_critic + iteration * self.config.online.step_critic
        step_critic.fit(train, FitConfig(rounds, seed=seed))
        rounds = self.config.offline.instruction_critic + iteration * self.config.online.instruction_critic
        instruction_critic.fit(train, FitConfig(rounds, seed=seed))
        self.run.log(phase=f"critics-{self.arm}", iteration=iteration, **_quality(step_critic, held_out))
        return choose(train, step_critic, instruction_critic if iteration else None, self.credit)


def _credit_of(arm: str, credit: CreditConfig) -> CreditConfig:
    """The ablations of the credit, by the arm's name."""
    if arm == "digirl-released":
        return replace(credit, rule="released")
    if arm == "digirl-awr":
        return replace(credit, weighting="awr")
    if arm == "digirl-no-step":
        return replace(credit, step_level=False)
    return credit


def _split(log: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """The first 80 % of the episodes of each phase and iteration train, the rest validate the critics."""
    groups: dict[tuple[Any, Any], list[Any]] = {}
    for one in log:
        groups.setdefault((one.trace.info.get("phase"), one.trace.info.get("iteration")), []).append(one)
    train = [one for group in groups.values() for one in group[: max(1, round(0.8 * len(group)))]]
    held_out = [one for group in groups.values() for one in group[max(1, round(0.8 * len(group))) :]]
    return train, held_out


def _quality(critic: Any, held_out: Sequence[Any]) -> dict[str, Any]:
    """How well V_step tells successes from failures on episodes it has not seen: the area under the ROC curve."""
    from turnsmith.evaluate.ranking import auc

    values = critic.values(held_out)
    scores = [float(v) for value in values for v in value[:-1]]
    labels = [one.success > 0.5 for one, value in zip(held_out, values, strict=True) for _ in value[:-1]]
    return {"step_auc": auc(scores, labels), "held_out_steps": len(scores)}


def _task_seed(config: Config, iteration: int) -> int:
    return turn_seed(config.seed + 1, iteration)


def _truth_by_task(traces: Iterable[Trace]) -> dict[str, float]:
    """Whether the oracle saw each task done, whatever the judge said: how an arm fared while it learned."""
    seen = {trace.task.id: ever_rewarded(trace, ORACLE) for trace in traces}
    return {task: float(done) for task, done in seen.items() if done is not None}


def _report(config: Config, run: Run, seconds: float) -> None:
    """Print the table and write `report.json`."""
    from turnsmith.evaluate.show import summary_table

    ends = [("SFT", "eval-sft", 0)]
    for arm in config.arms:
        ends.append((f"{arm} off-to-on", f"eval-{arm}", config.iterations))
    ends += [(f"drift: {way}", f"eval-{way}", config.drift.iterations) for way in ("frozen", "continual")]
    summaries, rows, rewards = {}, [], {}
    for name, phase, iteration in ends:
        traces = list(run.store.traces(phase=phase, iteration=iteration))
        if traces:
            summaries[name] = summarize(traces)
            rewards[f"{phase}/{iteration}"] = rewards_by_task(traces)
            low, high = summaries[name].interval
            rows.append({"name": name, "value": summaries[name].success, "low": low, "high": high, "unit": "success"})
    for arm in config.arms:
        rewards[f"train-{arm}"] = _truth_by_task(run.store.traces(phase=f"train-{arm}"))
    console.print(summary_table(summaries, "Held-out tasks, by the oracle"))
    console.print(f"{seconds / 60:.1f} minutes; everything is in {run.folder}")
    run.report(status="done", summary=rows, rewards=rewards, seconds=round(seconds, 1))
