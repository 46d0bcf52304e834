"""Credit from outcomes alone: rewards to go, and advantages relative to a group of attempts at the same task."""

import torch
from torch import Tensor, stack


def rewards_to_go(reward_T: Tensor, discount: float = 1.0) -> Tensor:
    """The discounted return from each turn on: G_t = Σ_{k≥t} γ^(k−t) r_k.

    Args:
        reward_T: reward of each turn, shape (T,).
        discount: γ in [0, 1].

    Returns:
        G, shape (T,).

    Raises:
        ValueError: if the shape or the discount is wrong.
    """
    if reward_T.ndim != 1:
        raise ValueError(f"reward_T has shape {tuple(reward_T.shape)}, not (T,)")
    if not 0.0 <= discount <= 1.0:
        raise ValueError(f"discount {discount} is not in [0, 1]")
    total = reward_T.new_zeros(())
    returns = []
    for reward in reward_T.flip(0):
        total = reward + discount * total
        returns.append(total)
    return stack(returns[::-1]) if returns else reward_T.clone()


_ROUNDINGS = 16
"""So many roundings of the largest reward are no difference between rewards."""


def group_relative(reward_G: Tensor, scale: bool = True, epsilon: float = 1e-10) -> Tensor:
    """GRPO's advantage of each attempt within its group: A_i = (r_i − mean r) / (std r + ε).

    The standard deviation is the sample one (N − 1), as in the authors' code of APR. A group whose rewards are all
    equal has no preference: its advantages are 0. The advantage is copied to every turn and thread of the attempt.

    Args:
        reward_G: reward of each attempt at one task, shape (G,), G ≥ 2.
        scale: divide by the standard deviation; False gives the mean-centred variant.
        epsilon: keeps the division finite.

    Returns:
        Advantages, shape (G,).

    Raises:
        ValueError: if there are fewer than two attempts.
    """
    if reward_G.ndim != 1 or reward_G.numel() < 2:
        raise ValueError(f"reward_G has shape {tuple(reward_G.shape)}: a group needs at least two attempts")
    # Equal rewards need not equal their own rounded mean, and an equally small deviation would blow the rest up to ±1:
    # what is apart by no more than rewards are rounded by is equal. An epsilon cannot tell, since it knows no scale.
    apart = (reward_G - reward_G[0]).abs().max()
    if apart <= _ROUNDINGS * torch.finfo(reward_G.dtype).eps * reward_G.abs().max():
        return torch.zeros_like(reward_G)
    centred = reward_G - reward_G.mean()
    return centred / (reward_G.std() + epsilon) if scale else centred
