"""Frontend tasks: a description, and the reference page that the agent may not see.

A line of a task file is ColBench's `{"problem_description", "ground_truth"}` with HTML as the truth, or a row of
WebSight v0.2, which it was made from: `{"llm_generated_idea", "text"}`.
"""

from pathlib import Path

from turnsmith.errors import UserError
from turnsmith.jsonl import iter_jsonl
from turnsmith.trace.types import Task

NAME = "frontend"
_FIELDS = (("problem_description", "ground_truth"), ("llm_generated_idea", "text"))


def is_design(row: object) -> bool:
    """Whether a line of a task file is about a page: it has HTML as its truth, and no tests."""
    if not isinstance(row, dict) or "test_cases" in row:
        return False
    return any(isinstance(row.get(truth), str) and "<" in row[truth] for _, truth in _FIELDS)


def read_tasks(path: Path, split: str = "train", limit: int | None = None) -> list[Task]:
    """The tasks of a file.

    Raises:
        UserError: if a line is not a task, with its number.
    """
    found: list[Task] = []
    for number, row in iter_jsonl(path):
        if limit is not None and len(found) == limit:
            break
        if not is_design(row):
            raise UserError(f'{path}, line {number}: a page needs "problem_description" and HTML as "ground_truth".')
        words, truth = next(names for names in _FIELDS if isinstance(row.get(names[1]), str))
        if not isinstance(row.get(words), str):
            raise UserError(f'{path}, line {number}: "{words}" is missing or no text.')
        found.append(Task(f"design-{split}-{number}", row[words], NAME, split=split, hidden={"html": row[truth]}))
    return found
