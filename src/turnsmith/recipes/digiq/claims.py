"""The claims of `results/digiq.json`: what the finished runs of all seeds amount to, by the arms that were run."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from turnsmith.evaluate.claims import Claim
from turnsmith.recipes.digiq.arm_names import ArmName, parse_arm
from turnsmith.recipes.shared.device_claims import Rewards, difference, level, record_seeds, relative_gain


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


def record_digiq(config: Any) -> None:
    """Combine the finished runs of these settings, all seeds, into `results/digiq.json`."""
    record_seeds("digiq", config, lambda rewards, reports: digiq_claims(rewards, shared_log(reports)),
            ignore=("source", "first"))  # fmt: skip


def shared_log(reports: Sequence[Mapping[str, Any]]) -> str:
    """What must be said of an interval where all seeds learned from the same runs; "" where they did not."""
    sources = {tuple(row["config"].get("source", ())) for row in reports}
    if len(reports) > 1 and len(sources) == 1 and sources != {()}:
        return "All seeds learn from one log, so the spread between logs is not in the interval."
    return ""
