"""Progress with time left, for work that takes longer than a few seconds."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from turnsmith.trace.types import Outcome, Trace

console = Console(highlight=False)
_LOG_SECONDS = 60.0
"""How often a bar says where it is where nobody watches: in a log file."""


class _Times(ProgressColumn):
    """How long it has taken, and how long it will take: "1:02 left 3:40", and "1:02" at the end."""

    def render(self, task: Task) -> Text:
        """The text of one bar."""
        text = _clock(task.finished_time if task.finished else task.elapsed)
        return Text(text if task.finished else f"{text} left {_clock(task.time_remaining)}")


def _clock(seconds: float | None) -> str:
    """Seconds as m:ss or h:mm:ss."""
    if seconds is None:
        return "-:--"
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[..., None]]:
    """A bar that is advanced by calling what this yields: `advance(step=1, note="")`.

    On a terminal it is drawn in place; elsewhere (a log file) a line is printed every minute, and the last one. It fits
    80 columns.
    """
    columns = (
        TextColumn("{task.description:26}"),
        BarColumn(bar_width=6),
        MofNCompleteColumn(),
        _Times(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=total, note="")
        told = time.monotonic()

        def advance(step: float = 1, note: str | None = None) -> None:
            nonlocal told
            fields: dict[str, Any] = {} if note is None else {"note": note}
            progress.update(task, advance=step, **fields)
            if not console.is_terminal and time.monotonic() - told > _LOG_SECONDS and not progress.finished:
                told = time.monotonic()
                console.print(progress.get_renderable())

        yield advance


@contextmanager
def episode_bar(what: str, total: int, judge: str = "oracle") -> Iterator[Callable[[Trace], None]]:
    """A bar over episodes that shows the success rate so far; call what it yields with every finished trace.

    An infra error advances nothing: its episode is played again or given up, and the note counts it as lost.
    """
    counts = {"judged": 0, "won": 0, "lost": 0}
    with progress_bar(what, total) as advance:

        def on_trace(trace: Trace) -> None:
            if trace.outcome is Outcome.INFRA_ERROR:
                counts["lost"] += 1
            elif trace.outcome is not Outcome.UNJUDGED:
                counts["judged"] += 1
                counts["won"] += (trace.reward(judge) or 0.0) > 0.5
            rate = f"{100 * counts['won'] / counts['judged']:.0f} % success" if counts["judged"] else ""
            lost = f", {counts['lost']} lost" if counts["lost"] else ""
            advance(int(trace.outcome is not Outcome.INFRA_ERROR), note=rate + lost)

        yield on_trace
