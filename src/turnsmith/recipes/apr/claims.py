"""APR's recorded claims: the finished runs of one preset, all seeds, as `results/apr.json`.

Differences are paired by test problem; their intervals come from a bootstrap over seeds and then problems. Where a
baseline can be asked in several ways, the best of them counts for it.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from turnsmith.evaluate.claims import Claim, record
from turnsmith.evaluate.seeds import commands_of, finished_runs
from turnsmith.evaluate.stats import clustered_bootstrap
from turnsmith.recipes.apr.evaluation import ABREAST, Result, cons_at, pass_at, read_results, within
from turnsmith.runs.progress import console

Seed = dict[str, Result]


def record_seeds(config: Any, runs: Path = Path("runs")) -> None:
    """Combine all finished runs with these settings into the results file."""
    reports = finished_runs("apr", config, runs=runs)
    seeds = {row["config"]["seed"]: read_results(runs / row["config"]["name"] / "evaluations.jsonl") for row in reports}
    if not seeds:
        return
    suffix = "" if config.preset_name == "laptop" else f"_{config.preset_name}"
    command = commands_of("apr", type(config), reports)
    console.print(f"recorded {record('apr', claims(config, seeds, suffix), command)}")


def claims(config: Any, seeds: dict[int, Seed], suffix: str = "") -> list[Claim]:
    """All claims that these seeds can make."""
    window, widest = config.window, config.windows[-1]
    order = sorted(seeds)

    def cell(
        arm: str, label: str = "free", at: int = window, temperature: float = 1.0, cancel: str = "", abreast: int = 0
    ) -> str:
        tail = (f", cancel {cancel}" if cancel else "") + (f", {abreast} abreast" if abreast else "")
        return f"{arm}, {label}, window {at}, temperature {temperature:g}{tail}"

    def values(arm: str, **how: Any) -> list[list[float]]:
        return [seeds[seed][cell(arm, **how)].by_problem() for seed in order]

    def serial(arm: str, label: str) -> list[list[float]]:
        return [within(seeds[seed][cell(arm, label, widest)], window) for seed in order]

    def has(*keys: str) -> bool:
        return all(key in seeds[seed] for seed in order for key in keys)

    def mean(clusters: Sequence[Sequence[float]]) -> float:
        return sum(map(_mean, clusters)) / len(clusters)

    found: list[Claim] = []

    def difference(id: str, words: str, first: list[list[float]], second: list[list[float]], **more: Any) -> None:
        pairs = [[b - a for a, b in zip(x, y, strict=True)] for x, y in zip(first, second, strict=True)]
        value, low, high = clustered_bootstrap(pairs)
        found.append(
            Claim(
                id + suffix,
                words,
                100 * value,
                ci95=(100 * low, 100 * high),
                seeds=tuple(order),
                **{"baseline": f"{100 * mean(first):.1f} % against {100 * mean(second):.1f} %", **more},
            )
        )

    def plain(id: str, words: str, score: Callable[[Seed], float], **more: Any) -> None:
        clusters = [score(seeds[seed]) for seed in order]
        found.append(Claim(id + suffix, words, _mean(clusters), seeds=tuple(order), **more))

    serial_arms = [arm for arm in ("sos", "sos-rl") if has(cell(arm, at=widest))]
    ways = {
        (arm, label): serial(arm, label) for arm in serial_arms for label in ("free", "short budget", "long budget")
    }
    serial_arm, best = max(ways, key=lambda way: mean(ways[way]), default=("", ""))
    if serial_arm and has(cell("apr-rl")):
        difference(
            "window_gap_points",
            f"APR above SoS+ in a window of {window} tokens, APR after GRPO, SoS+ before or after it, in points",
            ways[serial_arm, best],
            values("apr-rl"),
            goal=">= 20",
            paper="76.4 against 58.1 (4,096 tokens, temperature 1)",
            note=f"SoS+ at its best ({serial_arm}, {best}), APR as GRPO trained it; temperature 1.",
        )
        greedy = [
            [within(seeds[seed][cell(arm, at=widest, temperature=0.0)], window) for seed in order]
            for arm in serial_arms
        ]
        difference(
            "window_gap_greedy_points",
            "The same at temperature 0, both without a budget",
            max(greedy, key=mean),
            values("apr-rl", temperature=0.0),
            paper="83.4 against 60.0 (4,096 tokens)",
        )
    if has(cell("apr"), cell("apr-rl")):
        difference(
            "rl_gain_points",
            f"What GRPO adds to APR, window {window}, temperature 1, in points",
            values("apr"),
            values("apr-rl"),
            goal="> 0 and interval above 0",
            paper="75.5 to 83.4 (temperature 0); 67.8 to 76.4 (temperature 1)",
        )
        difference(
            "rl_gain_greedy_points",
            "The same at temperature 0",
            values("apr", temperature=0.0),
            values("apr-rl", temperature=0.0),
        )
        difference(
            "rl_gain_fixed_points",
            f"The same with {config.fixed} children asked for",
            values("apr", label="fixed children"),
            values("apr-rl", label="fixed children"),
            paper="80.1 to 81.9 (temperature 1)",
        )
        plain(
            "rl_children",
            "Children a problem after GRPO",
            lambda seed: seed[cell("apr-rl")].mean("children"),
            baseline=f"{_mean([seeds[s][cell('apr')].mean('children') for s in order]):.2f} before",
            paper="6.1 to 8.2",
        )
    if has(cell("apr-rl"), cell("apr-rl", cancel="verified")):
        whole = _mean([seeds[s][cell("apr-rl")].mean("total") for s in order])
        measured = [n for n in ABREAST if has(cell("apr-rl", cancel="verified", abreast=n))]

        def spared(seed: Seed, name: str, abreast: int) -> float:
            """How much less it is with cancelling, so many children abreast, than without; per cent."""
            return 100 * (
                1
                - seed[cell("apr-rl", cancel="verified", abreast=abreast)].mean(name) / seed[cell("apr-rl")].mean(name)
            )

        for n in (0, *measured):
            id = "_all_abreast" if not n else "" if n == ABREAST[0] else f"_{n}_abreast"
            how = f"siblings cancelled at the first verified success, {n or 'all'} children abreast"
            difference(
                f"cancel_accuracy{id}_points",
                f"Accuracy with {how}, less accuracy without",
                values("apr-rl"),
                values("apr-rl", cancel="verified", abreast=n),
            )
            plain(
                f"cancel_saving{id}_pct",
                f"Total tokens saved by cancelling: {how}, per cent",
                lambda seed, n=n: spared(seed, "total", n),
                goal=">= 20" if n == ABREAST[0] else "",
                baseline=f"{whole:.0f} tokens a problem",
                note="Equal accuracy and a longer critical path: see the rows beside it.",
            )
            plain(
                f"cancel_critical_path{id}_pct",
                f"Critical path above that of all children at once without cancelling: {how}, per cent",
                lambda seed, n=n: -spared(seed, "critical", n),
            )
    if serial_arm:
        plain(
            "serial_strong_success",
            f"SoS+ asked for its longest search in a window of {widest}",
            lambda seed: seed[cell(serial_arm, "long budget", widest)].success(),
            note="The strong serial beam: training beams are as wide as APR's.",
        )
        tokens = _mean([seeds[s][cell(serial_arm, at=widest)].mean("total") for s in order])
        for name, score in (("pass", pass_at), ("cons", cons_at)):
            plain(
                f"serial_{name}_at_{config.samples}",
                f"SoS+ {name}@{config.samples}, window {widest}, temperature 1",
                lambda seed, score=score: score(seed[cell(serial_arm, at=widest)], config.samples),
                baseline=f"{tokens:.0f} tokens an attempt",
            )
    if has(cell("apr-parent-rl"), cell("apr-rl")):
        difference(
            "credit_children_gain_points",
            "Credit to parents and children, above credit to parents alone, in points",
            values("apr-parent-rl"),
            values("apr-rl"),
        )
    if serial_arm and has(cell("apr-rl")):
        plain(
            "critical_path_ratio",
            "Sampled tokens in sequence, SoS+ in the widest window over APR",
            lambda seed: seed[cell(serial_arm, at=widest)].mean("critical") / seed[cell("apr-rl")].mean("critical"),
        )
        plain(
            "wall_clock_ratio",
            "Wall clock a problem on the same machine, SoS+ in the widest window over APR",
            lambda seed: (
                (seed[cell(serial_arm, at=widest)].seconds / seed[cell(serial_arm, at=widest)].samples)
                / seed[cell("apr-rl")].seconds
            ),
            note="All problems of the test set in one batch.",
        )
    return found


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
