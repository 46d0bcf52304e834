"""One run as the viewer and the report see it: its files, its traces, and the answers to the pages' questions."""

import sqlite3
import time
from pathlib import Path
from typing import Any

from turnsmith.evaluate.stats import wilson
from turnsmith.view.curves import curves, report_charts, telling
from turnsmith.view.folder import Folder, inside, read_folder
from turnsmith.view.queries import Database, Row
from turnsmith.view.rows import Rows
from turnsmith.view.shape import row_json, trace_json
from turnsmith.view.tokens import token_texts

_STILL_RUNNING = 120.0
"""A run that says nothing of its end and changed less than this many seconds ago is taken to be running."""

_TEXT_FILES = ("config.json", "report.json", "metrics.jsonl", "tasks.jsonl")


class Run:
    """A run folder, opened read-only. Safe to share between threads; nothing in the folder can make it raise."""

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.path = path
        self.name = name or path.resolve().name
        self._folder: tuple[tuple, Folder] | None = None
        self._glance: tuple[int, tuple[int, int, list[Row], list[Row]]] | None = None
        self._identity = self._database_identity()
        self.database = Database(path / "run.db") if self._identity else Database(path / "no-database")
        self.rows = Rows(self.database)

    def close(self) -> None:
        """Close the database."""
        self.rows.close()
        self.database.close()

    def is_stale(self) -> bool:
        """Whether `run.db` was replaced by another file (or came to be) since this was opened."""
        return self._database_identity() != self._identity

    def _database_identity(self) -> tuple[int, int] | None:
        found = inside(self.path, "run.db")
        if found is None:
            return None
        status = found.stat()
        return status.st_dev, status.st_ino

    def folder(self) -> Folder:
        """The text files, read again only when one of them changed."""
        stamp = self._text_stamp()
        if self._folder is None or self._folder[0] != stamp:
            self._folder = (stamp, read_folder(self.path))
        return self._folder[1]

    def _text_stamp(self) -> tuple:
        stamps = []
        for name in _TEXT_FILES:
            try:
                status = (self.path / name).stat()
                stamps.append((status.st_mtime_ns, status.st_size))
            except OSError:
                stamps.append(None)
        return tuple(stamps)

    def stamp(self) -> str:
        """A text that changes whenever the run does; cheap enough to ask for every second."""
        return f"{self.database.version()}-{hash(self._text_stamp()) & 0xFFFFFFFF:x}"

    def updated(self) -> float:
        """When any of the run's files last changed, in seconds since the epoch; 0 for an empty folder."""
        times = [0.0]
        for name in (*_TEXT_FILES, "run.db", "run.db-wal"):
            try:
                times.append((self.path / name).stat().st_mtime)
            except OSError:
                continue
        return max(times)

    def problems(self) -> list[str]:
        """A sentence for each thing that could not be read so far (damaged traces show when they are listed)."""
        self._at_a_glance()
        problems = [*self.folder().problems, *self.database.problems, *self.rows.problems]
        if self._identity is None:
            problems.append("There is no run.db yet: no trace was written.")
        return problems

    # The pages

    def row(self) -> dict[str, Any]:
        """The run's line in the table of runs."""
        folder, (traces, infra_errors, final, recent) = self.folder(), self._at_a_glance()
        config, report, updated = folder.config, folder.report, self.updated()
        status = str(report.get("status") or "")
        if not status or status == "running":
            status = "running" if time.time() - updated < _STILL_RUNNING else "stopped"
        iterations = config.get("iterations")
        done = [row["iteration"] for row in folder.metrics if isinstance(row.get("iteration"), int)]
        return {
            "name": self.name,
            "recipe": str(config.get("recipe") or ""),
            "preset": str(config.get("preset") or config.get("preset_name") or ""),
            "seed": config.get("seed") if isinstance(config.get("seed"), int) else None,
            "status": status,
            "updated": updated,
            "iteration": max(done) if done else None,
            "iterations": iterations if isinstance(iterations, int) else None,
            "steps_per_s": steps_per_second(folder, recent),
            "success": success_rate(final),
            "traces": traces,
            "infra_errors": infra_errors,
            "seconds_left": seconds_left(folder, iterations) if status == "running" else None,
            "problems": self.problems(),
        }

    def _at_a_glance(self) -> tuple[int, int, list[Row], list[Row]]:
        """`Database.glance`, read again only after a commit; of a damaged file, from what rows there are."""
        version = self.database.version()
        if self._glance is None or self._glance[0] != version:
            try:
                found = self.database.glance()
            except sqlite3.Error:
                rows = self.rows.all()
                lost = sum(row.outcome == "infra_error" for row in rows)
                found = len(rows), lost, final_evaluation(rows), rows[-100:]
            self._glance = (version, found)
        return self._glance[1]

    def overview(self) -> dict[str, Any]:
        """The run's first page, without picks of traces."""
        folder = self.folder()
        return {
            "run": self.row(),
            "summary": _figures(folder.report.get("summary")),
            "evaluations": evaluations(self.rows.all()),
            "series": report_charts(folder.report.get("charts")) + telling(curves(folder.metrics)),
            "config": folder.config,
            "picks": [],
        }

    def trace(self, trace_id: str) -> dict[str, Any] | None:
        """The page of one trace with the labels on it and up to 50 other traces of the same task; None if unknown."""
        stored = self.database.trace(trace_id)
        if stored is None:
            return None
        row = stored["row"]
        row.surprise = self.database.surprise(row.seq, row.seq).get(row.seq)
        page = trace_json(stored, token_texts(self.path))
        page["labels"] = self.database.labels(trace_id)
        same = [other for other in self.rows.all() if other.task_id == row.task_id and other.seq != row.seq]
        page["attempts"] = [row_json(other) for other in same[-50:]]
        page["row"]["labels"] = len(page["labels"])
        return page


def final_evaluation(rows: list[Row]) -> list[Row]:
    """The traces of the last evaluation; in a run without evaluations (or iterations), of its last iteration (all)."""
    evaluations = [row for row in rows if row.phase == "eval"] or rows
    last = max((row.iteration for row in evaluations if row.iteration is not None), default=None)
    return [row for row in evaluations if row.iteration == last]


def success_rate(rows: list[Row]) -> dict[str, Any] | None:
    """Success with its Wilson interval as `{"value", "low", "high", "n"}` over what counts; None if nothing does."""
    counted = [row.solved for row in rows if row.counts]
    return rate(sum(counted), len(counted))


def rate(successes: int, n: int) -> dict[str, Any] | None:
    """A fraction with its 95 % Wilson interval; None without trials."""
    if not n:
        return None
    low, high = wilson(successes, n)
    return {"value": successes / n, "low": low, "high": high, "n": n}


def steps_per_second(folder: Folder, recent: list[Row]) -> float | None:
    """What the run last logged as `steps_per_s`; else turns per second over its recent traces; None if unknown."""
    for row in reversed(folder.metrics):
        if isinstance(row.get("steps_per_s"), int | float):
            return float(row["steps_per_s"])
    began = [row.created_at for row in recent]
    span = max(began, default=0.0) - min(began, default=0.0)
    return sum(row.turns for row in recent) / span if span > 0 else None


def seconds_left(folder: Folder, iterations: object) -> float | None:
    """Time left, by the pace of the iterations so far; None where the run does not say how many there will be."""
    marks = [
        (row["iteration"], row["time"])
        for row in folder.metrics
        if isinstance(row.get("iteration"), int) and isinstance(row.get("time"), int | float)
    ]
    if not isinstance(iterations, int) or len(marks) < 2:
        return None
    (first, began), (last, now) = marks[0], marks[-1]
    return (iterations - last) * (now - began) / (last - first) if iterations >= last > first else None


def evaluations(rows: list[Row]) -> list[dict[str, Any]]:
    """What each evaluation amounts to: the phases whose names begin with "eval", as they came, by iteration.

    Returns:
        Rows `{"phase", "iteration", "success", "episodes", "steps", "truncated", "infra_errors"}`: mean steps and the
        fraction that ran out of steps, both over the episodes that count.
    """
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        if row.phase.startswith("eval") and row.iteration is not None:
            groups.setdefault((row.phase, row.iteration), []).append(row)
    came = {phase: place for place, phase in enumerate(dict.fromkeys(phase for phase, _ in groups))}
    table = []
    for (phase, iteration), members in sorted(groups.items(), key=lambda group: (came[group[0][0]], group[0][1])):
        counted = [row for row in members if row.outcome != "infra_error"]
        episodes = max(1, len(counted))
        table.append(
            {
                "phase": phase,
                "iteration": iteration,
                "success": success_rate(members),
                "episodes": len(counted),
                "steps": sum(row.turns for row in counted) / episodes,
                "truncated": sum(row.outcome == "truncated" for row in counted) / episodes,
                "infra_errors": len(members) - len(counted),
            }
        )
    return table


_FRACTIONS = ("success", "fraction", "rate")
"""Units of report.json whose figures are fractions, shown in per cent."""


def _figures(summary: object) -> list[dict[str, Any]]:
    """The rows of report.json's "summary" that are what they should be, fractions in per cent."""
    figures = []
    for row in summary if isinstance(summary, list) else []:
        if isinstance(row, dict) and "name" in row:
            unit = str(row.get("unit") or "")
            scale = 100 if unit in _FRACTIONS else 1
            numbers = {
                key: scale * row[key] if isinstance(row.get(key), int | float) else None
                for key in ("value", "low", "high")
            }
            name = f"{row['name']}: {unit}" if unit == "success" else str(row["name"])
            figures.append({"name": name, **numbers, "unit": "%" if scale == 100 else unit})
    return figures
