"""What the claims of the recipes for device agents share: finished runs of all seeds."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

from turnsmith.evaluate.figures import Runs, SeedRun
from turnsmith.evaluate.seeds import finished_runs
from turnsmith.runs.config import RecipeConfig

K = TypeVar("K", bound=Hashable)
Report = Mapping[str, Any]
"""A run's `report.json`: its settings under "config", and under "rewards" the oracle's reward of each task by
evaluation."""


def finished(recipe: str, config: RecipeConfig, ignore: Sequence[str] = ()) -> list[Report]:
    """The reports of the finished runs of these settings; seed, name, device and `ignore` may differ."""
    return [row for row in finished_runs(recipe, config, ignore=("device", *ignore)) if row.get("rewards")]


def runs_of(reports: Sequence[Report], key: Callable[[str], K]) -> Runs[K]:
    """The evaluations of these runs, a seed each; `key` reads the name of an evaluation."""
    return [
        SeedRun(
            row["config"]["name"],
            row["config"]["seed"],
            {key(name): by_task for name, by_task in row["rewards"].items()},
        )
        for row in reports
    ]
