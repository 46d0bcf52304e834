"""The finished runs of one setting, a seed each, the commands that made them, and their claims recorded.

What a claim was computed from is kept beside it: `results/runs/NAME.json` is the report of a run, so that figures can
be computed again, and seeds that were run on another machine count.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from turnsmith.evaluate.claims import Claim, record
from turnsmith.runs.config import RecipeConfig, command_of, from_json, to_json
from turnsmith.runs.progress import console
from turnsmith.runs.run import read_json, write_json

KEPT = Path("results/runs")
"""Where the reports behind recorded claims are kept."""


def finished_runs(
    recipe: str, config: RecipeConfig, ignore: Sequence[str] = (), runs: Path = Path("runs"), kept: Path | None = KEPT
) -> list[dict[str, Any]]:
    """The `report.json` of every finished run with these settings, whatever its seed and name.

    Args:
        recipe: the recipe's name.
        config: the settings to look for.
        ignore: further settings that may differ.
        runs: where runs are.
        kept: where the reports of earlier ones are; a run that is in both counts once, as it is in `runs`. None
            where claims need more than reports.
    """
    free = {"seed", "name", *ignore}
    wanted = _without(json.loads(json.dumps(to_json(recipe, config))), free)
    found: dict[str, dict[str, Any]] = {}
    for path in [*(sorted(kept.glob("*.json")) if kept else ()), *sorted(runs.glob("*/config.json"))]:
        report = path if path.parent == kept else path.parent / "report.json"
        if not report.exists():
            continue
        row = read_json(report)
        settings = read_json(path) if report is not path else row["config"]
        if row.get("status") == "done" and _without(settings, free) == wanted:
            found[settings["name"]] = row
    return list(found.values())


def record_runs(recipe: str, claims: Sequence[Claim], kind: type, reports: Sequence[Mapping[str, Any]]) -> None:
    """Write `results/RECIPE.json`, and keep the reports that the claims were computed from.

    Args:
        recipe: the recipe's name.
        claims: what the runs amount to.
        kind: the recipe's `Config`.
        reports: of `finished_runs`.
    """
    KEPT.mkdir(parents=True, exist_ok=True)
    for row in reports:
        write_json(KEPT / f"{row['config']['name']}.json", row)
    path = record(recipe, claims, commands_of(recipe, kind, reports))
    console.print(f"recorded {path}")


def commands_of(recipe: str, kind: type, reports: Sequence[Mapping[str, Any]]) -> str:
    """The commands that make these runs, by seed.

    Args:
        recipe: the recipe's name.
        kind: its `Config`.
        reports: of `finished_runs`.
    """
    made = [from_json(kind, row["config"]) for row in reports]
    return "; ".join(command_of(recipe, config, named=True) for config in sorted(made, key=lambda one: one.seed))


def _without(settings: Mapping[str, Any], keys: set[str]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in keys}
