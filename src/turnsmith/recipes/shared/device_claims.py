"""What device runs amount to over seeds: levels, paired differences and relative gains, as claims for `results/`.

Differences are paired by seed and task and bootstrapped over both. A claim is recorded whether it holds or not.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from turnsmith.evaluate.claims import Claim, record
from turnsmith.evaluate.seeds import commands_of, finished_runs
from turnsmith.evaluate.stats import clustered_bootstrap, wilson
from turnsmith.runs.progress import console

Rewards = Mapping[str, Mapping[str, float]]
"""By evaluation: by task: the oracle's mean reward."""


def level(rewards: Mapping[int, Rewards], key: str, id: str, words: str, paper: str = "") -> Claim:
    """Success of one evaluation over all seeds, with Wilson's interval over tasks (played again they count once)."""
    values = [value for by_key in rewards.values() for value in by_key[key].values()]
    interval = wilson(round(sum(values)), len(values))
    return Claim(id, words, fmean(values), paper=paper, ci95=interval, seeds=tuple(sorted(rewards)))


def difference(
    rewards: Mapping[int, Rewards], better: str, worse: str, id: str, words: str, goal: str, **more: Any
) -> Claim:
    """Points of success by which one evaluation exceeds another, paired by seed and task."""
    pairs = [
        [by_key[better][task] - by_key[worse][task] for task in by_key[better] if task in by_key[worse]]
        for by_key in rewards.values()
    ]
    mean, low, high = clustered_bootstrap(pairs)
    return Claim(
        id,
        words,
        100 * mean,
        goal=goal,
        ci95=(100 * low, 100 * high),
        seeds=tuple(sorted(rewards)),
        **more,
    )


def relative_gain(
    rewards: Mapping[int, Rewards], ours: str, rivals: Sequence[str], resamples: int = 4000, seed: int = 0
) -> tuple[float, float, float]:
    """Per cent by which a success rate exceeds the better of its rivals', with its 95 % interval.

    The rival is the one that is better over all seeds, chosen once; the interval is a bootstrap over seeds, then tasks.

    Raises:
        ValueError: if no rival ever succeeded: there is nothing to be relative to.
    """
    means = {name: fmean(fmean(by_key[name].values()) for by_key in rewards.values()) for name in rivals}
    best = max(rivals, key=means.__getitem__)
    if means[best] == 0:
        raise ValueError("no rival succeeded at anything")
    tables = []
    for by_key in rewards.values():
        tasks = [task for task in by_key[ours] if task in by_key[best]]
        tables.append(np.array([[by_key[ours][task], by_key[best][task]] for task in tasks]))
    source = np.random.default_rng(seed)
    gains = []
    for _ in range(resamples):
        drawn = [tables[i] for i in source.integers(0, len(tables), size=len(tables))]
        pair = np.mean([table[source.integers(0, len(table), size=len(table))].mean(axis=0) for table in drawn], axis=0)
        gains.append(np.inf if pair[1] == 0 else 100 * (pair[0] / pair[1] - 1))
    ours_mean = np.mean([table[:, 0].mean() for table in tables])
    low, high = np.quantile(gains, [0.025, 0.975])
    return float(100 * (ours_mean / np.mean([table[:, 1].mean() for table in tables]) - 1)), float(low), float(high)


def record_seeds(recipe: str, config: Any, claims: Any, ignore: Sequence[str] = ()) -> None:
    """`config.json` and `report.json` of the runs are all that is read; the device may differ."""
    reports = [row for row in finished_runs(recipe, config, ignore=("device", *ignore)) if row.get("rewards")]
    rewards = {row["config"]["seed"]: row["rewards"] for row in reports}
    if not rewards:
        return
    command = commands_of(recipe, type(config), reports)
    console.print(f"recorded {record(recipe, claims(rewards, reports), command)}")
