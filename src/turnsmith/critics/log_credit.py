"""Credit for the turns of a log of episodes with outcomes: four methods over one cross-fitted critic.

| method    | value of a turn's state | advantage of a turn                                                          |
|-----------|-------------------------|------------------------------------------------------------------------------|
| `sweet`   | P(success) before it    | the turn critic's score, in log-odds of success; may read hidden information |
| `outcome` | P(success) at the start | outcome − that: the same for all turns of an episode                         |
| `step`    | V(s)                    | r + V(s') − V(s), DigiRL's one-step difference; V(end) = 0, r = the outcome  |
| `q`       | V(s)                    | Q(s, a) − V(s), Digi-Q's: what is known once the action is, less what was    |

Values are probabilities and come from fits that did not see the episode (`turn_critic`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from turnsmith.critics.turn_critic import CriticConfig, Fitted, fit_log
from turnsmith.critics.turn_words import Described, Vocabulary, describe, text_of
from turnsmith.errors import UserError
from turnsmith.trace.types import ORACLE, Outcome, Trace

Method = Literal["sweet", "outcome", "step", "q"]
METHODS: tuple[Method, ...] = ("sweet", "outcome", "step", "q")


@dataclass(frozen=True, slots=True)
class LogCredit:
    """Credit of a log.

    Attributes:
        traces: the episodes that were judged.
        rewards: their outcomes, in [0, 1].
        values, advantages: of each turn of each episode.
        fitted: the critic behind them.
        left_out: how many traces had no outcome, no turns, or were lost to infrastructure.
        vocabulary: of the log, for describing actions that are not in it.
    """

    traces: list[Trace]
    rewards: list[float]
    values: list[list[float]]
    advantages: list[list[float]]
    fitted: Fitted
    left_out: int
    vocabulary: Vocabulary


def hidden_texts(traces: Sequence[Trace], field: str | None) -> list[str]:
    """The hidden information of each trace's task as text, "" where it has none.

    Args:
        traces: the log.
        field: of `task.hidden`; "*" takes all of it, None nothing.

    Raises:
        UserError: if no task has such a field.
    """
    if field is None:
        return [""] * len(traces)
    found = [
        text_of(dict(trace.task.hidden)) if field == "*" else text_of(trace.task.hidden.get(field, ""))
        for trace in traces
    ]
    if not any(found):
        known = sorted({name for trace in traces for name in trace.task.hidden})
        said = f"The fields that tasks have are {', '.join(known)}." if known else "No task here has hidden fields."
        raise UserError(f"--hidden {field}: no task has a hidden field of this name. {said}")
    return found


def outcomes_of(traces: Sequence[Trace], judge: str = ORACLE) -> tuple[list[Trace], list[float]]:
    """The traces with turns and an outcome, and their outcomes scaled to [0, 1].

    Raises:
        UserError: if there are fewer than eight, or all outcomes are the same.
    """
    kept, rewards = [], []
    for trace in traces:
        reward = trace.reward(judge)
        if reward is not None and trace.turns and trace.outcome is not Outcome.INFRA_ERROR:
            kept.append(trace)
            rewards.append(reward)
    if len(kept) < 8:
        raise UserError(
            f"credit needs at least 8 traces with turns and an outcome by {judge!r}; there are {len(kept)} of "
            f'{len(traces)}. Rows get theirs from "reward" or "score" on import.'
        )
    low, high = min(rewards), max(rewards)
    if low == high:
        raise UserError(f"all {len(kept)} outcomes are {low:g}: where nothing differs, no turn made the difference.")
    if low < 0 or high > 1:
        rewards = [(reward - low) / (high - low) for reward in rewards]
    return kept, rewards


def credit_log(
    traces: Sequence[Trace],
    method: Method,
    *,
    hidden: Sequence[str] | None = None,
    likelihoods: Sequence[tuple[str, list[list[float]]]] = (),
    judge: str = ORACLE,
    config: CriticConfig | None = None,
    on_fit: Callable[[int, int], None] | None = None,
) -> LogCredit:
    """Fit the critic and give every turn its value and advantage.

    Args:
        traces: the log.
        method: see the module's docstring.
        hidden: of each trace as text, for `sweet` alone: states of the others are what the agent saw.
        likelihoods: further numbers a turn of every trace, by name, such as log-probabilities of a language model.
        judge: whose verdict is the outcome.
        config: of the critic.
        on_fit: called with (fits done, fits in all).

    Raises:
        UserError: if there is nothing to learn from.
    """
    kept, rewards = outcomes_of(traces, judge)
    places = {trace.id: index for index, trace in enumerate(traces)}
    chosen = [places[trace.id] for trace in kept]
    texts = [hidden[i] if hidden is not None and method == "sweet" else "" for i in chosen]
    vocabulary = Vocabulary(kept, texts)
    described = [describe(trace, text, vocabulary) for trace, text in zip(kept, texts, strict=True)]
    for name, numbers in likelihoods:
        _add_numbers(described, name, [numbers[i] for i in chosen])
    replies = method in ("step", "q")
    fitted = fit_log(
        described, rewards, [trace.task.id for trace in kept], replies=replies, config=config, on_fit=on_fit
    )
    values, advantages = [], []
    for judged, reward, trace in zip(fitted.episodes, rewards, kept, strict=True):
        count = len(trace.turns)
        if method == "outcome":
            values.append([judged.values[0]] * count)
            advantages.append([reward - judged.values[0]] * count)
            continue
        values.append(judged.values[:count])
        if method == "sweet":
            advantages.append(judged.scores)
        elif method == "q":
            advantages.append([q - v for q, v in zip(judged.acted, judged.values, strict=False)])
        else:
            after = [*judged.values[1:count], reward]
            advantages.append([later - now for now, later in zip(judged.values, after, strict=False)])
    return LogCredit(kept, rewards, values, advantages, fitted, len(traces) - len(kept), vocabulary)


def _add_numbers(described: Sequence[Described], name: str, numbers: Sequence[Sequence[float]]) -> None:
    """Put a number a turn among the features of its action, standardised over the log."""
    flat = np.array([value for row in numbers for value in row])
    mean, deviation = float(flat.mean()), float(flat.std()) or 1.0
    for one, row in zip(described, numbers, strict=True):
        for features, value in zip(one.actions, row, strict=True):
            features[f"model {name}"] = (value - mean) / deviation


def calibration(credit: LogCredit, bins: int = 5) -> list[tuple[float, float, int]]:
    """(mean value, mean outcome, turns) of turns in bins of their value: what is said beside what came of it."""
    value = np.array([v for row in credit.values for v in row])
    outcome = np.array([r for r, row in zip(credit.rewards, credit.values, strict=True) for _ in row])
    edges = np.quantile(value, np.linspace(0, 1, bins + 1))
    bin_of = np.clip(np.searchsorted(edges, value, side="right") - 1, 0, bins - 1)
    found = []
    for index in range(bins):
        inside = bin_of == index
        if inside.any():
            found.append((float(value[inside].mean()), float(outcome[inside].mean()), int(inside.sum())))
    return found
