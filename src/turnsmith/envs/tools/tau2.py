"""The official tau2 package as an environment: its databases, tools, tasks and evaluators, in a Python of its own.

Its pins rarely go together with ours, so it is talked to over pipes (`tau2_bridge`): set `TURNSMITH_TAU2_PYTHON` to a
Python that has it. The user is played by a model (`agents.human`) from the task's scenario, which the agent never sees.
Domains whose users have tools of their own (telecom) are refused: a user played by chat cannot use them.

Scores are not comparable with those of tau-bench (v1). Tasks that the official evaluators put to a model (assertions in
natural language) are graded without those and say so in the verdict.
"""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Self

from turnsmith.envs.base import Step
from turnsmith.envs.tools.base import ToolSpec
from turnsmith.envs.tools.user import STOP, User
from turnsmith.errors import InfraError, UserError
from turnsmith.trace.types import ORACLE, Action, Observation, Task, Verdict

VARIABLE = "TURNSMITH_TAU2_PYTHON"
_ENDS = "transfer_to_human_agents"
_BRIDGE = Path(__file__).with_name("tau2_bridge.py")


class Bridge:
    """One process of that Python; one request at a time. `close` it at the end."""

    def __init__(self) -> None:
        """Start the process.

        Raises:
            UserError: if the variable names no Python, or that one has no tau2.
        """
        named = os.environ.get(VARIABLE, "")
        python = shutil.which(named) if named else None
        if python is None:
            raise UserError(
                f"{VARIABLE} names no Python ({named!r}). Make one with the official package: "
                "python3.12 -m venv tau2 && tau2/bin/pip install tau2@git+https://github.com/sierra-research/tau2-bench"
            )
        self._lock = threading.Lock()
        command = [python, "-I", str(_BRIDGE)]  # isolated: this folder's own tau2.py must not be found as the package
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
        try:
            self.ask("ping")
        except InfraError as error:
            self.close()
            raise UserError(f"{VARIABLE}={named}: this Python cannot import tau2.registry.") from error

    def ask(self, do: str, **arguments: Any) -> Any:
        """A request and its reply.

        Raises:
            InfraError: `tau2_down`, if the process is gone; `tau2_failed`, with what the package said.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            try:
                self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
                self._process.stdin.flush()
                line = self._process.stdout.readline()
            except OSError as error:
                raise InfraError("tau2_down", str(error)) from error
        if not line:
            raise InfraError("tau2_down", "the process of tau2 ended")
        answer = json.loads(line)
        if "error" in answer:
            raise InfraError("tau2_failed", str(answer["error"]))
        return answer["ok"]

    def close(self) -> None:
        """End the process."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Tau2Environment:
    """A domain of tau2: see `envs.base.Environment`.

    Args:
        domain: "airline", "retail" or "mock".
        user: makes the user of a task; its brief is `task.hidden["brief"]`.

    Attributes:
        specs, policy: what an agent is told.

    Raises:
        UserError: if the package is not there, or the domain's users have tools.
    """

    def __init__(self, domain: str, user: Callable[[Task, int], User]) -> None:
        self.name = f"tau2_{domain}"
        self.domain = domain
        self._user = user
        self.bridge = Bridge()
        try:
            world = self.bridge.ask("world", domain=domain)
        except InfraError as error:
            self.bridge.close()
            raise UserError(f"tau2 has no domain {domain!r} here ({error.detail}).") from error
        if world["user_tools"]:
            self.bridge.close()
            raise UserError(f"the users of tau2's {domain} have tools of their own, which a user by chat cannot use.")
        self.policy = str(world["policy"])
        self.specs = tuple(
            ToolSpec(
                tool["name"],
                tool.get("description", ""),
                tool.get("parameters", {}),
                world["writes"][tool["name"]],
                tool["name"] == _ENDS,
            )
            for tool in world["tools"]
        )

    def tasks(self, split: str = "base") -> list[Task]:
        """The official tasks of a split ("base" is all of them)."""
        rows = self.bridge.ask("tasks", domain=self.domain, split=split)
        said = "Help the user who is writing to you."
        return [
            Task(f"tau2/{self.domain}/{row['id']}", said, self.name, {"id": row["id"], "split": split}, split,
                 {"basis": row["basis"]}, {"brief": row["brief"]})
            for row in rows
        ]  # fmt: skip

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.bridge.close()

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator["Tau2Session"]:
        """A session; there is no limit to how many."""
        session = Tau2Session(self)
        try:
            yield session
        finally:
            await session.close()

    def make_user(self, task: Task, seed: int) -> User:
        """The user of a task."""
        return self._user(task, seed)


class Tau2Session:
    """One episode with an official environment of its own."""

    def __init__(self, environment: Tau2Environment) -> None:
        self._environment = environment
        self._user: User | None = None
        self._number: int | None = None
        self._ended = False
        self._ends = {spec.name for spec in environment.specs if spec.ends}
        self._known = {spec.name for spec in environment.specs}

    async def _ask(self, do: str, **arguments: Any) -> Any:
        return await asyncio.to_thread(self._environment.bridge.ask, do, **arguments)

    async def reset(self, task: Task, seed: int) -> Observation:
        """A fresh environment in the task's first state, and what its user begins with."""
        await self.close()
        where = {"domain": self._environment.domain, "task": task.params["id"], "split": task.params["split"]}
        self._number, self._ended = await self._ask("open", **where), False
        self._user = self._environment.make_user(task, seed)
        said = await self._user.opening()
        await self._ask("say", session=self._number, agent="", user=said.text)
        return Observation(f"User: {said.text}", info={"from": "user", "by": said.by})

    async def step(self, action: Action) -> Step:
        """A call of a tool, or `respond`."""
        call = action.call
        if self._user is None:
            raise UserError("a tool session has to be reset before it is used.")
        if call is None or (call.name != "respond" and call.name not in self._known):
            error = action.error or f"there is no tool {call.name if call else ''!r}"
            return Step(Observation(error=error, info={"from": "environment"}))
        if call.name != "respond":
            output = await self._ask("call", session=self._number, name=call.name, arguments=dict(call.arguments))
            self._ended = call.name in self._ends
            return Step(Observation(output, info={"from": call.name}), done=self._ended, info={"from": call.name})
        message = str(call.arguments.get("content", ""))
        said = await self._user.reply(message)
        await self._ask("say", session=self._number, agent=message, user=said.text)
        self._ended = STOP in said.text
        info = {"from": "user", "by": said.by}
        return Step(Observation(f"User: {said.text}", info=info), done=self._ended, info={"from": "user"})

    async def grade(self) -> Verdict | None:
        """The official evaluators' reward; 0 until user or agent has ended the conversation."""
        if not self._ended:
            return Verdict(ORACLE, 0.0, "neither side has ended the conversation")
        found = await self._ask("grade", session=self._number)
        parts = ", ".join(f"{name} {value:g}" for name, value in found["parts"].items())
        without = f"; without {', '.join(found['left_out'])}" if found["left_out"] else ""
        return Verdict(ORACLE, float(found["reward"]), f"{parts or 'nothing to check'}{without}")

    async def close(self) -> None:
        """Forget the environment."""
        if self._number is not None:
            await self._ask("close", session=self._number)
            self._number = None
