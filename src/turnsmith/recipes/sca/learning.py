"""The arms: what an executor learns from rollouts on its tasks, by each method."""

import copy
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from turnsmith.agents.log_policy import LogPolicy
from turnsmith.credit.group_relative import attempt_advantages
from turnsmith.envs.base import Environment
from turnsmith.judges.base import Judge
from turnsmith.learn import policy_gradient, preference
from turnsmith.learn.checkpoint import TrainingState
from turnsmith.learn.fit import make_optimizer
from turnsmith.recipes.sca.agent import end_of, example_of, train
from turnsmith.recipes.sca.config import Arm, Config
from turnsmith.rollout.collect import Episode, Limits
from turnsmith.rollout.stored import collect_into
from turnsmith.runs.progress import episode_bar
from turnsmith.runs.run import Run
from turnsmith.trace.types import Outcome, Task, Trace


def copy_of(policy: LogPolicy, version: str) -> LogPolicy:
    """The same weights, to be trained apart."""
    return LogPolicy(copy.deepcopy(policy.model), policy.language, policy.sampling, version)


async def rollouts(
    run: Run,
    environment: Environment,
    policy: LogPolicy,
    tasks: Sequence[Task],
    total: int,
    judge: Judge | None,
    phase: str,
    config: Config,
) -> list[Trace]:
    """`total` episodes, as many a task as fit; stored, so that a run that goes on plays only what is missing."""
    if not tasks:
        return []
    episodes = [
        Episode(f"{phase}-{n:05d}", tasks[n % len(tasks)], (config.seed << 24) + n, phase) for n in range(total)
    ]
    with episode_bar(phase, len(episodes), judge.name if judge else "oracle") as bar:
        return await collect_into(
            run.store, environment, policy, episodes, Limits(horizon=config.horizon), workers=64, judge=judge,
            on_trace=bar,
        )  # fmt: skip


def won(trace: Trace, judge: str) -> bool:
    """Whether the judge that trains said that the episode succeeded."""
    return trace.outcome is not Outcome.INFRA_ERROR and (trace.reward(judge) or 0.0) > 0.5


def usable(traces: Sequence[Trace]) -> list[Trace]:
    """Episodes that can be learned from: nothing was lost or cut off."""
    return [trace for trace in traces if trace.turns and trace.outcome is not Outcome.INFRA_ERROR and end_of(trace)]


def imitate(policy: LogPolicy, traces: Sequence[Trace], config: Config) -> dict[str, Any]:
    """Supervised training on these episodes. On successes alone it is REINFORCE with a 0/1 reward."""
    if not traces:
        return {"examples": 0}
    losses = train(policy, [example_of(policy, trace) for trace in traces], replace(config.update, seed=config.seed))
    return {"examples": len(traces), "loss": losses[-1]}


def prefer(policy: LogPolicy, traces: Sequence[Trace], judge: str, config: Config) -> dict[str, Any]:
    """DPO: of a task's episodes, each success against a failure."""
    by_task: dict[str, tuple[list[Trace], list[Trace]]] = {}
    for trace in traces:
        by_task.setdefault(trace.task.id, ([], []))[0 if won(trace, judge) else 1].append(trace)
    rng = random.Random(config.seed)
    pairs = []
    for good, bad in by_task.values():
        for chosen in good if bad else ():
            pairs.append(preference.pair(example_of(policy, chosen), example_of(policy, rng.choice(bad))))
    if not pairs:
        return {"pairs": 0}
    settings = preference.PreferenceConfig(beta=config.dpo_beta, nll=config.dpo_nll)
    with policy.lock:
        done = preference.train(policy.model, pairs, settings, replace(config.update, seed=config.seed))
    return {"pairs": len(pairs), "loss": done[-1]}


async def online(
    run: Run,
    environment: Environment,
    policy: LogPolicy,
    tasks: Sequence[Task],
    judge: Judge,
    arm: Arm,
    config: Config,
) -> dict[str, Any]:
    """PPO or GRPO: several rounds of rollouts and updates with the clipped surrogate, as many rollouts as the others.

    GRPO compares the episodes of a task with one another; PPO with the mean of the round (its clip and its several
    steps a batch, without a critic).
    """
    each = config.rollouts // config.online_iterations
    a_task = max(2, config.rollouts // max(1, arm.tasks))
    optim = replace(config.update, learning_rate=config.online_rate, schedule="constant", warmup_updates=0)
    settings = policy_gradient.PolicyGradientConfig(kl=0.0, inner_updates=4 if arm.method == "ppo" else 2, optim=optim)
    optimizer = make_optimizer(policy.model, optim)
    state = TrainingState(policy.model, None, optimizer)
    report: dict[str, Any] = {}
    for iteration in run.iterations(f"{arm.name}", config.online_iterations, state):
        chosen = random.Random(f"{config.seed}/{iteration}").sample(
            list(tasks), min(len(tasks), max(1, each // a_task))
        )
        policy.version = f"{arm.name}-{iteration - 1}"
        traces = usable(
            await rollouts(run, environment, policy, chosen, each, judge, f"{arm.name}-{iteration:02d}", config)
        )
        if not traces:
            continue
        reward = torch.tensor([float(won(trace, judge.name)) for trace in traces])
        number: Mapping[str, int] = {task.id: place for place, task in enumerate(chosen)}
        groups = [number[trace.task.id] for trace in traces]
        advantage = attempt_advantages(reward, groups) if arm.method == "grpo" else reward - reward.mean()
        sequences = []
        for trace, value in zip(traces, advantage.tolist(), strict=True):
            example = example_of(policy, trace)
            ids = (example.prompt_ids, example.token_ids, example.mask)
            sequences.append(policy_gradient.CreditedSequence(*ids, advantage=value, share=1 / len(traces)))
        with policy.lock:
            found = policy_gradient.update(policy.model, sequences, settings, optimizer)
        report = {"iteration": iteration, "reward": float(reward.mean()), "clipped": found.clipped}
        run.log(phase=arm.name, **report)
    return report
