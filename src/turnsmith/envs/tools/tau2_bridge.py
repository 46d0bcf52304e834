# pyright: reportMissingImports=false
"""The other side of `envs.tools.tau2`: run by a Python that has the official tau2 package, in a process of its own.

Nothing here is of Turnsmith, for that Python need not have it. A request and its reply are a line of JSON each, on
standard input and the standard output that we began with (what the package prints goes to standard error). The
official environments execute the calls, the official evaluators grade: environment, actions and what was communicated.
Assertions in natural language, which the package puts to a model, are counted and left out.
"""

import json
import os
import sys
import time


def main() -> None:
    """Answer requests until the input ends."""
    reply = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    bridge = Bridge()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"ok": getattr(bridge, request.pop("do"))(**request)}
        except Exception as error:  # whatever the package raises is for the other side to tell
            answer = {"error": f"{type(error).__name__}: {error}"}
        reply.write(json.dumps(answer, default=str) + "\n")
        reply.flush()


class Bridge:
    """What can be asked for; sessions are numbered."""

    def __init__(self) -> None:
        from tau2.registry import registry

        self._registry = registry
        self._tasks: dict = {}
        self._sessions: dict = {}
        self._next = 0

    def world(self, domain: str) -> dict:
        """Tools and rules of a domain."""
        environment = self._registry.get_env_constructor(domain)()
        writes = {}
        for tool in environment.get_tools():
            kind = environment.tools.tool_type(tool.name)
            writes[tool.name] = getattr(kind, "value", str(kind)) == "write"
        users = environment.user_tools is not None
        tools = [tool.openai_schema["function"] for tool in environment.get_tools()]
        return {"policy": environment.get_policy(), "tools": tools, "writes": writes, "user_tools": users}

    def tasks(self, domain: str, split: str) -> list:
        """Tasks of a split: id, the user's brief, what the grade is made of."""
        loader = self._registry.get_tasks_loader(domain)
        try:
            found = loader(split)
        except TypeError:  # a task set without splits
            found = loader()
        self._tasks.update({(domain, task.id): task for task in found})
        rows = []
        for task in found:
            criteria = task.evaluation_criteria
            basis = [getattr(one, "value", str(one)) for one in criteria.reward_basis] if criteria else []
            asserted = len(criteria.nl_assertions or []) if criteria else 0
            rows.append({"id": task.id, "brief": str(task.user_scenario), "basis": basis, "nl_assertions": asserted})
        return rows

    def open(self, domain: str, task: str, split: str) -> int:
        """A fresh environment in a task's first state."""
        if (domain, task) not in self._tasks:
            self.tasks(domain, split)
        chosen = self._tasks[domain, task]
        environment = self._registry.get_env_constructor(domain)()
        first = chosen.initial_state
        environment.set_state(
            initialization_data=first.initialization_data if first else None,
            initialization_actions=first.initialization_actions if first else None,
            message_history=list(first.message_history or []) if first else [],
        )
        history = list(first.message_history or []) if first else []
        self._next += 1
        self._sessions[self._next] = (domain, chosen, environment, history)
        return self._next

    def call(self, session: int, name: str, arguments: dict) -> str:
        """Execute a call of the agent."""
        from tau2.data_model.message import AssistantMessage, ToolCall

        _, _, environment, messages = self._sessions[session]
        call = ToolCall(id=f"call-{len(messages)}", name=name, arguments=arguments, requestor="assistant")
        messages.append(AssistantMessage(role="assistant", tool_calls=[call]))
        answer = environment.get_response(call)
        messages.append(answer)
        return answer.content or ""

    def say(self, session: int, agent: str, user: str) -> None:
        """What was said, for the grade."""
        from tau2.data_model.message import AssistantMessage, UserMessage

        messages = self._sessions[session][3]
        if agent:
            messages.append(AssistantMessage(role="assistant", content=agent))
        if user:
            messages.append(UserMessage(role="user", content=user))

    def grade(self, session: int) -> dict:
        """The official evaluators' product over the task's reward basis, without what only a model can judge."""
        from tau2.data_model.tasks import RewardType
        from tau2.evaluator.evaluator_action import ActionEvaluator
        from tau2.evaluator.evaluator_communicate import CommunicateEvaluator
        from tau2.evaluator.evaluator_env import EnvironmentEvaluator

        domain, task, _, messages = self._sessions[session]
        if task.evaluation_criteria is None:
            return {"reward": 1.0, "parts": {}, "left_out": []}
        basis, parts = set(task.evaluation_criteria.reward_basis), {}
        constructor = self._registry.get_env_constructor(domain)
        if basis & {RewardType.DB, RewardType.ENV_ASSERTION}:
            found = EnvironmentEvaluator.calculate_reward(constructor, task, messages)
            parts["environment"] = found.reward
        if RewardType.ACTION in basis:
            parts["action"] = ActionEvaluator.calculate_reward(task, messages).reward
        if RewardType.COMMUNICATE in basis:
            parts["communicate"] = CommunicateEvaluator.calculate_reward(task, messages).reward
        reward = 1.0
        for value in parts.values():
            reward *= value
        left_out = (
            ["nl_assertions"] if RewardType.NL_ASSERTION in basis and task.evaluation_criteria.nl_assertions else []
        )
        return {"reward": reward, "parts": parts, "left_out": left_out}

    def close(self, session: int) -> None:
        """Forget an environment."""
        self._sessions.pop(session, None)

    def ping(self) -> float:
        """The time there."""
        return time.time()


if __name__ == "__main__":
    main()
