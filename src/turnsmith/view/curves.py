"""Metric curves from the rows of `metrics.jsonl`."""

from collections.abc import Iterable, Sequence
from typing import Any

_KEYS = ("time", "step", "iteration", "epoch", "phase", "seed", "n")


def curves(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One series a metric and phase, in the order in which metrics first appear, success first.

    Args:
        rows: `{"time", "step", "iteration", "phase", METRIC: number, METRIC_low: number, METRIC_high: number, …}`.

    Returns:
        `[{"metric", "phase", "points": [{"step", "iteration", "time", "value", "low", "high"}]}]`; low and high are
        None without an interval, and time is in seconds since the first row.
    """
    series: dict[tuple[str, str], list[dict[str, Any]]] = {}
    began: float | None = None
    for row in rows:
        if began is None and _is_number(row.get("time")):
            began = row["time"]
        phase = str(row.get("phase", ""))
        for name, value in row.items():
            is_bound = name.endswith(("_low", "_high")) and name.rsplit("_", 1)[0] in row
            if name in _KEYS or is_bound or not _is_number(value):
                continue
            point = {key: row.get(key) if _is_number(row.get(key)) else None for key in ("step", "iteration", "time")}
            if point["time"] is not None:
                point["time"] -= began
            if point["iteration"] is None and _is_number(row.get("epoch")):
                point["iteration"] = row["epoch"]
            low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
            both = _is_number(low) and _is_number(high)
            point |= {"value": value, "low": low if both else None, "high": high if both else None}
            series.setdefault((name, phase), []).append(point)
    ordered = sorted(series.items(), key=lambda item: not item[0][0].startswith("success"))
    return [{"metric": metric, "phase": phase, "points": points} for (metric, phase), points in ordered]


def telling(series: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The series of `curves` without metrics that say nothing: those without an interval that never change.

    The number of episodes of each evaluation is one, infra errors that stay at zero are another, a single dot a third.
    A metric is judged by all of its phases together: what several of them say of no step and no iteration is a table
    (arms of an experiment, one after the other), and no curve over the clock.
    """
    kept: dict[str, list[dict[str, Any]]] = {}
    for curve in series:
        kept.setdefault(curve["metric"], []).append(curve)
    return [curve for phases in kept.values() if not _silent(phases) for curve in phases]


def _silent(phases: Sequence[dict[str, Any]]) -> bool:
    points = [point for curve in phases for point in curve["points"]]
    if len(phases) > 1 and all(point["step"] is point["iteration"] is None for point in points):
        return True
    constant = all(len({point["value"] for point in curve["points"]}) == 1 for curve in phases)
    return constant and all(point["low"] is None for point in points)


def report_charts(charts: object) -> list[dict[str, Any]]:
    """Curves over something else than time, from `report.json`'s "charts", as series with an axis of their own.

    Args:
        charts: `[{"title", "x", "series": [{"name", "points": [{"x", "value", "low", "high"}]}]}]`. A title with
            "success" or "accuracy" in it and values from 0 to 1 is drawn in per cent. What is not of this form is left
            out.

    Returns:
        As `curves`, with "axis" the name of x and the values of x in "step".
    """
    found = []
    for chart in charts if isinstance(charts, list) else []:
        if not isinstance(chart, dict) or not isinstance(chart.get("series"), list):
            continue
        for series in chart["series"]:
            if not isinstance(series, dict) or not isinstance(series.get("points"), list):
                continue
            points = [
                {
                    "step": point["x"],
                    "iteration": None,
                    "time": None,
                    "value": point["value"],
                    "low": point["low"] if _is_number(point.get("low")) else None,
                    "high": point["high"] if _is_number(point.get("high")) else None,
                }
                for point in series["points"]
                if isinstance(point, dict) and _is_number(point.get("x")) and _is_number(point.get("value"))
            ]
            if points:
                names = {"metric": str(chart.get("title", "")), "phase": str(series.get("name", ""))}
                found.append({**names, "axis": str(chart.get("x", "")), "points": points})
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
