"""The finished runs of one setting, a seed each, and the commands that made them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from turnsmith.runs.config import RecipeConfig, command_of, from_json, to_json
from turnsmith.runs.run import read_json


def finished_runs(
    recipe: str, config: RecipeConfig, ignore: Sequence[str] = (), runs: Path = Path("runs")
) -> list[dict[str, Any]]:
    """The `report.json` of every finished run with these settings, whatever its seed and name.

    Args:
        recipe: the recipe's name.
        config: the settings to look for.
        ignore: further settings that may differ.
        runs: where runs are.
    """
    free = {"seed", "name", *ignore}
    wanted = _without(json.loads(json.dumps(to_json(recipe, config))), free)
    found = []
    for path in sorted(runs.glob("*/config.json")):
        report = path.parent / "report.json"
        if _without(read_json(path), free) == wanted and report.exists():
            row = read_json(report)
            if row.get("status") == "done":
                found.append(row)
    return found


def commands_of(recipe: str, kind: type, reports: Sequence[Mapping[str, Any]]) -> str:
    """The commands that make these runs, by seed.

    Args:
        recipe: the recipe's name.
        kind: its `Config`.
        reports: of `finished_runs`.
    """
    made = [from_json(kind, row["config"]) for row in reports]
    return "; ".join(command_of(recipe, one, named=True) for one in sorted(made, key=lambda one: one.seed))


def _without(settings: Mapping[str, Any], keys: set[str]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in keys}
