"""A challenger behind an endpoint: explores any toolbox by calls, then writes a Code-as-Task in JSON."""

import json
from typing import Any

from turnsmith.engine.chat import Chat
from turnsmith.engine.sampling import Sampling
from turnsmith.envs.tools.base import Toolboxes, ToolSpec
from turnsmith.envs.tools.code_task import CodeTask, from_json
from turnsmith.errors import ParseError
from turnsmith.text import first_object

SYSTEM = """You invent tasks for an agent that uses tools, and the code that checks them.

Explore first. Reply with one JSON object and nothing else:
  {{"call": "TOOL", "arguments": {{...}}}}       to call a tool and see what it says (at most {calls} times), or
  {{"task": {{"instruction": "...", "verify": "...", "solution": "...", "failures": ["...", "...", "..."]}}}}

instruction: what the agent is to do, complete and unambiguous, with names and ids that you have seen.
verify: Python, `def verify(answer) -> bool`. It looks at the world through `tools.NAME(argument=...)` (only tools that
  read: {reads}) and compares everything that the instruction asks for. It must be False before anything is done.
solution: Python statements that do it through `tools`; set `answer` where the task asks for one.
failures: three programs that look right and are wrong, each in another respect.
Outputs that are JSON arrive as Python values. No imports are needed.

Tools:
{tools}
{policy}"""


async def write_task(
    client: Chat, toolboxes: Toolboxes, task_id: str, seed: int, calls: int = 8, sampling: Sampling | None = None
) -> CodeTask:
    """One proposal, with the transcript of what was explored.

    Args:
        client: the model.
        toolboxes: a fresh one is explored.
        task_id: of the task.
        seed: of the sampling.
        calls: how often tools may be called before the task has to be written.
        sampling: temperature 1 and 2,000 tokens without.

    Raises:
        ParseError: if the model writes something else, or never writes a task.
        InfraError: if the endpoint or the tools failed.
    """
    reads = ", ".join(spec.name for spec in toolboxes.specs if not spec.writes) or "none"
    listed = "\n".join(_line(spec) for spec in toolboxes.specs)
    system = SYSTEM.format(calls=calls, reads=reads, tools=listed, policy=toolboxes.policy)
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": system},
        {"role": "user", "content": f"Begin. (Occasion {seed}: choose something that others would not.)"},
    ]
    explored: list[tuple[str, dict[str, Any], str]] = []
    toolbox = toolboxes.fresh()
    try:
        for turn in range(calls + 1):
            said = await client.chat(messages, sampling or Sampling(max_new_tokens=2000), seed + turn)
            row = first_object(said.text)
            if isinstance(row.get("task"), dict):
                try:
                    return from_json({**row["task"], "id": task_id, "explored": explored})
                except (ValueError, TypeError) as error:
                    raise ParseError(str(error)) from error
            name, arguments = row.get("call"), row.get("arguments", {})
            if not isinstance(name, str) or not isinstance(arguments, dict):
                raise ParseError('neither {"call"} nor {"task"}')
            output = toolbox.call(name, arguments)
            explored.append((name, arguments, output))
            messages.append({"role": "assistant", "content": said.text})
            messages.append({"role": "user", "content": output[:4000]})
    finally:
        toolbox.close()
    raise ParseError(f"no task after {calls} calls")


INSTRUCTION = """You invent tasks for an agent that uses the tools below. You have not tried the tools yourself. Reply
with one JSON object and nothing else: {{"instruction": "..."}}. The instruction says completely and unambiguously what
the agent is to do.

Tools:
{tools}
{policy}"""


async def write_instruction(client: Chat, toolboxes: Toolboxes, seed: int, sampling: Sampling | None = None) -> str:
    """An instruction written from the tools' descriptions alone, which nothing verifies: a proposer after PAE.

    Raises:
        ParseError: if the model writes something else.
        InfraError: if the endpoint failed.
    """
    listed = "\n".join(_line(spec) for spec in toolboxes.specs)
    messages = [
        {"role": "system", "content": INSTRUCTION.format(tools=listed, policy=toolboxes.policy)},
        {"role": "user", "content": f"Begin. (Occasion {seed}: choose something that others would not.)"},
    ]
    said = await client.chat(messages, sampling or Sampling(max_new_tokens=400), seed)
    instruction = first_object(said.text).get("instruction")
    if not isinstance(instruction, str) or not instruction.strip():
        raise ParseError('no "instruction"')
    return instruction.strip()


def _line(spec: ToolSpec) -> str:
    return f"- {spec.name}: {spec.description} {json.dumps(dict(spec.parameters))}"
