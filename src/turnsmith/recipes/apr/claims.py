"""APR's recorded claims as a table over the finished runs of one preset, all seeds: `results/apr.json`.

Differences are paired by test problem; their intervals come from a bootstrap over seeds and then problems. Where a
baseline can be asked in several ways, the best of them counts for it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean

from turnsmith.errors import UserError
from turnsmith.evaluate.claims import Claim, record
from turnsmith.evaluate.figures import Difference, SeedRun, best_of, claim_of, everywhere
from turnsmith.evaluate.seeds import commands_of, finished_runs
from turnsmith.recipes.apr.config import Config
from turnsmith.recipes.apr.evaluation import ABREAST, RESULT, Cell, Cells, Result, Results, cons_at, pass_at
from turnsmith.runs.config import from_json
from turnsmith.runs.progress import console


@dataclass(frozen=True, slots=True)
class Success:
    """What claims compare: the success of a cell in a window, which for serial threads may be smaller than its own."""

    cell: Cell
    window: int


@dataclass(frozen=True, slots=True)
class Seed:
    """One seed's run: its results, and the success of each problem by what was asked."""

    run: SeedRun[Success]
    results: Results

    def of(self, cell: Cell) -> Result:
        """The result of a cell.

        Raises:
            UserError: if the run lacks it, naming the run.
        """
        if cell not in self.results:
            raise UserError(f"run {self.run.name} has no evaluation {cell.name}. Go on with it: turnsmith resume.")
        return self.results[cell]


def record_seeds(config: Config, runs: Path = Path("runs")) -> None:
    """Combine all finished runs with these settings into the results file."""
    reports = finished_runs("apr", config, runs=runs, kept=None)
    if not reports:
        return
    seeds = [seed_of(from_json(Config, row["config"]), kept(runs / row["config"]["name"], config)) for row in reports]
    suffix = "" if config.preset_name == "laptop" else f"_{config.preset_name}"
    command = commands_of("apr", Config, reports)
    console.print(f"recorded {record('apr', claims(config, seeds, suffix), command)}")


def kept(folder: Path, config: Config) -> dict[Cell, Result]:
    """All results that a run's folder holds."""
    arms = ["sos", "apr", *(f"{arm}-rl" for arm in config.arms)]
    places = {cell: folder / "made" / "evaluations" / cell.name for arm in arms for cell in Cells(config).of(arm)}
    return {cell: RESULT.read(place) for cell, place in places.items() if place.exists()}


def seed_of(config: Config, results: Results) -> Seed:
    """A run's results as what claims read."""
    success: dict[Success, dict[str, float]] = {}
    for cell, result in results.items():
        for window in {cell.method.window, config.window} if cell.serial else {cell.method.window}:
            values = result.within(window) if cell.serial else result.by_problem()
            success[Success(cell, window)] = {str(number): value for number, value in enumerate(values)}
    return Seed(SeedRun(config.name, config.seed, success), results)


def claims(config: Config, seeds: Sequence[Seed], suffix: str = "") -> list[Claim]:
    """All claims that these seeds can make.

    Raises:
        UserError: if some seeds have an evaluation that others lack.
    """
    table = Table(config, sorted(seeds, key=lambda seed: seed.run.seed))
    rows = [
        *_against_serial(table),
        *_gains(table),
        *_cancelling(table),
        *_serial(table),
        *_credit(table),
        *_costs(table),
    ]
    return [replace(claim, id=claim.id + suffix) for claim in rows]


@dataclass(frozen=True)
class Table:
    """What rows are made from.

    Attributes:
        config: of the runs.
        seeds: in order.
        cells: what was asked, by the settings.
    """

    config: Config
    seeds: Sequence[Seed]
    cells: Cells = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cells", Cells(self.config))

    @property
    def runs(self) -> list[SeedRun[Success]]:
        return [seed.run for seed in self.seeds]

    def success(self, cell: Cell) -> Success:
        """A cell in the window of the claims."""
        return Success(cell, self.config.window if cell.serial else cell.method.window)

    def has(self, *cells: Cell) -> bool:
        """Whether every seed measured these."""
        return everywhere(self.runs, *(self.success(cell) for cell in cells))

    def difference(
        self, id: str, words: str, worse: Cell, better: Cell, goal: str = "", paper: str = "", note: str = ""
    ) -> Claim:
        """By how many points the one exceeds the other, with both rates as the baseline."""
        ours, theirs = self.success(better), self.success(worse)
        rates = [100 * fmean(fmean(run.rewards(key).values()) for run in self.runs) for key in (theirs, ours)]
        baseline = f"{rates[0]:.1f} % against {rates[1]:.1f} %"
        row: Difference[Success] = Difference(
            id=id, words=words, better=ours, worse=theirs, baseline=baseline, goal=goal, paper=paper, note=note
        )
        return claim_of(row, self.runs)

    def mean(
        self,
        id: str,
        words: str,
        score: Callable[[Seed], float],
        goal: str = "",
        paper: str = "",
        baseline: str | None = None,
        note: str = "",
    ) -> Claim:
        """A figure's mean over seeds, without an interval."""
        order = tuple(seed.run.seed for seed in self.seeds)
        value = sum(score(seed) for seed in self.seeds) / len(self.seeds)
        return Claim(id, words, value, goal, paper, baseline, seeds=order, note=note)

    def best_serial(self) -> tuple[str, Cell] | None:
        """The serial arm and the way of asking it that score best in the window; None where none was measured."""
        arms = [arm for arm in ("sos", "sos-rl") if self.has(self.cells.free(arm))]
        ways = {
            self.success(cell): (arm, cell)
            for arm in arms
            for cell in (
                self.cells.free(arm),
                self.cells.told(arm, self.config.window),
                self.cells.told(arm, self.config.windows[-1]),
            )
        }
        return ways[best_of(self.runs, list(ways))] if ways else None


def _against_serial(table: Table) -> Iterable[Claim]:
    best, cells, window = table.best_serial(), table.cells, table.config.window
    if best is None or not table.has(cells.free("apr-rl")):
        return
    arm, cell = best
    way = {cells.told(arm, window): "short budget", cells.told(arm, table.config.windows[-1]): "long budget"}
    yield table.difference(
        "window_gap_points",
        f"APR above SoS+ in a window of {window} tokens, APR after GRPO, SoS+ before or after it, in points",
        cell,
        cells.free("apr-rl"),
        goal=">= 20",
        paper="76.4 against 58.1 (4,096 tokens, temperature 1)",
        note=f"SoS+ at its best ({arm}, {way.get(cell, 'free')}), APR as GRPO trained it; temperature 1.",
    )
    greedy = [cells.greedy(arm) for arm in ("sos", "sos-rl") if table.has(cells.free(arm))]
    strongest = best_of(table.runs, [table.success(cell) for cell in greedy])
    yield table.difference(
        "window_gap_greedy_points",
        "The same at temperature 0, both without a budget",
        strongest.cell,
        cells.greedy("apr-rl"),
        paper="83.4 against 60.0 (4,096 tokens)",
    )


def _gains(table: Table) -> Iterable[Claim]:
    cells, before, after = table.cells, "apr", "apr-rl"
    if not table.has(cells.free(before), cells.free(after)):
        return
    yield table.difference(
        "rl_gain_points",
        f"What GRPO adds to APR, window {table.config.window}, temperature 1, in points",
        cells.free(before),
        cells.free(after),
        goal="> 0 and interval above 0",
        paper="75.5 to 83.4 (temperature 0); 67.8 to 76.4 (temperature 1)",
    )
    yield table.difference(
        "rl_gain_greedy_points", "The same at temperature 0", cells.greedy(before), cells.greedy(after)
    )
    yield table.difference(
        "rl_gain_fixed_points",
        f"The same with {table.config.fixed} children asked for",
        cells.fixed(before),
        cells.fixed(after),
        paper="80.1 to 81.9 (temperature 1)",
    )
    children = fmean(seed.of(cells.free(before)).mean("children") for seed in table.seeds)
    yield table.mean(
        "rl_children",
        "Children a problem after GRPO",
        lambda seed: seed.of(cells.free(after)).mean("children"),
        baseline=f"{children:.2f} before",
        paper="6.1 to 8.2",
    )


def _cancelling(table: Table) -> Iterable[Claim]:
    free = table.cells.free("apr-rl")
    if not table.has(free, table.cells.cancelled("apr-rl")):
        return
    whole = fmean(seed.of(free).mean("total") for seed in table.seeds)
    for abreast in (None, *ABREAST):
        cell = table.cells.cancelled("apr-rl", abreast)
        if not table.has(cell):
            continue

        def spared(seed: Seed, of_tokens: bool, cell: Cell = cell) -> float:
            """How much less it is with cancelling than without, per cent."""
            figure = "total" if of_tokens else "critical"
            return 100 * (1 - seed.of(cell).mean(figure) / seed.of(free).mean(figure))

        first = abreast == ABREAST[0]
        id = "_all_abreast" if abreast is None else "" if first else f"_{abreast}_abreast"
        how = f"siblings cancelled at the first verified success, {abreast or 'all'} children abreast"
        yield table.difference(f"cancel_accuracy{id}_points", f"Accuracy with {how}, less accuracy without", free, cell)
        yield table.mean(
            f"cancel_saving{id}_pct",
            f"Total tokens saved by cancelling: {how}, per cent",
            lambda seed, spared=spared: spared(seed, True),
            goal=">= 20" if first else "",
            baseline=f"{whole:.0f} tokens a problem",
            note="Equal accuracy and a longer critical path: see the rows beside it.",
        )
        yield table.mean(
            f"cancel_critical_path{id}_pct",
            f"Critical path above that of all children at once without cancelling: {how}, per cent",
            lambda seed, spared=spared: -spared(seed, False),
        )


def _serial(table: Table) -> Iterable[Claim]:
    best = table.best_serial()
    if best is None:
        return
    arm, widest, tier = best[0], table.config.windows[-1], table.config.tier
    wide = tier.serial_beam >= tier.child_beam
    free, samples = table.cells.free(arm), table.config.samples
    yield table.mean(
        "serial_strong_success",
        f"SoS+ asked for its longest search in a window of {widest}",
        lambda seed: seed.of(table.cells.told(arm, widest)).success(),
        note="The strong serial beam: training beams are as wide as APR's." if wide else "",
    )
    tokens = fmean(seed.of(free).mean("total") for seed in table.seeds)
    for name, score in (("pass", pass_at), ("cons", cons_at)):
        yield table.mean(
            f"serial_{name}_at_{samples}",
            f"SoS+ {name}@{samples}, window {widest}, temperature 1",
            lambda seed, score=score: score(seed.of(free), samples),
            baseline=f"{tokens:.0f} tokens an attempt",
        )


def _credit(table: Table) -> Iterable[Claim]:
    parents, both = table.cells.free("apr-parent-rl"), table.cells.free("apr-rl")
    if table.has(parents, both):
        yield table.difference(
            "credit_children_gain_points",
            "Credit to parents and children, above credit to parents alone, in points",
            parents,
            both,
        )


def _costs(table: Table) -> Iterable[Claim]:
    best, trees = table.best_serial(), table.cells.free("apr-rl")
    if best is None or not table.has(trees):
        return
    serial = table.cells.free(best[0])
    yield table.mean(
        "critical_path_ratio",
        "Sampled tokens in sequence, SoS+ in the widest window over APR",
        lambda seed: seed.of(serial).mean("critical") / seed.of(trees).mean("critical"),
    )
    yield table.mean(
        "wall_clock_ratio",
        "Wall clock a problem on the same machine, SoS+ in the widest window over APR",
        lambda seed: (seed.of(serial).seconds / seed.of(serial).samples) / seed.of(trees).seconds,
        note="All problems of the test set in one batch.",
    )
