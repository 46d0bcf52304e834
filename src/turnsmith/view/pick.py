"""Which traces a report shows: successes and failures, before and after, the same tasks where that is possible."""

from collections.abc import Container

from turnsmith.view.queries import Row


def pick_traces(
    rows: list[Row], count: int, pictured: set[int] | None = None, credited: Container[int] = ()
) -> list[tuple[Row, str]]:
    """Choose up to `count` traces for a report, with the group of each: "before", "learned from" or "after".

    Before is the first evaluation, after the last one; in a run with one evaluation (or none) everything is "after".
    Each group gets half, and of each group half are failures where there are enough. Tasks that turned from failure to
    success are taken first, as a pair, for they show what was learned; then other sites before more of the same. Up to
    a quarter are training episodes whose turns have credit, with which the report shows what the learner made of them.

    Args:
        rows: all traces of the run.
        count: how many are wanted.
        pictured: the sequence numbers of traces with screenshots, which go before all others; None when all have them.
        credited: those of traces whose turns have credit.
    """
    usable = [row for row in rows if row.turns > 0]
    pictured = {row.seq for row in usable} if pictured is None else pictured
    learned_from = [row for row in usable if row.seq in credited and not row.phase.startswith("eval")]
    training = _pictured_first(learned_from, count // 4, set(), pictured)
    count -= len(training)
    pool = [row for row in usable if row.phase == "eval"] or usable
    iterations = sorted({row.iteration for row in pool if row.iteration is not None})
    if len(iterations) < 2:
        only = [row for row in pool if row not in training]
        return [(row, "learned from") for row in training] + [
            (row, "after") for row in _pictured_first(only, count, set(), pictured)
        ]
    before = [row for row in pool if row.iteration == iterations[0]]
    after = [row for row in pool if row.iteration == iterations[-1]]
    learned = {row.task_id for row in before if not row.solved} & {row.task_id for row in after if row.solved}
    first = _pictured_first(before, count // 2, learned, pictured)
    second = _pictured_first(after, count - len(first), {row.task_id for row in first} & learned, pictured)
    groups = (("before", first), ("learned from", training), ("after", second))
    return [(row, name) for name, group in groups for row in group]


def _pictured_first(rows: list[Row], count: int, preferred: set[str], pictured: set[int]) -> list[Row]:
    """Traces with screenshots as far as they go, then others."""
    chosen = _mixed([row for row in rows if row.seq in pictured], count, preferred)
    others = _mixed([row for row in rows if row.seq not in pictured], count - len(chosen), preferred)
    return sorted(chosen + others, key=lambda row: row.seq)


def _mixed(rows: list[Row], count: int, preferred: set[str]) -> list[Row]:
    """Half successes and half failures where there are enough of each."""
    won, lost = [row for row in rows if row.solved], [row for row in rows if not row.solved]
    take_won = min(len(won), max((count + 1) // 2, count - len(lost)))
    return _varied(won, take_won, preferred) + _varied(lost, count - take_won, preferred)


def _varied(rows: list[Row], count: int, preferred: set[str]) -> list[Row]:
    """Preferred tasks first, then sites in turn; never the same task twice while there are others."""
    chosen: list[Row] = []
    left = list(rows)
    while left and len(chosen) < count:
        sites = [row.site for row in chosen]
        tasks = {row.task_id for row in chosen}
        best = min(
            left,
            key=lambda row: (
                row.task_id in tasks,
                row.outcome == "infra_error",
                row.task_id not in preferred,
                sites.count(row.site),
                row.seq,
            ),
        )
        chosen.append(best)
        left.remove(best)
    return chosen
