"""The turn critic for logs: which turns moved the outcome, learned from scratch from a few hundred episodes.

An episode is a sequence of events, and the log-odds of success after each are a sum over the events so far:

    logit P(success | events 1..j) = b_j + Σ_{i ≤ j} w · x_i

That is SWEET-RL's critic in its smallest form: the sum of turn scores explains which of two episodes is better
(Bradley-Terry; the par of a task is a feature of its start), and the score of a turn is its advantage, in log-odds. It
is fitted to *every* prefix of every episode and not to whole episodes alone: what merely gives the outcome away later
("sorry that I could not help") finds it explained already, and the credit stays with the turn that caused it.

Everything said of an episode comes from fits that did not see it (nor another episode of its task). Folds are drawn
twice, so each turn is judged by two fits; how well they agree says how much to believe.

Notable: features and the strength of the ridge are chosen by the likelihood of held-out outcomes.
"""

import math
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from turnsmith.critics.turn_words import Described, Features

_POSITIONS = 40
_RIDGE_OF_START = 2.0
"""How much more the task's words are shrunk than those of actions: many tasks, few episodes each."""
FAMILIES: dict[str, tuple[str, ...]] = {
    "words": ("word", "call", "like", "model"),
    "words and pairs": ("word", "pair", "call", "like", "model"),
    "words, pairs and crosses": ("word", "pair", "call", "like", "model", "with"),
}
"""The sets of features that are tried, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticConfig:
    """How the critic is fitted.

    Attributes:
        folds: an episode is judged by fits on the other folds.
        repeats: how often folds are drawn.
        ridges: strengths of the penalty that are tried; one at the end of the list for little data.
        prefixes: weight of all proper prefixes of an episode together, the whole episode having 1.
        least: a feature must occur in so many episodes.
        iterations: of L-BFGS, at most.
        seed: of the folds.
    """

    folds: int = 5
    repeats: int = 2
    ridges: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0)
    prefixes: float = 1.0
    least: int = 3
    iterations: int = 60
    seed: int = 0


@dataclass(slots=True)
class Judged:
    """What the critic says of one episode.

    Attributes:
        values: P(success) before each of the T actions, and after the last: T + 1 numbers.
        acted: P(success) once each action is known but not what came of it, T numbers.
        scores: of each action in log-odds, centred over the log, T numbers.
        spread: half the difference between the two fits' scores, T numbers.
    """

    values: list[float]
    acted: list[float]
    scores: list[float]
    spread: list[float]


@dataclass(slots=True)
class Fitted:
    """Credit of a whole log, and how far it can be trusted.

    Attributes:
        episodes: in the order given.
        features: the name of the chosen set.
        ridge: the chosen strength.
        log_loss, base_loss: of held-out outcomes, and of always saying the mean.
        agreement: correlation of the scores that independent fits gave the same turns; NaN with one repeat.
        telling: the names with the largest weights for and against success, with their weights.
        weights: of all features, fitted to all episodes: for actions that are not in the log.
    """

    episodes: list[Judged]
    features: str
    ridge: float
    log_loss: float
    base_loss: float
    agreement: float
    telling: list[tuple[str, float]] = field(default_factory=list)
    weights: dict[str, float] = field(default_factory=dict)

    def score(self, action: Features) -> float:
        """The score of an action's features, in log-odds."""
        return sum(value * self.weights.get(name, 0.0) for name, value in action.items())


def fit_log(
    described: Sequence[Described],
    outcomes: Sequence[float],
    groups: Sequence[str],
    *,
    replies: bool = False,
    config: CriticConfig | None = None,
    on_fit: Callable[[int, int], None] | None = None,
) -> Fitted:
    """Fit the critic to a log and judge every turn of it by fits that did not see its episode.

    Args:
        described: the episodes.
        outcomes: of each, in [0, 1].
        groups: what must not be split between folds: the task of each episode.
        replies: whether what came back is an event too. A value of states needs it; the advantage of an action must not
            know what came of it.
        config: see there.
        on_fit: called with (fits done, fits in all).

    Raises:
        ValueError: if there are fewer than two episodes or all outcomes are the same.
    """
    config = config or CriticConfig()
    outcome_N = np.asarray(outcomes, dtype=np.float64)
    if len(outcome_N) < 2 or np.ptp(outcome_N) == 0:
        raise ValueError("episodes with different outcomes are needed")
    fold_RN = [_folds(groups, config.folds, config.seed + repeat) for repeat in range(config.repeats)]
    folds = int(fold_RN[0].max()) + 1
    fits = _Fits(len(FAMILIES) * len(config.ridges) * folds + (config.repeats - 1) * folds + 1, on_fit)
    best: _Choice | None = None
    for name, families in FAMILIES.items():
        found = _best_ridge(name, _Problem(described, outcome_N, families, replies, config), fold_RN[0], config, fits)
        if best is None or found.log_loss < best.log_loss - 0.002:  # a larger set has to earn its place
            best = found
    assert best is not None
    problem = best.problem
    again = [_held_out(problem, fold_N, best.ridge, config, fits) for fold_N in fold_RN[1:]]
    rounds = [best.logit_E, *again]
    whole = problem.fit(np.ones(len(outcome_N), dtype=bool), best.ridge, config.iterations, None)
    fits.end()
    mean = outcome_N.mean()
    base = float(-(mean * math.log(mean) + (1 - mean) * math.log(1 - mean))) if 0 < mean < 1 else 0.0
    by_name = dict(zip(problem.names, whole.tolist(), strict=False))
    judged, agreement = problem.judged(rounds), problem.agreement(rounds)
    telling = problem.telling(whole)
    return Fitted(judged, best.features, best.ridge, best.log_loss, base, agreement, telling, by_name)


class _Fits:
    """How many fits are done, told to whoever shows progress."""

    def __init__(self, total: int, on_fit: Callable[[int, int], None] | None) -> None:
        self.done, self.total, self._on_fit = 0, total, on_fit

    def one_more(self) -> None:
        self.done += 1
        if self._on_fit is not None:
            self._on_fit(self.done, self.total)

    def end(self) -> None:
        if self._on_fit is not None:
            self._on_fit(self.total, self.total)


@dataclass(frozen=True, slots=True)
class _Choice:
    """A set of features with the strength of the ridge that tells held-out outcomes best.

    Attributes:
        log_loss: of those outcomes.
        logit_E: of each event, by fits that did not see its episode (`_Problem.score`).
    """

    features: str
    ridge: float
    log_loss: float
    problem: "_Problem"
    logit_E: Tensor


def _best_ridge(name: str, problem: "_Problem", fold_N: np.ndarray, config: CriticConfig, fits: _Fits) -> _Choice:
    """Try all strengths from the strongest on; each fit begins where the one before it ended."""
    best: _Choice | None = None
    starts: list[Tensor | None] = [None] * (int(fold_N.max()) + 1)
    for ridge in sorted(config.ridges, reverse=True):
        logit_E = _held_out(problem, fold_N, ridge, config, fits, starts)
        loss = problem.log_loss(logit_E[:, 0])
        if best is None or loss < best.log_loss:
            best = _Choice(name, ridge, loss, problem, logit_E)
    assert best is not None
    return best


def _held_out(
    problem: "_Problem",
    fold_N: np.ndarray,
    ridge: float,
    config: CriticConfig,
    fits: _Fits,
    starts: list[Tensor | None] | None = None,
) -> Tensor:
    """What fits on the other folds say of each event, (E, 2); `starts` are where they begin, and become their ends."""
    logit_E = torch.zeros(problem.events, 2, dtype=torch.float64)
    for fold in range(int(fold_N.max()) + 1):
        held = fold_N == fold
        weight = problem.fit(~held, ridge, config.iterations, None if starts is None else starts[fold])
        if starts is not None:
            starts[fold] = weight
        of_fold = problem.of_episodes(held)
        logit_E[of_fold] = problem.score(weight)[of_fold]
        fits.one_more()
    return logit_E


def _folds(groups: Sequence[str], folds: int, seed: int) -> np.ndarray:
    """The fold of each episode; episodes of one group share it."""
    names = sorted(set(groups))
    order = np.random.default_rng(seed).permutation(len(names))
    fold = {names[name]: place % min(folds, len(names)) for place, name in enumerate(order)}
    return np.array([fold[group] for group in groups])


class _Problem:
    """Events of all episodes as one sparse matrix, and the penalised likelihood of the outcomes after each event.

    Rows are events in order: of each episode its start, then each action (and, where asked for, each reply). A weight
    vector is that of the F features followed by the intercepts of the positions.
    """

    def __init__(
        self,
        described: Sequence[Described],
        outcome_N: np.ndarray,
        families: Sequence[str],
        replies: bool,
        config: CriticConfig,
    ) -> None:
        """Lay out the events; features of other families, and those in fewer than `least` episodes, are left out."""
        kept = (*families, "task", *(("see",) if replies else ()))
        rows: list[Features] = []
        kinds: list[int] = []  # 0 start, 1 action, 2 reply
        episode: list[int] = []
        seen: Counter[str] = Counter()
        for index, one in enumerate(described):
            events = [(0, one.start)]
            for action, reply in zip(one.actions, one.replies, strict=True):
                events += [(1, action), (2, reply)] if replies else [(1, action)]
            chosen = [
                {name: v for name, v in found.items() if name.partition(" ")[0] in kept or kind == 0}
                for kind, found in events
            ]
            seen.update({name for found in chosen for name in found})
            rows += chosen
            kinds += [kind for kind, _ in events]
            episode += [index] * len(events)
        names = sorted(name for name, count in seen.items() if count >= config.least)
        place = {name: index for index, name in enumerate(names)}
        self.names, self.events = names, len(rows)
        self.kind_E, self.episode_E = np.array(kinds), np.array(episode)
        first = np.searchsorted(self.episode_E, np.arange(len(described)))
        self._first_E = torch.from_numpy(first[self.episode_E])
        last = np.searchsorted(self.episode_E, np.arange(len(described)), side="right") - 1
        self._last_E = torch.from_numpy(last[self.episode_E])
        self.position_E = torch.from_numpy(np.minimum(np.arange(self.events) - first[self.episode_E], _POSITIONS - 1))
        self.outcome_E = torch.from_numpy(outcome_N[self.episode_E])
        count = last - first
        whole = torch.from_numpy(np.arange(self.events) == last[self.episode_E])
        part = torch.from_numpy(config.prefixes / np.maximum(1, count)[self.episode_E])
        self._weight_E = torch.where(whole, torch.ones_like(part), part)
        self._whole_E = whole
        self._matrix, self._transposed = _sparse(rows, place)
        shrink = [_RIDGE_OF_START if name.startswith(("task", "see")) else 1.0 for name in names]
        self._shrink_F = torch.tensor([*shrink, *([0.01] * _POSITIONS)], dtype=torch.float64)

    def of_episodes(self, chosen_N: np.ndarray) -> Tensor:
        """True at the events of these episodes."""
        return torch.from_numpy(chosen_N[self.episode_E])

    def score(self, weight: Tensor) -> Tensor:
        """Of each event the log-odds after it, and its own part of them, (E, 2)."""
        own_E = self._matrix @ weight[: len(self.names)]
        return torch.stack([self._along(own_E) + weight[len(self.names) + self.position_E], own_E], dim=1)

    def _along(self, own_E: Tensor) -> Tensor:
        total_E = own_E.cumsum(0)
        return total_E - (total_E - own_E)[self._first_E]

    def fit(self, train_N: np.ndarray, ridge: float, iterations: int, start: Tensor | None) -> Tensor:
        """The weights that maximise the penalised likelihood of the outcomes of these episodes."""
        weight = torch.zeros(len(self.names) + _POSITIONS, dtype=torch.float64) if start is None else start.clone()
        weight.grad = torch.zeros_like(weight)
        use_E = self._weight_E * self.of_episodes(train_N).to(torch.float64)
        optimizer = torch.optim.LBFGS(
            [weight], max_iter=iterations, history_size=10, line_search_fn="strong_wolfe", tolerance_change=1e-7
        )

        def closure() -> float:
            logit_E = self.score(weight)[:, 0]
            loss = (torch.nn.functional.softplus(logit_E) - self.outcome_E * logit_E) @ use_E
            error_E = (logit_E.sigmoid() - self.outcome_E) * use_E
            total_E = error_E.cumsum(0)
            later_E = total_E[self._last_E] - total_E + error_E
            assert weight.grad is not None
            weight.grad[: len(self.names)] = self._transposed @ later_E
            intercepts = torch.zeros(_POSITIONS, dtype=torch.float64).index_add(0, self.position_E, error_E)
            weight.grad[len(self.names) :] = intercepts
            weight.grad += ridge * self._shrink_F * weight
            return float(loss + 0.5 * ridge * (self._shrink_F * weight.square()).sum())

        optimizer.step(closure)
        return weight.detach()

    def log_loss(self, logit_E: Tensor) -> float:
        """Mean cross-entropy of the outcome, after whole episodes."""
        loss_E = torch.nn.functional.softplus(logit_E) - self.outcome_E * logit_E
        return float(loss_E[self._whole_E].mean())

    def judged(self, rounds: Sequence[Tensor]) -> list[Judged]:
        """What held-out fits say of each episode, the mean over the rounds."""
        chance_E = torch.stack([said_E[:, 0].sigmoid() for said_E in rounds]).mean(dim=0).numpy()
        acts_E = self.kind_E == 1
        own_RE = torch.stack([said_E[:, 1] for said_E in rounds]).numpy()
        own_RE = own_RE - own_RE[:, acts_E].mean(axis=1, keepdims=True)
        score_E = own_RE.mean(axis=0)
        spread_E = np.ptp(own_RE, axis=0) / 2
        found = []
        replies = bool((self.kind_E == 2).any())
        for index in range(int(self.episode_E.max()) + 1):
            places = np.nonzero(self.episode_E == index)[0]
            kinds = self.kind_E[places]
            states = chance_E[places[kinds != 1]] if replies else chance_E[places]
            acts = places[kinds == 1]
            found.append(
                Judged(states.tolist(), chance_E[acts].tolist(), score_E[acts].tolist(), spread_E[acts].tolist())
            )  # fmt: skip
        return found

    def agreement(self, rounds: Sequence[Tensor]) -> float:
        """Correlation of the actions' scores in the first two rounds."""
        if len(rounds) < 2:
            return float("nan")
        first, second = (of_event[torch.from_numpy(self.kind_E == 1), 1].numpy() for of_event in rounds[:2])
        if first.std() == 0 or second.std() == 0:
            return float("nan")
        return float(np.corrcoef(first, second)[0, 1])

    def telling(self, weight: Tensor, count: int = 8) -> list[tuple[str, float]]:
        """The features of actions with the largest weights, for success first."""
        rows = [
            (name, float(value))
            for name, value in zip(self.names, weight[: len(self.names)], strict=True)
            if not name.startswith(("task", "see"))
        ]
        rows.sort(key=lambda row: -row[1])
        return rows if len(rows) <= 2 * count else [*rows[:count], *rows[-count:]]


def _sparse(rows: Sequence[Features], place: dict[str, int]) -> tuple[Tensor, Tensor]:
    """The feature matrix (E, F) and its transpose, both in compressed rows."""
    starts, columns, values = [0], [], []
    for found in rows:
        known = sorted((place[name], value) for name, value in found.items() if name in place)
        columns += [column for column, _ in known]
        values += [value for _, value in known]
        starts.append(len(columns))
    shape = (len(rows), max(1, len(place)))
    parts = torch.tensor(starts), torch.tensor(columns, dtype=torch.long), torch.tensor(values, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that compressed rows are in beta
        matrix = torch.sparse_csr_tensor(*parts, shape, check_invariants=True)
        return matrix, matrix.to_sparse_coo().t().coalesce().to_sparse_csr()
