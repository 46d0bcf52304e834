"""Grading recorded episodes of the local sites offline: what `turnsmith verify browser FILE` plugs in."""

from collections.abc import Mapping
from typing import Any

from turnsmith.errors import UserError
from turnsmith.trace.codec import task_from_json
from turnsmith.trace.types import Task
from turnsmith.worlds.sites.goals import judge
from turnsmith.worlds.sites.tasks import make_task


def verify_row(row: Mapping[str, Any]) -> tuple[bool, str]:
    """Grade one recorded episode of a local site.

    A row names its task and says how the episode ended:

      "task": a task as `turnsmith` writes it, with its hidden goal,
        or "site", "template", "world" and "index", from which the same task is made again;
      "answer": the agent's closing answer, a text ("done" where only the state matters; null: it never answered);
      "state": what the visitor's state held at the end, {"cart": ["1 x Amberfall Kettle (Large)"], ...};
        needed where the task asks for a change, else optional;
      "page": the key of the last page, such as "item:Amberfall Kettle"; needed where the task asks to open a page.

    Returns:
        Whether the goal is met, and why (not).

    Raises:
        ValueError: if the row lacks what its task needs.
    """
    task = _task(row)
    goal = task.hidden.get("goal")
    if not isinstance(goal, Mapping):
        raise ValueError(f'the task {task.id} has no "goal" in its hidden part, so nothing can be checked')
    state, viewing = row.get("state"), row.get("page")
    if "answer" not in row and state is None and viewing is None:
        raise ValueError('one of "answer", "state" and "page" is needed')
    answer = row.get("answer", None if goal.get("answer") else "done")
    if answer is not None and not isinstance(answer, str):
        raise ValueError('"answer" must be a text or null')
    if state is not None and not _is_snapshot(state):
        raise ValueError('"state" must be an object of lists of texts')
    if viewing is not None and not isinstance(viewing, str):
        raise ValueError('"page" must be a text')
    if goal.get("answer") and "answer" not in row:
        raise ValueError(f'the task {task.id} asks for an answer: "answer" is missing')
    if goal.get("page") and viewing is None:
        raise ValueError(f'the task {task.id} asks for a page: "page" is missing')
    if not (goal.get("answer") or goal.get("page")) and state is None:
        raise ValueError(f'the task {task.id} asks for a change: "state" is missing')
    return judge(goal, answer, state, viewing)


def _task(row: Mapping[str, Any]) -> Task:
    if "task" in row:
        if not isinstance(row["task"], Mapping) or not {"id", "instruction", "environment"} <= set(row["task"]):
            raise ValueError('"task" must be a task: an object with id, instruction, environment, params and hidden')
        task = task_from_json(row["task"])
        if not isinstance(task.hidden, Mapping):
            raise ValueError('"hidden" of the task must be an object')
        return task
    missing = [key for key in ("site", "template", "world", "index") if key not in row]
    if missing:
        raise ValueError(
            f'either "task", or "site", "template", "world" and "index" are needed; {missing[0]} is missing'
        )
    if not all(isinstance(row[key], int) and not isinstance(row[key], bool) for key in ("world", "index")):
        raise ValueError('"world" and "index" must be whole numbers')
    try:
        task = make_task(str(row["site"]), str(row["template"]), row["world"], row["index"])
    except UserError as error:
        raise ValueError(str(error)) from error
    if task is None:
        raise ValueError(f"the world {row['world']} has no task {row['index']} of the template {row['template']}")
    return task


def _is_snapshot(state: object) -> bool:
    return isinstance(state, Mapping) and all(
        isinstance(items, list) and all(isinstance(item, str) for item in items) for items in state.values()
    )
