"""`turnsmith traces judge RUN --judge NAME`: verdicts on episodes that were played before; nothing is played again."""

import asyncio
from pathlib import Path

from turnsmith.errors import InfraError, UserError
from turnsmith.evaluate.show import percent, summary_table
from turnsmith.evaluate.summary import summarize
from turnsmith.judges.base import Judge, agreement
from turnsmith.judges.named import NAMES, closed, judge_named
from turnsmith.runs.progress import console, progress_bar
from turnsmith.trace.store import Store
from turnsmith.trace.types import ORACLE, Outcome, Trace


def judge_run(database: Path, name: str, phase: str | None, again: bool, at_once: int) -> None:
    """Add the judge's verdicts to the run, print its rate, and how it agrees with the oracle where there is one.

    Args:
        database: of the run.
        name: of the judge (`judges.named`).
        phase: only this phase's traces.
        again: judge too what this judge has judged.
        at_once: traces judged at a time.

    Raises:
        UserError: if there is no such judge, or none that could be asked afterwards, or nothing to judge.
    """
    if name == ORACLE or name.startswith("state:"):
        raise UserError(f"--judge {name}: it can be asked only while an episode is played. Afterwards: {NAMES}.")
    with Store(database) as store:
        every = [trace for trace in store.traces(phase=phase) if trace.outcome is not Outcome.INFRA_ERROR]
        if not every:
            raise UserError(f"{database.parent}: there are no traces to judge.")
        judge = judge_named(name, [trace.task for trace in every])
        if judge is None:
            raise UserError(f"--judge {name}: these tasks have no reference to judge by; name a judge: {NAMES}.")
        left = [trace for trace in every if again or trace.reward(judge.name) is None]
        asyncio.run(_judge_all(store, judge, left, at_once))
        traces = [store.get(trace.id) for trace in every]
    console.print(summary_table({database.parent.name: summarize(traces, judge.name)}, f"Success by {judge.name}"))
    agreed = agreement(traces, judge.name)
    rates = {"precision": agreed.precision, "recall": agreed.recall, "accuracy": agreed.accuracy}
    said = ", ".join(f"{what} {percent(rate)}" for what, rate in rates.items() if rate is not None)
    if said:
        console.print(f"against the oracle: {said}")


async def _judge_all(store: Store, judge: Judge, traces: list[Trace], at_once: int) -> None:
    """Each verdict is in the run as soon as it is given: what was judged stays so when the rest fails."""
    queue, lost = traces[::-1], list[InfraError]()

    async def work() -> None:
        while queue:
            trace = queue.pop()
            try:
                verdict = await judge.judge(store.with_images(trace))
            except InfraError as error:
                lost.append(error)
            else:
                store.add_verdicts(trace.id, [verdict])
            advance()

    try:
        with progress_bar(f"judging by {judge.name}", len(traces)) as advance:
            await asyncio.gather(*(work() for _ in range(max(1, at_once))))
    finally:
        await closed(judge)
    if lost:
        console.print(f"{len(lost)} could not be judged ({lost[0]}); the same command tries them again.")
