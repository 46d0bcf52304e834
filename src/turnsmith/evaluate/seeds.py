"""Results over seeds: find the finished runs of one setting, and turn their rewards into claims."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from turnsmith.evaluate.claims import Claim
from turnsmith.evaluate.stats import clustered_bootstrap, wilson
from turnsmith.runs.config import command_of, from_json, to_json
from turnsmith.runs.run import read_json


def finished_runs(
    recipe: str, config: Any, ignore: Sequence[str] = (), runs: Path = Path("runs")
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


def gain_claims(
    by_seed: Mapping[int, tuple[Mapping[str, float], Mapping[str, float]]],
    *,
    what: str,
    names: tuple[str, str, str],
    goal: str,
    suffix: str = "",
    baseline: str | None = None,
) -> list[Claim]:
    """Before, after and gain over seeds, paired by task.

    Args:
        by_seed: seed -> (reward of each task before, reward of each task after).
        what: what the rewards are, such as "success on held-out entities".
        names: ids of the gain (in points), of before and of after (fractions).
        goal: of the gain.
        suffix: appended to the ids.
        baseline: what the gain is to be compared with.

    Returns:
        Three claims. The gain's interval is a bootstrap over seeds and then tasks; the others' are Wilson's over all
        episodes.
    """
    seeds = tuple(sorted(by_seed))
    gains = [[after[task] - before[task] for task in before if task in after] for before, after in by_seed.values()]
    gain, low, high = clustered_bootstrap(gains)
    ends = [_pooled([list(pair[end].values()) for pair in by_seed.values()]) for end in (0, 1)]
    apart = "do not overlap" if ends[1][1] > ends[0][2] else "overlap"
    return [
        Claim(
            names[0] + suffix,
            f"Gain in {what}, in points",
            100 * gain,
            goal=goal,
            baseline=baseline,
            ci95=(100 * low, 100 * high),
            seeds=seeds,
            note=f"The 95 % intervals of both ends {apart}. Bootstrap over seeds, then tasks.",
        ),
        Claim(names[1] + suffix, f"Before: {what}", ends[0][0], ci95=ends[0][1:], seeds=seeds),
        Claim(names[2] + suffix, f"After: {what}", ends[1][0], ci95=ends[1][1:], seeds=seeds),
    ]


def _pooled(groups: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """Mean reward over all seeds' episodes, with the Wilson interval of the number of successes."""
    values = [value for group in groups for value in group]
    won = round(sum(values))
    return (won / len(values), *wilson(won, len(values)))
