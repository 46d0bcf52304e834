"""The credit of Digi-Q (arXiv 2502.15760): a Q-function by temporal differences, and how a policy is read off it.

Q and V evaluate the policy that made the log (no maximum over actions anywhere): Q learns r + γ V̄(s'), V learns
Q̄(s, a) on the action that was taken, both bars being slow copies. There are two heads of each; a head learns from the
slow copy of its own partner. The policy is then extracted from candidates that were *not* executed: best-of-N.

Notable:
- `mc_target` puts the discounted return in the place of the bootstrap with everything else equal, so that "TD against
  Monte Carlo" compares backups and nothing more.
- `lambda_target` is what lies between: the paper bootstraps after one step (λ = 0), Monte Carlo never does (λ = 1).
"""

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor

from turnsmith.credit.returns import rewards_to_go

Heads = Literal["max", "min", "mean"]


def q_target(reward_B: Tensor, next_value_B: Tensor, done_B: Tensor, discount: float) -> Tensor:
    """What Q(s, a) regresses to: r + γ (1 − d) V̄(s'), shape of `next_value_B` ((B,) or (heads, B)). A constant.

    Args:
        reward_B: reward of the step, shape (B,).
        next_value_B: V̄(s') of the slow copy.
        done_B: 1 where the episode ended with this step in its own right; a step that was only cut off bootstraps.
        discount: γ in [0, 1].

    Raises:
        ValueError: if γ is out of range.
    """
    if not 0.0 <= discount <= 1.0:
        raise ValueError(f"discount {discount} is not in [0, 1]")
    return (reward_B + discount * (1 - done_B.to(next_value_B)) * next_value_B).detach()


def mc_target(reward_T: Tensor, discount: float) -> Tensor:
    """What Q regresses to in the Monte Carlo arm: the discounted return from each step on, shape (T,)."""
    return rewards_to_go(reward_T, discount).detach()


def lambda_target(reward_S: Tensor, next_value_S: Tensor, done_S: Tensor, discount: float, decay: float) -> Tensor:
    """λ-returns (Sutton and Barto 2018, eq. 12.2 in recursive form) of episodes that stand one after the other, (S,).

    G_t = r_t + γ (1 − d_t) ((1 − λ) V̄(s_{t+1}) + λ G_{t+1}). They are constants, and on-policy: the actions of the log
    are those whose values are learned, so nothing is corrected for.

    Args:
        reward_S: reward of each step.
        next_value_S: V̄ of the state after each step; not read where an episode ended.
        done_S: 1 for the last step of each episode.
        discount: γ in [0, 1].
        decay: λ in [0, 1].

    Raises:
        ValueError: if γ or λ is out of range.
    """
    if not (0.0 <= discount <= 1.0 and 0.0 <= decay <= 1.0):
        raise ValueError(f"discount {discount} or decay {decay} is not in [0, 1]")
    found = torch.zeros_like(reward_S)
    later = 0.0
    rows = zip(reward_S.tolist(), next_value_S.tolist(), done_S.tolist(), strict=True)
    for index, (reward, value, done) in reversed(list(enumerate(rows))):
        later = reward if done else reward + discount * ((1 - decay) * value + decay * later)
        found[index] = later
    return found


def squared_error(estimate_HB: Tensor, target: Tensor) -> Tensor:
    """Mean over the batch, summed over heads, of (estimate − target)²: the J_Q and J_V of Digi-Q.

    Args:
        estimate_HB: of each head, shape (heads, B).
        target: shape (heads, B), or (B,) for all heads alike; no gradient flows into it.
    """
    return (estimate_HB - target.detach()).square().mean(dim=-1).sum()


@torch.no_grad()
def polyak(slow: Iterable[Tensor], fast: Iterable[Tensor], rate: float) -> None:
    """Move slow parameters towards the fast ones in place: θ̄ ← (1 − τ) θ̄ + τ θ.

    Raises:
        ValueError: if τ is not in [0, 1].
    """
    if not 0.0 <= rate <= 1.0:
        raise ValueError(f"rate {rate} is not in [0, 1]")
    for target, source in zip(slow, fast, strict=True):
        target.lerp_(source.detach(), rate)


def join_heads(estimate_HB: Tensor, how: Heads) -> Tensor:
    """One number from all heads, shape without the first axis: "max" in Digi-Q's extraction, "min" in DigiRL."""
    if how == "mean":
        return estimate_HB.mean(dim=0)
    return estimate_HB.amax(dim=0) if how == "max" else estimate_HB.amin(dim=0)


def best_of_n(q_BN: Tensor, value_B: Tensor, valid_BN: Tensor, margin: float = 0.0) -> tuple[Tensor, Tensor]:
    """Best-of-N extraction: the candidate with the highest Q of each state, and whether it is worth imitating.

    δ_i = 1{i = argmax_j Q(s, a_j) and Q(s, a_i) − V(s) > margin}

    The paper's margin is 0; the authors' code uses 1/H (0.10 and 0.05). Candidates that did not parse never win.

    Args:
        q_BN: Q of each candidate, shape (B, N).
        value_B: V of each state, shape (B,).
        valid_BN: True where the candidate is an action, shape (B, N).
        margin: what the best candidate must gain over V.

    Returns:
        (index of the best candidate (B,), True where it is kept (B,)). A state without a valid candidate is not kept.

    Raises:
        ValueError: if the shapes do not fit.
    """
    if q_BN.shape != valid_BN.shape or q_BN.shape[:1] != value_B.shape:
        raise ValueError(f"shapes {tuple(q_BN.shape)}, {tuple(value_B.shape)}, {tuple(valid_BN.shape)} do not fit")
    best_B = q_BN.masked_fill(~valid_BN, -torch.inf).argmax(dim=1)
    gain_B = q_BN.gather(1, best_B[:, None])[:, 0] - value_B
    return best_B, (gain_B > margin) & valid_BN.any(dim=1)


def softmax_of_n(q_BN: Tensor, valid_BN: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """A soft best of N: of each state one candidate, drawn with probability ∝ exp(Q(s, a_i) / β).

    With N growing and candidates from π_β this draws from π_β(a|s) exp(Q(s, a) / β) / Z, the policy that is best at
    E[Q] − β KL(π‖π_β). The best of N instead takes whatever Q errs about most, however rare it is.

    Args:
        q_BN: Q of each candidate, shape (B, N); a candidate drawn several times is there as often.
        valid_BN: True where the candidate is an action, shape (B, N).
        temperature: β, in units of Q.
        generator: of the draws.

    Returns:
        Index of the drawn candidate, (B,); 0 for a state without a valid one.

    Raises:
        ValueError: if the shapes do not fit or β is not positive.
    """
    if q_BN.shape != valid_BN.shape:
        raise ValueError(f"shapes {tuple(q_BN.shape)} and {tuple(valid_BN.shape)} do not fit")
    if temperature <= 0:
        raise ValueError(f"the temperature of a softmax is positive, not {temperature}")
    weights = (q_BN / temperature).masked_fill(~valid_BN, -torch.inf).softmax(dim=1)
    weights[~valid_BN.any(dim=1)] = 1.0  # the caller leaves these states out
    drawn_B = torch.multinomial(weights, 1, generator=generator)[:, 0]
    return drawn_B.masked_fill(~valid_BN.any(dim=1), 0)
