"""The verifier that an agent wrote as the judge of an episode."""

import asyncio
from collections.abc import Mapping

from turnsmith.envs.sandbox import Runner
from turnsmith.envs.tools.base import Toolboxes
from turnsmith.envs.tools.code_task import CodeTask
from turnsmith.errors import UserError
from turnsmith.tasks.challenge import try_calls
from turnsmith.trace.types import Trace, Verdict


class CodeTaskJudge:
    """Replays an episode's calls in a fresh world and asks the task's own verifier, in the sandbox.

    It sees neither the oracle nor what the user's simulator knows.
    """

    name = "code_task"

    def __init__(self, tasks: Mapping[str, CodeTask], toolboxes: Toolboxes, runner: Runner) -> None:
        self._tasks, self._toolboxes, self._runner = tasks, toolboxes, runner

    async def judge(self, trace: Trace) -> Verdict:
        """1 where the verifier says True; 0 where it says False or does not run."""
        task = self._tasks.get(trace.task.id)
        if task is None:
            raise UserError(f"the task {trace.task.id} has no verifier.")
        known = {spec.name for spec in self._toolboxes.specs}
        calls = [turn.action.call for turn in trace.turns if turn.action.call and turn.action.call.name in known]
        done = await asyncio.to_thread(try_calls, task, calls, self._toolboxes, self._runner, trace.answer)
        reason = done.problem or (
            "the verifier accepts the state" if done.verdict else "the verifier rejects the state"
        )
        return Verdict(self.name, float(done.verdict is True), reason)
