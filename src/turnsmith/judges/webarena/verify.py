"""Grading recorded answers of WebArena tasks offline: what `turnsmith verify webarena FILE --tasks TASKS.json` runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turnsmith.errors import UserError
from turnsmith.jsonl import read_json
from turnsmith.judges.webarena.fuzzy import FuzzyJudge
from turnsmith.judges.webarena.score import Ending, Score, score
from turnsmith.tasks.webarena import NoAddress, fill_addresses, read_evaluation, used


@dataclass(frozen=True, slots=True)
class Question:
    """A configuration as far as it grades: the instruction and the `eval` part, placeholders still in it."""

    intent: str
    evaluation: Mapping[str, Any]


def read_questions(path: str | Path) -> dict[int, Question]:
    """WebArena configurations by task id: a list of them, or the one of a file of its own.

    Raises:
        UserError: if the file cannot be read, or a configuration is not in WebArena's form.
    """
    rows = read_json(path)
    questions: dict[int, Question] = {}
    for number, row in enumerate(rows if isinstance(rows, list) else [rows], start=1):
        task = row.get("task_id") if isinstance(row, dict) else None
        if not isinstance(task, int) or isinstance(task, bool) or not isinstance(row.get("intent"), str):
            raise UserError(f'{path}, task {number}: a configuration needs "task_id" (a number), "intent" and "eval".')
        if task in questions:
            raise UserError(f"{path}, task {number}: the task_id {task} is there twice.")
        try:
            read_evaluation(row.get("eval"))
        except ValueError as error:
            raise UserError(f"{path}, task {number} (task_id {task}): {error}.") from error
        questions[task] = Question(row["intent"], row["eval"])
    return questions


async def verify_row(
    row: Mapping[str, Any],
    questions: Mapping[int, Question],
    urls: Mapping[str, str],
    fuzzy: FuzzyJudge | None = None,
) -> Score:
    """Grade one recorded answer by WebArena's official rules.

    A row is {"task_id": 7, "answer": "…", "url": "…"}:

      "task_id": which of the configurations in TASKS.json;
      "answer": the agent's closing answer (null or left out: it never ended the episode);
      "url": the address of the last page (needed where the task asks for a page).

    The score is 0 or 1, or null where a fuzzy judge or a live page would have to decide (nothing is guessed). The
    addresses of the sites come from the environment variables SHOPPING, SHOPPING_ADMIN, REDDIT, GITLAB, MAP, WIKIPEDIA
    and HOMEPAGE.

    Raises:
        ValueError: if the row is not of this form or names a task that is not there.
        UserError, InfraError: if the fuzzy judge cannot be asked, or failed.
    """
    task = row.get("task_id")
    if isinstance(task, str) and task.strip().isascii() and task.strip().isdigit():
        task = int(task)
    if not isinstance(task, int) or isinstance(task, bool):
        raise ValueError('"task_id" must be a number')
    if task not in questions:
        raise ValueError(f"there is no task with the task_id {task} among the tasks")
    answer, url = row.get("answer"), row.get("url")
    for name, value in (("answer", answer), ("url", url)):
        if value is not None and not isinstance(value, str):
            raise ValueError(f'"{name}" must be a text or null')
    question = questions[task]
    try:
        evaluation = read_evaluation(fill_addresses(used(question.evaluation), urls))
    except NoAddress as error:
        return Score(None, str(error))
    return await score(evaluation, question.intent, Ending(answer, url), fuzzy)
