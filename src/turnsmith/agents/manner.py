"""How a chat model is spoken to in a world, and how its words are understood: what a world brings to a policy.

The policies for endpoints and for Hugging Face models take one in place of a rendering and a dialect of web pages. A
dialogue, a set of tools, or anything else that is done in words says here what its system message is, how an episode
so far reads as a chat, and which call a reply is.
"""

from typing import Protocol

from turnsmith.agents.base import Context
from turnsmith.agents.render import Message
from turnsmith.trace.types import Call


class Manner(Protocol):
    """What a world brings. A context has no hidden fields, so no manner can show them."""

    def messages(self, context: Context) -> list[Message]:
        """The episode so far as a chat that ends where the agent speaks."""
        ...

    def parse(self, text: str) -> tuple[Call | None, str]:
        """The call of a reply and "", or None and what is wrong with it."""
        ...


def text_message(role: str, text: str) -> Message:
    """A message of one text."""
    return {"role": role, "content": [{"type": "text", "text": text}]}


def with_secret(messages: list[Message], secret: str) -> list[Message]:
    """The chat with training-time information in front of all that was said: for critics, never for an actor."""
    head = f"What only the other side knows:\n{secret}"
    first = messages[0]
    if first["role"] != "system":
        return [text_message("system", head), *messages]
    return [{"role": "system", "content": [{"type": "text", "text": f"{head}\n\n"}, *first["content"]]}, *messages[1:]]
