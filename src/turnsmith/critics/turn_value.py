"""V(o_t) of a language model's own turns: the chance that the episode succeeds, from what the model has read so far.

A logistic regression on the last hidden state of the prompt, the trunk frozen: it is fitted in closed steps on the
episodes of earlier rounds, so that no advantage is measured with a value that has seen its own outcome. It is the
critic of PPO where a model's rollouts are few and its trunk is large.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from turnsmith.critics.turn_ratio import last_hidden
from turnsmith.engine.forward import Prompt, collate, group_by_length, response_logprobs

Ids = tuple[int, ...]


def features(model: PreTrainedModel, prompts: Sequence[Ids], pass_tokens: int = 16384) -> Tensor:
    """The last hidden state of each prompt, (N, H), on the CPU."""
    found: list[Tensor] = [torch.zeros(0)] * len(prompts)
    with torch.inference_mode():
        for group in group_by_length([len(ids) for ids in prompts], pass_tokens):
            batch = collate([Prompt(prompts[i]) for i in group], [(0,)] * len(group), model.device)
            with last_hidden(model) as hidden:
                response_logprobs(model, batch)
            for i, row in zip(group, hidden[0][:, -1].float().cpu(), strict=True):
                found[i] = row.clone()
    return torch.stack(found)


class TurnValue:
    """The fitted value. Before it has seen both outcomes it says what share of episodes succeeded so far (½ of none).

    Args:
        ridge: how much evidence a weight needs.
    """

    def __init__(self, ridge: float = 1.0) -> None:
        self._ridge = ridge
        self._rows: list[Tensor] = []
        self._outcomes: list[Tensor] = []
        self._mean = self._scale = self._weights = torch.zeros(0)
        self._share = 0.5

    def learn(self, feature_NH: Tensor, outcome_N: Tensor) -> None:
        """Take the turns of another round in and fit anew: Newton's steps of the ridge-penalised likelihood."""
        self._rows.append(feature_NH)
        self._outcomes.append(outcome_N.float())
        x_NH, y_N = torch.cat(self._rows).double(), torch.cat(self._outcomes).double()
        self._share = float(y_N.mean())
        if not 0 < self._share < 1:
            self._weights = torch.zeros(0)
            return
        self._mean, self._scale = x_NH.mean(0), x_NH.std(0, correction=0).clamp_min(1e-6)
        design = self._design(x_NH)
        penalty = torch.full((design.shape[1],), self._ridge, dtype=torch.double)
        penalty[-1] = 1e-6  # the constant is free
        weights = torch.zeros(design.shape[1], dtype=torch.double)
        for _ in range(12):
            p = torch.sigmoid(design @ weights)
            gradient = design.T @ (p - y_N) + penalty * weights
            curvature = design.T @ (design * (p * (1 - p)).clamp_min(1e-6)[:, None]) + torch.diag(penalty)
            weights = weights - torch.linalg.solve(curvature, gradient)
        self._weights = weights

    def __call__(self, feature_NH: Tensor) -> Tensor:
        """V of each turn, (N,), in [0, 1]."""
        if not self._weights.numel():
            return torch.full((len(feature_NH),), self._share)
        return torch.sigmoid(self._design(feature_NH.double()) @ self._weights).float()

    def _design(self, x_NH: Tensor) -> Tensor:
        standard = (x_NH - self._mean) / self._scale / x_NH.shape[1] ** 0.5
        return torch.cat([standard, torch.ones(len(x_NH), 1, dtype=torch.double)], dim=1)


def turn_advantages(value_T: Tensor, outcome: float, decay: float = 0.95) -> Tensor:
    """GAE over the turns of an episode whose only reward is its outcome, (T,), without discount (arXiv 1506.02438).

    A_t = Σ_k λ^k δ_{t+k},  δ_t = V(o_{t+1}) − V(o_t) within the episode, outcome − V(o_T) at its end.

    Args:
        value_T: V before each turn.
        outcome: of the episode.
        decay: λ; 1 is outcome − V(o_t), 0 the one-step difference.
    """
    next_T = torch.cat([value_T[1:], value_T.new_tensor([outcome])])
    delta_T = next_T - value_T
    found = torch.zeros_like(delta_T)
    running = 0.0
    for t in reversed(range(len(delta_T))):
        running = float(delta_T[t]) + decay * running
        found[t] = running
    return found
