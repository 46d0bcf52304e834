"""Code-as-Task (Self-Challenging agents, arXiv 2506.01716): tasks that an agent wrote, and code that verifies them.

A task is an instruction, a verification function, an example solution and three failure cases, all as Python. It is
kept when all of it runs, the solution passes and every failure case does not. Every attempt starts from a fresh world,
every check runs twice, and a task whose verdicts differ is dropped. One step is ours: a task that the untouched world
already passes is dropped too.

The code runs in the sandbox; the tools stay outside it. Solutions may call every tool; a verifier only those that do
not write. So the tools may be a database here or an MCP server anywhere.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from turnsmith.envs.sandbox import Ending, Function, Json, Runner
from turnsmith.envs.tools.base import Toolbox, Toolboxes
from turnsmith.envs.tools.code_task import CodeTask
from turnsmith.jsonl import parse_json
from turnsmith.trace.types import Call


class Filter(StrEnum):
    """The four variants: how much a task has to pass to be kept."""

    NONE = "none"
    """It is well formed."""
    RUNS = "runs"
    """Its verifier runs, and does not pass the untouched world."""
    SOLUTION = "solution"
    """And the example solution passes."""
    FULL = "full"
    """And all failure cases fail: the paper's."""


ORDER = tuple(Filter)


@dataclass(frozen=True, slots=True)
class Checked:
    """How far a task came.

    Attributes:
        passed: the strictest filter that keeps it.
        reason: why it went no further; "" for FULL.
    """

    passed: Filter
    reason: str = ""

    def kept_by(self, filter: Filter) -> bool:
        """Whether this filter keeps it."""
        return ORDER.index(self.passed) >= ORDER.index(filter)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of one attempt at a task.

    Attributes:
        verdict: what the verifier said; None where something did not run.
        problem: what did not run.
    """

    verdict: bool | None
    problem: str = ""


def try_program(task: CodeTask, program: str | None, toolboxes: Toolboxes, runner: Runner) -> Attempt:
    """Run a program (None: nothing) in a fresh world and ask the task's verifier."""
    toolbox = toolboxes.fresh()
    try:
        answer: Json = None
        if program is not None:
            done = runner.run(f"answer = None\n{program}", ["answer"], functions=_functions(toolbox, writes=True))
            if done.ending not in (Ending.OK, Ending.NOT_PLAIN):
                return Attempt(None, f"{done.ending}: {done.detail}")
            answer = _json(done.value)
        return _ask(task, answer, toolbox, runner)
    finally:
        toolbox.close()


def try_calls(
    task: CodeTask, calls: Sequence[Call], toolboxes: Toolboxes, runner: Runner, answer: Json = None
) -> Attempt:
    """Make these calls in a fresh world and ask the task's verifier: an executor's episode, an audit's attempt."""
    toolbox = toolboxes.fresh()
    try:
        for call in calls:
            toolbox.call(call.name, call.arguments)
        return _ask(task, answer, toolbox, runner)
    finally:
        toolbox.close()


def _ask(task: CodeTask, answer: Json, toolbox: Toolbox, runner: Runner) -> Attempt:
    asked = runner.run(
        task.verify, ["verify(answer)"], inputs={"answer": answer}, functions=_functions(toolbox, writes=False)
    )
    if asked.ending is not Ending.OK:
        return Attempt(None, f"{asked.ending}: {asked.detail}")
    if not isinstance(asked.value, bool):
        return Attempt(None, f"verify gave {type(asked.value).__name__}, not a bool")
    return Attempt(asked.value)


def _functions(toolbox: Toolbox, writes: bool) -> dict[str, Function]:
    """The tools as functions: keyword arguments in, JSON out where the output is JSON, else its text."""

    def function(name: str) -> Function:
        def call(**arguments: Json) -> Json:
            output = toolbox.call(name, arguments)
            try:
                return parse_json(output)
            except ValueError:
                return output

        return call

    return {spec.name: function(spec.name) for spec in toolbox.specs if writes or not spec.writes}


def _json(value: object) -> Json:
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError):
        return None


def check(task: CodeTask, toolboxes: Toolboxes, runner: Runner, up_to: Filter = Filter.FULL) -> Checked:
    """How far a task comes, up to a filter."""
    attempts: list[tuple[str, str | None, bool, Filter]] = [
        ("the untouched world", None, False, Filter.RUNS),
        ("the solution", task.solution, True, Filter.SOLUTION),
    ]
    attempts += [
        (f"failure case {number}", program, False, Filter.FULL) for number, program in enumerate(task.failures, 1)
    ]
    passed = Filter.NONE
    for place, (name, program, wanted, stage) in enumerate(attempts):
        if ORDER.index(stage) > ORDER.index(up_to):
            break
        first = try_program(task, program, toolboxes, runner)
        if first.verdict is None:
            return Checked(passed, f"{name} does not run: {first.problem}")
        if first.verdict is not wanted:
            return Checked(passed, f"{name} {'fails' if wanted else 'passes'}")
        if try_program(task, program, toolboxes, runner).verdict is not first.verdict:
            return Checked(passed, f"{name} has another verdict the second time")
        if place + 1 == len(attempts) or attempts[place + 1][3] is not stage:
            passed = stage
    return Checked(passed)


@dataclass(frozen=True, slots=True)
class Audited:
    """What an oracle found of one task.

    Attributes:
        feasible: what the instruction asks for can be done.
        false_negatives: the verifier says no to what is right.
        false_positives: how many wrong outcomes the verifier says yes to.
    """

    feasible: bool
    false_negatives: int
    false_positives: int

    @property
    def right(self) -> bool:
        """The task can be done, and its verifier tells right from wrong."""
        return self.feasible and not self.false_negatives and not self.false_positives


Truth = Callable[[CodeTask], tuple[Sequence[Call] | None, Sequence[Sequence[Call]]]]
"""From a task to the calls that do it (None: it cannot be done) and to outcomes that are wrong."""


def audit(task: CodeTask, truth: Truth, toolboxes: Toolboxes, runner: Runner) -> Audited:
    """Hold a task's verifier against an oracle of its instruction."""
    right, wrong = truth(task)
    if right is None:
        return Audited(False, 1, 0)
    said = try_calls(task, right, toolboxes, runner).verdict
    fooled = sum(try_calls(task, calls, toolboxes, runner).verdict is True for calls in wrong)
    return Audited(True, int(said is not True), fooled)


def precision(audits: Iterable[Audited]) -> tuple[int, int]:
    """(how many are right, how many there are)."""
    rows = list(audits)
    return sum(row.right for row in rows), len(rows)


def yields(checks: Sequence[Checked]) -> dict[str, Any]:
    """How many tasks each filter keeps, and why the others were dropped, most frequent first."""
    kept = {filter.value: sum(checked.kept_by(filter) for checked in checks) for filter in Filter}
    reasons = Counter(" ".join(checked.reason.split(":")[:2]) for checked in checks if checked.reason)
    return {"written": len(checks), "kept": kept, "reasons": dict(reasons.most_common(20))}
