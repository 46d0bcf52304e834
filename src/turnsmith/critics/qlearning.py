"""Digi-Q's stage 2: Q(s, a) and V(s) by temporal differences on frozen features of a logged run.

    J_Q = E (Q(s, a) − G)²        J_V = E (V(s) − Q̄(s, a))²        θ̄ ← (1 − τ) θ̄ + τ θ
    G = r + γ (1 − d) V̄(s') in the paper, here the λ-return that begins like it

Inputs, after the paper: the goal, the previous action (type and text) and the vectors of the previous and the current
screen; Q also reads the action's type and text and the action reader's feature. Where a tap goes reaches Q through that
feature alone. Two heads of each. Targets start as copies (the authors' code starts them at random).

Not the paper's: goals and texts are read with names by their place in the goal (`critics.goal_words`), and Q reads how
likely the behaviour policy finds the action and whether it is the previous one once more: what had no effect a moment
ago looks as promising as before.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from turnsmith.credit.td import join_heads, lambda_target, mc_target, polyak, q_target, squared_error
from turnsmith.critics.action_features import ActionTable
from turnsmith.critics.change import NO_ACTION, TYPES, CriticAction, to_critic_action
from turnsmith.critics.config import QConfig
from turnsmith.critics.episodes import Played
from turnsmith.critics.fitting import adam, fit_rows
from turnsmith.critics.goal_words import GoalWords
from turnsmith.critics.screen_features import Features
from turnsmith.critics.values import WordBag, screen_vectors
from turnsmith.errors import UserError
from turnsmith.trace.types import ImageRef

Reader = Callable[[Sequence[ImageRef], Sequence[CriticAction]], Tensor]
"""Screens and actions to features, (N, D)."""


@dataclass(frozen=True, slots=True)
class Steps:
    """A log as tables. M states (T + 1 of each episode) and S steps.

    Attributes:
        goals: what was asked in the episode of each state.
        goal_ML, kind_M, text_ML, vector_MD: goal, type and text of the previous action, screens of each state.
        before: the previous action of each state.
        images: the current screen of each state.
        state_S: the state in which each step was taken; the next state is the row after it.
        actions: the executed action of each step.
        likelihood_S: log π_β of each executed action (`candidates.likelihoods`); zeros where nobody asked.
        reward_S, return_S, done_S: reward, discounted return, and 1 for the last step of an episode.
        place: (episode, turn) of each step.
    """

    goals: list[str]
    goal_ML: Tensor
    kind_M: Tensor
    text_ML: Tensor
    vector_MD: Tensor
    before: list[CriticAction]
    images: list[ImageRef]
    state_S: Tensor
    actions: list[CriticAction]
    likelihood_S: Tensor
    reward_S: Tensor
    return_S: Tensor
    done_S: Tensor
    place: list[tuple[int, int]]


def tabulate(log: Sequence[Played], features: Features, words: GoalWords, discount: float) -> Steps:
    """The tables of these episodes.

    Raises:
        UserError: if there are none.
    """
    if not log:
        raise UserError("there are no episodes to learn from.")
    goals, before, images = [], [], []
    states, actions, rewards, returns, done, place = [], [], [], [], [], []
    for index, one in enumerate(log):
        own = [to_critic_action(turn.action.call) for turn in one.trace.turns]
        for turn, action in enumerate(own):
            states.append(len(images) + turn)
            actions.append(action)
            done.append(float(turn + 1 == len(own)))
            place.append((index, turn))
        rewards += one.rewards
        returns += mc_target(torch.tensor(one.rewards), discount).tolist()
        images += one.screens
        goals += [one.instruction] * len(one.screens)
        before += [NO_ACTION, *own]
    return Steps(
        goals,
        words(goals, goals),
        torch.tensor([action.kind for action in before]),
        words(goals, [action.text for action in before]),
        torch.cat(screen_vectors(log, features)),
        before,
        images,
        torch.tensor(states),
        actions,
        torch.zeros(len(actions)),
        torch.tensor(rewards),
        torch.tensor(returns),
        torch.tensor(done),
        place,
    )


def lone_state(
    goal: str, before: CriticAction, screens: Sequence[ImageRef], features: Features, words: GoalWords
) -> Steps:
    """The table of a single state without a step: what critics read when an agent acts.

    Args:
        goal: what was asked.
        before: the previous action, `NO_ACTION` at first.
        screens: so far; the last one is the current one.
        features, words: the critics'.
    """
    none = torch.zeros(0)
    previous = screens[-2] if len(screens) > 1 else screens[-1]
    return Steps(
        [goal],
        words([goal], [goal]),
        torch.tensor([before.kind]),
        words([goal], [before.text]),
        torch.cat(list(features([previous, screens[-1]])))[None],
        [before],
        [screens[-1]],
        none.long(),
        [],
        none,
        none,
        none,
        none,
        [],
    )


class CriticNet(nn.Module):
    """Two heads over the inputs of V, or of Q where `action_size` is given."""

    def __init__(
        self, vocab_size: int, vector_size: int, width: int, action_size: int = 0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.goal, self.typed = WordBag(vocab_size, 32), WordBag(vocab_size, 16)
        self.kinds = nn.Embedding(len(TYPES), 8)
        size = 32 + 16 + 8 + vector_size
        if action_size:
            size += 16 + 8 + action_size + 2
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Linear(size, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, width), nn.GELU(),
                nn.Linear(width, 1),
            )
            for _ in range(2)
        )  # fmt: skip

    def forward(self, state: Sequence[Tensor], action: Sequence[Tensor] = ()) -> Tensor:
        """Values of each head, (2, B).

        Args:
            state: goal, kind and text of the previous action, screens.
            action: for Q its kind, text, feature, log π_β, and 1 where it is the previous one once more.
        """
        goal_BL, kind_B, text_BL, vector_BD = state
        parts = [self.goal(goal_BL), self.kinds(kind_B), self.typed(text_BL), vector_BD]
        if action:
            parts += [self.kinds(action[0]), self.typed(action[1]), action[2], _squashed(action[3])[:, None]]
            parts.append(action[4][:, None])
        joined = torch.cat(parts, dim=1)
        return torch.stack([head(joined)[:, 0] for head in self.heads])


def same(one: CriticAction, other: CriticAction) -> bool:
    """Whether two actions are the same, points to within about a cell of the small policy."""
    if (one.kind, one.text, one.point is None) != (other.kind, other.text, other.point is None):
        return False
    if one.point is None or other.point is None:
        return True
    return abs(one.point[0] - other.point[0]) < 0.03 and abs(one.point[1] - other.point[1]) < 0.06


def _squashed(likelihood_B: Tensor) -> Tensor:
    """Log-probabilities in the size of other inputs; below −12 an action is just never done."""
    return likelihood_B.clamp_min(-12.0) / 4


class Critics:
    """Q and V of one log, with their slow copies.

    Args:
        words: of goals and typed texts, as in `tabulate`.
        features, actions: vectors of screens and of actions.
        config, seed: see there.
    """

    dropout = 0.0

    def __init__(self, words: GoalWords, features: Features, actions: ActionTable, config: QConfig, seed: int) -> None:
        self.words, self.features, self.actions, self.config, self.seed = words, features, actions, config, seed
        self._centre, self._spread = torch.zeros(actions.feature_size), torch.ones(actions.feature_size)

    def fit(self, steps: Steps) -> tuple[list[float], list[float]]:
        """Learn from the executed actions.

        Returns:
            J_Q and J_V of each update.

        Raises:
            UserError: if a loss is not finite.
        """
        config = self.config
        taken = self.taken(steps)
        self._make()
        self.slow_q, self.slow_v = copy.deepcopy(self.q), copy.deepcopy(self.v)
        for slow in (self.slow_q, self.slow_v):
            slow.requires_grad_(False)
        losses_q: list[float] = []
        losses_v: list[float] = []
        returns_S = steps.return_S

        def loss_of(rows: Tensor) -> Tensor:
            nonlocal returns_S
            if config.backup == "td" and config.decay > 0 and len(losses_q) % config.refresh == 0:
                returns_S = self._lambda_returns(steps)
            state, action = self._state(steps, steps.state_S[rows]), [part[rows] for part in taken]
            with torch.no_grad():
                v_goal = self.slow_q(state, action)
                q_goal = returns_S[rows].expand_as(v_goal)
                if config.backup == "td" and config.decay == 0:  # each head learns from its own slow V of this moment
                    following = self.slow_v(self._state(steps, steps.state_S[rows] + 1))
                    q_goal = q_target(steps.reward_S[rows], following, steps.done_S[rows], config.discount)
            loss_q = squared_error(self.q(state, action), q_goal)
            loss_v = squared_error(self.v(state), v_goal)
            losses_q.append(float(loss_q.detach()))
            losses_v.append(float(loss_v.detach()))
            return loss_q + loss_v

        def follow() -> None:
            polyak(self.slow_q.parameters(), self.q.parameters(), config.rate)
            polyak(self.slow_v.parameters(), self.v.parameters(), config.rate)

        optim = adam(
            config.updates,
            batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            grad_clip=config.grad_clip,
            seed=self.seed,
        )
        fit_rows(nn.ModuleList([self.q, self.v]), loss_of, len(steps.state_S), optim, after_step=follow)
        return losses_q, losses_v

    def tensors(self) -> dict[str, Tensor]:
        """All that was learned, by name, to be saved; `restore` takes it back."""
        found = {"centre": self._centre, "spread": self._spread}
        for name, net in self._parts():
            found |= {f"{name}.{key}": tensor for key, tensor in net.state_dict().items()}
        return found

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Load what `tensors()` saved, of critics of the same settings, log and seed."""
        self._make()
        self._centre, self._spread = tensors["centre"], tensors["spread"]
        for name, net in self._parts():
            prefix = f"{name}."
            own = {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
            net.load_state_dict(own)
            net.eval()

    def _make(self) -> None:
        """New nets with this seed's weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.q, self.v = self._net(self.actions.feature_size), self._net()

    def _parts(self) -> list[tuple[str, CriticNet]]:
        """What says Q and V, by name."""
        return [("q", self.q), ("v", self.v)]

    def taken(self, steps: Steps) -> list[Tensor]:
        """The executed actions as Q reads them; features are scaled by their mean and spread from here on."""
        read = self.actions([steps.images[state] for state in steps.state_S.tolist()], steps.actions)
        self._centre, self._spread = read.mean(dim=0), read.std(dim=0) + 1e-3
        return self._action_inputs(steps, steps.state_S, steps.actions, steps.likelihood_S)

    def _lambda_returns(self, steps: Steps) -> Tensor:
        """The λ-return of every step, from the mean of the slow heads."""
        states = torch.arange(len(steps.images)).split(4096)
        with torch.inference_mode():
            value_M = torch.cat([self.slow_v(self._state(steps, part)).mean(dim=0) for part in states])
        following = value_M[(steps.state_S + 1).clamp(max=len(steps.images) - 1)].clone()
        return lambda_target(steps.reward_S, following, steps.done_S, self.config.discount, self.config.decay)

    def values(self, steps: Steps, rows: Sequence[int]) -> Tensor:
        """V(s) of the states of these steps, (B,)."""
        with torch.inference_mode():
            state = self._state(steps, steps.state_S[list(rows)])
            return join_heads(self.v(state), self.config.heads).clone()

    def q_values(
        self, steps: Steps, rows: Sequence[int], candidates: Sequence[Sequence[CriticAction]], likelihood_BN: Tensor
    ) -> Tensor:
        """Q(s, a) of N candidates, and how likely they are, in the state of each of these steps, (B, N)."""
        count = len(candidates[0])
        flat = [action for actions in candidates for action in actions]
        states = steps.state_S[list(rows)].repeat_interleave(count)
        action = self._action_inputs(steps, states, flat, likelihood_BN.flatten())
        with torch.inference_mode():
            q = join_heads(self.q(self._state(steps, states), action), self.config.heads)
        return q.clone().view(len(candidates), count)

    def preferences(self, state: Steps, actions: Sequence[CriticAction], likelihood_N: Tensor) -> Tensor:
        """Q(s, a) of N actions in one state of any episode (`lone_state`), but for a term that all share, (N,).

        Nothing is kept of it: an agent that acts meets most screens and actions once.
        """
        everyone = torch.zeros(len(actions), dtype=torch.long)
        action = self._action_inputs(state, everyone, actions, likelihood_N, self.actions.fresh)
        with torch.inference_mode():
            return self._judge(self._state(state, everyone), action).clone()

    def _judge(self, state: Sequence[Tensor], action: Sequence[Tensor]) -> Tensor:
        """What `preferences` says of these inputs."""
        return join_heads(self.q(state, action), self.config.heads)

    def _net(self, action_size: int = 0) -> CriticNet:
        vectors = 2 * self.features.size
        return CriticNet(len(self.words), vectors, self.config.width, action_size, self.dropout)

    def _state(self, steps: Steps, state_B: Tensor) -> list[Tensor]:
        return [steps.goal_ML[state_B], steps.kind_M[state_B], steps.text_ML[state_B], steps.vector_MD[state_B]]

    def _action_inputs(
        self,
        steps: Steps,
        state_N: Tensor,
        actions: Sequence[CriticAction],
        likelihood_N: Tensor,
        reader: Reader | None = None,
    ) -> list[Tensor]:
        """Actions as Q reads them; `reader` gives their features where it is not `actions`."""
        states = state_N.tolist()
        kinds = torch.tensor([action.kind for action in actions])
        texts = self.words([steps.goals[state] for state in states], [action.text for action in actions])
        read = (reader or self.actions)([steps.images[state] for state in states], actions)
        scaled = ((read - self._centre) / self._spread).clamp(-5.0, 5.0)  # no candidate lies far from all that was done
        again = torch.tensor([float(same(steps.before[s], action)) for s, action in zip(states, actions, strict=True)])
        return [kinds, texts, scaled, likelihood_N, again]
