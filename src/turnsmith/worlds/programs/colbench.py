"""ColBench's own files: backend tasks and offline trajectories, as tasks and traces of this house.

A line of a task file: `{"problem_description", "ground_truth", "test_cases": {name: call}}`. A line of a trajectory
file: `{"task", "dialogue_history": [{"role", "content", "input", "output"}, …], "answer", "reward"}`. What the agent
may not see (the reference and the tests) is hidden. The benchmark's test split is the first 1,000 lines of its file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from turnsmith.errors import UserError
from turnsmith.jsonl import iter_jsonl
from turnsmith.trace.types import ORACLE, Action, Call, Observation, Outcome, Task, Trace, Turn, Verdict

MARKER = "I WANT TO ANSWER:"
OUTPUT = "OUTPUT:"
_HIDDEN = ("ground_truth", "test_cases")


def read_tasks(path: Path, split: str = "train", limit: int | None = None) -> list[Task]:
    """The tasks of a file.

    Args:
        path: JSONL.
        split: what they are for.
        limit: the first so many lines (1,000 of the test file).

    Raises:
        UserError: if a line is not a task, with its number.
    """
    found: list[Task] = []
    for number, row in iter_jsonl(path):
        if limit is not None and len(found) == limit:
            break
        found.append(_task(row, f"colbench-{split}-{number}", split, f"{path}, line {number}"))
    return found


def read_trajectories(path: Path) -> list[Trace]:
    """The offline trajectories of a file; attempts at one task have the same task.

    Raises:
        UserError: if a line is not a trajectory, with its number.
    """
    first: dict[tuple[str, str], str] = {}
    found = []
    for number, row in iter_jsonl(path):
        trace = trajectory_of(row, number, f"{path}, line {number}")
        task = trace.task
        known = first.setdefault((task.instruction, task.hidden["ground_truth"]), task.id)
        found.append(replace(trace, task=replace(task, id=known)))
    return found


def split_reply(text: str) -> tuple[str, Call]:
    """What an agent's raw reply says to the user, and its call: `OUTPUT:` hides the thoughts before it.

    Returns:
        (what stands after the marker, Call "answer" with the code or "say" with the text).
    """
    said = text.rpartition(OUTPUT)[2].strip()
    if MARKER in said:
        return said, Call("answer", {"text": code_of(said.partition(MARKER)[2])})
    return said, Call("say", {"text": said})


def code_of(text: str) -> str:
    """Code without the fence that some models put around it."""
    lines = text.strip().splitlines()
    if lines and lines[0].startswith("```"):
        lines = lines[1:]
        if lines and lines[-1].strip() == "```":
            lines = lines[:-1]
    return "\n".join(lines)


def _task(row: Any, name: str, split: str, place: str) -> Task:
    if not isinstance(row, dict) or not isinstance(row.get("problem_description"), str):
        raise UserError(f'{place}: "problem_description" is missing or no text.')
    if not isinstance(row.get("ground_truth"), str):
        raise UserError(f'{place}: "ground_truth" is missing or no text.')
    tests = row.get("test_cases")
    if not isinstance(tests, dict) or not tests or not all(isinstance(call, str) for call in tests.values()):
        raise UserError(f'{place}: "test_cases" must be an object of call expressions by name.')
    return Task(name, row["problem_description"], "programs", split=split, hidden={key: row[key] for key in _HIDDEN})


def trajectory_of(row: Any, number: int, place: str) -> Trace:
    """A line of a trajectory file as a trace.

    Args:
        row: the line's JSON.
        number: of the line; it names the trace.
        place: of the line, for messages.

    Raises:
        UserError: if it is no trajectory.
    """
    if not isinstance(row, dict) or not isinstance(row.get("task"), dict):
        raise UserError(f'{place}: "task" is missing or no object.')
    history = row.get("dialogue_history")
    if not isinstance(history, list) or not all(isinstance(m, dict) and isinstance(m.get("content"), str)
                                                for m in history):  # fmt: skip
        raise UserError(f'{place}: "dialogue_history" must be a list of messages with "content".')
    reward = row.get("reward")
    if isinstance(reward, bool) or not isinstance(reward, int | float):
        raise UserError(f'{place}: "reward" must be a number.')
    task = _task(row["task"], f"colbench-train-{number}", "train", place)
    turns = _turns(history, task)
    outcome = Outcome.SUCCESS if reward > 0.5 else Outcome.FAILURE
    return Trace(
        f"colbench-{number}",
        task,
        turns,
        outcome,
        (Verdict(ORACLE, float(reward), "ColBench"),),
        info={"phase": "offline"},
    )


def _turns(history: Sequence[Mapping[str, Any]], task: Task) -> tuple[Turn, ...]:
    turns, seen = [], ""
    for message in history:
        if message.get("role") in ("agent", "assistant"):
            raw = str(message.get("output") or message["content"])
            turns.append(Turn(Observation(seen), Action(raw, split_reply(raw)[1])))
            seen = ""
        elif not (not turns and message["content"].strip() == task.instruction.strip()):
            seen = message["content"]
    return tuple(turns)
