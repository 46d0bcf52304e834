"""What the runs of `digirl` and `digiq` amount to over seeds: claims for `results/`.

Differences are paired by seed and task and bootstrapped over both. A claim is recorded whether it holds or not.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from turnsmith.evaluate.claims import Claim, record
from turnsmith.evaluate.seeds import commands_of, finished_runs
from turnsmith.evaluate.stats import clustered_bootstrap, wilson
from turnsmith.recipes.digiq.arm_names import ArmName, parse_arm
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


def digirl_claims(rewards: Mapping[int, Rewards], iterations: int, drift: int) -> list[Claim]:
    """The claims of `results/digirl.json` from the rewards of each seed."""
    end = {arm: f"eval-{arm}/{iterations}" for arm in ("fbc", "digirl")}
    claims = [
        level(rewards, "eval-sft/0", "sft_success", "Supervised first policy on held-out tasks", "17.7 % (WebShop)"),
        level(rewards, end["fbc"], "fbc_success", "Filtered behaviour cloning, off-to-on", "57.8 % (WebShop)"),
        level(rewards, end["digirl"], "digirl_success", "DigiRL, off-to-on", "67.2 % (WebShop)"),
        difference(
            rewards,
            end["digirl"],
            end["fbc"],
            "over_fbc_points",
            "DigiRL above filtered behaviour cloning, in points, at equal episodes and updates",
            ">= 8 and interval above 0",
            paper="9.4 points (WebShop)",
            note="Paired by task, bootstrap over seeds, then tasks.",
        ),
    ]
    if all({"train-digirl", "train-fbc"} <= set(by_key) for by_key in rewards.values()):
        words = "DigiRL above filtered BC on the fresh training tasks of all online iterations, in points"
        claims.append(difference(rewards, "train-digirl", "train-fbc", "online_gain_points", words, ""))
    ways = (f"eval-continual/{drift}", f"eval-frozen/{drift}")
    if all(way in by_key for by_key in rewards.values() for way in ways):
        claims.append(
            difference(
                rewards,
                *ways,
                "drift_gain_points",
                "Under drifting layouts, going on learning above staying frozen, in points",
                "> 0 and interval above 0",
                paper="65.9 against 59.9 %",
            )
        )
    return claims


def digiq_claims(rewards: Mapping[int, Rewards], note: str = "") -> list[Claim]:
    """The claims of `results/digiq.json` from the rewards of each seed; arms that were not run are left out.

    Ids of the paper's own comparisons have no arm in them; others are made of the arm's name.

    `note` goes with every difference.
    """
    arms = sorted(set.intersection(*[set(by_key) for by_key in rewards.values()]))
    claims = [level(rewards, arm, f"{_slug(arm)}_success", f"Success of {arm}") for arm in arms]
    names = {arm: parse_arm(arm) for arm in arms if arm != "behaviour"}  # π_β as it is learned nothing
    for arm, name in names.items():
        claims += _over_best_offline(rewards, arm, name, arms, note)
    pairs = [("digiq", arm, id, f"Digi-Q loses {words}", paper) for arm, id, words, paper in DROPS]
    pairs += [(*pair, "") for arm, name in names.items() for pair in _acting_pairs(arm, name)]
    for better, worse, id, words, paper in pairs:
        if {better, worse} <= {*arms}:
            goal = "" if id.endswith("_gain_points") else "> 0 and interval above 0"
            claims.append(difference(rewards, better, worse, id, f"{words}, in points", goal, paper=paper, note=note))
    return claims


DROPS = (
    ("no-representation", "no_representation_drop_points", "without stage 1", "31.9 against 58.0 %"),
    ("mc", "mc_drop_points", "with Monte Carlo targets in the place of TD", "37.5 against 58.0 %"),
    ("awr", "awr_drop_points", "with advantage-weighted regression", "19.4 against 58.0 %"),
    ("reinforce", "reinforce_drop_points", "with signed REINFORCE", "37.5 against 58.0 %"),
    ("best-of-1", "bestofn_16_over_1_points", "with N = 1", "monotone in N"),
)
"""Arm, id, what is missing from it, the paper's figures."""


def _slug(arm: str) -> str:
    return arm.replace("-", "_").replace("@", "_")


def _acting_pairs(arm: str, name: ArmName) -> list[tuple[str, str, str, str]]:
    """What an arm that chooses among draws is compared with: (better, worse, id, what the difference says)."""
    ranked, id = f"{name.trained}-ranked", _slug(name.trained)
    if name.acting == "likeliest" and name.count is None:
        gain = f"The likeliest of as many draws, without Q, adds to {name.trained}"
        return [(arm, name.trained, f"{id}_likeliest_gain_points", gain)]
    if name.acting == "ranked" and name.critics == "digiq":
        draws, own = (f"{name.count} draws", f"_{name.count}") if name.count else ("the draws", "")
        adds = f"Ranking {draws} by Q while acting adds to {name.trained}"
        beyond = f"Ranking {draws} of {name.trained} by Q exceeds doing the likeliest"
        return [
            (arm, name.trained, f"{id}_ranked{own}_gain_points", adds),
            (arm, f"{name.trained}-likeliest", f"{id}_ranked{own}_over_likeliest_points", beyond),
        ]
    if name.acting == "ranked" and name.count is None:
        words = {"td-0": "by TD(0)", **{arm: words for arm, _, words, _ in DROPS}}
        loses = f"Ranking the draws of {name.trained} loses with critics {words[name.critics]}"
        return [(ranked, arm, f"{id}_ranked_{_slug(name.critics)}_drop_points", loses)]
    return []


def _over_best_offline(
    rewards: Mapping[int, Rewards], arm: str, name: ArmName, arms: Sequence[str], note: str
) -> list[Claim]:
    """Digi-Q's policy, or one that its critics rank, against the offline methods after as many updates.

    One that ranks its draws is compared with those that do the likeliest of theirs as well, where they were run.
    """
    length = "" if name.updates is None else f"@{name.updates}"
    rivals = [f"{rival}{length}" for rival in ("fbc", "digirl")]
    ours = (name.acting, name.learner) == ("", "digiq") or (name.acting, name.critics) == ("ranked", "digiq")
    if not ours or not {*rivals} <= {*arms}:
        return []
    if name.acting:
        rivals += [rival for one in rivals if (rival := f"{one}-likeliest") in arms]
    id = {"digiq": "", "digiq-ranked": "ranked_"}.get(arm, f"{_slug(arm)}_")
    words = f"{arm} above the best of {', '.join(rivals)}, from the same log, in per cent of it"
    more: dict[str, Any] = {"goal": ">= 15 and interval above 0", "paper": "+21.2 %", "seeds": tuple(sorted(rewards))}
    try:
        gain, low, high = relative_gain(rewards, arm, rivals)
    except ValueError as error:
        return [Claim(f"{id}over_best_offline_relative_pct", words, None, note=str(error), **more)]
    interval = (low, high) if np.isfinite(high) else None
    return [Claim(f"{id}over_best_offline_relative_pct", words, gain, ci95=interval, note=note, **more)]


def record_digirl(config: Any) -> None:
    """Combine the finished runs of these settings, all seeds, into `results/digirl.json`."""
    _record("digirl", config, lambda rewards, _: digirl_claims(rewards, config.iterations, config.drift.iterations),
            ignore=("first",))  # fmt: skip


def record_digiq(config: Any) -> None:
    """Combine the finished runs of these settings, all seeds, into `results/digiq.json`."""
    _record("digiq", config, lambda rewards, reports: digiq_claims(rewards, shared_log(reports)),
            ignore=("source", "first"))  # fmt: skip


def _record(recipe: str, config: Any, claims: Any, ignore: Sequence[str] = ()) -> None:
    """`config.json` and `report.json` of the runs are all that is read; the device may differ."""
    reports = [row for row in finished_runs(recipe, config, ignore=("device", *ignore)) if row.get("rewards")]
    rewards = {row["config"]["seed"]: row["rewards"] for row in reports}
    if not rewards:
        return
    command = commands_of(recipe, type(config), reports)
    console.print(f"recorded {record(recipe, claims(rewards, reports), command)}")


def shared_log(reports: Sequence[Mapping[str, Any]]) -> str:
    """What must be said of an interval where all seeds learned from the same runs; "" where they did not."""
    sources = {tuple(row["config"].get("source", ())) for row in reports}
    if len(reports) > 1 and len(sources) == 1 and sources != {()}:
        return "All seeds learn from one log, so the spread between logs is not in the interval."
    return ""
