"""What a run of SWEET-RL shows and leaves behind: success by arm, best of N by critic, credit of each logged turn."""

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from turnsmith.credit.record import record
from turnsmith.evaluate.show import percent
from turnsmith.evaluate.stats import wilson
from turnsmith.recipes.sweet.config import Arm
from turnsmith.recipes.sweet.critic import Critic
from turnsmith.recipes.sweet.data import asked_before
from turnsmith.runs.progress import console
from turnsmith.runs.run import Run
from turnsmith.trace.types import Trace

_PART = 500


def record_credit(run: Run, critic: Critic, log: Sequence[Trace]) -> None:
    """Write the critic's advantage of each logged turn to the store, once: `traces show` and the viewer have it.

    Critics of questions do not judge answers (see `rank_answers`): where answers are not ranked, they have no number.
    """
    inputs = {"critic": critic.arm.value, "dialogues": len(log)}
    run.once("credit", inputs, lambda: _write_credit(run, critic, log))


def _write_credit(run: Run, critic: Critic, log: Sequence[Trace]) -> int:
    """The number of turns that were given one."""
    credited = 0
    asked_all = {trace.id: asked_before(trace) for trace in log}
    for start in range(0, len(log), _PART):
        turns = [(trace, place) for trace in log[start : start + _PART] for place in range(len(trace.turns))]
        actions = [trace.turns[place].action for trace, place in turns]
        scores = critic.rank(
            [trace.task for trace, _ in turns],
            [action.prompt_ids for action in actions],
            [asked_all[trace.id][place] for trace, place in turns],
            [[action.token_ids] for action in actions],
        )
        found: dict[str, list[float | None]] = {}
        for (trace, _), action, (score,) in zip(turns, actions, scores, strict=True):
            answers = action.call is not None and action.call.name == "answer"
            judged = critic.config.rank_answers or not answers
            found.setdefault(trace.id, []).append(score if judged else None)
        record(run.store, critic.arm.value, 0, advantages=found)
        credited += len(turns)
    return credited


def finish(
    run: Run,
    rewards: Mapping[str, Mapping[str, float]],
    aucs: Mapping[str, float],
    best: Mapping[str, Mapping[int, float]],
    seconds: float,
) -> None:
    """Print the table of arms and write `report.json`.

    Args:
        run: the run.
        rewards: of each test task, by arm.
        aucs: of critics for useful questions.
        best: success by the number of candidates, by critic.
        seconds: that all of it took.
    """
    rows = []
    count = max(map(len, rewards.values()), default=0)
    table = Table(title=f"{count:,} held-out tasks", title_justify="left", pad_edge=False, box=SIMPLE_HEAD)
    for heading in ("", "success", "95 %", "AUC of its critic"):
        table.add_column(heading, justify="left" if not heading else "right", no_wrap=True)
    for arm, by_task in rewards.items():
        value = sum(by_task.values()) / max(1, len(by_task))
        low, high = wilson(sum(by_task.values()), len(by_task))
        rows.append({"name": arm, "value": value, "low": low, "high": high, "unit": "success"})
        area = f"{aucs[arm]:.3f}" if arm in aucs else ""
        table.add_row(f"[bold]{arm}[/bold]", percent(value), f"{percent(low)} to {percent(high)}", area)
    console.print(table)
    series = [
        {"name": arm, "points": [{"x": n, "value": success} for n, success in by_n.items()]}
        for arm, by_n in best.items()
    ]
    title = "best of N candidates a turn: success by critic"
    run.report(
        status="done",
        summary=rows,
        rewards=rewards,
        turn_auc=aucs.get(Arm.SWEET.value),
        turn_aucs=aucs,
        charts=[{"title": title, "x": "candidates a turn", "series": series}] if series else [],
        seconds=round(seconds, 1),
    )
