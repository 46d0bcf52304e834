"""What is measured of APR's models: cells of (arm, way of asking, window), each kept once, and curves from them.

A cell is evaluated on all test problems and kept whole, so a run that is killed goes on with the next. A serial thread
that ends within a window says the same in every larger one, so one run at the largest window gives its whole curve;
trees are run at every window, because a child that is cut changes its parent.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal, TypedDict

from transformers import PreTrainedModel
from typing_extensions import Unpack

from turnsmith.engine.sampling import turn_seed
from turnsmith.engine.tree import Cancel
from turnsmith.evaluate.stats import wilson
from turnsmith.recipes.apr.config import Budget, Config
from turnsmith.recipes.apr.rollout import Attempts, Method, attempt_all
from turnsmith.recipes.apr.threads import Wording
from turnsmith.runs.once import JsonFormat
from turnsmith.worlds.countdown.problem import Problem


@dataclass(frozen=True, slots=True)
class Cell:
    """One evaluation: the key of its result.

    Attributes:
        arm: whose weights; it ends in "-rl" after GRPO.
        method: how it is asked.
        samples: attempts a problem.
    """

    arm: str
    method: Method
    samples: int = 1

    @property
    def serial(self) -> bool:
        """Whether its threads are SoS+'s."""
        return self.method.serial

    @property
    def name(self) -> str:
        """What tells it apart from all others, as a file's name and in reports."""
        method = self.method
        asked = [] if method.budget is None else [f"{method.budget.kind}={method.budget.count}"]
        asked += [f"window={method.window}", f"temperature={method.temperature:g}"]
        asked += [] if method.cancel == "never" else [f"cancel={method.cancel}"]
        asked += [] if method.abreast is None else [f"abreast={method.abreast}"]
        asked += [] if self.samples == 1 else [f"samples={self.samples}"]
        return ", ".join([self.arm, *asked])


@dataclass(frozen=True, slots=True)
class Result:
    """What a cell gave: a value for every attempt, problems first, samples within.

    Attributes:
        samples: attempts a problem.
        solved: 0 or 1.
        total, longest, critical, children, root: tokens and threads of each attempt; root: tokens of the root thread.
        claims: the path that each attempt claims; "" for none.
        seconds: wall clock of all attempts together.
    """

    samples: int
    solved: tuple[int, ...]
    total: tuple[int, ...]
    longest: tuple[int, ...]
    critical: tuple[int, ...]
    children: tuple[int, ...]
    root: tuple[int, ...]
    claims: tuple[str, ...]
    seconds: float

    @classmethod
    def from_json(cls, row: Mapping[str, object]) -> "Result":
        """The inverse of `dataclasses.asdict`, through JSON."""
        fields = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
        return cls(**fields)  # pyright: ignore[reportArgumentType]

    def success(self) -> float:
        """Share of attempts that solved their problem."""
        return sum(self.solved) / len(self.solved)

    def mean(self, figure: Literal["total", "longest", "critical", "children", "root"]) -> float:
        """Mean of one of the figures over attempts."""
        values: tuple[int, ...] = getattr(self, figure)
        return sum(values) / len(values)

    def by_problem(self) -> list[float]:
        """Success of each problem over its samples."""
        n = self.samples
        return [sum(self.solved[at : at + n]) / n for at in range(0, len(self.solved), n)]

    def within(self, window: int) -> list[float]:
        """Success of each problem in a smaller window: solved, and its root no longer than that. That holds of serial
        threads, which say the same in every window that has room for them."""
        n = self.samples
        won = [float(s and length <= window) for s, length in zip(self.solved, self.root, strict=True)]
        return [sum(won[at : at + n]) / n for at in range(0, len(won), n)]


RESULT: JsonFormat[Result] = JsonFormat(Result.from_json, asdict)
"""How a result is kept (`Run.once`)."""


@dataclass(frozen=True)
class Cells:
    """What is measured, by the settings of the recipe; claims and curves name their cells in the same words."""

    config: Config

    def free(self, arm: str) -> Cell:
        """Without a budget, at temperature 1: trees in the window of the claims, serial threads in the widest."""
        serial = arm.startswith("sos")
        window = self.config.windows[-1] if serial else self.config.window
        budget = Budget("calls", self.config.fixed) if arm.startswith("apr-enforced") else None
        return Cell(arm, Method(window, budget, serial=serial), self.config.samples if serial else 1)

    def greedy(self, arm: str) -> Cell:
        """The same at temperature 0."""
        return _asked(self.free(arm), temperature=0.0)

    def fixed(self, arm: str) -> Cell:
        """Trees that are asked for so many children."""
        return _asked(self.free(arm), budget=Budget("calls", self.config.fixed))

    def told(self, arm: str, tokens: int) -> Cell:
        """Serial threads that are asked to be no longer than that."""
        return _asked(self.free(arm), budget=Budget("tokens", tokens))

    def cancelled(self, arm: str, abreast: int | None = None, cancel: Cancel = "verified") -> Cell:
        """Trees whose siblings stop at the first solution, so many children side by side."""
        return _asked(self.free(arm), cancel=cancel, abreast=abreast)

    def of(self, arm: str) -> list[Cell]:
        """Everything that is measured of an arm."""
        config, free = self.config, self.free(arm)
        if free.serial:
            told = [self.told(arm, tokens) for tokens in (config.window, config.windows[-1])]
            return _distinct([free, self.greedy(arm), *told])
        measured = [free, self.greedy(arm), self.fixed(arm), self.cancelled(arm)]
        if arm == "apr-rl":
            widest = _asked(free, window=config.windows[-1])
            measured += [_asked(free, window=window) for window in config.windows if window != config.window]
            measured += [_asked(widest, budget=Budget("calls", children)) for children in config.fans]
            measured += [
                _asked(self.fixed(arm), temperature=0.0),
                self.cancelled(arm, cancel="claimed"),
                _asked(widest, cancel="verified"),
                *(self.cancelled(arm, abreast) for abreast in ABREAST),
            ]
        return _distinct(measured)


ABREAST = (4, 2, 1)
"""Children side by side where cancelling is measured, beside all of them at once; the claim is about the first."""


class _Changes(TypedDict, total=False):
    window: int
    budget: Budget | None
    temperature: float
    cancel: Cancel
    abreast: int | None


def _asked(cell: Cell, **changes: Unpack[_Changes]) -> Cell:
    """The same arm asked in another way, once a problem."""
    return Cell(cell.arm, replace(cell.method, **changes))


def _distinct(cells: Sequence[Cell]) -> list[Cell]:
    return list(dict.fromkeys(cells))


def evaluate(
    cell: Cell, model: PreTrainedModel, wording: Wording, problems: Sequence[Problem], rows: int
) -> tuple[Result, Attempts]:
    """Run one cell; its sampling seeds are the same for every arm, seed of training, and window."""
    asked = [problem for problem in problems for _ in range(cell.samples)]
    seeds = [turn_seed(2024, place) for place in range(len(asked))]
    made = attempt_all(model, wording, cell.method, asked, seeds, rows)
    trees = [attempt.tree for attempt in made.attempts]
    result = Result(
        cell.samples,
        tuple(int(attempt.solved) for attempt in made.attempts),
        tuple(tree.total for tree in trees),
        tuple(tree.longest for tree in trees),
        tuple(tree.critical_path for tree in trees),
        tuple(len(tree.threads) - 1 for tree in trees),
        tuple(len(tree.root.ids) for tree in trees),
        tuple(attempt.claim for attempt in made.attempts),
        round(made.stats.seconds, 3),
    )
    return result, made


# -- figures from results


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


class Point(TypedDict, total=False):
    """One point of a curve: where it stands, a fraction, and its interval where it has one."""

    x: float
    value: float
    low: float
    high: float


class Series(TypedDict):
    """A named curve."""

    name: str
    points: list[Point]


class Chart(TypedDict):
    """Curves over one axis, as `report.json` has them."""

    title: str
    x: str
    series: list[Series]


def point(x: float, successes: Sequence[float]) -> Point:
    """One point of a curve with the Wilson interval of its success (fractions)."""
    low, high = wilson(sum(successes), len(successes))
    return {"x": x, "value": sum(successes) / len(successes), "low": low, "high": high}


Results = Mapping[Cell, Result]


def charts(results: Results, config: Config) -> list[Chart]:
    """Accuracy by window and by tokens; siblings that are cancelled and temperature 0 are left out."""
    sampled = {
        cell: result
        for cell, result in results.items()
        if cell.method.temperature > 0 and cell.method.cancel == "never"
    }
    arms = dict.fromkeys(cell.arm for cell in sampled)
    by_window: list[Series] = []
    by_tokens: list[Series] = []
    for arm in arms:
        own = {cell: result for cell, result in sampled.items() if cell.arm == arm}
        by_window += _by_window(own, config.windows)
        by_tokens += _by_tokens(arm, own)
    return [
        {"title": "accuracy by context window", "x": "tokens of one thread", "series": by_window},
        {"title": "accuracy by total tokens", "x": "tokens of all threads of a problem", "series": by_tokens},
    ]


def _by_window(own: Results, windows: Sequence[int]) -> list[Series]:
    """Curves of one arm, one a budget; a serial cell gives its whole curve."""
    series: list[Series] = []
    for budget in dict.fromkeys(cell.method.budget for cell in own):
        same = sorted((cell for cell in own if cell.method.budget == budget), key=lambda cell: cell.method.window)
        widest = same[-1]
        if widest.serial:
            fitting = [window for window in windows if window <= widest.method.window]
            points = [point(window, own[widest].within(window)) for window in fitting]
        else:
            points = [point(cell.method.window, own[cell].by_problem()) for cell in same]
        if len(points) > 1:
            told = "" if budget is None else f", {budget.count} {budget.kind}"
            series.append({"name": f"{widest.arm}{told}", "points": points})
    return series


def _by_tokens(arm: str, own: Results) -> list[Series]:
    """Curves of one arm in its widest window: by budget, and by number of samples."""
    widest = max(cell.method.window for cell in own)
    points = [
        point(result.mean("total"), result.by_problem()) for cell, result in own.items() if cell.method.window == widest
    ]
    series: list[Series] = [{"name": arm, "points": sorted(points, key=lambda point: point.get("x", 0.0))}]
    many = max(own.values(), key=lambda result: result.samples)
    if many.samples > 1:
        for what, score in (("pass@n", pass_at), ("cons@n", cons_at)):
            counts = [n for n in (1, 2, 4, 8) if n <= many.samples]
            curve: list[Point] = [{"x": n * many.mean("total"), "value": score(many, n)} for n in counts]
            series.append({"name": f"{arm}, {what}", "points": curve})
    return series
