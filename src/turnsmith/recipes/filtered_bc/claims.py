"""What the laptop runs of filtered behaviour cloning show: `results/filtered_bc.json`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from turnsmith.evaluate.figures import ClaimRow, Difference, Level, Runs, SeedRun, claims_of, level
from turnsmith.evaluate.seeds import finished_runs, record_runs
from turnsmith.recipes.filtered_bc.config import Config, Method


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One evaluation on the held-out tasks."""

    method: Method
    iteration: int

    def __str__(self) -> str:
        return f"{self.method} after iteration {self.iteration}"


def record_claims(config: Config) -> None:
    """Combine the finished runs of this preset, all seeds and both methods."""
    reports = finished_runs("filtered_bc", config, ignore=("method",))
    ours = [report for report in reports if report["config"]["method"] == "filtered_bc"]
    if ours:
        found = claims_of(table(config.iterations, runs_of(reports, "sft")), runs_of(ours, "filtered_bc"))
        record_runs("filtered_bc", found, Config, ours)


def runs_of(reports: Sequence[Mapping[str, Any]], method: Method) -> list[SeedRun[Evaluated]]:
    """The finished runs of one method, from their `report.json`."""
    return [
        SeedRun(
            report["config"]["name"],
            report["config"]["seed"],
            {
                Evaluated(method, int(phase.removeprefix("eval/"))): rewards
                for phase, rewards in report["rewards"].items()
                if phase.startswith("eval/")
            },
        )
        for report in reports
        if report["config"]["method"] == method
    ]


def table(iterations: int, control: Runs[Evaluated]) -> list[ClaimRow[Evaluated]]:
    """The claims after K iterations.

    Args:
        iterations: K.
        control: runs that spent as many updates on the demonstrations; may be empty.
    """
    before, after = Evaluated("filtered_bc", 0), Evaluated("filtered_bc", iterations)
    ends_at = f"{100 * level(control, Evaluated('sft', iterations)).value:.1f} %" if control else ""
    return [
        Difference(
            id="success_gain_points",
            words="Gain in success on held-out entities, in points",
            better=after,
            worse=before,
            goal=">= 25 and interval above 0",
            baseline=f"SFT for as many updates ends at {ends_at}" if control else None,
            note="Bootstrap over seeds, then tasks.",
        ),
        Level(id="warm_start_success", words="Before: success on held-out entities", key=before),
        Level(id="final_success", words="After: success on held-out entities", key=after),
    ]
