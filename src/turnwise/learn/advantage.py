"""Digi-Q's critics in another form: Q(s, a) = V(s) + A(s, a), with A regressed on advantages instead of Q on values.

Most of the variance of a value is the state's: how hard the task is and how far the episode got. A network that learns
Q by its squared error spends itself on that, and what an action adds, a few hundredths, drowns in it (docs/digiq.md has
the figures). Here V comes first, for each episode from the others; what then remains of a step's λ-return is the
advantage of its action, and that alone is learned, in units of its own spread:

    δ = r + γ (1 − d) ((1 − λ) V(s') + λ G') − V(s)        A: E (A(s, a) − δ / σ)²        W: E (W(s) − δ / σ)²

W is what V lacks: the part of δ that the state alone tells. Then V + σ W has the minimiser of J_V, and V + σ A that of
J_Q, with V fixed in the place of the slow copies. Every critic is fitted once, so nothing is moved after it (τ).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from turnwise.credit.td import join_heads, lambda_target
from turnwise.errors import UserError
from turnwise.learn.change import Deed
from turnwise.learn.qlearning import CriticNet, Critics, Steps

DROPOUT = 0.1
_DECAY = 0.01
_RATE = 1e-3
"""Where the rate of V's fits begins; it falls to 0, as all rates here."""


class AdvantageCritics(Critics):
    """Q and V of one log, as V + A. `Critics` is the contract; what is asked later is about the log of `fit`."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        vectors = 2 * self.features.model.size
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.q = CriticNet(len(self.words), vectors, self.config.width, self.actions.reader.feature_size, DROPOUT)
            self.v = CriticNet(len(self.words), vectors, self.config.width, dropout=DROPOUT)
        self._value_M = torch.zeros(0)
        self._scale = 1.0

    def fit(self, steps: Steps) -> tuple[list[float], list[float]]:
        """Learn V, then A and W, from the executed actions.

        Returns:
            The losses of A and of W at each update, in units of σ².

        Raises:
            UserError: if a loss is not finite.
        """
        config = self.config
        taken = self.taken(steps)
        self._value_M = self._out_of_fold(steps)
        value_S = self._value_M[steps.state_S]
        following = self._value_M[(steps.state_S + 1).clamp(max=len(steps.images) - 1)]
        decay = 1.0 if config.backup == "mc" else config.decay
        advantage = lambda_target(steps.reward_S, following, steps.done_S, config.discount, decay) - value_S
        self._scale = float(advantage.std().clamp_min(1e-6)) if len(advantage) > 1 else 1.0
        target = advantage / self._scale

        def of_action(rows: Tensor) -> Tensor:
            return self.q(self._state(steps, steps.state_S[rows]), [part[rows] for part in taken])

        def of_state(rows: Tensor) -> Tensor:
            return self.v(self._state(steps, steps.state_S[rows]))

        every = torch.arange(len(target))
        rate, updates = config.learning_rate, config.updates
        return tuple(  # type: ignore[return-value]
            self._regress(net, estimate, target, every, rate, updates, self.seed)
            for net, estimate in ((self.q, of_action), (self.v, of_state))
        )

    def values(self, steps: Steps, rows: Sequence[int]) -> Tensor:
        """V(s) + σ W(s) of the states of these steps, (B,)."""
        return self._value_M[steps.state_S[list(rows)]] + self._scale * super().values(steps, rows)

    def q_values(
        self, steps: Steps, rows: Sequence[int], candidates: Sequence[Sequence[Deed]], likelihood_BN: Tensor
    ) -> Tensor:
        """V(s) + σ A(s, a) of N candidates, (B, N)."""
        advantage_BN = super().q_values(steps, rows, candidates, likelihood_BN)
        return self._value_M[steps.state_S[list(rows)]][:, None] + self._scale * advantage_BN

    def _out_of_fold(self, steps: Steps) -> Tensor:
        """V of every state by critics that saw the returns of other episodes alone, (M,)."""
        folds = self.config.folds
        episode_S = torch.tensor([episode for episode, _ in steps.place])
        last = steps.state_S[steps.done_S > 0] + 1  # each episode has one state more than steps
        episode_M = torch.bucketize(torch.arange(len(steps.images)), last)
        found = torch.zeros(len(steps.images))
        for fold in range(folds):
            others = torch.nonzero(episode_S % folds != fold)[:, 0]
            if len(others) == 0:  # a log of a single episode
                others = torch.arange(len(episode_S))
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed + fold)
                net = CriticNet(len(self.words), 2 * self.features.model.size, self.config.width, dropout=DROPOUT)

            def of_state(rows: Tensor, net: CriticNet = net) -> Tensor:
                return net(self._state(steps, steps.state_S[rows]))

            self._regress(net, of_state, steps.return_S, others, _RATE, self.config.value_updates, self.seed + fold)
            with torch.inference_mode():
                for part in torch.nonzero(episode_M % folds == fold)[:, 0].split(4096):
                    found[part] = join_heads(net(self._state(steps, part)), "mean")
        return found

    def _regress(
        self,
        net: nn.Module,
        estimate: Callable[[Tensor], Tensor],
        target_S: Tensor,
        rows_N: Tensor,
        rate: float,
        updates: int,
        seed: int,
    ) -> list[float]:
        """Squared error of all heads on these steps, the rate falling to 0; leaves the net in `eval()` mode."""
        optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=_DECAY)
        source, losses = np.random.default_rng(seed), []
        net.train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # of the dropout
            for update in range(updates):
                rows = rows_N[torch.from_numpy(source.integers(0, len(rows_N), size=self.config.batch_size))]
                loss = (estimate(rows) - target_S[rows]).square().mean()
                if not torch.isfinite(loss):
                    raise UserError(f"update {update + 1} of the critics: the loss is {float(loss)}; lower its rate.")
                for group in optimizer.param_groups:
                    group["lr"] = rate * (1 - update / updates)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), self.config.grad_clip)
                optimizer.step()
                losses.append(float(loss.detach()))
        net.eval()
        return losses
