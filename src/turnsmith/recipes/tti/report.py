"""What a TTI run prints and leaves behind: success by arm and by needed steps, behaviour by iteration, tokens spent."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from turnsmith.evaluate.budget import Point, at_equal_cost
from turnsmith.evaluate.show import percent, summary_table
from turnsmith.evaluate.summary import rewards_by_task, summarize
from turnsmith.recipes.tti.claims import NOT_REPRODUCED, WARM
from turnsmith.recipes.tti.config import Config
from turnsmith.rollout.spent import tokens_spent
from turnsmith.runs.progress import console
from turnsmith.runs.run import Run
from turnsmith.tasks.horizon import needed_bin
from turnsmith.trace.types import ORACLE, Call, Outcome, Trace

BOUNDS = (10, 15)
"""Bins of needed steps: up to 10, 11 to 15, 16 and more (a third of the hunts each)."""


def behaviour(traces: Sequence[Trace], judge: str = ORACLE) -> dict[str, float]:
    """How the agent went about it: figures of one iteration for `metrics.jsonl`."""
    counted = [trace for trace in traces if trace.outcome is not Outcome.INFRA_ERROR]
    if not counted:
        return {"episodes": 0, "env_steps": 0, "infra_errors": len(traces)}
    turns = [turn for trace in counted for turn in trace.turns]
    summary = summarize(traces, judge)
    return {
        "success": summary.success,
        "success_low": summary.interval[0],
        "success_high": summary.interval[1],
        "episodes": summary.episodes,
        "env_steps": summary.steps,
        "steps": summary.mean_steps,
        "steps_of_successes": summary.mean_success_steps,
        "truncated": summary.truncated_rate,
        "go_back": sum(_is_back(turn.action.call) for turn in turns) / len(counted),
        "go_back_share": sum(_is_back(turn.action.call) for turn in turns) / max(1, len(turns)),
        "tokens_a_step": fmean(tokens_spent(trace) for trace in counted) / max(1.0, summary.mean_steps),
        "infra_errors": summary.infra_errors,
    }


def _is_back(call: Call | None) -> bool:
    return call is not None and call.name == "go_back"


def by_needed(traces: Sequence[Trace], judge: str = ORACLE) -> dict[str, dict[str, float]]:
    """Success, steps and share cut off, by the steps that a task needs."""
    bins: dict[str, list[Trace]] = {}
    for trace in sorted(traces, key=lambda trace: trace.task.params.get("needed_steps", 0)):
        needed = trace.task.params.get("needed_steps")
        bins.setdefault("not known" if needed is None else needed_bin(needed, BOUNDS), []).append(trace)
    found = {}
    for name, some in bins.items():
        summary = summarize(some, judge)
        found[name] = {
            "episodes": summary.episodes,
            "success": summary.success,
            "steps": summary.mean_steps,
            "truncated": summary.truncated_rate,
        }
    return found


def binding(traces: Sequence[Trace], horizons: Sequence[int], judge: str = ORACLE) -> dict[int, dict[str, float]]:
    """What shorter horizons would have cut off: an episode's actions do not depend on its horizon, so it is exact.

    Args:
        traces: played under a horizon at least as long.
        horizons: to look at.
    """
    counted = [trace for trace in traces if trace.outcome is not Outcome.INFRA_ERROR]
    found = {}
    for horizon in horizons:
        ended = [trace for trace in counted if len(trace.turns) <= horizon and trace.outcome is not Outcome.TRUNCATED]
        found[horizon] = {
            "cut_off": 1 - len(ended) / max(1, len(counted)),
            "success": sum(trace.reward(judge) or 0.0 for trace in ended) / max(1, len(counted)),
        }
    return found


def finish(
    config: Config,
    run: Run,
    judge: str,
    rewards: Mapping[str, Mapping[str, float]],
    thought: Mapping[str, Sequence[Trace]],
    seconds: float,
) -> None:
    """Print the tables and write `report.json`."""
    ends = {name: list(run.store.traces(phase=f"eval-{name}")) for name in rewards}
    summaries = {name: summarize(traces, judge) for name, traces in ends.items()}
    console.print(summary_table(summaries, f"Test tasks under {config.horizons.test} steps", by_site=False))
    needed = {name: by_needed(traces, judge) for name, traces in ends.items()}
    console.print(_needed_table(needed))
    bound = binding(ends[WARM], sorted({6, 12, config.horizons.test}), judge)
    tokens = {name: _point(traces, judge) for name, traces in thought.items()}
    if tokens:
        console.print(_thinking_table(tokens))
    console.print(f"{seconds / 60:.1f} minutes; everything is in {run.folder}")
    rows = [
        {"name": name, "value": one.success, "low": one.interval[0], "high": one.interval[1], "unit": "success"}
        for name, one in summaries.items()
    ]
    run.report(
        status="done",
        summary=rows,
        charts=_charts(run, config),
        rewards={name: dict(by_task) for name, by_task in rewards.items()},
        needed_steps=needed,
        warm_start_under_horizons={str(horizon): figures for horizon, figures in bound.items()},
        thinking={name: {"tokens": point.cost, "success": point.success} for name, point in tokens.items()},
        thinking_rewards={name: rewards_by_task(traces, judge) for name, traces in thought.items()},
        thinking_note=NOT_REPRODUCED,
        seconds=round(seconds, 1),
    )


def _point(traces: Sequence[Trace], judge: str) -> Point:
    counted = [trace for trace in traces if trace.outcome is not Outcome.INFRA_ERROR]
    return Point(fmean(tokens_spent(trace) for trace in counted), summarize(counted, judge).success)


def _needed_table(needed: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Table:
    bins = list(dict.fromkeys(name for rows in needed.values() for name in rows))
    table = Table(title="Success by needed steps", title_justify="left", pad_edge=False, box=SIMPLE_HEAD)
    table.add_column("")
    for name in bins:
        table.add_column(name, justify="right", no_wrap=True)
    for arm, rows in needed.items():
        cells = [
            f"{percent(rows[name]['success'])} of {rows[name]['episodes']:.0f}" if name in rows else "" for name in bins
        ]
        table.add_row(f"[bold]{arm}[/bold]", *cells)
    return table


def _thinking_table(points: Mapping[str, Point]) -> Table:
    table = Table(
        title="More at test time (a mechanism here: not reproduced)",
        title_justify="left",
        pad_edge=False,
        box=SIMPLE_HEAD,
    )
    for heading, justify in (("", "left"), ("tokens an episode", "right"), ("success", "right")):
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for name, point in points.items():
        table.add_row(f"[bold]{name}[/bold]", f"{point.cost:.0f}", percent(point.success))
    curves = {kind: [points["plain"], *(p for name, p in points.items() if name.startswith(kind))] for kind in _KINDS}
    for cost, found in at_equal_cost(curves, 2)[1:]:
        said = ", ".join(f"{_KINDS[kind]} {percent(success)}" for kind, success in found.items())
        table.caption, table.caption_justify = f"At {cost:.0f} tokens: {said}", "left"
    return table


_KINDS = {"answers": "re-check", "forced": "budget forcing", "best": "best of n"}


def _charts(run: Run, config: Config) -> list[dict[str, Any]]:
    """Episode length and GoBack use by iteration, an arm a series."""
    rows = [row for row in run.metrics() if str(row.get("phase", "")).startswith("train-")]
    charts = []
    for key, title in (
        ("steps", "Steps of a training episode"),
        ("go_back", "GoBack in a training episode"),
        ("truncated", "Share of training episodes cut off"),
        ("horizon", "Training horizon"),
    ):
        series = []
        for arm in config.arms:
            points = [
                {"x": row["iteration"], "value": row[key]}
                for row in rows
                if row["phase"] == f"train-{arm.value}" and key in row
            ]
            series.append({"name": arm.value, "points": points})
        charts.append({"title": title, "x": "iteration", "series": series})
    return charts
