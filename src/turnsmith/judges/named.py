"""Judges by the names that users write: `--judge exact`, `--judge llm:MODEL@URL`, `--judge my_package.judges:Mine`.

| name            | rewards                                                                              |
|-----------------|--------------------------------------------------------------------------------------|
| oracle          | what the environment itself says                                                     |
| auto            | the oracle where there is one, else what the task's hidden part can be judged by     |
| exact           | the answer is `hidden.answer`                                                        |
| contains        | `hidden.reference` (or answer), one or a list, is in the answer                      |
| regex           | `hidden.pattern` (or reference) matches in the answer                                |
| url             | the last page is at `hidden.url`                                                     |
| state:URL       | what a GET of the address says is as `hidden.state`                                  |
| unit:FILE       | what `check(answer, hidden)` of a Python file returns, in the sandbox                |
| llm:MODEL@URL   | what a model says of task, answer and last pages (also openai:MODEL@URL)             |
| module:Class    | a judge of your own                                                                  |
"""

import importlib
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace

from turnsmith.engine.openai_client import ENDPOINT, endpoint_of
from turnsmith.errors import UserError
from turnsmith.judges.base import ExactAnswer, Judge, truth_of
from turnsmith.judges.outcome_endpoint import EndpointOutcomeJudge
from turnsmith.judges.rules import CheckFile, Contains, Pattern, ReachedPage, StateOf
from turnsmith.trace.types import ORACLE, Task, Trace, Verdict

AUTO = "auto"
NAMES = "oracle, auto, exact, contains, regex, url, state:URL, unit:FILE, llm:MODEL@URL, module:Class"
"""For the help of commands."""

_PLAIN: dict[str, Callable[[], Judge]] = {
    "exact": ExactAnswer,
    "contains": Contains,
    "regex": Pattern,
    "url": ReachedPage,
}
_BY_FIELD = (("answer", "exact"), ("pattern", "regex"), ("reference", "contains"), ("url", "url"))
"""Which field of a task's hidden part asks for which judge; the first that is there decides."""


def judge_named(name: str, tasks: Iterable[Task] | None = None) -> Judge | None:
    """The judge of a name; None where the oracle judges. `close` it at the end (`closed`).

    Args:
        name: see the table above.
        tasks: what will be judged, where that is known: "auto" is then the one judge that they all ask for.

    Raises:
        UserError: if there is no such judge, or it cannot be made.
    """
    kind, colon, rest = name.partition(":")
    if name == ORACLE:
        return None
    if name == AUTO:
        return _by_itself(tasks)
    if name in _PLAIN:
        return _PLAIN[name]()
    if kind == "state" and rest.startswith(("http://", "https://")):
        return StateOf(rest)
    if kind == "unit" and rest:
        return CheckFile(rest)
    if kind == "llm" or name.startswith(ENDPOINT):
        return EndpointOutcomeJudge(endpoint_of(ENDPOINT + rest, "judge"))
    if colon and all(part.isidentifier() for part in [*kind.split("."), *rest.split(".")]):
        return _of_yours(kind, rest)
    raise UserError(f"--judge {name}: there is no such judge. It is one of {NAMES}.")


async def closed(judge: Judge | None) -> None:
    """Let go of what a judge holds: a client, a sandbox."""
    close = getattr(judge, "close", None)
    if close is not None:
        await close()


class ByTask:
    """Judges each task by the oracle where it has spoken, else by the field that the task's hidden part has."""

    name = AUTO

    async def judge(self, trace: Trace) -> Verdict:
        """The verdict of the judge that the task asks for.

        Raises:
            UserError: if the task asks for none.
        """
        kind = _asked(trace.task)
        if kind is None and any(verdict.judge == ORACLE for verdict in trace.verdicts):
            return replace(truth_of(trace), judge=self.name)
        if kind is None:
            fields = ", ".join(f"hidden.{field}" for field, _ in _BY_FIELD)
            raise UserError(f"the task {trace.task.id} can be judged by nothing: it has none of {fields}.")
        verdict = await _PLAIN[kind]().judge(trace)
        return Verdict(self.name, verdict.reward, f"{kind}: {verdict.reason}")


def _by_itself(tasks: Iterable[Task] | None) -> Judge | None:
    """The one judge that all tasks ask for, one for each where they differ, None where none asks for any."""
    if tasks is None:
        return ByTask()
    kinds = {_asked(task) for task in tasks}
    if kinds <= {None}:
        return None
    only = kinds.pop() if len(kinds) == 1 else None
    return ByTask() if only is None else _PLAIN[only]()


def _asked(task: Task) -> str | None:
    if "eval" in task.hidden or "goal" in task.hidden:  # its environment is its oracle
        return None
    return next((kind for field, kind in _BY_FIELD if task.hidden.get(field) is not None), None)


def _of_yours(module: str, path: str) -> Judge:
    """An instance of a class of the user's; modules of the working folder are found too."""
    try:
        sys.path.insert(0, os.getcwd())
        found: object = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
        judge = found() if isinstance(found, type) else found
    except Exception as error:  # the user's own code may raise anything
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"--judge {module}:{path}: it cannot be made ({line}).") from error
    finally:
        sys.path.remove(os.getcwd())
    if not isinstance(getattr(judge, "name", None), str) or not callable(getattr(judge, "judge", None)):
        raise UserError(
            f"--judge {module}:{path}: a judge has a `name` and `async def judge(trace)` (docs/own_judge.md)."
        )
    return judge  # pyright: ignore[reportReturnType]
