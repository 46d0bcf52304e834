"""What the laptop runs of Self-Challenging agents show: `results/sca.json`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from turnsmith.evaluate.claims import Claim
from turnsmith.evaluate.figures import ClaimRow, Difference, Level, Runs, SeedRun, claims_of
from turnsmith.evaluate.seeds import finished_runs, record_runs
from turnsmith.evaluate.stats import resampled_means, wilson
from turnsmith.recipes.sca.config import Config


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One executor on the held-out tasks.

    Attributes:
        arm: its name, or "zero-shot".
    """

    arm: str

    def __str__(self) -> str:
        return self.arm


ZERO, FULL, PAE = Evaluated("zero-shot"), Evaluated("rft-full-800"), Evaluated("rft-pae-800")


def record_claims(config: Config) -> None:
    """Combine the finished runs of this preset, all seeds."""
    reports = finished_runs("sca", config)
    if reports:
        found = [ratio(runs_of(reports)), *claims_of(table(config), runs_of(reports)), *filters(reports)]
        record_runs("sca", found, Config, reports)


def runs_of(reports: Sequence[Mapping[str, Any]]) -> list[SeedRun[Evaluated]]:
    """The evaluations of finished runs, from their `report.json`."""
    return [
        SeedRun(
            report["config"]["name"],
            report["config"]["seed"],
            {Evaluated(arm): rewards for arm, rewards in report["rewards"].items()},
        )
        for report in reports
    ]


def ratio(runs: Runs[Evaluated], resamples: int = 4000) -> Claim:
    """How many times the zero-shot Pass@1 the executor reaches, bootstrapped over seeds, then tasks."""
    tables = [
        np.array([[run.rewards(FULL)[task], reward] for task, reward in run.rewards(ZERO).items()]) for run in runs
    ]
    means = np.mean([rows.mean(axis=0) for rows in tables], axis=0)
    drawn = [ours / before if before else np.inf for ours, before in resampled_means(tables, resamples, seed=0)]
    low, high = (float(end) for end in np.quantile(drawn, [0.025, 0.975]))
    value = round(float(means[0] / means[1]), 4) if means[1] else None
    return Claim(
        "pass1_ratio",
        "Pass@1 on held-out official tasks after learning from self-made tasks alone, over zero-shot Pass@1",
        value,
        goal=">= 2",
        paper="23.5 / 12.0 = 1.96, mean of four environments",
        baseline=f"zero-shot {100 * means[1]:.1f} %, after {100 * means[0]:.1f} %",
        ci95=(low, high) if np.isfinite(high) else None,
        seeds=tuple(sorted(run.seed for run in runs)),
        note=f"The interval {'lies above 1' if low > 1 else 'does not lie above 1'}.",
    )


def table(config: Config) -> list[ClaimRow[Evaluated]]:
    """The claims about arms."""
    rows: list[ClaimRow[Evaluated]] = [
        Difference(
            id="over_pae_points",
            words="Self-made, verified tasks over PAE-style ones (no exploration, judged by the model), in points",
            better=FULL,
            worse=PAE,
            goal="> 0 and interval above 0",
            paper="23.5 - 12.9 = 10.6",
        ),
        Difference(
            id="scaling_800_over_200_points",
            words="800 tasks over 200 with as many rollouts in all, in points",
            better=FULL,
            worse=Evaluated("rft-full-200"),
            goal="> 0 and interval above 0",
            paper="200 tasks hurt slightly, 800 help (figure 6)",
        ),
        Level(id="pass1_zero_shot", words="Pass@1 before", key=ZERO),
    ]
    for arm in config.arms:
        name = "pass1_" + arm.replace("-", "_")
        rows.append(Level(id=name, words=f"Pass@1 of {arm}", key=Evaluated(arm)))
    return rows


def filters(reports: Sequence[Mapping[str, Any]]) -> list[Claim]:
    """Precision of the filter with and without failure cases, over all seeds' audits."""
    found = []
    for name, filter, goal in (
        ("filter_precision", "full", ">= 0.99"),
        ("filter_precision_no_failures", "solution", ""),
    ):
        rows = [report["audit"][filter] for report in reports]
        right, total = sum(row["right"] for row in rows), sum(row["audited"] for row in rows)
        found.append(
            Claim(
                name,
                f"Of the self-made tasks that the filter '{filter}' keeps, the share that can be done and whose "
                "verifier tells right from wrong, by the oracle",
                right / total if total else None,
                goal=goal,
                paper="no figure; failure cases remove the false positives (figure 4)",
                ci95=wilson(right, total) if total else None,
                seeds=tuple(sorted(report["config"]["seed"] for report in reports)),
                note=f"{total} tasks audited",
            )
        )
    return found
