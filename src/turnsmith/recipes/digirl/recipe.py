"""DigiRL (arXiv 2406.11896): a device agent that learns from its own attempts, first offline, then online.

    first policy = Auto-UI's weights          (preset laptop: imitation of demonstrations; it mostly fails today)
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
from dataclasses import replace
from pathlib import Path

from turnsmith.agents.device_policy import DevicePolicy
from turnsmith.credit.record import record
from turnsmith.critics.episodes import Played, read, successes
from turnsmith.critics.fitting import adam
from turnsmith.critics.screen_features import Features
from turnsmith.critics.values import DelexicalisedTokenizer, InstructionCritic, StepCritic
from turnsmith.engine.sampling import turn_seed
from turnsmith.evaluate.ranking import auc
from turnsmith.evaluate.show import summary_table
from turnsmith.evaluate.summary import rewards_by_task, summarize
from turnsmith.judges.base import Judge, ever_rewarded
from turnsmith.learn.checkpoint import TrainingState
from turnsmith.learn.examples import examples_from_traces
from turnsmith.learn.fit import make_optimizer
from turnsmith.learn.optim import OptimConfig
from turnsmith.recipes.digirl.claims import Evaluation, record_claims
from turnsmith.recipes.digirl.config import Arm, Config, StageConfig
from turnsmith.recipes.shared import phone as phones
from turnsmith.recipes.shared import phone_policy as policies
from turnsmith.recipes.shared.digirl_filter import Chosen, Weighting, choose
from turnsmith.recipes.shared.phone_config import CreditConfig, check
from turnsmith.runs.config import changed, to_json
from turnsmith.runs.progress import console
from turnsmith.runs.run import Run
from turnsmith.trace.types import ORACLE, Task, Trace
from turnsmith.view.report import write_report


def main(config: Config) -> Path:
    """Run the recipe, or go on with a run that was stopped.

    Returns:
        The path of `report.html`.

    Raises:
        UserError: if something that the user can mend is missing or wrong.
    """
    check(config.phone, config.policy, config.features)
    with Run(Path("runs") / config.name, to_json("digirl", config)) as run:
        asyncio.run(phones.in_one_browser(_main(config, run)))
    if config.arms and config.preset_name == "laptop" and not changed(config, free=("first", "device")):
        record_claims(config)
    return write_report(run.folder, traces=10)


async def _main(config: Config, run: Run) -> None:
    started = time.time()
    run.report(status="running", recipe="digirl", config=run.config)
    phone, seed = config.phone, config.seed
    test = phones.draw_tasks(phone, "test", config.test_tasks, seed=0)  # the same test tasks for every seed and arm
    _check_splits(config, test)
    test *= config.test_rollouts

    first = await policies.warm_start(run, phone, config.policy, config.features, seed, config.device, config.first)
    await phones.play(run, phone, first, test, "eval-sft")
    async with phones.judge_of(run, phone, first, config.features, seed) as judge:
        if config.arms:
            tasks = phones.draw_tasks(phone, "train", config.offline_rollouts, _task_seed(config, 0))
            log = await phones.play(run, phone, first, tasks, "offline", 0, _task_seed(config, 0), judge)
            phones.report_agreement(run, "offline", judge, log)
        for arm in config.arms:
            learner = Learner(config, run, arm, first, judge)
            await learner.learn()
            await phones.play(run, phone, learner.policy, test, f"eval-{arm}", config.iterations)
            if arm == "digirl" and config.drift.iterations:
                await _drift(config, run, learner)
    _report(config, run, time.time() - started)


def _check_splits(config: Config, test: Sequence[Task]) -> None:
    """No training task of this run is a test task."""
    seeds = [config.seed, *(_task_seed(config, i) for i in range(config.iterations + 1))]
    counts = [config.policy.demonstrations, config.offline_rollouts, *[config.rollouts] * config.iterations]
    for seed, count in zip(seeds, counts, strict=True):
        phones.check_splits(config.phone, test, count, [seed])


async def _drift(config: Config, run: Run, frozen: "Learner") -> None:
    """The layouts move on: one copy goes on learning, one is frozen; both are tested on the days that follow."""
    drift = config.drift
    end = drift.iterations * drift.days_each
    test = phones.drift_tasks(config.phone, config.test_tasks, 0, end, end + drift.days_each, "test")
    test *= config.test_rollouts
    await phones.play(run, config.phone, frozen.policy, test, "eval-frozen", drift.iterations)
    moving = Continual(frozen)
    await moving.learn()
    await phones.play(run, config.phone, moving.policy, test, "eval-continual", drift.iterations)


class Learner:
    """One arm: an actor that learns offline, then online; critics are fitted anew from the log at each iteration."""

    def __init__(self, config: Config, run: Run, arm: Arm, first: DevicePolicy, judge: Judge) -> None:
        self.config, self.run, self.judge = config, run, judge
        self.arm: Arm = arm
        self.name: str = arm
        self.policy = first.copy(arm)
        optim = OptimConfig(learning_rate=config.actor.learning_rate)
        self.optimizer = make_optimizer(self.policy.model, optim)
        self.rehearsal = policies.Rehearsal(run.folder, first, config.policy.rehearsal)
        self.phases = ["offline", f"train-{arm}"]
        self.first, self.last = 0, config.iterations
        self._features: Features | None = None

    async def learn(self) -> None:
        """Offline (iteration 0), then online; goes on behind the last iteration that was finished."""
        state = TrainingState(self.policy.model, self.policy.tokenizer, self.optimizer)
        for iteration in self.run.iterations(self.name, self.last, state, first=self.first):
            if iteration > 0:
                await self.collect(iteration)
            await asyncio.to_thread(self.update, iteration)
        self.policy.version = f"{self.name}-{self.last}"

    async def collect(self, iteration: int) -> None:
        """Roll out N fresh tasks."""
        seed = _task_seed(self.config, iteration)
        await self.play(phones.draw_tasks(self.config.phone, "train", self.config.rollouts, seed), iteration, seed)

    async def play(self, tasks: Sequence[Task], iteration: int, seed: int) -> None:
        """Play training tasks with the policy as it stands; the judge rewards them."""
        self.policy.version = f"{self.name}-{iteration - 1}"
        phase = f"train-{self.name}"
        await phones.play(self.run, self.config.phone, self.policy, tasks, phase, iteration, seed, self.judge)

    def update(self, iteration: int) -> None:
        """One stage of learning on everything logged so far."""
        stage = self.config.offline if iteration == 0 else self.config.online
        log = read(self.run.store, self.phases, up_to=iteration)
        seed = turn_seed(self.config.seed, 1000 + iteration)
        chosen = self.choose(log, iteration, seed)
        record(self.run.store, self.name, iteration, values=chosen.values, advantages=chosen.advantages)
        traces = [episode.trace for episode in chosen.episodes]
        examples = examples_from_traces(traces, self.policy, chosen.weights)
        examples = [example for example in examples if example.weight > 0]
        loss = None
        if examples:
            actor = self.config.actor
            loss = policies.train_policy(
                f"{self.name} {iteration}: learning",
                self.policy,
                self.rehearsal.beside(examples, seed),
                policies.actor_optim(stage.actor, actor.batch_size, actor.learning_rate, actor.schedule, seed),
                self.config.policy.augment,
                self.optimizer,
            )
        else:
            console.print(f"{self.name} {iteration}: nothing to learn from")
        self.run.log(
            phase=f"update-{self.name}",
            iteration=iteration,
            loss=loss,
            episodes=len(chosen.episodes),
            examples=len(examples),
            wins=sum(episode.success for episode in log),
            log=len(log),
        )

    def choose(self, log: Sequence[Played], iteration: int, seed: int) -> Chosen:
        """What this arm learns from."""
        train, held_out = _split(log)
        if self.arm == "fbc":
            return Chosen.whole(successes(train))
        loss = "squared_error" if self.arm == "digirl-squared-error" else "cross_entropy"
        words = DelexicalisedTokenizer(self.policy)
        step_critic = StepCritic(words, self.features, loss, seed=seed)
        instruction_critic = InstructionCritic(words, loss, seed=seed)
        step_critic.fit(train, adam(self._rounds(iteration).step_critic, seed=seed))
        instruction_critic.fit(train, adam(self._rounds(iteration).instruction_critic, seed=seed))
        self.run.log(phase=f"critics-{self.name}", iteration=iteration, **_quality(step_critic, held_out))
        return choose(train, step_critic, instruction_critic if iteration else None, *self._credit())

    def _rounds(self, iteration: int) -> StageConfig:
        """Updates of critics that are fitted anew: as many as all stages so far would have made."""
        offline, online = self.config.offline, self.config.online
        return StageConfig(
            actor=0,
            step_critic=offline.step_critic + iteration * online.step_critic,
            instruction_critic=offline.instruction_critic + iteration * online.instruction_critic,
        )

    def _credit(self) -> tuple[CreditConfig, Weighting]:
        """The credit of this arm: the ablations change one thing each."""
        credit = self.config.credit
        if self.arm == "digirl-released":
            return replace(credit, rule="released"), "filter"
        weightings: dict[Arm, Weighting] = {"digirl-awr": "awr", "digirl-no-step": "all"}
        return credit, weightings.get(self.arm, "filter")

    @property
    def features(self) -> Features:
        """Frozen image vectors of the screens of the demonstrations and of the offline episodes; made once."""
        if self._features is None:
            screens = phones.screens_of(read(self.run.store, ["demonstrations", "offline"]))
            self._features = phones.image_features(
                self.run, self.policy, self.config.features, screens, self.config.seed
            )
        return self._features


class Continual(Learner):
    """The copy of a DigiRL learner that goes on learning while the days go by."""

    def __init__(self, frozen: Learner) -> None:
        super().__init__(frozen.config, frozen.run, frozen.arm, frozen.policy, frozen.judge)
        self.name = "continual"
        self.phases = [*frozen.phases, "train-continual"]
        self.first, self.last = frozen.last + 1, frozen.last + self.config.drift.iterations

    async def collect(self, iteration: int) -> None:
        """Roll out fresh tasks of the days that this iteration lasts."""
        drift, step = self.config.drift, iteration - self.first + 1
        seed = _task_seed(self.config, 100 + step)
        days = ((step - 1) * drift.days_each, step * drift.days_each)
        tasks = phones.drift_tasks(self.config.phone, drift.rollouts, seed, *days)
        await self.play(tasks, iteration, seed)


def _split(log: Sequence[Played]) -> tuple[list[Played], list[Played]]:
    """The first 80 % of the episodes of each phase and iteration train, the rest validate the critics."""
    groups: dict[tuple[object, object], list[Played]] = {}
    for episode in log:
        info = episode.trace.info
        groups.setdefault((info.get("phase"), info.get("iteration")), []).append(episode)
    train = [episode for group in groups.values() for episode in group[: max(1, round(0.8 * len(group)))]]
    held_out = [episode for group in groups.values() for episode in group[max(1, round(0.8 * len(group))) :]]
    return train, held_out


def _quality(critic: StepCritic, held_out: Sequence[Played]) -> dict[str, float | None]:
    """How well V_step tells successes from failures on episodes it has not seen: the area under the ROC curve."""
    values = critic.values(held_out)
    scores = [float(v) for value in values for v in value[:-1]]
    labels = [episode.success > 0.5 for episode, value in zip(held_out, values, strict=True) for _ in value[:-1]]
    return {"step_auc": auc(scores, labels), "held_out_steps": len(scores)}


def _task_seed(config: Config, iteration: int) -> int:
    return turn_seed(config.seed + 1, iteration)


def _truth_by_task(traces: Iterable[Trace]) -> dict[str, float]:
    """Whether the oracle saw each task done, whatever the judge said: how an arm fared while it learned."""
    seen = {trace.task.id: ever_rewarded(trace, ORACLE) for trace in traces}
    return {task: float(done) for task, done in seen.items() if done is not None}


def _evaluations(config: Config) -> list[tuple[str, Evaluation]]:
    """What a run evaluates, in the order of its table: what it is called there, and its key."""
    ends = [("SFT", Evaluation("sft", 0))]
    ends += [(f"{arm} off-to-on", Evaluation(arm, config.iterations)) for arm in config.arms]
    return ends + [(f"drift: {way}", Evaluation(way, config.drift.iterations)) for way in ("frozen", "continual")]


def _report(config: Config, run: Run, seconds: float) -> None:
    """Print the table and write `report.json`."""
    summaries, rows, rewards = {}, [], {}
    for name, key in _evaluations(config):
        traces = list(run.store.traces(phase=key.phase, iteration=key.iteration))
        if traces:
            summaries[name] = summarize(traces)
            rewards[str(key)] = rewards_by_task(traces)
            low, high = summaries[name].interval
            rows.append({"name": name, "value": summaries[name].success, "low": low, "high": high, "unit": "success"})
    for arm in config.arms:
        rewards[str(Evaluation(arm, training=True))] = _truth_by_task(run.store.traces(phase=f"train-{arm}"))
    console.print(summary_table(summaries, "Held-out tasks, by the oracle"))
    console.print(f"{seconds / 60:.1f} minutes; everything is in {run.folder}")
    run.report(status="done", summary=rows, rewards=rewards, seconds=round(seconds, 1))
