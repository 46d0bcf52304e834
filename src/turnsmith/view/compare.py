"""Two or more runs side by side: paired by task for success, drawn together for curves, seeds averaged."""

import json
import math
from collections.abc import Mapping
from statistics import fmean, stdev
from typing import Any

from turnsmith.evaluate.stats import paired_bootstrap
from turnsmith.view.curves import curves
from turnsmith.view.queries import Row
from turnsmith.view.run import Run, final_evaluation

# Two-sided 95 % quantiles of Student's t by degrees of freedom; beyond the table the normal one is close enough.
_T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)


def compare(runs: list[Run]) -> dict[str, Any]:
    """The page that compares runs: each one's line, every later run against the first, and the curves of all.

    Success is compared on the tasks that both runs tried in their last evaluation, each task one pair (the mean over
    its episodes, infra errors left out), with a bootstrap interval over tasks.
    """
    notes: list[str] = []
    pairs = []
    for second in runs[1:]:
        pair, note = _pair(runs[0], second)
        if pair is not None:
            pairs.append(pair)
        if note:
            notes.append(note)
    groups = _groups(runs)
    for label, members in groups.items():
        if len(members) > 1:
            notes.append(f"{label}: mean of {len(members)} seeds with a 95 % interval (Student's t).")
    return {"runs": [run.row() for run in runs], "pairs": pairs, "series": _series(groups), "notes": notes}


def _pair(first: Run, second: Run) -> tuple[dict[str, Any] | None, str]:
    rows_a, rows_b = _by_task(first), _by_task(second)
    shared = sorted(rows_a.keys() & rows_b.keys())
    if not shared:
        return None, f"{first.name} and {second.name} have no task of their last evaluations in common."
    mean_a = [fmean(row.solved for row in rows_a[task]) for task in shared]
    mean_b = [fmean(row.solved for row in rows_b[task]) for task in shared]
    difference, low, high = paired_bootstrap(mean_a, mean_b)
    deltas = [b - a for a, b in zip(mean_a, mean_b, strict=True)]
    order = sorted(range(len(shared)), key=lambda index: -abs(deltas[index]))
    examples = [
        {
            "task": shared[index],
            "instruction": rows_a[shared[index]][0].instruction,
            "first": mean_a[index],
            "second": mean_b[index],
            "a": rows_a[shared[index]][-1].id,
            "b": rows_b[shared[index]][-1].id,
        }
        for index in order[:12]
        if deltas[index]
    ]
    left_out = len(rows_a.keys() ^ rows_b.keys())
    note = f"{left_out} tasks were tried by only one of {first.name} and {second.name}, and are left out." * (
        left_out > 0
    )
    return {
        "first": first.name,
        "second": second.name,
        "tasks": len(shared),
        "first_success": fmean(mean_a),
        "second_success": fmean(mean_b),
        "difference": difference,
        "low": low,
        "high": high,
        "wins": sum(delta > 0 for delta in deltas),
        "losses": sum(delta < 0 for delta in deltas),
        "ties": sum(delta == 0 for delta in deltas),
        "examples": examples,
    }, note


def _by_task(run: Run) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in final_evaluation(run.rows.all()):
        if row.counts:
            found.setdefault(row.task_id, []).append(row)
    return found


# Curves across seeds


def _groups(runs: list[Run]) -> dict[str, list[Run]]:
    """Runs whose configurations differ in their seed only are one group; its label is made of their names."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        config = {key: value for key, value in run.folder().config.items() if key not in ("seed", "name", "command")}
        key = json.dumps(config, sort_keys=True, default=str) if config else run.name
        groups.setdefault(key, []).append(run)
    return {_label(members): members for members in groups.values()}


def _label(members: list[Run]) -> str:
    return members[0].name if len(members) == 1 else f"{members[0].name} and {len(members) - 1} more"


def _series(groups: Mapping[str, list[Run]]) -> list[dict[str, Any]]:
    series = []
    for label, members in groups.items():
        by_metric: dict[tuple[str, str], list[list[dict[str, Any]]]] = {}
        for run in members:
            for curve in curves(run.folder().metrics):
                by_metric.setdefault((curve["metric"], curve["phase"]), []).append(curve["points"])
        for (metric, phase), curves_of_seeds in by_metric.items():
            curve = {"metric": metric, "phase": phase, "label": f"{label} ({phase})" if phase else label}
            if len(members) == 1:
                series.append({**curve, "points": curves_of_seeds[0]})
            else:
                series.append({**curve, "points": mean_over_seeds(curves_of_seeds), "members": curves_of_seeds})
    return sorted(series, key=lambda curve: not curve["metric"].startswith("success"))


def mean_over_seeds(curves_of_seeds: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """One curve of means with 95 % intervals (Student's t over seeds) at each x that at least two seeds have.

    Args:
        curves_of_seeds: the points of each seed; points meet by iteration and step.
    """
    at: dict[tuple, list[dict[str, Any]]] = {}
    for points in curves_of_seeds:
        for point in points:
            at.setdefault((point["iteration"], point["step"]), []).append(point)
    means = []
    for (iteration, step), points in at.items():
        values = [point["value"] for point in points]
        if len(values) < 2:
            continue
        half = _t95(len(values) - 1) * stdev(values) / math.sqrt(len(values))
        mean = fmean(values)
        interval = {"value": mean, "low": mean - half, "high": mean + half}
        means.append({"step": step, "iteration": iteration, "time": points[0]["time"], **interval})
    return sorted(means, key=lambda point: (point["iteration"] or 0, point["step"] or 0))


def _t95(degrees: int) -> float:
    return _T95[degrees - 1] if degrees <= len(_T95) else 1.96 + 2.4 / degrees
