"""Traces as OpenAI chat messages, one JSON row a trace, and back: lossless for text, tool calls and rewards.

A row:

    {"id": …, "messages": […], "task": {"id", "instruction", "environment", "split"}, "outcome": "success",
     "reward": 1.0, "turn_rewards": [0.0, 1.0], "policy": …, "seed": …, "record": "…"}

| trace                   | messages                                                                            |
|-------------------------|-------------------------------------------------------------------------------------|
| the first observation   | user: the instruction, a blank line, the observation's text                         |
| a later observation     | user: `Error: …` and a blank line where the last action was wrong, then the text    |
| …after a tool call      | the same as a message of role tool, with the call's id                              |
| images                  | `image_url` parts with data URLs after the text, where the bytes are at hand        |
| an action               | assistant: its text                                                                 |
| …that was a tool call   | assistant: its text or null, and `tool_calls` (kept in `turn.info["tool_call"]`)    |
| the final observation   | a last user or tool message                                                         |

`reward` is the oracle's verdict, `turn_rewards` has one number an assistant message. `record` is JSON text (so that
tools which infer a schema from the rows are not confused by it) with what messages cannot say: parsed calls, verdicts,
values and advantages, timing, threads, info. Hidden task information is in it only on request. Token ids and their
log-probabilities stay in the store.

Rows of other makers need only `messages`, and may have `reward` or `score` (taken as the oracle's verdict), `outcome`,
`turn_rewards`, `id`, `task` (an object, or the instruction) and `hidden` (an object of training-time information, in
the row or in its task; no actor sees it). Their instruction is the first user message. An assistant message with
several parallel tool calls becomes one turn a call, each followed by its reply. Messages that the table would not write
in the same way (system prompts, several in a row, unusual fields) are kept as they are under "openai_messages" in the
info of the trace, observation or turn, and written back unchanged.
"""

import base64
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from turnsmith.errors import UserError
from turnsmith.jsonl import dump_row
from turnsmith.trace import codec
from turnsmith.trace.store import Store
from turnsmith.trace.types import ImageRef, Observation, Trace, Turn

TOOL_CALL = "tool_call"
"""The key of `turn.info` that keeps a call which came as a tool call: {"id", "name", "arguments": JSON text}."""

VERBATIM = "openai_messages"
"""The key of `info` that keeps messages which this module would not write in the same way."""

Message = dict[str, Any]

TASK_FIELDS = ("id", "instruction", "environment", "split")
"""The fields of a task that stand in the row itself; the others are in `record`."""


def export_messages(store: Store, path: Path, images: bool = False, hidden: bool = False, **filters: Any) -> int:
    """Write the traces of a store as JSONL, replacing the file when all is written.

    Args:
        store: where they are.
        path: the file.
        images: whether images go in, as data URLs.
        hidden: whether the tasks' hidden fields go in.
        filters: as in `Store.summaries`.

    Returns:
        How many were written.

    Raises:
        UserError: if the file cannot be written; what was there before is then intact.
    """
    count = 0
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            for trace in store.traces(**filters):
                row = trace_to_row(store.with_images(trace) if images else trace, hidden)
                file.write(dump_row(row) + "\n")
                count += 1
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path}: could not write ({error.strerror}). What was there before is intact.") from error
    finally:
        temporary.unlink(missing_ok=True)
    return count


def trace_to_row(trace: Trace, hidden: bool = False) -> dict[str, Any]:
    """The trace as one row; images are included where their bytes are at hand (`Store.with_images`).

    Args:
        trace: any trace.
        hidden: whether the task's hidden fields go into `record`.
    """
    messages: list[Message] = list(trace.info.get(VERBATIM, ()))
    instruction, reply_to = trace.task.instruction, None
    for turn in trace.turns:
        messages += observation_messages(turn.observation, instruction, reply_to)
        messages.append(assistant_message(turn))
        instruction, reply_to = "", tool_call_id(turn)
    if trace.final is not None or not trace.turns:
        messages += observation_messages(trace.final or Observation(), instruction, reply_to)
    task = codec.task_to_json(trace.task, hidden)
    return {
        "id": trace.id,
        "messages": messages,
        "task": {key: task.pop(key) for key in TASK_FIELDS},
        "outcome": trace.outcome.value,
        "reward": trace.reward(),
        "turn_rewards": [turn.reward for turn in trace.turns],
        "policy": trace.policy,
        "seed": trace.seed,
        "record": json.dumps(_record(trace, task), separators=(",", ":")),
    }


def _record(trace: Trace, task: Mapping[str, Any]) -> dict[str, Any]:
    """What the messages do not say."""
    turns = []
    for turn in trace.turns:
        action = codec.action_to_json(turn.action)
        turns.append(
            {
                "call": action["call"],
                "error": action["error"],
                "stop": action["stop"],
                "credits": [asdict(credit) for credit in turn.credits],
                "thread": turn.thread,
                "seconds": [turn.act_seconds, turn.env_seconds],
                "info": _without(turn.info, TOOL_CALL, VERBATIM),
                "observation": _observation_record(turn.observation),
            }
        )
    return {
        "task": task,
        "turns": turns,
        "final": None if trace.final is None else _observation_record(trace.final),
        "verdicts": [asdict(verdict) for verdict in trace.verdicts],
        "threads": [asdict(thread) for thread in trace.threads],
        "created_at": trace.created_at,
        "info": _without(trace.info, VERBATIM),
    }


def _observation_record(observation: Observation) -> dict[str, Any]:
    return {"error": observation.error, "info": _without(observation.info, VERBATIM)}


def _without(info: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in info.items() if key not in keys}


def observation_messages(observation: Observation, instruction: str, reply_to: str | None) -> list[Message]:
    if VERBATIM in observation.info:
        kept = json.loads(json.dumps(observation.info[VERBATIM]))
        return [_with_image_bytes(message, observation.images) for message in kept]
    text = preface_of(instruction, observation.error) + observation.text
    if not observation.text:
        text = text.removesuffix("\n\n")
    pictures = [_image_part(image) for image in observation.images if image.data is not None]
    content = [{"type": "text", "text": text}, *pictures] if pictures else text
    if reply_to is not None:
        return [{"role": "tool", "tool_call_id": reply_to, "content": content}]
    return [{"role": "user", "content": content}]


def preface_of(instruction: str, error: str) -> str:
    """What stands before the text of an observation."""
    return (f"{instruction}\n\n" if instruction else "") + (f"Error: {error}\n\n" if error else "")


def assistant_message(turn: Turn) -> Message:
    if VERBATIM in turn.info:
        return turn.info[VERBATIM]
    call = turn.info.get(TOOL_CALL)
    if call is None:
        return {"role": "assistant", "content": turn.action.text}
    function = {"name": call["name"], "arguments": call["arguments"]}
    tool_calls = [{"id": call["id"], "type": "function", "function": function}]
    return {"role": "assistant", "content": turn.action.text or None, "tool_calls": tool_calls}


def tool_call_id(turn: Turn) -> str | None:
    call = turn.info.get(TOOL_CALL)
    return None if call is None else call["id"]


def _image_part(image: ImageRef) -> dict[str, Any]:
    encoded = base64.b64encode(image.data or b"").decode()
    return {"type": "image_url", "image_url": {"url": f"data:{image.media_type};base64,{encoded}"}}


def _with_image_bytes(message: Message, images: Sequence[ImageRef]) -> Message:
    """A message that was kept, with its images as data URLs again; those without bytes are left out."""
    if not isinstance(message.get("content"), list):
        return message
    data_urls = {image.digest: _image_part(image)["image_url"]["url"] for image in images if image.data is not None}
    content = []
    for part in message["content"]:
        url = image_url(part)
        if url is not None and url.startswith("sha256:"):
            if url[7:] not in data_urls:
                continue
            part["image_url"] = {**part["image_url"], "url": data_urls[url[7:]]}
        content.append(part)
    return {**message, "content": content}


def image_url(part: Mapping[str, Any]) -> str | None:
    image = part.get("image_url") if part.get("type") == "image_url" else None
    url = image.get("url") if isinstance(image, dict) else None
    return url if isinstance(url, str) else None
