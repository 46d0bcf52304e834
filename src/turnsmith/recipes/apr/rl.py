"""GRPO on trees of threads: sample groups, reward roots, credit parents and children, update.

    for each of P problems: sample G trees at temperature 1;  r = the checker on the root's closing path
    A = (r - mean) / (std + 1e-10) in the group, copied to every call of the tree
    L = sum over calls of (1 / calls of the tree) * clipped token mean, / trees;  + beta * k3, not divided by calls

(APR, arXiv 2504.15466, and its released trainer.) Joined text is masked, the end-of-sequence token is not. Options that
the paper does not have: credit to parents alone, a reward that counts tokens or the critical path.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from turnsmith.credit.group_relative import attempt_advantages, cost_aware, sequence_weights
from turnsmith.engine.sampling import turn_seed
from turnsmith.engine.tree import Status
from turnsmith.learn.policy_gradient import PolicyGradientConfig, UpdateReport, update
from turnsmith.learn.policy_gradient import Sequence as Learned
from turnsmith.recipes.apr.data import Tier
from turnsmith.recipes.apr.rollout import Attempt, Attempts, Method, attempt_all
from turnsmith.recipes.apr.threads import CompactThreads


@dataclass(frozen=True, slots=True)
class RL:
    """One run of GRPO.

    Attributes:
        steps: batches.
        problems, group: P and G.
        learning_rate, kl, clip, inner_updates: see `learn.policy_gradient`.
        credit: "children": every call of a tree; "parent": the root's calls alone.
        cost, price: what a success pays for, and how much of its reward at the most; 0 is the paper.
    """

    steps: int = 40
    problems: int = 16
    group: int = 5
    learning_rate: float = 2e-4
    kl: float = 0.001
    clip: float = 0.2
    inner_updates: int = 2
    credit: Literal["children", "parent"] = "children"
    cost: Literal["tokens", "critical_path"] = "tokens"
    price: float = 0.0


def rewards_of(attempts: Sequence[Attempt], rl: RL, window: int) -> torch.Tensor:
    """Reward of each attempt, (N,) float64."""
    reward_N = torch.tensor([float(attempt.solved) for attempt in attempts], dtype=torch.float64)
    if rl.price == 0:
        return reward_N
    costs = [a.tree.total if rl.cost == "tokens" else a.tree.critical_path for a in attempts]
    # A tree of four full windows in all, or of two in sequence, pays the whole price.
    limit = window * (4 if rl.cost == "tokens" else 2)
    return cost_aware(reward_N, torch.tensor(costs, dtype=torch.float64), rl.price, limit)


def to_sequences(attempts: Sequence[Attempt], advantage_N: torch.Tensor, rl: RL) -> list[Learned]:
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
        Learned(
            tuple(call.prompt_ids),
            tuple(call.token_ids),
            tuple(call.sampled),
            float(advantage_N[number]),
            float(share),
            1.0 / len(calls),
        )
        for (number, _, call), share in zip(calls, share_S, strict=True)
    ]


def step(
    model: Any,
    reference: Any,
    optimizer: torch.optim.Optimizer,
    protocol: CompactThreads,
    tier: Tier,
    method: Method,
    rl: RL,
    number: int,
    seed: int,
    rows: int,
) -> tuple[Attempts, list[float], UpdateReport]:
    """One batch: its problems and samples depend on `seed` and `number` alone.

    Returns:
        The attempts, the advantage of each, and what the update did.
    """
    rng = random.Random(f"{seed}/rl/{number}")
    problems = [tier.draw(rng, test=False) for _ in range(rl.problems)]
    asked = [problem for problem in problems for _ in range(rl.group)]
    groups = [group for group in range(rl.problems) for _ in range(rl.group)]
    seeds = [turn_seed(turn_seed(seed, number), place) for place in range(len(asked))]
    attempts = attempt_all(model, protocol, method, asked, seeds, rows)
    advantage_N = attempt_advantages(rewards_of(attempts.attempts, rl, method.window), groups)
    sequences = to_sequences(attempts.attempts, advantage_N, rl)
    config = PolicyGradientConfig(rl.learning_rate, rl.clip, rl.kl, rl.inner_updates)
    report = update(model, sequences, config, optimizer, reference)
    return attempts, advantage_N.tolist(), report


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
