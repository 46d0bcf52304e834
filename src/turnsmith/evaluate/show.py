"""Summaries as tables for the terminal."""

from collections.abc import Mapping

from rich.table import Table

from turnsmith.evaluate.summary import Summary


def percent(rate: float) -> str:
    """A rate as per cent with one decimal."""
    return f"{100 * rate:.1f} %"


def interval(bounds: tuple[float, float]) -> str:
    """An interval of rates, such as "41–62 %"."""
    return f"{100 * bounds[0]:.0f}–{100 * bounds[1]:.0f} %"


def summary_table(summaries: Mapping[str, Summary], title: str = "", by_site: bool = True) -> Table:
    """One row a summary: success with its 95 % interval, steps, cut-off episodes, infra errors.

    Args:
        summaries: by name, in the order in which they are shown.
        title: above the table.
        by_site: add a row for each site below its summary, where there is more than one.
    """
    table = Table(title=title, title_justify="left", pad_edge=False)
    table.add_column("")
    for heading in ("success", "95 %", "episodes", "steps", "steps of successes", "cut off", "infra errors"):
        table.add_column(heading, justify="right")
    for name, summary in summaries.items():
        table.add_row(f"[bold]{name}[/bold]", *_cells(summary))
        if by_site and len(summary.by_site) > 1:
            for site, part in summary.by_site.items():
                table.add_row(f"[dim]  {site}[/dim]", *(f"[dim]{cell}[/dim]" for cell in _cells(part)))
    return table


def _cells(summary: Summary) -> tuple[str, ...]:
    return (
        percent(summary.success),
        interval(summary.interval),
        str(summary.episodes),
        f"{summary.mean_steps:.1f}",
        f"{summary.mean_success_steps:.1f}" if summary.successes else "–",
        percent(summary.truncated_rate),
        str(summary.infra_errors),
    )
