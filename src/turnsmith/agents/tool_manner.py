"""How a chat model uses tools: it writes its call as one JSON object, or speaks.

Text rather than an endpoint's own protocol of tool calls, so that what any model wrote, local or served, is one string
that can be stored, scored and trained on. Whoever writes no object speaks: to the user where there is one, else it is
the answer that ends the episode.
"""

import json
from collections.abc import Sequence

from turnsmith.agents.base import Context
from turnsmith.agents.manner import text_message
from turnsmith.agents.render import Message
from turnsmith.envs.tools.base import ToolSpec
from turnsmith.errors import ParseError
from turnsmith.text import first_object
from turnsmith.trace.types import Call

_WITH_USER = """You work for the users who write to you, by these rules:

{policy}

In each turn do one thing: call a tool, or write to the user. To call a tool, reply with one JSON object alone:
{{"call": "TOOL", "arguments": {{...}}}}
Whatever else you write is sent to the user.

The tools:
{tools}"""

_ALONE = """You carry out a task with tools.

{policy}

In each turn do one thing: call a tool, or give the answer. To call a tool, reply with one JSON object alone:
{{"call": "TOOL", "arguments": {{...}}}}
When the task is done, reply {{"answer": "..."}} with what was asked for, or a word that it is done.

The tools:
{tools}"""

_OUTPUT_CHARACTERS = 8_000


class ToolManner:
    """See `agents.manner.Manner`.

    Args:
        specs: the tools.
        policy: the rules.
        user: whether somebody is spoken to.
    """

    def __init__(self, specs: Sequence[ToolSpec], policy: str, user: bool) -> None:
        self._user = user
        listed = "\n".join(f"- {one.name}: {one.description} {json.dumps(dict(one.parameters))}" for one in specs)
        self._system = (_WITH_USER if user else _ALONE).format(policy=policy, tools=listed)

    def messages(self, context: Context) -> list[Message]:
        """The rules and the tools, then the episode: what the user and the tools said, and what was written."""
        chat = [text_message("system", self._system)]
        seen = [*(turn.observation for turn in context.turns), context.observation]
        for place, observation in enumerate(seen):
            said = observation.text[:_OUTPUT_CHARACTERS]
            if observation.error:
                said = f"Error: {observation.error}"
            elif observation.info.get("from") not in ("user", "task", "environment"):
                said = f"{observation.info.get('from')}: {said}"
            chat.append(text_message("user", said or "(nothing)"))
            if place < len(context.turns):
                chat.append(text_message("assistant", context.turns[place].action.text or "(nothing)"))
        return chat

    def parse(self, text: str) -> tuple[Call | None, str]:
        """A call, an answer, or what is said."""
        try:
            row = first_object(text)
        except ParseError:
            row = {}
        name, arguments = row.get("call"), row.get("arguments", {})
        if isinstance(name, str):
            if not isinstance(arguments, dict):
                return None, '"arguments" has to be an object'
            return Call(name, arguments), ""
        if "answer" in row and not self._user:
            return Call("answer", {"text": str(row["answer"])}), ""
        if not text.strip():
            return None, "the reply is empty"
        return (Call("respond", {"content": text}) if self._user else Call("answer", {"text": text})), ""
