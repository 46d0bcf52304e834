"""Digi-Q's critics in another form: Q(s, a) = V(s) + A(s, a), with A regressed on advantages instead of Q on values.

Most of the variance of a value is the state's: how hard the task is and how far the episode got. A network that learns
Q by its squared error spends itself on that, and what an action adds, a few hundredths, drowns in it (the NOTES.md of
`recipes/digiq` has the figures). Here V comes first, for each episode from the others; what then remains of a step's
λ-return is the advantage of its action, and that alone is learned, in units of its own spread:

    δ = r + γ (1 − d) ((1 − λ) V(s') + λ G') − V(s)        A: E (A(s, a) − δ / σ)²        W: E (W(s) − δ / σ)²

W is what V lacks: the part of δ that the state alone tells. Then V + σ W has the minimiser of J_V, and V + σ A that of
J_Q, with V fixed in the place of the slow copies. Every critic is fitted once, so nothing is moved after it (τ).

All three are cross-fitted: what is said of an episode comes from critics that saw the others. An A that has seen an
episode knows how its steps turned out, and the best of the candidates is then the executed action wherever it was
lucky: in half of all states, on the log of those notes, instead of one in sixteen.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from turnsmith.credit.td import Heads, join_heads, lambda_target
from turnsmith.critics.change import CriticAction
from turnsmith.critics.fitting import adam, fit_rows
from turnsmith.critics.qlearning import CriticNet, Critics, Steps

_DECAY = 0.01
_RATE = 1e-3
"""Where the rate of the fits of V and W begins; it falls to 0, as all rates here."""


class AdvantageCritics(Critics):
    """Q and V of one log, as V + A. `Critics` is the contract; what is asked later is about the log of `fit`."""

    dropout = 0.1

    def fit(self, steps: Steps) -> tuple[list[float], list[float]]:
        """Learn V, then A and W, from the executed actions.

        Returns:
            The losses of A and of W at each update of each fold, in units of σ².

        Raises:
            UserError: if a loss is not finite.
        """
        config = self.config
        taken = self.taken(steps)
        episode_S = torch.tensor([episode for episode, _ in steps.place])
        last = steps.state_S[steps.done_S > 0] + 1  # each episode has one state more than steps
        self._fold_M = torch.bucketize(torch.arange(len(steps.images)), last) % config.folds
        # Those of the other folds; of a log of a single episode, that one.
        others = [torch.nonzero(episode_S % config.folds != fold)[:, 0] for fold in range(config.folds)]
        others = [rows if len(rows) else torch.arange(len(episode_S)) for rows in others]

        def of_state(net: CriticNet) -> Callable[[Tensor], Tensor]:
            return lambda rows: net(self._state(steps, steps.state_S[rows]))

        def of_action(net: CriticNet) -> Callable[[Tensor], Tensor]:
            return lambda rows: net(self._state(steps, steps.state_S[rows]), [part[rows] for part in taken])

        nets = self._nets()
        for fold, net in enumerate(nets):
            self._regress(net, of_state(net), steps.return_S, others[fold], _RATE, config.value_updates, fold)
        every = torch.arange(len(steps.images))
        self._value_M = self._of_folds(nets, every, lambda net, places: net(self._state(steps, every[places])), "mean")

        value_S = self._value_M[steps.state_S]
        following = self._value_M[(steps.state_S + 1).clamp(max=len(steps.images) - 1)]
        decay = 1.0 if config.backup == "mc" else config.decay
        advantage = lambda_target(steps.reward_S, following, steps.done_S, config.discount, decay) - value_S
        self._scale = float(advantage.std().clamp_min(1e-6)) if len(advantage) > 1 else 1.0
        target = advantage / self._scale

        self._make()
        losses_q, losses_v = [], []
        for fold, (q, v) in enumerate(zip(self._of_action, self._of_state, strict=True)):
            losses_q += self._regress(q, of_action(q), target, others[fold], config.learning_rate, config.updates, fold)
            losses_v += self._regress(v, of_state(v), target, others[fold], _RATE, config.value_updates, fold)
        return losses_q, losses_v

    def tensors(self) -> dict[str, Tensor]:
        """All that was learned; V and the folds are those of the states of the log."""
        own = {"value": self._value_M, "fold": self._fold_M, "scale": torch.tensor(self._scale)}
        return {**super().tensors(), **own}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Load what `tensors()` saved."""
        super().restore(tensors)
        self._value_M, self._fold_M = tensors["value"], tensors["fold"]
        self._scale = float(tensors["scale"])

    def _make(self) -> None:
        self._of_action, self._of_state = self._nets(self.actions.feature_size), self._nets()

    def _parts(self) -> list[tuple[str, CriticNet]]:
        pairs = zip(self._of_action, self._of_state, strict=True)
        return [(f"{name}{fold}", net) for fold, pair in enumerate(pairs) for name, net in zip("aw", pair, strict=True)]

    def values(self, steps: Steps, rows: Sequence[int]) -> Tensor:
        """V(s) + σ W(s) of the states of these steps, (B,)."""
        states = steps.state_S[list(rows)]
        missing = self._of_folds(
            self._of_state, states, lambda net, places: net(self._state(steps, states[places])), self.config.heads
        )
        return self._value_M[states] + self._scale * missing

    def q_values(
        self, steps: Steps, rows: Sequence[int], candidates: Sequence[Sequence[CriticAction]], likelihood_BN: Tensor
    ) -> Tensor:
        """V(s) + σ A(s, a) of N candidates, (B, N)."""
        count = len(candidates[0])
        states = steps.state_S[list(rows)].repeat_interleave(count)
        action = self._action_inputs(
            steps,
            states,
            [action for actions in candidates for action in actions],
            likelihood_BN.flatten(),
        )

        def estimate(net: CriticNet, places: Tensor) -> Tensor:
            return net(self._state(steps, states[places]), [part[places] for part in action])

        advantage = self._of_folds(self._of_action, states, estimate, self.config.heads)
        return (self._value_M[states] + self._scale * advantage).view(len(candidates), count)

    def _judge(self, state: Sequence[Tensor], action: Sequence[Tensor]) -> Tensor:
        """σ A(s, a), the mean of all folds: no fold has seen an episode that is being played."""
        found = [join_heads(net(state, action), self.config.heads) for net in self._of_action]
        return self._scale * torch.stack(found).mean(dim=0)

    def _nets(self, action_size: int = 0) -> list[CriticNet]:
        """A new net for each fold."""
        made = []
        for fold in range(self.config.folds):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed + fold)
                made.append(self._net(action_size))
        return made

    def _of_folds(
        self, nets: Sequence[CriticNet], states: Tensor, estimate: Callable[[CriticNet, Tensor], Tensor], heads: Heads
    ) -> Tensor:
        """What each net says of the states (N,) of its own fold, which it has not seen, (N,)."""
        found = torch.zeros(len(states))
        with torch.inference_mode():
            for fold, net in enumerate(nets):
                for places in torch.nonzero(self._fold_M[states] == fold)[:, 0].split(4096):
                    found[places] = join_heads(estimate(net, places), heads)
        return found

    def _regress(
        self,
        net: nn.Module,
        estimate: Callable[[Tensor], Tensor],
        target_S: Tensor,
        rows_N: Tensor,
        rate: float,
        updates: int,
        fold: int,
    ) -> list[float]:
        """Squared error of all heads on these steps, the rate falling to 0; leaves the net in `eval()` mode."""

        def loss_of(places: Tensor) -> Tensor:
            rows = rows_N[places]
            return (estimate(rows) - target_S[rows]).square().mean()

        config = adam(
            updates,
            falling=True,
            batch_size=self.config.batch_size,
            learning_rate=rate,
            grad_clip=self.config.grad_clip,
            seed=self.seed + fold,
        )
        optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=_DECAY)
        return fit_rows(net, loss_of, len(rows_N), config, optimizer)
