"""GRPO on trees of threads: sample groups, reward roots, credit parents and children, update.

    for each of P problems: sample G trees at temperature 1;  r = the checker on the root's closing path
    A = (r - mean) / (std + 1e-10) in the group, copied to every call of the tree
    L = sum over calls of (1 / calls of the tree) * clipped token mean, / trees;  + beta * k3, not divided by calls

(APR, arXiv 2504.15466, and its released trainer.) Joined text is masked, the end-of-sequence token is not. Options that
the paper does not have: credit to parents alone, a reward that counts tokens or the critical path.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from transformers import PreTrainedModel

from turnsmith.credit.group_relative import attempt_advantages, cost_aware, sequence_weights
from turnsmith.engine.sampling import turn_seed
from turnsmith.engine.tree import Status
from turnsmith.learn.policy_gradient import CreditedSequence, PolicyGradientConfig, UpdateReport, update
from turnsmith.recipes.apr.config import RL
from turnsmith.recipes.apr.rollout import Attempt, Method, attempt_all
from turnsmith.recipes.apr.threads import Wording
from turnsmith.recipes.apr.tier import Tier


@dataclass(frozen=True, slots=True)
class Sampling:
    """Where the rollouts of a batch come from.

    Attributes:
        tier: the game.
        wording: what threads are said in.
        method: how the model is asked.
        seed: of the run.
        rows: threads decoded at once.
    """

    tier: Tier
    wording: Wording
    method: Method
    seed: int
    rows: int


def rewards_of(attempts: Sequence[Attempt], rl: RL, window: int) -> torch.Tensor:
    """Reward of each attempt, (N,) float64."""
    reward_N = torch.tensor([float(attempt.solved) for attempt in attempts], dtype=torch.float64)
    if rl.price == 0:
        return reward_N
    costs = [a.tree.total if rl.cost == "tokens" else a.tree.critical_path for a in attempts]
    # A tree of four full windows in all, or of two in sequence, pays the whole price.
    limit = window * (4 if rl.cost == "tokens" else 2)
    return cost_aware(reward_N, torch.tensor(costs, dtype=torch.float64), rl.price, limit)


def to_sequences(attempts: Sequence[Attempt], advantage_N: torch.Tensor, rl: RL) -> list[CreditedSequence]:
    """Every call of every tree with its advantage and its share of the batch's loss.

    Cancelled threads say nothing of what their end would have been, but what they wrote was chosen: they are kept.
    Failed and cut ones are kept too.
    """
    calls = [
        (number, thread, call)
        for number, attempt in enumerate(attempts)
        for thread in attempt.tree.threads
        for call in thread.calls
        if any(call.sampled)
    ]
    credited = [rl.credit == "children" or thread.parent is None for _, thread, _ in calls]
    share_S = sequence_weights([number for number, _, _ in calls], credited) / len(attempts)
    return [
        CreditedSequence(
            tuple(call.prompt_ids),
            tuple(call.token_ids),
            tuple(call.sampled),
            float(advantage_N[number]),
            float(share),
            1.0 / len(calls),
        )
        for (number, _, call), share in zip(calls, share_S, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Learned:
    """One batch: its attempts, the advantage of each, and what the update did."""

    attempts: list[Attempt]
    advantages: list[float]
    report: UpdateReport


def step(
    model: PreTrainedModel,
    reference: PreTrainedModel,
    optimizer: torch.optim.Optimizer,
    sampling: Sampling,
    rl: RL,
    batch: int,
) -> Learned:
    """One batch of GRPO; its problems and samples depend on the run's seed and `batch` alone."""
    rng = random.Random(f"{sampling.seed}/rl/{batch}")
    problems = [sampling.tier.draw(rng, test=False) for _ in range(rl.problems)]
    asked = [problem for problem in problems for _ in range(rl.group)]
    groups = [group for group in range(rl.problems) for _ in range(rl.group)]
    seeds = [turn_seed(turn_seed(sampling.seed, batch), place) for place in range(len(asked))]
    attempts = attempt_all(model, sampling.wording, sampling.method, asked, seeds, sampling.rows).attempts
    advantage_N = attempt_advantages(rewards_of(attempts, rl, sampling.method.window), groups)
    optim = replace(PolicyGradientConfig().optim, learning_rate=rl.learning_rate)
    config = PolicyGradientConfig(clip=rl.clip, kl=rl.kl, inner_updates=rl.inner_updates, optim=optim)
    report = update(model, to_sequences(attempts, advantage_N, rl), config, optimizer, reference)
    return Learned(attempts, advantage_N.tolist(), report)


def summary(attempts: Sequence[Attempt]) -> dict[str, float]:
    """Figures of a batch of attempts for `metrics.jsonl`."""
    count = len(attempts)
    spawning = [attempt for attempt in attempts if attempt.children]
    return {
        "success": sum(a.solved for a in attempts) / count,
        "children": sum(a.children for a in attempts) / count,
        "spawning": len(spawning) / count,
        "total_tokens": sum(a.tree.total for a in attempts) / count,
        "longest_thread": sum(a.tree.longest for a in attempts) / count,
        "critical_path": sum(a.tree.critical_path for a in attempts) / count,
        "out_of_window": sum(a.tree.root.status is Status.WINDOW for a in attempts) / count,
        "malformed": sum(a.tree.root.status is Status.FAILED for a in attempts) / count,
    }
