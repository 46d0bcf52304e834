"""TTI (arXiv 2506.07976): filtered behaviour cloning under a horizon that grows.

    warm start = SFT on demonstrations that also wander and go back               (a pretrained model needs none)
    for each arm (fixed short, fixed long, additive, multiplicative, reversed), from the same warm start:
        for i in 1..K:
            h_i = schedule(i)
            roll out fresh training tasks under h_i, as many as B environment steps pay for
            D += trajectories;  D+ = successes, but none that answers N/A
            U updates of cross-entropy on thought and action of trajectories drawn from D+, the newer the likelier
        test under h_test

The tasks are hunts (`worlds/sites/hunt.py`): 6 to 20 steps, which no search shortens. All arms spend the same steps and
updates, meet the same tasks in the same order, and are tested under the same horizon. The training reward is the sites'
programmatic oracle. At the end the paper's training-free re-check is compared with longer thoughts and best of n at
equal tokens: a mechanism here, since its effect needs an instruction-following model.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from turnsmith.agents.base import Policy
from turnsmith.agents.hf_policy import HFPolicy
from turnsmith.credit.record import record as record_credit
from turnsmith.engine.sampling import turn_seed
from turnsmith.envs.base import Environment
from turnsmith.evaluate.summary import rewards_by_task
from turnsmith.judges.webarena.strings import clean
from turnsmith.learn.checkpoint import TrainingState
from turnsmith.learn.examples import Example, examples_from_traces
from turnsmith.learn.fit import make_optimizer
from turnsmith.learn.optim import OptimConfig
from turnsmith.learn.replay import draw, weights
from turnsmith.learn.transforms.rename import Renamer, entity_words, keep_words, kept_words, renamer_of
from turnsmith.recipes.shared.training import train_with_bar
from turnsmith.recipes.shared.web import starting_policy
from turnsmith.recipes.tti.claims import WARM, record_claims
from turnsmith.recipes.tti.config import Arm, Config
from turnsmith.recipes.tti.episodes import Episodes
from turnsmith.recipes.tti.report import behaviour, finish
from turnsmith.rollout.recheck import Recheck
from turnsmith.rollout.steps import steps_of
from turnsmith.rollout.thinking import BestOfN, BudgetForcing
from turnsmith.runs.config import changed, to_json
from turnsmith.runs.run import Run
from turnsmith.tasks.horizon import training_horizons
from turnsmith.tasks.splits import check_overlap
from turnsmith.trace.types import ORACLE, Task, Trace
from turnsmith.view.report import write_report
from turnsmith.worlds.sites.demonstrator import STRAY


def main(config: Config) -> Path:
    """Run the recipe, or go on with a run that was stopped.

    Returns:
        The path of `report.html`.

    Raises:
        UserError: if something that the user can mend is missing or wrong.
    """
    with Run(Path("runs") / config.name, to_json("tti", config), may_grow=("arms",)) as run:
        asyncio.run(_main(config, run))
    if config.preset_name == "laptop" and not config.tasks and set(config.arms) == set(Arm) and not changed(config):
        record_claims(config)
    return write_report(run.folder, traces=10)


async def _main(config: Config, run: Run) -> None:
    started = time.time()
    run.report(status="running", recipe="tti", config=run.config)
    rewards: dict[str, dict[str, float]] = {}
    async with Episodes(run, config) as episodes:
        test = episodes.tasks.draw("test", config.test_tasks, seed=0)  # the same for every seed and arm
        episodes.tasks.check_demonstrations(config.demonstrations.count)
        check_overlap(episodes.tasks.draw("train", config.demonstrations.count, config.seed), test)
        for iteration in range(1, config.iterations + 1):
            check_overlap(episodes.tasks.draw("train", config.keep, turn_seed(config.seed + 1000, iteration)), test)
        policy, transform = await warm_start(config, run, episodes)
        traces = await _test(config, episodes, policy, WARM, test)
        rewards[WARM] = rewards_by_task(traces, episodes.decides)
        for arm in config.arms:
            policy = await train_arm(config, run, episodes, arm, transform)
            traces = await _test(config, episodes, policy, arm.value, test)
            rewards[arm.value] = rewards_by_task(traces, episodes.decides)
        thought = await think_more(config, run, episodes, test)
    finish(config, run, episodes.decides, rewards, thought, time.time() - started)


async def _test(config: Config, episodes: Episodes, policy: HFPolicy, name: str, tasks: Sequence[Task]) -> list[Trace]:
    """Every test task once under the test horizon; seeds pair up across arms."""
    iteration = 0 if name == WARM else config.iterations
    return await episodes.evaluate(
        policy, tasks, iteration, phase=f"eval-{name}", horizon=config.horizons.test, pictures=config.pictures
    )


# -- the warm start


async def warm_start(config: Config, run: Run, episodes: Episodes) -> tuple[HFPolicy, Renamer | None]:
    """The policy that every arm begins with, kept in `checkpoints/warm`; and the renamer of its learning."""
    demonstrations = await episodes.demonstrate(config.demonstrations, config.seed)
    policy = starting_policy(config.policy, config.seed, demonstrations)
    examples = [
        example
        for trace in demonstrations
        for example, turn in zip(examples_from_traces([trace], policy, keep_invalid=True), trace.turns, strict=True)
        if not turn.action.text.startswith(f"Thought: {STRAY}")
    ]
    if config.rename and config.policy.model == "scratch":
        keep_words(policy.model, kept_words(examples, policy.tokenizer, entity_words(demonstrations)))
    transform = renamer_of(policy) if config.rename else None
    if examples:
        optim = replace(config.sft, seed=config.seed)
        state = _state(policy, optim)
        total = optim.updates(len(examples))
        for number in run.iterations(WARM, -(-total // config.sft_slice), state):
            first, last = (number - 1) * config.sft_slice, min(total, number * config.sft_slice)
            await asyncio.to_thread(learn, policy, examples, optim, transform, state, "warm start", first, last)
    policy.version = WARM
    return policy, transform


def _state(policy: HFPolicy, optim: OptimConfig) -> TrainingState:
    return TrainingState(policy.model, policy.processor or policy.tokenizer, make_optimizer(policy.model, optim))


def learn(
    policy: HFPolicy,
    examples: Sequence[Example],
    optim: OptimConfig,
    transform: Renamer | None,
    state: TrainingState,
    what: str,
    first: int = 0,
    last: int | None = None,
) -> float:
    """Updates `first` to `last` (all without), while nobody samples; the mean loss of the last tenth of them."""
    with policy.lock:
        return train_with_bar(what, policy.model, examples, optim, state.optimizer, transform, first, last)


# -- an arm


async def train_arm(config: Config, run: Run, episodes: Episodes, arm: Arm, transform: Renamer | None) -> HFPolicy:
    """Filtered behaviour cloning from the warm start under the arm's horizons; the policy that comes of it."""
    policy = _warm_policy(config, run)
    phase = f"train-{arm.value}"
    state = _state(policy, config.update)
    state.notes = {"left": 0, "owed": 0}
    horizons = training_horizons(config.horizons_of(arm), config.iterations)
    for iteration in run.iterations(arm.value, config.iterations, state):
        policy.version = f"{arm.value}-{iteration - 1}"
        horizon, budget = horizons[iteration - 1], config.steps + state.notes["left"]
        # Small groups of long episodes leave sessions idle: what they would cost is the next iteration's.
        least = 1 if iteration == config.iterations else max(1, config.web.sessions // 4)
        traces = await episodes.spend(policy, phase, iteration, horizon, budget, least)
        left = budget - steps_of(traces)
        won = successes(config, run, phase, iteration, episodes.decides)
        # Every turn of a success counts alike: its advantage is the outcome, and there is no critic.
        record_credit(run.store, arm.value, iteration, advantages={t.id: [1.0] * len(t.turns) for t in won})
        seen = [run.store.with_images(trace) for trace in won] if policy.processor is not None else won
        examples = examples_from_traces(seen, policy)
        figures = {"horizon": horizon, "trajectories": len(won), **behaviour(traces, episodes.decides)}
        owed = state.notes["owed"] + 1  # an iteration without a success owes its updates, so that arms make as many
        if examples:
            optim = _times(replace(config.update, seed=config.seed * 1000 + iteration), owed)
            what = f"{arm.value}, iteration {iteration}: learning"
            figures["loss"] = await asyncio.to_thread(learn, policy, examples, optim, transform, state, what)
            owed = 0
        state.notes = {"left": left, "owed": owed}
        run.log(phase=phase, iteration=iteration, **figures)
    policy.version = f"{arm.value}-{config.iterations}"
    return policy


def _warm_policy(config: Config, run: Run) -> HFPolicy:
    """A policy with the weights of the warm start: the checkpoint's, or those of the model that needed none."""
    done = run.finished(WARM)
    if done is None:
        return starting_policy(config.policy, config.seed)
    return _policy_at(config, run.folder / "checkpoints" / WARM / f"step-{done}" / "model")


def _policy_at(config: Config, folder: Path) -> HFPolicy:
    return starting_policy(replace(config.policy, model=str(folder)), config.seed)


def _times(optim: OptimConfig, count: int) -> OptimConfig:
    """So many times the updates of one iteration."""
    if optim.max_updates is None:
        return replace(optim, epochs=optim.epochs * count)
    return replace(optim, max_updates=optim.max_updates * count)


def successes(config: Config, run: Run, phase: str, iteration: int, judge: str = ORACLE) -> list[Trace]:
    """What this iteration learns from: drawn from an arm's successes of all iterations, those with "N/A" left out."""
    ids = [summary.id for summary in run.store.summaries(phase=phase) if (summary.iteration or 0) <= iteration]
    won = [trace for trace in map(run.store.get, ids) if (trace.reward(judge) or 0.0) > 0.5]
    won = [trace for trace in won if clean(trace.answer or "") != "n/a"]
    won.sort(key=lambda trace: (trace.info["iteration"], trace.id))
    chances = weights([str(trace.task.params.get("site", "")) for trace in won], config.replay)
    return draw(won, chances, config.keep, f"{config.seed}/{phase}/{iteration}")


# -- more at test time


async def think_more(config: Config, run: Run, episodes: Episodes, test: Sequence[Task]) -> dict[str, list[Trace]]:
    """Re-check, budget forcing and best of n with one arm's final policy; the traces of each setting."""
    settings = config.thinking
    tasks = test[: settings.tasks]
    if not tasks or settings.arm not in config.arms:
        return {}
    policy = _final_policy(config, run, settings.arm)
    horizon = config.horizons.test

    def checked(answers: int) -> Callable[[Environment], Environment]:
        return lambda environment: Recheck(environment, answers, horizon)

    tried: dict[str, tuple[Policy, Callable[[Environment], Environment] | None]] = {"plain": (policy, None)}
    for count in settings.answers:
        tried[f"answers-{count}"] = policy, checked(count)
    for times in settings.forced:
        tried[f"forced-{times}"] = BudgetForcing(policy, times), None
    for n in settings.samples:
        tried[f"best-{n}"] = BestOfN(policy, n), None
    return {
        name: await episodes.evaluate(
            who, tasks, config.iterations, phase=f"eval-{name}", horizon=horizon, around=around
        )
        for name, (who, around) in tried.items()
    }


def _final_policy(config: Config, run: Run, arm: Arm) -> HFPolicy:
    """The policy that an arm has become."""
    folder = run.folder / "checkpoints" / arm.value / f"step-{run.finished(arm.value)}" / "model"
    policy = _policy_at(config, folder)
    policy.version = f"{arm.value}-{config.iterations}"
    return policy
