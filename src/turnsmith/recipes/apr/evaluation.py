"""What is measured of APR's models: cells of (arm, way of asking, window), each stored once, and curves from them.

A cell is evaluated on all test problems and appended to `evaluations.jsonl` whole, so a run that is killed goes on with
the next. A serial thread that ends within a window says the same in every larger one, so one run at the largest window
gives its whole curve; trees are run at every window, because a child that is cut changes its parent.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turnsmith.engine.sampling import turn_seed
from turnsmith.evaluate.stats import wilson
from turnsmith.recipes.apr.rollout import Attempts, Method, attempt_all
from turnsmith.recipes.apr.threads import CompactThreads
from turnsmith.worlds.countdown.problem import Problem

ABREAST = (4, 2, 1)
"""Children side by side where cancelling is measured, beside all of them at once; the claim is about the first."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One evaluation.

    Attributes:
        arm: whose weights.
        label: how it is asked, in words ("free", "calls 9").
        method: the same for the engine.
        samples: attempts a problem.
    """

    arm: str
    label: str
    method: Method
    samples: int = 1

    @property
    def key(self) -> str:
        """Its name in `evaluations.jsonl`."""
        method = self.method
        cancel = "" if method.cancel == "never" else f", cancel {method.cancel}"
        abreast = "" if method.abreast is None else f", {method.abreast} abreast"
        return f"{self.arm}, {self.label}, window {method.window}, temperature {method.temperature:g}{cancel}{abreast}"


@dataclass(frozen=True, slots=True)
class Result:
    """What a cell gave: a value for every attempt, problems first, samples within.

    Attributes:
        key: the cell's.
        arm, label, window, temperature, samples: likewise.
        solved: 0 or 1.
        total, longest, critical, children, root: tokens and threads of each attempt; root: tokens of the root thread.
        claims: the path that each attempt claims; "" for none.
        seconds: wall clock of all attempts together.
    """

    key: str
    arm: str
    label: str
    window: int
    temperature: float
    samples: int
    solved: tuple[int, ...]
    total: tuple[int, ...]
    longest: tuple[int, ...]
    critical: tuple[int, ...]
    children: tuple[int, ...]
    root: tuple[int, ...]
    claims: tuple[str, ...]
    seconds: float

    def success(self) -> float:
        """Share of attempts that solved their problem."""
        return sum(self.solved) / len(self.solved)

    def mean(self, name: str) -> float:
        """Mean of one of the figures over attempts."""
        values = getattr(self, name)
        return sum(values) / len(values)

    def by_problem(self) -> list[float]:
        """Success of each problem over its samples."""
        n = self.samples
        return [sum(self.solved[at : at + n]) / n for at in range(0, len(self.solved), n)]


def evaluate(
    cell: Cell, model: Any, protocol: CompactThreads, problems: Sequence[Problem], rows: int
) -> tuple[Result, Attempts]:
    """Run one cell; its sampling seeds are the same for every arm, seed of training, and window."""
    asked = [problem for problem in problems for _ in range(cell.samples)]
    seeds = [turn_seed(2024, place) for place in range(len(asked))]
    found = attempt_all(model, protocol, cell.method, asked, seeds, rows)
    trees = [attempt.tree for attempt in found.attempts]
    result = Result(
        cell.key,
        cell.arm,
        cell.label,
        cell.method.window,
        cell.method.temperature,
        cell.samples,
        tuple(int(attempt.solved) for attempt in found.attempts),
        tuple(tree.total for tree in trees),
        tuple(tree.longest for tree in trees),
        tuple(tree.critical_path for tree in trees),
        tuple(len(tree.threads) - 1 for tree in trees),
        tuple(len(tree.root.ids) for tree in trees),
        tuple(attempt.claim for attempt in found.attempts),
        round(found.stats.seconds, 3),
    )
    return result, found


def read_results(path: Path) -> dict[str, Result]:
    """Results so far by key; a torn last line (the run was killed there) is left out."""
    results: dict[str, Result] = {}
    if not path.exists():
        return results
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        row = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
        results[row["key"]] = Result(**row)
    return results


def append_result(path: Path, result: Result) -> None:
    """Add a result as one line, after an end of line where the last write was torn."""
    torn = path.exists() and path.stat().st_size > 0 and path.read_bytes()[-1:] != b"\n"
    with path.open("a", encoding="utf-8") as file:
        row = {name: getattr(result, name) for name in Result.__dataclass_fields__}
        file.write(("\n" if torn else "") + json.dumps(row) + "\n")


# -- figures from results


def within(result: Result, window: int) -> list[float]:
    """Success of each problem of a serial method in a smaller window: solved, and no longer than it."""
    n = result.samples
    won = [float(s and length <= window) for s, length in zip(result.solved, result.root, strict=True)]
    return [sum(won[at : at + n]) / n for at in range(0, len(won), n)]


def pass_at(result: Result, n: int) -> float:
    """Share of problems that one of the first n samples solves (pass@n with an oracle that picks it)."""
    return sum(any(result.solved[at : at + n]) for at in _starts(result)) / len(_starts(result))


def cons_at(result: Result, n: int) -> float:
    """Share of problems that the majority of the first n samples solves (cons@n).

    Samples that claim no path are dropped, the others vote with their path; the first of equally many votes wins.
    """
    won = 0
    for at in _starts(result):
        votes = Counter(claim for claim in result.claims[at : at + n] if claim)
        if votes:
            winner = max(votes, key=lambda claim: votes[claim])
            won += result.solved[at + result.claims[at : at + n].index(winner)]
    return won / len(_starts(result))


def _starts(result: Result) -> range:
    return range(0, len(result.solved), result.samples)


def point(x: float, successes: Sequence[float]) -> dict[str, float]:
    """One point of a curve with the Wilson interval of its success (fractions)."""
    low, high = wilson(round(sum(successes)), len(successes))
    return {"x": x, "value": sum(successes) / len(successes), "low": low, "high": high}


def charts(results: Mapping[str, Result], windows: Sequence[int], arms: Sequence[str]) -> list[dict[str, Any]]:
    """Accuracy by window and by tokens as `report.json` has them: title, axes, and series of points."""
    by_window, by_tokens = [], []
    for arm in arms:
        own = [result for result in results.values() if result.arm == arm and result.temperature > 0]
        own = [result for result in own if "cancel" not in result.key]
        for label in dict.fromkeys(result.label for result in own):
            same = sorted((result for result in own if result.label == label), key=lambda result: result.window)
            name = arm if label == "free" else f"{arm}, {label}"
            if arm.startswith("sos"):
                points = [point(window, within(same[-1], window)) for window in windows if window <= same[-1].window]
            else:
                points = [point(result.window, result.by_problem()) for result in same]
            if len(points) > 1:
                by_window.append({"name": name, "points": points})
        widest = max((result.window for result in own), default=0)
        points = [point(r.mean("total"), r.by_problem()) for r in own if r.window == widest]
        if points:
            by_tokens.append({"name": arm, "points": sorted(points, key=lambda one: one["x"])})
        many = max(own, key=lambda result: result.samples, default=None)
        if many is not None and many.samples > 1:
            for what, score in (("pass@n", pass_at), ("cons@n", cons_at)):
                counts = [n for n in (1, 2, 4, 8) if n <= many.samples]
                points = [{"x": n * many.mean("total"), "value": score(many, n)} for n in counts]
                by_tokens.append({"name": f"{arm}, {what}", "points": points})
    return [
        {
            "title": "accuracy by context window",
            "x": "tokens of one thread",
            "series": by_window,
        },
        {
            "title": "accuracy by total tokens",
            "x": "tokens of all threads of a problem",
            "series": by_tokens,
        },
    ]
