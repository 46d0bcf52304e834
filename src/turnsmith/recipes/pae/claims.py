"""What the laptop runs of PAE show: `results/pae.json`, a table of claims."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from turnsmith.evaluate.claims import Claim
from turnsmith.evaluate.figures import Difference, Level, RelativeGain, SeedRun, claims_of
from turnsmith.evaluate.seeds import finished_runs, record_runs
from turnsmith.evaluate.stats import wilson
from turnsmith.judges.base import Agreement
from turnsmith.recipes.pae.config import Arm, Config, Tests


@dataclass(frozen=True, slots=True)
class Key:
    """One evaluation: an arm (or "sft", the warm start) on a test."""

    arm: str
    test: Tests

    def __str__(self) -> str:
        return f"{self.arm}/{self.test}"


def _key(arm: str, test: Tests = Tests.TEMPLATES) -> Key:
    return Key(str(arm), test)


TEMPLATES, UNSEEN = Tests.TEMPLATES, Tests.UNSEEN
TABLE: tuple[RelativeGain[Key] | Difference[Key] | Level[Key], ...] = (
    RelativeGain(
        id="over_sft_relative_pct",
        words="PAE from the site's name over the warm start, on held-out templates, per cent of the warm start",
        ours=_key(Arm.NAME),
        rivals=(_key("sft"),),
        goal=">= 40 and interval above 0",
        paper="14.9 to 22.3 % (LLaVA 7B) and 22.2 to 33.0 % (34B) on WebVoyager: 50 and 49 %",
        baseline="SFT",
    ),
    Difference(
        id="unseen_site_gain_points",
        words="PAE from the site's name over the warm start, on sites that nothing has seen, in points",
        better=_key(Arm.NAME, UNSEEN),
        worse=_key("sft", UNSEEN),
        goal="> 0 and interval above 0",
        paper="claimed, figures not reachable",
        baseline="SFT",
    ),
    Difference(
        id="demos_minus_name_points",
        words="Tasks proposed from demonstrations over tasks from the name alone, on held-out templates, in points",
        better=_key(Arm.DEMOS),
        worse=_key(Arm.NAME),
        goal=">= 0",
        paper="25.7 against 24.6 % on WebArena Easy",
    ),
    Difference(
        id="over_more_sft_points",
        words="PAE from the site's name over as many updates on the demonstrations, on held-out templates, in points",
        better=_key(Arm.NAME),
        worse=_key(Arm.SFT_MORE),
        optional=True,
    ),
    Difference(
        id="oracle_minus_judge_points",
        words="The same tasks with the oracle's reward over the judge's, on held-out templates, in points",
        better=_key(Arm.ORACLE),
        worse=_key(Arm.NAME),
        optional=True,
    ),
    Difference(
        id="thoughts_points",
        words="PAE with thoughts over PAE without, on held-out templates, in points",
        better=_key(Arm.NAME),
        worse=_key(Arm.NO_THOUGHTS),
        optional=True,
    ),
    Level(id="sft_success", words="The warm start on held-out templates", key=_key("sft"), paper="14.9 %"),
    Level(id="pae_success", words="PAE from the name on held-out templates", key=_key(Arm.NAME), paper="22.3 %"),
    Level(
        id="true_tasks_success",
        words="The sites' own tasks and the oracle (ceiling), on held-out templates",
        key=_key(Arm.TRUE_TASKS),
        optional=True,
    ),
    Level(id="sft_unseen_success", words="The warm start on unseen sites", key=_key("sft", UNSEEN)),
    Level(id="pae_unseen_success", words="PAE from the name on unseen sites", key=_key(Arm.NAME, UNSEEN)),
)


def record_claims(config: Config) -> None:
    """Combine the finished runs of this preset, all seeds."""
    reports = finished_runs("pae", config)
    if reports:
        record_runs("pae", claims(reports), Config, reports)


def claims(reports: Sequence[Mapping[str, Any]]) -> list[Claim]:
    """All claims of some finished runs, a seed each.

    Args:
        reports: of `report.json`.
    """
    runs = [
        SeedRun(
            str(row["config"]["name"]),
            int(row["config"]["seed"]),
            {_parse(key): by_task for key, by_task in row["rewards"].items()},
        )
        for row in reports
    ]
    return [*claims_of(TABLE, runs), *_judge(reports)]


def _parse(key: str) -> Key:
    arm, _, test = key.partition("/")
    return Key(arm, Tests(test))


def _judge(reports: Sequence[Mapping[str, Any]]) -> list[Claim]:
    """Precision and recall over all episodes that the judge rewarded or not, of both PAE arms and all seeds."""
    found = [Agreement(**row["judge"][arm]) for row in reports for arm in (Arm.NAME, Arm.DEMOS) if row["judge"][arm]]
    hits = sum(agreed.true_positive for agreed in found)
    called = hits + sum(agreed.false_positive for agreed in found)
    right = hits + sum(agreed.false_negative for agreed in found)
    seeds = tuple(sorted(int(row["config"]["seed"]) for row in reports))
    note = "Training episodes of the arms pae_name and pae_demos; Wilson's intervals."
    return [
        Claim(
            "judge_precision",
            "Of the episodes that the local judge called successes, the share that the oracle agrees with",
            hits / called if called else None,
            goal=">= 0.9",
            paper="8.9 % of single verdicts differ from people's",
            ci95=wilson(hits, called) if called else None,
            seeds=seeds,
            note=note,
        ),
        Claim(
            "judge_recall",
            "Of the episodes that succeeded by the oracle, the share that the local judge called so",
            hits / right if right else None,
            ci95=wilson(hits, right) if right else None,
            seeds=seeds,
            note=note,
        ),
    ]
