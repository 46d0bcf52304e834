"""Credit for single turns from groups, states and scores: what others use, what is wrong with it, and what is right.

In an episode the policy decides, turn by turn, when to stop. Everything that is counted a turn (a baseline, a mean over
turns, a normaliser) therefore depends on the actions that it is meant to judge, and what is harmless with a fixed
length becomes a bias. Each function says which, exactly; tests enumerate a small MDP, and docs/credit.md has the table.

A trajectory is the rewards of its T_i turns; groups are trajectories of one task. Nothing here needs a model.
"""

from collections.abc import Hashable, Sequence
from typing import Literal

import torch
from torch import Tensor

from turnsmith.credit.returns import rewards_to_go

Normaliser = Literal["trajectory", "constant"]


def per_turn_baseline(rewards: Sequence[Tensor], leave_one_out: bool = True) -> list[Tensor]:
    """Credit by turn index, as multi-turn GRPO does it: every reward is compared with its turn's mean. **Biased.**

    A_{i,t} = Σ_{k=t}^{T_i} (r_{i,k} − m_k),   m_k = mean of r_{j,k} over the trajectories that reach turn k

    The baseline Σ_{k≥t} m_k has as many terms as the trajectory has turns, and T_i follows from the actions that are
    judged. With m_k from the other trajectories the expected gradient is ∇J − Σ_k E[m_k] ∇P(T ≥ k): where intermediate
    rewards are positive on average it pays to stop, where they are negative it pays to go on. It is right only if those
    means are 0 or the length is fixed. `to_go_baseline` is the unbiased form.

    Args:
        rewards: of each trajectory, shapes (T_i,).
        leave_one_out: m_k from the other trajectories (0 where none reaches turn k); False counts the own reward too,
            as group means do, which scales each turn's credit by 1 − 1/n_k besides.

    Returns:
        A of each turn of each trajectory.

    Raises:
        ValueError: if there are fewer than two trajectories.
    """
    _check_group(rewards)
    total_T, count_T = _columns(rewards)
    centred = []
    for reward_T in rewards:
        length = len(reward_T)
        own_T, others_T = (reward_T, count_T[:length] - 1) if leave_one_out else (0.0, count_T[:length])
        mean_T = (total_T[:length] - own_T) / others_T.clamp_min(1.0)
        centred.append(rewards_to_go(reward_T - mean_T))
    return centred


def to_go_baseline(rewards: Sequence[Tensor], discount: float = 1.0) -> list[Tensor]:
    """Credit by turn index without bias: return to go less what the others' return to go was from the same turn on.

    A_{i,t} = G_{i,t} − mean_{j ≠ i, T_j ≥ t} G_{j,t}   (G_{i,t} alone where no other trajectory reaches turn t)

    The baseline of turn t is a function of the other trajectories alone, so whatever the policy does from turn t on,
    its expected product with ∇ log π(a_t | s_t) is 0, and the expected gradient is ∇J.

    Args, errors: as in `per_turn_baseline`; `discount` is γ.
    """
    _check_group(rewards)
    to_go = [rewards_to_go(reward_T, discount) for reward_T in rewards]
    total_T, count_T = _columns(to_go)
    return [
        return_T - (total_T[: len(return_T)] - return_T) / (count_T[: len(return_T)] - 1).clamp_min(1.0)
        for return_T in to_go
    ]


def recurring_states(
    states: Sequence[Sequence[Hashable]],
    rewards: Sequence[Tensor],
    discount: float = 1.0,
    others_only: bool = False,
) -> list[Tensor]:
    """The step credit of GiGPO (arXiv 2505.10978): returns to go are compared among visits of the same state.

    A_{i,t} = G_{i,t} − mean of G over all visits of s_{i,t} in the group; 0 for a state that is visited once

    **Biased**: the mean holds the own return, once for every time that the trajectory comes back to the state, and how
    often it comes back is the policy's doing; and turns whose state nobody else visits get no credit at all.

    Args:
        states: of each turn of each trajectory; what counts as the same state is the caller's choice.
        rewards: likewise, shapes (T_i,).
        discount: γ.
        others_only: the unbiased form: the mean over visits by *other* trajectories, and G itself where there are none.

    Raises:
        ValueError: if the lengths of states and rewards differ.
    """
    if [len(row) for row in states] != [len(row) for row in rewards]:
        raise ValueError(f"{[len(row) for row in states]} states for {[len(row) for row in rewards]} rewards")
    to_go = [rewards_to_go(reward_T, discount) for reward_T in rewards]
    visits: dict[Hashable, list[tuple[int, float]]] = {}
    for trajectory, (row, return_T) in enumerate(zip(states, to_go, strict=True)):
        for state, gain in zip(row, return_T.tolist(), strict=True):
            visits.setdefault(state, []).append((trajectory, gain))
    found = []
    for trajectory, (row, return_T) in enumerate(zip(states, to_go, strict=True)):
        baselines = []
        for state, gain in zip(row, return_T.tolist(), strict=True):
            known = visits[state]
            if others_only:
                others = [value for owner, value in known if owner != trajectory]
                baselines.append(sum(others) / len(others) if others else 0.0)
            else:
                baselines.append(sum(value for _, value in known) / len(known) if len(known) > 1 else gain)
        found.append(return_T - return_T.new_tensor(baselines))
    return found


def score_differences(score_T1: Tensor, decay: float = 1.0, outcome: float | None = None) -> Tensor:
    """Scores of states (a judge's progress, a value) as credit: their differences, spread backwards over earlier turns.

    A_t = Σ_{k≥t} λ^{k−t} (φ_{k+1} − φ_k)

    With λ = 1 the sum telescopes to φ_{T+1} − φ_t: the outcome less a baseline of the state, so the expected gradient
    is exact whatever the scores are, **if the last score is the outcome**. With λ < 1 it is exact only where φ is the
    policy's own value; other scores bias it, by what they are wrong about: late scores count less than early ones.

    Args:
        score_T1: φ of the T states that were acted in and of the last one, shape (T + 1,).
        decay: λ in [0, 1]; 0 gives the plain one-step differences.
        outcome: the true return, put in the place of the last score. A judge who scores the last state higher than it
            was worth teaches to please the judge.

    Returns:
        A of each turn, shape (T,).

    Raises:
        ValueError: if there are fewer than two scores or λ is out of range.
    """
    if score_T1.ndim != 1 or len(score_T1) < 2:
        raise ValueError(f"scores of shape {tuple(score_T1.shape)}: an episode of T turns has T + 1 states")
    if outcome is not None:
        score_T1 = torch.cat([score_T1[:-1], score_T1.new_tensor([outcome])])
    return rewards_to_go(score_T1[1:] - score_T1[:-1], decay)


def turn_shares(lengths: Sequence[int], normaliser: Normaliser = "constant", horizon: int | None = None) -> Tensor:
    """The factor of each trajectory's summed turn losses: 1/T_i, or the same constant for all, shape (N,), float64.

    With an outcome R and a baseline b, 1/T_i does not ascend E[R] but **E[(R − b) / T]**: of two failures the longer
    one costs less, of two successes the shorter one earns more. A constant (1 over the horizon) leaves ∇J alone.

    Args:
        lengths: T_i, turns or tokens.
        normaliser: "trajectory" or "constant".
        horizon: of the constant; the longest of these trajectories without (a function of the batch: better given).

    Raises:
        ValueError: if a length is not positive or exceeds the horizon, or the normaliser is unknown.
    """
    if not lengths or min(lengths) < 1:
        raise ValueError(f"trajectories need at least one turn each; got lengths {list(lengths)[:8]}")
    if normaliser == "trajectory":
        return torch.tensor([1.0 / length for length in lengths], dtype=torch.float64)
    if normaliser != "constant":
        raise ValueError(f"unknown normaliser {normaliser!r}; there are trajectory and constant")
    longest = max(lengths) if horizon is None else horizon
    if max(lengths) > longest:
        raise ValueError(f"a trajectory of {max(lengths)} turns is longer than the horizon {longest}")
    return torch.full((len(lengths),), 1.0 / longest, dtype=torch.float64)


def _columns(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Sum and number of the entries of each turn index."""
    longest = max(len(row) for row in rows)
    total_T, count_T = rows[0].new_zeros(longest), rows[0].new_zeros(longest)
    for row in rows:
        total_T[: len(row)] += row
        count_T[: len(row)] += 1
    return total_T, count_T


def _check_group(rewards: Sequence[Tensor]) -> None:
    if len(rewards) < 2:
        raise ValueError(f"a group needs at least two trajectories, not {len(rewards)}")
