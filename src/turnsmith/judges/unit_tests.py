"""Unit tests as the judge: an answer that is Python is right where it does on hidden tests what the reference does.

Nothing of an answer runs in this process: reference and answer are programs in the sandbox, and plain values are
compared out here (`worlds.programs.score` has both rules of comparison).
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Literal

from turnsmith.envs.sandbox import Runner, Sandbox
from turnsmith.errors import UserError
from turnsmith.trace.types import Trace, Verdict
from turnsmith.worlds.programs.colbench import code_of, trajectory_of
from turnsmith.worlds.programs.score import score_answer


class UnitTests:
    """Rewards an answer that passes the task's hidden tests.

    It reads `task.hidden`: "ground_truth", the reference's source, and "test_cases", call expressions by name.

    Args:
        runner: where programs run: a `Sandbox`, or a `SandboxPool` where several episodes are judged at once.
        rule: "fixed", or "official" for ColBench's own rule with its faults.
        partial: the reward is the share of tests that pass, instead of 1 where all do.
        source_of: from the text of an answer to Python, where answers are in a notation of their own.
    """

    def __init__(
        self,
        runner: Runner,
        rule: Literal["fixed", "official"] = "fixed",
        *,
        partial: bool = False,
        source_of: Callable[[str], str] = code_of,
    ) -> None:
        self.name = "unit_tests" if rule == "fixed" else f"unit_tests_{rule}"
        self._runner, self._rule, self._partial, self._source_of = runner, rule, partial, source_of

    async def judge(self, trace: Trace) -> Verdict:
        """The verdict on the closing answer; 0 where there is none.

        Raises:
            InfraError: if the sandbox failed.
            UserError: if the task has no tests.
        """
        hidden = trace.task.hidden
        reference, tests = hidden.get("ground_truth"), hidden.get("test_cases")
        if not isinstance(reference, str) or not isinstance(tests, Mapping) or not tests:
            needed = '{"ground_truth": source, "test_cases": {name: call}}'
            raise UserError(f"the task {trace.task.id} has no tests (hidden: {needed}).")
        if trace.answer is None:
            return Verdict(self.name, 0.0, "no answer was given")
        source = self._source_of(trace.answer)
        score = await asyncio.to_thread(score_answer, self._runner, source, reference, tests)
        passed = score.fixed if self._rule == "fixed" else score.official
        count = sum(passed.values())
        reward = count / len(passed) if self._partial else float(count == len(passed))
        detail = f"; {score.detail}" if score.detail else ""
        return Verdict(self.name, reward, f"{count} of {len(passed)} tests{detail}")


def verify_row(row: dict[str, Any]) -> dict[str, Any]:
    """Grade a trajectory of ColBench: does its answer pass the hidden tests?

    A row is a line of ColBench's trajectory files: `{"task": {"problem_description", "ground_truth", "test_cases":
    {name: call}}, "dialogue_history": [{"role", "content"}, …], "reward"}`; the closing "I WANT TO ANSWER:" of the
    agent has the code. It is run in the sandbox.

    Returns:
        `valid` and `reason` by the fixed rule, `official` by the benchmark's own.

    Raises:
        ValueError: if it is no such row.
    """
    try:
        trace = trajectory_of(row, 0, "the row")
    except UserError as error:
        raise ValueError(str(error)) from error

    async def verdicts() -> list[Verdict]:
        with Sandbox() as sandbox:
            return [await UnitTests(sandbox, rule).judge(trace) for rule in ("fixed", "official")]

    fixed, official = asyncio.run(verdicts())
    return {"valid": fixed.reward == 1, "reason": fixed.reason, "official": official.reward == 1}
