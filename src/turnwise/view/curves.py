"""Metric curves from the rows of `metrics.jsonl`."""

from collections.abc import Iterable
from typing import Any

_KEYS = ("time", "step", "iteration", "epoch", "phase", "seed")


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


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
