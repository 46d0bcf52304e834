"""Summaries as tables for the terminal."""

from collections.abc import Mapping

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from turnsmith.evaluate.summary import Summary


def percent(rate: float) -> str:
    """A rate as per cent with one decimal."""
    return f"{100 * rate:.1f} %"


def interval(bounds: tuple[float, float]) -> str:
    """An interval of rates, such as "41–62 %"."""
    return f"{100 * bounds[0]:.0f}–{100 * bounds[1]:.0f} %"


def summary_table(summaries: Mapping[str, Summary], title: str = "", by_site: bool = True) -> Table:
    """One row a summary: success with its 95 % interval, episodes, steps, cut-off episodes; infra errors where any are.

    Fits 80 columns with names of up to 26 letters; a longer one goes on in the next line.

    Args:
        summaries: by name, in the order in which they are shown.
        title: above the table.
        by_site: add a row for each site below its summary, where there is more than one.
    """
    lost = any(summary.infra_errors for summary in summaries.values())
    table = Table(title=title, title_justify="left", pad_edge=False, padding=(0, 1, 0, 0), box=SIMPLE_HEAD)
    table.add_column("", overflow="fold")
    for heading in _HEADINGS if lost else _HEADINGS[:-1]:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, summary in summaries.items():
        table.add_row(f"[bold]{escape(name)}[/bold]", *_cells(summary, lost))
        if by_site and len(summary.by_site) > 1:
            for site, part in summary.by_site.items():
                table.add_row(f"[dim]  {escape(site)}[/dim]", *(f"[dim]{cell}[/dim]" for cell in _cells(part, lost)))
    return table


_HEADINGS = ("success", "95 %", "episodes", "steps", "cut off", "infra")


def _cells(summary: Summary, lost: bool) -> tuple[str, ...]:
    known = summary.episodes > 0
    cells = (
        percent(summary.success) if known else "–",
        interval(summary.interval) if known else "–",
        str(summary.episodes),
        f"{summary.mean_steps:.1f}",
        percent(summary.truncated_rate),
        str(summary.infra_errors),
    )
    return cells if lost else cells[:-1]
