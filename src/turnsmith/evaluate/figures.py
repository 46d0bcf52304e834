"""Figures across seeds, and claims as tables of them: the one place for levels, differences and relative gains.

A recipe's `claims.py` is a table of rows (`Level`, `Difference`, `RelativeGain`, `Mean`) over the keys of its
evaluations, and `claims_of(table, runs)`. Keys are values: frozen dataclasses, or enums; never sentences that are built
in two places. A key that a run lacks is an error that names the run.

Differences are paired by seed and task and bootstrapped over seeds, then tasks.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Generic, TypeAlias, TypeVar

import numpy as np

from turnsmith.errors import UserError
from turnsmith.evaluate.claims import Claim
from turnsmith.evaluate.stats import bootstrap_mean, clustered_bootstrap, resampled_means, wilson

K = TypeVar("K", bound=Hashable)

ByTask: TypeAlias = Mapping[str, float]
"""The reward of each task; the mean over its episodes where it was played several times."""


@dataclass(frozen=True, slots=True)
class SeedRun(Generic[K]):
    """The evaluations of one seed's run.

    Attributes:
        name: of the run, for messages.
        seed: of the run.
        evaluations: what was evaluated, by key: the reward of each task.
    """

    name: str
    seed: int
    evaluations: Mapping[K, ByTask]

    def rewards(self, key: K) -> ByTask:
        """The rewards of one evaluation.

        Raises:
            UserError: if the run lacks it.
        """
        if key not in self.evaluations:
            have = ", ".join(map(str, self.evaluations)) or "none"
            raise UserError(f"run {self.name} has no evaluation {key}. It has: {have}.")
        return self.evaluations[key]


Runs: TypeAlias = Sequence[SeedRun[K]]
"""The runs of one setting, a seed each."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A value with its 95 % interval, over these seeds. The ends are infinite where the interval has no end."""

    value: float
    low: float
    high: float
    seeds: tuple[int, ...]


def level(runs: Runs[K], key: K) -> Figure:
    """Mean reward of one evaluation over all seeds' tasks, with Wilson's interval.

    The interval is that of the mean's own count: a task that was solved in one of two episodes is half a success of one
    trial, neither rounded away nor counted twice.
    """
    values = [value for run in runs for value in run.rewards(key).values()]
    low, high = wilson(sum(values), len(values))
    return Figure(fmean(values), low, high, _seeds(runs))


def mean(runs: Runs[K], key: K) -> Figure:
    """The mean over seeds of what each run measured (the mean over its tasks), bootstrapped over seeds.

    For numbers that are no rates: errors, seconds, ratios.
    """
    value, low, high = bootstrap_mean([fmean(run.rewards(key).values()) for run in runs])
    return Figure(value, low, high, _seeds(runs))


def difference(runs: Runs[K], better: K, worse: K) -> Figure:
    """By how much one evaluation's reward exceeds another's, paired by seed and task; fractions, not points.

    Raises:
        UserError: if a run lacks one of them, or has no task of both.
    """
    pairs = []
    for run in runs:
        ours, theirs = run.rewards(better), run.rewards(worse)
        pairs.append([ours[task] - theirs[task] for task in _both(run, ours, theirs, (better, worse))])
    return Figure(*clustered_bootstrap(pairs), _seeds(runs))


def relative_gain(runs: Runs[K], ours: K, rivals: Sequence[K], resamples: int = 4000, seed: int = 0) -> Figure:
    """Per cent by which a success rate exceeds the better of its rivals'.

    The rival is the one that is better over all seeds, chosen once; the interval is a bootstrap over seeds, then tasks.

    Raises:
        UserError: if a run lacks one of them, or has no task of both.
        ValueError: if no rival ever succeeded: there is nothing to be relative to.
    """
    best = best_of(runs, rivals)
    tables = []
    for run in runs:
        mine, theirs = run.rewards(ours), run.rewards(best)
        tables.append(np.array([[mine[task], theirs[task]] for task in _both(run, mine, theirs, (ours, best))]))
    if not sum(table[:, 1].sum() for table in tables):
        raise ValueError("no rival succeeded at anything")
    pairs = resampled_means(tables, resamples, seed)
    gains = [np.inf if theirs == 0 else 100 * (mine / theirs - 1) for mine, theirs in pairs]
    means = np.mean([table.mean(axis=0) for table in tables], axis=0)
    low, high = np.quantile(gains, [0.025, 0.975])
    return Figure(float(100 * (means[0] / means[1] - 1)), float(low), float(high), _seeds(runs))


def best_of(runs: Runs[K], keys: Sequence[K]) -> K:
    """The evaluation with the highest mean reward, the mean over seeds of the mean over tasks; the first of equals."""
    means = {key: fmean(fmean(run.rewards(key).values()) for run in runs) for key in keys}
    return max(keys, key=means.__getitem__)


def everywhere(runs: Runs[K], *keys: K) -> bool:
    """Whether every run has all of these evaluations; False where no run has all of them.

    Raises:
        UserError: if some runs have them and others do not: their seeds would not be the same.
    """
    have = [all(key in run.evaluations for key in keys) for run in runs]
    if any(have) and not all(have):
        lacking = runs[have.index(False)]
        missing = ", ".join(str(key) for key in keys if key not in lacking.evaluations)
        raise UserError(f"run {lacking.name} has no evaluation {missing}, and other seeds have. Go on with that run.")
    return all(have)


# -- rows of a table of claims


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What all rows of a table say.

    Attributes:
        id: of the claim, stable.
        words: the claim in one sentence.
        goal: the condition as text (`evaluate.claims.Claim.goal`); "" for a plain record.
        paper: the paper's figure, as text.
        baseline: what it is compared with.
        note: settings, what was tried, what stands in the way.
        optional: left out where no run has its evaluations, instead of being an error.
    """

    id: str
    words: str
    goal: str = ""
    paper: str = ""
    baseline: float | str | None = None
    note: str = ""
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Level(Row, Generic[K]):
    """A success rate, as a fraction."""

    key: K

    @property
    def keys(self) -> tuple[K, ...]:
        """The evaluations that it needs."""
        return (self.key,)

    def figure(self, runs: Runs[K]) -> Figure:
        """`level`."""
        return level(runs, self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean(Row, Generic[K]):
    """A number that is no rate, the mean over seeds."""

    key: K

    @property
    def keys(self) -> tuple[K, ...]:
        """The evaluations that it needs."""
        return (self.key,)

    def figure(self, runs: Runs[K]) -> Figure:
        """`mean`."""
        return mean(runs, self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference(Row, Generic[K]):
    """Points of success (per cent of tasks) by which `better` exceeds `worse`."""

    better: K
    worse: K

    @property
    def keys(self) -> tuple[K, ...]:
        """The evaluations that it needs."""
        return (self.better, self.worse)

    def figure(self, runs: Runs[K]) -> Figure:
        """`difference`, in points."""
        found = difference(runs, self.better, self.worse)
        return Figure(100 * found.value, 100 * found.low, 100 * found.high, found.seeds)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelativeGain(Row, Generic[K]):
    """Per cent by which `ours` exceeds the better of its `rivals`."""

    ours: K
    rivals: tuple[K, ...]

    @property
    def keys(self) -> tuple[K, ...]:
        """The evaluations that it needs."""
        return (self.ours, *self.rivals)

    def figure(self, runs: Runs[K]) -> Figure:
        """`relative_gain`."""
        return relative_gain(runs, self.ours, self.rivals)


ClaimRow: TypeAlias = Level[K] | Mean[K] | Difference[K] | RelativeGain[K]


def claims_of(table: Sequence[ClaimRow[K]], runs: Runs[K]) -> list[Claim]:
    """The claims of a table, row by row.

    Raises:
        UserError: if a run lacks an evaluation of a row that is not optional, or only some runs have an optional one's.
    """
    return [claim_of(row, runs) for row in table if not row.optional or everywhere(runs, *row.keys)]


def claim_of(row: ClaimRow[K], runs: Runs[K]) -> Claim:
    """One row as a claim. Where there is nothing to be relative to, the value is None and the note says why."""
    text = {"goal": row.goal, "paper": row.paper, "baseline": row.baseline}
    try:
        figure = row.figure(runs)
    except ValueError as error:
        return Claim(row.id, row.words, None, **text, seeds=_seeds(runs), note=f"{row.note} {error}".strip())
    ends = (figure.low, figure.high) if np.isfinite(figure.high) else None
    return Claim(row.id, row.words, figure.value, **text, ci95=ends, seeds=figure.seeds, note=row.note)


def _seeds(runs: Runs[K]) -> tuple[int, ...]:
    return tuple(sorted(run.seed for run in runs))


def _both(run: SeedRun[K], ours: ByTask, theirs: ByTask, keys: tuple[K, K]) -> list[str]:
    """The tasks of both evaluations, in the order of the first."""
    tasks = [task for task in ours if task in theirs]
    if not tasks:
        raise UserError(f"run {run.name}: the evaluations {keys[0]} and {keys[1]} have no task in common.")
    return tasks
