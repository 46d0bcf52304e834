"""What a run of PAE shows: success of every arm on both tests, what the judge is worth, how good the proposals are."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace

from rich.table import Table

from turnsmith.evaluate.show import percent
from turnsmith.evaluate.stats import wilson
from turnsmith.judges.base import Agreement, Judge, agreement
from turnsmith.recipes.pae.config import Tests
from turnsmith.runs.progress import console
from turnsmith.runs.run import Run
from turnsmith.trace.types import Trace

Rewards = Mapping[str, Mapping[str, float]]
"""Of one run: "ARM/TEST" to the reward of each task."""

WORDS = {Tests.TEMPLATES: "held-out templates", Tests.UNSEEN: "unseen sites"}


def measured(run: Run, judge: str) -> Agreement | None:
    """The judge against the oracle, over the episodes that were learned from; None where it judged none of them."""
    found = agreement(run.store.traces(phase="train"), judge)
    return None if found == Agreement() else found


async def judged_again(run: Run, judge: Judge, tests: Iterable[Tests]) -> Agreement:
    """The judge against the oracle on the warm start's test episodes, of which nothing is learned."""
    seen: list[Trace] = []
    for test in tests:
        for trace in run.store.traces(phase=test, iteration=0):
            verdict = await judge.judge(run.store.with_images(trace))
            seen.append(replace(trace, verdicts=(*trace.verdicts, verdict)))
    return agreement(seen, judge.name)


def show(
    run: Run,
    rewards: Rewards,
    agreements: Mapping[str, Agreement | None],
    quality: Mapping[str, Mapping[str, int]],
    seconds: float,
) -> None:
    """Print both tables and write `report.json`."""
    table = Table(title="Success by the oracle, with 95 % intervals", title_justify="left", pad_edge=False)
    table.add_column("")
    for test in Tests:
        table.add_column(WORDS[test], justify="right")
    rows = []
    arms = list(dict.fromkeys(key.partition("/")[0] for key in rewards))
    for arm in arms:
        cells = []
        for test in Tests:
            values = list(rewards[f"{arm}/{test}"].values())
            success = sum(values) / max(1, len(values))
            low, high = wilson(round(sum(values)), len(values))
            cells.append(f"{percent(success)} ({100 * low:.0f}–{100 * high:.0f})")
            name = arm if test is Tests.TEMPLATES else f"{arm}, {WORDS[test]}"
            rows.append({"name": name, "value": success, "low": low, "high": high, "unit": "success"})
        table.add_row(arm, *cells)
    console.print(table)
    console.print(_judge_table(agreements))
    console.print(f"{seconds / 60:.1f} minutes; everything is in {run.folder}")
    run.report(
        status="done",
        summary=rows,
        rewards=rewards,
        judge={arm: None if found is None else asdict(found) for arm, found in agreements.items()},
        proposals=quality,
        seconds=round(seconds, 1),
    )


def _judge_table(agreements: Mapping[str, Agreement | None]) -> Table:
    """Precision and recall of the judge against the oracle, by what it judged."""
    title = "The judge against the oracle"
    table = Table(title=title, title_justify="left", pad_edge=False)
    for name in ("episodes of", "precision", "recall", "right", "judged"):
        table.add_column(name, justify="left" if name == "episodes of" else "right")
    for arm, found in agreements.items():
        if found is None:
            continue
        rates = (found.precision, found.recall, found.accuracy)
        judged = found.true_positive + found.false_positive + found.false_negative + found.true_negative
        table.add_row(arm, *("–" if rate is None else percent(rate) for rate in rates), str(judged))
    return table
