"""The claims of `results/digiq.json`: a table over the arms that the finished runs of all seeds have.

Ids of the paper's own comparisons have no arm in them; others are made of the arm's name.
"""

from collections.abc import Sequence

from turnsmith.evaluate.claims import Claim
from turnsmith.evaluate.figures import ClaimRow, Difference, Level, RelativeGain, Runs, claims_of
from turnsmith.evaluate.seeds import record_runs
from turnsmith.recipes.digiq.arm_names import ArmName, parse_arm
from turnsmith.recipes.digiq.config import Config
from turnsmith.recipes.shared.device_claims import Report, finished, runs_of

BEHAVIOUR = ArmName("behaviour")
"""π_β as it is: learned nothing, ranks nothing."""

DROPS = (
    ("no-representation", "no_representation_drop_points", "without stage 1", "31.9 against 58.0 %"),
    ("mc", "mc_drop_points", "with Monte Carlo targets in the place of TD", "37.5 against 58.0 %"),
    ("awr", "awr_drop_points", "with advantage-weighted regression", "19.4 against 58.0 %"),
    ("reinforce", "reinforce_drop_points", "with signed REINFORCE", "37.5 against 58.0 %"),
    ("best-of-1", "bestofn_16_over_1_points", "with N = 1", "monotone in N"),
)
"""Arm, id, what is missing from it, the paper's figures."""


def arm_of(name: str) -> ArmName:
    """The key of an evaluation: the arm that was evaluated."""
    return BEHAVIOUR if name == str(BEHAVIOUR) else parse_arm(name)


def table(arms: Sequence[ArmName], note: str = "") -> list[ClaimRow[ArmName]]:
    """The rows for runs that have these arms.

    Args:
        arms: in the order of their names.
        note: goes with every difference.
    """
    rows: list[ClaimRow[ArmName]] = [
        Level(id=f"{_slug(arm)}_success", words=f"Success of {arm}", key=arm) for arm in arms
    ]
    for arm in arms:
        rows += _over_best_offline(arm, arms, note)
    digiq = ArmName("digiq")
    for name, id, words, paper in DROPS:
        rows += _difference(arms, digiq, ArmName(name), id, f"Digi-Q loses {words}", note, paper)
    for arm in arms:
        rows += _acting(arms, arm, note)
    return rows


def _difference(
    arms: Sequence[ArmName], better: ArmName, worse: ArmName, id: str, words: str, note: str, paper: str = ""
) -> list[ClaimRow[ArmName]]:
    """One difference, where both arms were run."""
    if better not in arms or worse not in arms:
        return []
    goal = "" if id.endswith("_gain_points") else "> 0 and interval above 0"
    return [
        Difference(id=id, words=f"{words}, in points", better=better, worse=worse, goal=goal, paper=paper, note=note)
    ]


def _acting(arms: Sequence[ArmName], arm: ArmName, note: str) -> list[ClaimRow[ArmName]]:
    """What an arm that chooses among draws is compared with."""
    learner, id = arm.learned, _slug(arm.learned)
    if arm.acting == "likeliest" and arm.count is None:
        gain = f"The likeliest of as many draws, without Q, adds to {learner}"
        return _difference(arms, arm, learner, f"{id}_likeliest_gain_points", gain, note)
    if arm.acting == "ranked" and arm.critics == "digiq":
        draws, own = (f"{arm.count} draws", f"_{arm.count}") if arm.count else ("the draws", "")
        adds = f"Ranking {draws} by Q while acting adds to {learner}"
        beyond = f"Ranking {draws} of {learner} by Q exceeds doing the likeliest"
        return [
            *_difference(arms, arm, learner, f"{id}_ranked{own}_gain_points", adds, note),
            *_difference(arms, arm, learner.likeliest, f"{id}_ranked{own}_over_likeliest_points", beyond, note),
        ]
    if arm.acting == "ranked" and arm.count is None:
        words = {"td-0": "by TD(0)", **{name: words for name, _, words, _ in DROPS}}
        loses = f"Ranking the draws of {learner} loses with critics {words[arm.critics]}"
        drop = f"{id}_ranked_{arm.critics.replace('-', '_')}_drop_points"
        return _difference(arms, learner.ranked, arm, drop, loses, note)
    return []


def _over_best_offline(arm: ArmName, arms: Sequence[ArmName], note: str) -> list[ClaimRow[ArmName]]:
    """Digi-Q's policy, or one that its critics rank, against the offline methods after as many updates.

    One that ranks its draws is compared with those that do the likeliest of theirs as well, where they were run.
    """
    rivals = [ArmName(rival, arm.updates) for rival in ("fbc", "digirl")]
    ours = (arm.acting, arm.learner) == ("", "digiq") or (arm.acting, arm.critics) == ("ranked", "digiq")
    if not ours or any(rival not in arms for rival in rivals):
        return []
    if arm.acting:
        rivals += [rival.likeliest for rival in rivals if rival.likeliest in arms]
    id = {"digiq": "", "digiq-ranked": "ranked_"}.get(str(arm), f"{_slug(arm)}_")
    words = f"{arm} above the best of {', '.join(map(str, rivals))}, from the same log, in per cent of it"
    return [
        RelativeGain(
            id=f"{id}over_best_offline_relative_pct",
            words=words,
            ours=arm,
            rivals=tuple(rivals),
            goal=">= 15 and interval above 0",
            paper="+21.2 %",
            note=note,
        )
    ]


def _slug(arm: ArmName) -> str:
    return str(arm).replace("-", "_").replace("@", "_")


def digiq_claims(runs: Runs[ArmName], note: str = "") -> list[Claim]:
    """The claims of these runs, over the arms that all of them have; `note` goes with every difference."""
    common = set.intersection(*[set(run.evaluations) for run in runs])
    return claims_of(table(sorted(common, key=str), note), runs)


def record_claims(config: Config) -> None:
    """Combine the finished runs of these settings, all seeds, into `results/digiq.json`."""
    reports = finished("digiq", config, ignore=("source", "first"))
    if reports:
        record_runs("digiq", digiq_claims(runs_of(reports, arm_of), shared_log(reports)), Config, reports)


def shared_log(reports: Sequence[Report]) -> str:
    """What must be said of an interval where all seeds learned from the same runs; "" where they did not."""
    sources = {tuple(row["config"].get("source", ())) for row in reports}
    if len(reports) > 1 and len(sources) == 1 and sources != {()}:
        return "All seeds learn from one log, so the spread between logs is not in the interval."
    return ""
