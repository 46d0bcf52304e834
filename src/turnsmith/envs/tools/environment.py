"""The environment of tool tasks: calls go to a fresh toolbox, `respond` goes to the user, the final state is graded.

A task's params name the world; its hidden fields hold the truth: `{"actions": [{"name", "kwargs"}, …], "outputs": […]}`
as in tau-bench. Success is the database that a fresh one has after the gold actions, and every output said to the user
(case and commas do not matter). The user's simulator gets its brief from the task's hidden fields and nothing of it
reaches the agent but what is said.

Notable: gold states are replayed once and compared by the records that changed, so grading takes microseconds. Who
said what stands in every observation's info: "from" is "user" or a tool's name.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Self

from turnsmith.envs.base import Step
from turnsmith.envs.tools.base import DatabaseWorld, Toolbox, Toolboxes
from turnsmith.envs.tools.replay import calls_of, replay
from turnsmith.envs.tools.user import User, Utterance
from turnsmith.errors import UserError
from turnsmith.trace.types import ORACLE, Action, Call, Observation, Task, Verdict

RESPOND = "respond"
_LAST_WORDS = ("answer", "propose")  # what ends an episode by itself: an answer, a challenger's proposal
UserMaker = Callable[[Task, int], User | None]
"""From a task and a seed to its user; None where nobody is there and the instruction says all."""


AnswerGrader = Callable[[str | None, str], tuple[bool, bool]]
"""From the given answer and the right one to (by the official grader, by the mended one)."""


class ToolEnvironment:
    """Sessions over fresh toolboxes; use as `async with environment`.

    Args:
        toolboxes: where fresh worlds come from.
        user: makes the user of a task.
        grade_answer: grades tasks that have one answer (`task.hidden["answer"]`) instead of a state.

    Attributes:
        name: of the world.
        toolboxes: where fresh worlds come from.
    """

    def __init__(self, toolboxes: Toolboxes, user: UserMaker, grade_answer: AnswerGrader | None = None) -> None:
        self.name = toolboxes.name
        self.toolboxes = toolboxes
        self.grade_answer = grade_answer
        self._user = user
        self._gold: dict[str, Mapping[tuple[str, str], str]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        return

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator["ToolSession"]:
        """A session; there is no limit to how many."""
        session = ToolSession(self)
        try:
            yield session
        finally:
            session.close()

    def make_user(self, task: Task, seed: int) -> User | None:
        """The user of a task."""
        return self._user(task, seed)

    def gold(self, task: Task) -> Mapping[tuple[str, str], str] | None:
        """The changes that the gold actions make; None where the task has none or the world is no database."""
        actions = task.hidden.get("actions")
        if actions is None or not isinstance(self.toolboxes, DatabaseWorld):
            return None
        key = json.dumps(actions, sort_keys=True)
        if key not in self._gold:
            ends = {spec.name for spec in self.toolboxes.specs if spec.ends}
            calls = [call for call in calls_of(actions) if call.name not in ends]
            self._gold[key] = replay(self.toolboxes, calls).changes
        return self._gold[key]


class ToolSession:
    """One episode with a toolbox of its own."""

    def __init__(self, environment: ToolEnvironment) -> None:
        self._environment = environment
        self._task: Task | None = None
        self._toolbox: Toolbox | None = None
        self._user: User | None = None
        self._said: list[str] = []
        self._ends = {spec.name for spec in environment.toolboxes.specs if spec.ends}
        self._specs = {spec.name: spec for spec in environment.toolboxes.specs}

    async def reset(self, task: Task, seed: int) -> Observation:
        """A fresh world and a fresh user; what the user begins with, or the instruction."""
        self.close()
        self._task, self._said = task, []
        self._toolbox = self._environment.toolboxes.fresh()
        self._user = self._environment.make_user(task, seed)
        if self._user is None:
            return Observation(task.instruction, info={"from": "task", "words": task.params.get("words", [])})
        return _heard(await self._user.opening())

    async def step(self, action: Action) -> Step:
        """A call of a tool, or `respond` with `content`; `answer` with `text` ends an episode without a user."""
        toolbox, call = self._open(), action.call
        if call is None:
            return Step(Observation(error=action.error or "no action", info={"from": "environment"}))
        if call.name in (RESPOND, *_LAST_WORDS):
            return await self._respond(call)
        spec = self._specs.get(call.name)
        problem = f"there is no tool {call.name!r}" if spec is None else spec.problem(call.arguments)
        if problem:
            return Step(Observation(error=problem, info={"from": "environment"}))
        output = toolbox.call(call.name, call.arguments)
        info = {"from": call.name, "arguments": dict(call.arguments)}
        return Step(Observation(output, info=info), done=call.name in self._ends, info=info)

    async def _respond(self, call: Call) -> Step:
        message = str(call.arguments.get("content", call.arguments.get("text", "")))
        self._said.append(message)
        if self._user is None or call.name in _LAST_WORDS:
            return Step(Observation("", info={"from": "task"}), done=True)
        heard = await self._user.reply(message)
        return Step(_heard(heard), done=heard.done, info={"from": "user", "reveals": list(heard.reveals)})

    async def grade(self) -> Verdict | None:
        """1 where the state is the gold one and all required outputs were said; None where the task has no truth."""
        toolbox, task = self._open(), self._task
        grader = self._environment.grade_answer
        if task is not None and grader is not None and "answer" in task.hidden:
            strict, fixed = grader(self._said[-1] if self._said else None, str(task.hidden["answer"]))
            return Verdict(ORACLE, float(fixed), f"by the official grader {'right' if strict else 'wrong'}")
        gold = None if task is None else self._environment.gold(task)
        if task is None or gold is None:
            return None
        if toolbox.state() != gold:
            return Verdict(ORACLE, 0.0, "the final database is not the gold one")
        said = " ".join(self._said).lower().replace(",", "")
        for output in task.hidden.get("outputs", ()):
            if str(output).lower().replace(",", "") not in said:
                return Verdict(ORACLE, 0.0, f"{output!r} was not said to the user")
        return Verdict(ORACLE, 1.0, "the final database is the gold one")

    def _open(self) -> Toolbox:
        if self._toolbox is None:
            raise UserError("a tool session has to be reset before it is used.")
        return self._toolbox

    def close(self) -> None:
        """Give the toolbox up."""
        if self._toolbox is not None:
            self._toolbox.close()
            self._toolbox = None


def _heard(said: Utterance) -> Observation:
    info: dict[str, Any] = {"from": "user", "words": list(said.words), **({"by": said.by} if said.by else {})}
    return Observation(f"User: {said.text}", info=info)
