"""The tasks of a run: where each came from, how far it came, why it was left out, and success on it over time.

Tasks that were tried are in the traces. Proposed tasks that never were (rejected by a filter, not yet drawn) are in
`tasks.jsonl` of the run folder, when the recipe writes one: rows as `trace.codec.task_to_json` makes them, whose
`provenance` may say under "stage" how far the task came ("proposed", "validated", "accepted") and under "rejected" why
it was left out.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from turnsmith.view.queries import Row
from turnsmith.view.run import Run, rate


def list_tasks(run: Run, query: Mapping[str, str]) -> dict[str, Any]:
    """A window of the run's tasks.

    Args:
        run: the run.
        query: any of `task` (words), `site`, `stage`, `state` ("tried", "untried", "rejected"), `sort` ("recent",
            "hardest", "easiest", "most"), `offset`, `limit`.

    Returns:
        `{"total", "offset", "rows", "iterations", "facets", "stages", "rejections"}`.
    """
    rows = run.rows.all()
    tried: dict[str, list[Row]] = {}
    for row in rows:
        tried.setdefault(row.task_id, []).append(row)
    proposed = {str(task.get("id", "")): task for task in run.folder().tasks}
    tasks = [_task(task_id, tried.get(task_id, []), proposed.get(task_id)) for task_id in {**tried, **proposed}]
    # Counted before the provenance of tried tasks is read, which is done for one window only.
    stages = dict(Counter(task["stage"] for task in tasks if task["stage"]))
    rejections = dict(Counter(task["rejected"] for task in tasks if task["rejected"]).most_common(50))
    facets = {name: sorted({task[name] for task in tasks} - {""}) for name in ("site", "stage")}
    kept = [task for task in tasks if _matches(task, query)]
    kept.sort(key=_sort_key(query.get("sort", "recent")))
    offset, limit = _integer(query.get("offset"), 0), min(500, _integer(query.get("limit"), 100))
    window = kept[offset : offset + limit]
    _add_provenance(run, window, tried)
    return {
        "total": len(kept),
        "offset": offset,
        "rows": [{key: value for key, value in task.items() if key != "last_seq"} for task in window],
        "iterations": sorted({row.iteration for row in rows if row.iteration is not None}),
        "facets": facets,
        "stages": stages,
        "rejections": rejections,
    }


def _task(task_id: str, rows: list[Row], proposed: Mapping[str, Any] | None) -> dict[str, Any]:
    counted = [row for row in rows if row.counts]
    history: dict[int, list[int]] = {}
    for row in counted:
        if row.iteration is not None:
            entry = history.setdefault(row.iteration, [0, 0])
            entry[0] += row.solved
            entry[1] += 1
    first = rows[0] if rows else None
    given = proposed or {}
    params, provenance = _mapping(given.get("params")), _mapping(given.get("provenance"))
    return {
        "id": task_id,
        "instruction": first.instruction if first else str(given.get("instruction") or ""),
        "site": first.site if first else str(params.get("site") or ""),
        "environment": first.environment if first else str(given.get("environment") or ""),
        "split": first.split if first else str(given.get("split") or ""),
        "provenance": provenance,
        "stage": str(provenance.get("stage") or ""),
        "rejected": str(provenance.get("rejected") or ""),
        "attempts": len(rows),
        "success": rate(sum(row.solved for row in counted), len(counted)),
        "history": [[iteration, *entry] for iteration, entry in sorted(history.items())],
        "last_seq": rows[-1].seq if rows else 0,
    }


def _add_provenance(run: Run, tasks: list[dict[str, Any]], tried: Mapping[str, list[Row]]) -> None:
    """Provenance of tasks that only the traces know: read for the tasks of one window, not for all."""
    seqs = {tried[task["id"]][0].seq: task for task in tasks if not task["provenance"] and task["id"] in tried}
    for seq, head in run.database.heads(list(seqs)).items():
        provenance = _mapping(_mapping(head.get("task")).get("provenance"))
        seqs[seq]["provenance"] = provenance
        seqs[seq]["stage"] = str(provenance.get("stage") or "")


def _matches(task: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    words = f"{task['id']} {task['instruction']}".casefold()
    if not all(word in words for word in query.get("task", "").casefold().split()):
        return False
    if any(query.get(name) and task[name] != query[name] for name in ("site", "stage")):
        return False
    state = query.get("state", "")
    tried = task["attempts"] > 0
    return {"": True, "tried": tried, "untried": not tried, "rejected": bool(task["rejected"])}.get(state, True)


def _sort_key(name: str) -> Any:
    def success(task: Mapping[str, Any]) -> float:
        return task["success"]["value"] if task["success"] else 2.0

    keys = {
        "hardest": lambda task: (success(task), -task["attempts"]),
        "easiest": lambda task: (task["success"] is None, -success(task), -task["attempts"]),
        "most": lambda task: -task["attempts"],
    }
    return keys.get(name, lambda task: -task["last_seq"])


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _integer(text: str | None, default: int) -> int:
    try:
        return max(0, int(text)) if text else default
    except ValueError:
        return default
