"""A chat through a model's own template, and the checks without which a template is not to be believed.

A template is a program that came with a folder. Some know no system role and raise; some leave the system message out
without a word, and with it the action grammar; some want contents as parts and render nothing of a string; some never
end. So every rendering is tried in a few forms, the first of which that holds every text of the chat is taken, within a
bound of time and size; and if none does, one line says what is missing.
"""

import ctypes
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from jinja2 import Environment, TemplateSyntaxError, nodes

from turnsmith.agents.render import Message
from turnsmith.errors import UserError

SECONDS = 5.0
"""A template that takes longer over one chat does not end."""
_LARGEST_NUMBER = 10**7
"""In a template; what counts further is there to fill the memory."""


_GROWTH = 8
"""A rendered chat may be so many times as long as what goes in, and a million characters longer."""


class TemplateFault(Exception):
    """A template raises on a chat in this form; it may take another."""


class _TooLong(Exception):
    """Raised inside a template that does not end."""


def apply_template(templated: Any, messages: Sequence[Message], pictures: bool, cue: bool = True) -> str:
    """A chat through a tokenizer's or processor's template.

    Tried are, in this order: contents as the kind of model expects them, contents as parts, and both with the system
    message at the head of the first user message.

    Args:
        templated: a tokenizer or processor of transformers with a chat template.
        messages: the chat.
        pictures: whether the model takes pictures; without, they are left out.
        cue: whether the response is to follow.

    Raises:
        UserError: if the template does not end, or no form of the chat comes out with all that it says.
    """
    problem = ""
    for rows in _forms(messages, pictures):
        try:
            text = rendered(templated, rows, cue)
        except TemplateFault as fault:
            problem = problem or str(fault)
            continue
        missing = _missing(text, messages)
        if not missing:
            return text
        problem = f"leaves out {missing}"
    raise UserError(f"the model's chat template {problem}: what the agent must know would not reach the model.")


def rendered(templated: Any, rows: Sequence[Mapping[str, Any]], cue: bool) -> str:
    """These messages, in the form that transformers takes, through the template and nothing else.

    Raises:
        TemplateFault: if the template raises on this form; the message says what.
        UserError: if it does not end, or writes far more than it was given.
    """
    _no_bomb(str(templated.chat_template))
    try:
        with _within(SECONDS):
            text = templated.apply_chat_template(rows, tokenize=False, add_generation_prompt=cue)
    except (_TooLong, MemoryError, RecursionError) as error:
        raise UserError(f"the model's chat template does not end within {SECONDS:g} s on one chat.") from error
    except Exception as error:  # a template may do anything that Python can
        line = (str(error).strip() or "no message").splitlines()[0]
        raise TemplateFault(f"raises {type(error).__name__} ({line})") from error
    if not isinstance(text, str) or len(text) > _GROWTH * len(str(rows)) + 1_000_000:
        raise UserError("the model's chat template writes far more than the chat that it was given.")
    return text


def starts_with_bos(tokenizer: Any, text: str) -> bool:
    """Whether a rendered chat begins with the token that the tokenizer would put there once more."""
    bos = getattr(tokenizer, "bos_token", None)
    return bool(bos) and text.startswith(bos)


def _forms(messages: Sequence[Message], pictures: bool) -> Iterator[list[dict[str, Any]]]:
    merged: Sequence[Message] | None = None
    if len(messages) > 1 and messages[0]["role"] == "system":
        system, first, *rest = messages
        merged = [{"role": first["role"], "content": [*system["content"], *first["content"]]}, *rest]
    for chat in (messages, merged):
        if chat is None:
            continue
        if not pictures:
            yield [{"role": message["role"], "content": _texts(message)} for message in chat]
        yield [{"role": message["role"], "content": _parts(message, pictures)} for message in chat]


def _texts(message: Message) -> str:
    return "\n".join(part["text"] for part in message["content"] if part["type"] == "text")


def _parts(message: Message, pictures: bool) -> list[dict[str, Any]]:
    if not pictures:
        return [{"type": "text", "text": _texts(message)}]
    return [part if part["type"] == "text" else {"type": "image"} for part in message["content"]]


def _missing(text: str, messages: Sequence[Message]) -> str:
    """What of the chat is not in the rendered text; "" where all is. White space may differ.

    Earlier responses are not asked for: templates of reasoning models drop what was thought in them.
    """
    squeezed = " ".join(text.split())
    for message in messages:
        if message["role"] == "assistant":
            continue
        for part in message["content"]:
            said = part.get("text", "")
            if " ".join(said.split()) not in squeezed and json.dumps(said)[1:-1] not in text:
                return f"the {message['role']} message ({' '.join(said.split())[:60]!r} …)"
    return ""


@lru_cache(maxsize=16)
def _no_bomb(template: str) -> None:
    """Refuse what no bound of time can stop, because it is one operation of Python: powers and huge numbers."""
    try:
        parsed = Environment(extensions=["jinja2.ext.loopcontrols", "jinja2.ext.do"]).parse(template)
    except TemplateSyntaxError:
        return  # transformers knows more tags, and says itself what it does not know
    numbers = (node.value for node in parsed.find_all(nodes.Const))
    if next(parsed.find_all(nodes.Pow), None) or any(
        isinstance(number, int | float) and number > _LARGEST_NUMBER for number in numbers
    ):
        raise UserError("the model's chat template computes with powers or huge numbers: it is not run.")


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Raise `_TooLong` in this thread, whichever it is, when the block has not ended in time."""
    thread, lock, over = threading.get_ident(), threading.Lock(), False

    def stop() -> None:
        with lock:
            if not over:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(_TooLong))

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            over = True
        timer.cancel()
