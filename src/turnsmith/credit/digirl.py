"""The credit of DigiRL (arXiv 2406.11896): which step of which episode is worth learning from.

Two questions, two advantages. *Which task?* The instruction-level advantage R − V(c) is high where the agent succeeded
at something that it mostly fails at: an automatic curriculum. *Which step?* The doubly robust step advantage mixes the
episode's outcome (unbiased, but it blames and praises whole episodes) with a one-step value difference (local, but only
as good as the critic).

Notable: two rules are here by name. `paper` is the formula of the paper (equation 4.3). `released` is what the authors'
code computes instead; it counts the last reward twice and has a constant of 1/20 whatever the horizon is.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Rule = Literal["paper", "released"]
RULES: tuple[Rule, ...] = ("paper", "released")


def outcome_weight(steps: int, success: float, horizon: int | None = None, mix: float = 0.5) -> Tensor:
    """How much each step's credit rests on the outcome: w_h = λ^(H−h) R for h = 1..T, float64, shape (T,).

    Args:
        steps: T, the actions of the episode.
        success: R of the whole episode, in [0, 1].
        horizon: H; None takes the episode's own last step, so that the last step's weight is R.
        mix: λ in [0, 1].

    Raises:
        ValueError: if λ or R is outside [0, 1], or the horizon is shorter than the episode.
    """
    last = steps if horizon is None else horizon
    if not 0.0 <= mix <= 1.0 or not 0.0 <= success <= 1.0:
        raise ValueError(f"mix {mix} and success {success} must lie in [0, 1]")
    if last < steps:
        raise ValueError(f"the horizon {last} is shorter than the episode's {steps} steps")
    ahead_T = torch.arange(last - 1, last - 1 - steps, -1, dtype=torch.float64)
    return success * torch.pow(torch.tensor(mix, dtype=torch.float64), ahead_T)


def doubly_robust_advantage(
    value_T1: Tensor, reward_T: Tensor, success: float, horizon: int | None = None, mix: float = 0.5
) -> Tensor:
    """Step advantage of DigiRL: the outcome mixed with a one-step value difference (arXiv 2406.11896, equation 4.3).

    A_h = w_h + (1 − w_h) (r_h + V(s_{h+1}) − V(s_h)),   w_h = λ^(H−h) R

    R is inside the second weight too: in a failed episode the value difference stands alone.

    Args:
        value_T1: V(s_1..s_{T+1}), shape (T+1,); the last entry is 0 where the episode ended in its own right.
        reward_T: reward of each step, shape (T,).
        success: R, 1 if the episode succeeded, else 0.
        horizon: H, in executed actions; None takes the last step of this episode (R is the reward of its end).
        mix: λ; the authors use 0.5.

    Returns:
        Advantage of each step, shape (T,), in the type of `value_T1`.

    Raises:
        ValueError: if the lengths of values and rewards do not differ by one, or a number is out of its range.
    """
    _check_lengths(value_T1, reward_T)
    weight_T = outcome_weight(len(reward_T), success, horizon, mix).to(value_T1)
    return weight_T + (1 - weight_T) * (reward_T + value_T1[1:] - value_T1[:-1])


def released_advantage(
    value_T1: Tensor, reward_T: Tensor, success: float, mix: float = 0.5, margin: float = 0.05
) -> Tensor:
    """Step advantage of the authors' code: A = clamp(V(s') − V(s) − 0.05 + r + λ^(T−h) R, 0, 1).

    Not the paper's: nothing weighs the value difference down, the final reward counts twice (as r and in the Monte
    Carlo term), and the margin is a constant. A step is kept where A > 0.

    Args, errors: as in `doubly_robust_advantage`; `margin` is what a step must gain to count.

    Returns:
        Advantage of each step in [0, 1], shape (T,).
    """
    _check_lengths(value_T1, reward_T)
    return_T = outcome_weight(len(reward_T), success, None, mix).to(value_T1)
    return (value_T1[1:] - value_T1[:-1] - margin + reward_T + return_T).clamp(0.0, 1.0)


def step_weights(
    value_T1: Tensor,
    reward_T: Tensor,
    success: float,
    *,
    rule: Rule = "paper",
    mix: float = 0.5,
    threshold: float = 0.1,
) -> tuple[Tensor, Tensor]:
    """Advantage of each step, and 1 where the hard filter keeps it, else 0; both of shape (T,).

    The paper keeps A > 1/H, `threshold` here; the authors' code keeps A > 0 after its margin.

    Raises:
        ValueError: if the rule is unknown, or as in the functions above.
    """
    if rule == "paper":
        advantage_T = doubly_robust_advantage(value_T1, reward_T, success, mix=mix)
        return advantage_T, hard_filter(advantage_T, threshold)
    if rule == "released":
        advantage_T = released_advantage(value_T1, reward_T, success, mix=mix)
        return advantage_T, hard_filter(advantage_T, 0.0)
    raise ValueError(f"unknown rule {rule!r}; there are {', '.join(RULES)}")


def hard_filter(advantage_T: Tensor, threshold: float) -> Tensor:
    """1 where the advantage exceeds the threshold, else 0: DigiRL's replacement of the weight exp(A / β)."""
    return (advantage_T > threshold).to(advantage_T)


def awr_weights(advantage_T: Tensor, temperature: float, largest: float = 20.0) -> Tensor:
    """Advantage-weighted regression (arXiv 1910.00177): min(exp(A / β), `largest`), shape as given.

    Clipped in the exponent, so that it never overflows (with the authors' β of 0.01 it would from A = 7 on).

    Raises:
        ValueError: if β or the largest weight is not positive.
    """
    if temperature <= 0 or largest <= 0:
        raise ValueError(f"temperature {temperature} and largest weight {largest} must be positive")
    ceiling = torch.as_tensor(largest, dtype=advantage_T.dtype).log()
    return (advantage_T / temperature).clamp(max=float(ceiling)).exp()


def instruction_advantage(success_N: Tensor, value_N: Tensor) -> Tensor:
    """A_instruct = R − V_instruct(c) of each episode (equation 4.5), shape (N,): high where a hard task succeeded.

    Raises:
        ValueError: if the shapes differ.
    """
    if success_N.shape != value_N.shape:
        raise ValueError(f"{tuple(success_N.shape)} outcomes and {tuple(value_N.shape)} values differ in shape")
    return success_N - value_N


def curriculum(advantage_N: Sequence[float] | Tensor, fraction: float, rule: Rule = "paper") -> list[int]:
    """Which episodes to learn from: the `fraction` with the highest instruction-level advantage.

    Args:
        advantage_N: A_instruct of each episode, oldest first, shape (N,).
        fraction: the paper's p, in (0, 1].
        rule: "paper" keeps exactly ceil(p N) episodes, the newer ones among equals. "released" keeps all that reach
            the (1 − p) quantile, as the authors' code does: with few distinct values, many more than p.

    Returns:
        Indices in ascending order; empty for no episodes.

    Raises:
        ValueError: if the fraction is not in (0, 1] or the rule is unknown.
    """
    values = torch.as_tensor(advantage_N, dtype=torch.float64)
    if not 0.0 < fraction <= 1.0:
        raise ValueError(f"fraction {fraction} must lie in (0, 1]")
    if rule not in RULES:
        raise ValueError(f"unknown rule {rule!r}; there are {', '.join(RULES)}")
    if len(values) == 0:
        return []
    if rule == "released":
        return [index for index, kept in enumerate((values >= values.quantile(1.0 - fraction)).tolist()) if kept]
    count = -int(-fraction * len(values) // 1)
    order = sorted(range(len(values)), key=lambda index: (-float(values[index]), -index))
    return sorted(order[:count])


def _check_lengths(value_T1: Tensor, reward_T: Tensor) -> None:
    if value_T1.ndim != 1 or reward_T.ndim != 1 or len(value_T1) != len(reward_T) + 1:
        raise ValueError(
            f"{tuple(value_T1.shape)} values for {tuple(reward_T.shape)} rewards: an episode of T steps has T rewards "
            "and T + 1 values"
        )
