"""Lines of `metrics.jsonl` that the recipes of agents share."""

from turnsmith.evaluate.summary import Summary
from turnsmith.runs.run import Run


def log_summary(run: Run, phase: str, iteration: int, summary: Summary) -> None:
    """Success with its interval, steps and faults of the episodes of one phase; a resumed run says it once."""
    low, high = summary.interval
    run.drop_metrics([row for row in run.metrics() if (row.get("phase"), row.get("iteration")) != (phase, iteration)])
    run.log(
        phase=phase,
        iteration=iteration,
        success=summary.success,
        success_low=low,
        success_high=high,
        episodes=summary.episodes,
        steps=summary.mean_steps,
        steps_of_successes=summary.mean_success_steps,
        truncated=summary.truncated_rate,
        infra_errors=summary.infra_errors,
    )
