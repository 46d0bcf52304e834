"""What a set of episodes amounts to: success with its interval, per site, steps, time-outs and infra errors."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from turnsmith.evaluate.stats import wilson
from turnsmith.trace.types import ORACLE, Outcome, Trace


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts over episodes. Infra errors, and episodes that nobody has judged, are in none of the rates.

    Attributes:
        episodes: episodes that count.
        successes: those with reward > 0.5 by the judge that was asked.
        truncated: those that ran out of steps or tokens.
        infra_errors: episodes lost to machinery.
        steps: total steps of the episodes that count.
        success_steps: total steps of the successful ones.
        by_site: the same for each site.
        unjudged: episodes that ended without a verdict of anybody.
    """

    episodes: int = 0
    successes: int = 0
    truncated: int = 0
    infra_errors: int = 0
    steps: int = 0
    success_steps: int = 0
    by_site: dict[str, "Summary"] = field(default_factory=dict)
    unjudged: int = 0

    @property
    def success(self) -> float:
        """Fraction of successes; 0 where nothing counts."""
        return self.successes / self.episodes if self.episodes else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of `success`."""
        return wilson(self.successes, self.episodes)

    @property
    def mean_steps(self) -> float:
        """Mean steps of an episode."""
        return self.steps / self.episodes if self.episodes else 0.0

    @property
    def mean_success_steps(self) -> float:
        """Mean steps of a successful episode."""
        return self.success_steps / self.successes if self.successes else 0.0

    @property
    def truncated_rate(self) -> float:
        """Fraction of episodes that ran out of horizon or budget."""
        return self.truncated / self.episodes if self.episodes else 0.0


def summarize(traces: Iterable[Trace], judge: str = ORACLE) -> Summary:
    """Summarise episodes by one judge's verdicts; one without a verdict of that judge counts as reward 0."""
    rows: list[tuple[str, Outcome, float | None, int]] = [
        (str(trace.task.params.get("site", "")), trace.outcome, trace.reward(judge), len(trace.turns))
        for trace in traces
    ]
    sites = sorted({site for site, *_ in rows if site})
    by_site = {site: _count([row for row in rows if row[0] == site]) for site in sites}
    return replace(_count(rows), by_site=by_site)


def _count(rows: list[tuple[str, Outcome, float | None, int]]) -> Summary:
    ended = [row for row in rows if row[1] is not Outcome.INFRA_ERROR]
    counted = [row for row in ended if row[1] is not Outcome.UNJUDGED or row[2] is not None]
    won = [row for row in counted if (row[2] or 0.0) > 0.5]
    return Summary(
        episodes=len(counted),
        successes=len(won),
        truncated=sum(row[1] is Outcome.TRUNCATED for row in counted),
        infra_errors=len(rows) - len(ended),
        unjudged=len(ended) - len(counted),
        steps=sum(row[3] for row in counted),
        success_steps=sum(row[3] for row in won),
    )


def rewards_by_task(traces: Iterable[Trace], judge: str = ORACLE) -> dict[str, float]:
    """Mean reward of each task, for pairing two runs task by task; what is in no rate is left out."""
    sums: dict[str, list[float]] = {}
    for trace in traces:
        reward = trace.reward(judge)
        if trace.outcome is Outcome.INFRA_ERROR or (trace.outcome is Outcome.UNJUDGED and reward is None):
            continue
        sums.setdefault(trace.task.id, []).append(reward or 0.0)
    return {task: sum(values) / len(values) for task, values in sums.items()}
