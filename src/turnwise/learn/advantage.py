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

import torch
from torch import Tensor, nn

from turnwise.credit.td import join_heads, lambda_target
from turnwise.learn.change import Deed
from turnwise.learn.qlearning import CriticNet, Critics, Steps
from turnwise.learn.values import FitConfig, fit

_DECAY = 0.01
_RATE = 1e-3
"""Where the rate of V's fits begins; it falls to 0, as all rates here."""


class AdvantageCritics(Critics):
    """Q and V of one log, as V + A. `Critics` is the contract; what is asked later is about the log of `fit`."""

    dropout = 0.1

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
        losses_q = self._regress(self.q, of_action, target, every, rate, updates, self.seed)
        return losses_q, self._regress(self.v, of_state, target, every, rate, updates, self.seed)

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
                net = CriticNet(len(self.words), 2 * self.features.model.size, self.config.width, dropout=self.dropout)

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

        def loss_of(places: Tensor) -> Tensor:
            rows = rows_N[places]
            return (estimate(rows) - target_S[rows]).square().mean()

        config = FitConfig(updates, self.config.batch_size, rate, self.config.grad_clip, seed, falling=True)
        optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=_DECAY)
        return fit(net, loss_of, len(rows_N), config, optimizer)
