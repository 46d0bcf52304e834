"""`turnsmith traces (ls | show | judge | export | import | migrate)`: look at a run's traces, judge them, move them.

RUN is a folder such as runs/NAME, or just NAME. A run may be looked at and exported while it is being written.
"""

import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from turnsmith.errors import UserError, require
from turnsmith.runs.run import find_run
from turnsmith.trace.store import SCHEMA_VERSION, Store, Summary
from turnsmith.trace.types import ORACLE, Outcome

RunName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
OutcomeName = Literal["success", "failure", "truncated", "unjudged", "infra_error"]

_WIDEST_TASK = 100
_PIPE_WIDTH = 1000
_COLORS = {"success": "green", "failure": "red", "truncated": "yellow", "unjudged": "cyan", "infra_error": "magenta"}


def main(argv: list[str]) -> int:
    """Run one of the subcommands."""
    verbs = {"ls": ls, "show": show, "judge": judge_, "export": export, "import": import_, "migrate": migrate}
    tyro.extras.subcommand_cli_from_dict(
        verbs,
        args=argv or ["--help"],
        prog="turnsmith traces",
        description=__doc__,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    return 0


def ls(
    run: RunName,
    /,
    phase: str | None = None,
    site: str | None = None,
    outcome: OutcomeName | None = None,
    judge: str = ORACLE,
    limit: int = 40,
) -> None:
    """List traces, oldest first.

    Args:
        run: a run folder or name.
        phase: keep only this phase, such as train or eval.
        site: keep only this site.
        outcome: keep only this outcome.
        judge: whose reward is shown.
        limit: show the last so many; 0 shows all.
    """
    if limit < 0:
        raise UserError(f"--limit {limit}: a number from 0 is needed.")
    filters = {"phase": phase, "site": site, "outcome": None if outcome is None else Outcome(outcome)}
    with Store(find_run(run), read_only=True) as store:
        count = store.count(**filters)
        offset = max(0, count - limit) if limit else 0
        summaries = store.summaries(**filters, judge=judge, offset=offset)
    if not summaries:
        print(f"{run}: no traces" + (" match." if any(filters.values()) else " yet."))
        return
    _print_table(summaries, judge)
    if offset:
        print(f"The last {len(summaries)} of {count:,}; --limit 0 shows all.")


def show(
    run: RunName, trace: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ID")], /, full: bool = False
) -> None:
    """Print one trace turn by turn.

    Args:
        run: a run folder or name.
        trace: the trace's id, or its beginning.
        full: print observations whole, not just their first lines.
    """
    from turnsmith.commands.traces_show import print_trace

    with Store(find_run(run), read_only=True) as store:
        found = store.get(_whole_id(store, trace))
        labels = store.labels(found.id)
    print_trace(found, labels, full)


def judge_(
    run: RunName, /, judge: str = "auto", phase: str | None = None, again: bool = False, at_once: int = 8
) -> None:
    """Judge episodes that were played before: each gets a verdict more, and nothing is played again.

    Args:
        run: a run folder or name.
        judge: auto, exact, contains, regex, url, unit:FILE, llm:MODEL@URL or module:Class (docs/own_judge.md).
        phase: only this phase, such as eval.
        again: judge too what this judge has judged before.
        at_once: traces judged at a time.
    """
    from turnsmith.commands.traces_judge import judge_run

    judge_run(find_run(run), judge, phase, again, at_once)


def export(
    run: RunName,
    target: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE|FOLDER")],
    /,
    format: Literal["jsonl", "parquet", "sft", "dpo", "kto", "grpo"] = "jsonl",
    phase: str | None = None,
    site: str | None = None,
    outcome: OutcomeName | None = None,
    images: bool = False,
    hidden: bool = False,
    by: Literal["outcome", "credit"] = "outcome",
    min_reward: float | None = None,
    judge: str = ORACLE,
) -> None:
    """Write traces as OpenAI messages (one JSON row a trace), as parquet files, or as training data for TRL.

    Args:
        run: a run folder or name.
        target: the JSONL file, or the folder for parquet.
        format: jsonl can be imported again; parquet is for analysis; sft, dpo, kto and grpo are TRL's formats.
        phase: keep only this phase, such as train or eval.
        site: keep only this site.
        outcome: keep only this outcome.
        images: include the images.
        hidden: include the tasks' hidden fields (reference answers, goal states).
        by: choose training rows by the outcome of episodes, or turn by turn by credit (turnsmith credit RUN).
        min_reward: for training rows: an outcome from here on is good (default: above 0.5).
        judge: for training rows: whose verdict is the outcome.
    """
    filters = {"phase": phase, "site": site, "outcome": None if outcome is None else Outcome(outcome)}
    with Store(find_run(run), read_only=True) as store:
        if format in ("sft", "dpo", "kto", "grpo"):
            from turnsmith.trace.training_rows import export_training_rows

            if images or hidden:
                raise UserError(f"--format {format} has neither pictures nor hidden fields.")
            rows = store.traces(**filters)
            count = export_training_rows(
                rows, target, format, by_credit=by == "credit", min_reward=min_reward, judge=judge
            )
            print(f"wrote {count:,} rows of {format} to {target}")
            return
        if format == "parquet":
            from turnsmith.trace.parquet import export_parquet

            count = export_parquet(store, target, images, hidden, **filters)
        else:
            from turnsmith.trace.messages import export_messages

            count = export_messages(store, target, images, hidden, **filters)
    print(f"wrote {_traces(count)} to {target}")


def import_(
    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")],
    run: RunName,
    /,
    images: Path | None = None,
) -> None:
    """Append the rows of a file of OpenAI messages to a run, which is made when it is not there.

    Args:
        file: JSONL; a row needs "messages" and may have "reward" or "score", "turn_rewards", "outcome", "task", "id".
            Or a .pt file of trajectories as DigiRL and Digi-Q released them; it is read without running code of it.
        run: a run folder or name.
        images: the folder of a .pt file's screenshots.
    """
    from turnsmith.trace.messages_import import import_messages

    try:
        database = find_run(run)
    except UserError:
        database = (Path("runs") / run if Path(run).name == run else Path(run)) / "run.db"
    if file.suffix == ".pt":
        require("torch", "hf")
        from turnsmith.recipes.shared.authors_files import import_pt

        count = import_pt(file, database, images)
    else:
        count = import_messages(file, database)
    print(f"imported {_traces(count)} into {database.parent}")


def migrate(run: RunName, /) -> None:
    """Bring a run that an older Turnsmith wrote up to date; its traces stay as they are.

    Args:
        run: a run folder or name.
    """
    database = find_run(run)
    Store(database).close()
    print(f"{database}: is of store version {SCHEMA_VERSION} now")


def _traces(count: int) -> str:
    return f"{count:,} trace{'' if count == 1 else 's'}"


def _whole_id(store: Store, given: str) -> str:
    """The id that begins with what was given."""
    ids = [summary.id for summary in store.summaries() if summary.id.startswith(given)]
    if given in ids or len(ids) != 1:
        if given not in ids and ids:
            several = ", ".join(ids[:5]) + (", …" if len(ids) > 5 else "")
            raise UserError(f"{len(ids)} traces begin with {given!r}: {several}. Give more of the id.")
        return given
    return ids[0]


def _print_table(summaries: list[Summary], judge: str) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from turnsmith.commands.traces_show import printable

    rows = [
        (
            summary.id,
            summary.phase if summary.iteration is None else f"{summary.phase} {summary.iteration}",
            summary.site or summary.environment,
            summary.outcome.value,
            "" if summary.reward is None else f"{summary.reward:g}",
            str(summary.turn_count),
            summary.policy,
            summary.instruction,
        )
        for summary in summaries
    ]
    headings = ("trace", "phase", "site", "outcome", _reward_heading(judge), "turns", "policy", "task")
    cells = [[printable(cell) for cell in row] for row in (headings, *rows)]
    widths = [max(len(row[number]) for row in cells) for number in range(len(headings))]
    console = Console() if sys.stdout.isatty() else Console(width=_PIPE_WIDTH)  # a pipe has no edge to cut at
    # In a narrow terminal the ids and the tasks give way (rich would squeeze the short columns to nothing).
    spare = console.width - sum(widths[1:-1]) - 3 * len(widths)
    widths[0] = min(widths[0], max(12, spare // 3))
    widths[-1] = min(widths[-1], max(12, spare - widths[0]), _WIDEST_TASK)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for number, heading in enumerate(cells[0]):
        justify = "right" if number in (4, 5) else "left"
        table.add_column(Text(heading), no_wrap=True, justify=justify, width=widths[number])
    for row in cells[1:]:
        table.add_row(*(Text(cell, _COLORS[cell] if number == 3 else "") for number, cell in enumerate(row)))
    console.print(table)


def _reward_heading(judge: str) -> str:
    return "reward" if judge == ORACLE else f"reward by {judge}"
