"""OpenAI chat messages as traces: rows that `messages.py` wrote, and rows of other makers (its docstring says which).

Nothing is half imported: a file is read to its end and every row checked before the first trace is stored.
"""

import base64
import binascii
import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from turnsmith.errors import UserError
from turnsmith.jsonl import iter_jsonl, parse_json
from turnsmith.trace import codec
from turnsmith.trace.messages import (
    TASK_FIELDS,
    TOOL_CALL,
    VERBATIM,
    Message,
    assistant_message,
    image_url,
    observation_messages,
    preface_of,
    tool_call_id,
)
from turnsmith.trace.rows import trace_rows
from turnsmith.trace.store import Store
from turnsmith.trace.types import (
    ORACLE,
    Action,
    Call,
    ImageRef,
    Observation,
    Outcome,
    StopReason,
    Task,
    Thread,
    Trace,
    Turn,
    Verdict,
)

_BATCH = 100  # traces a commit

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_ROW_FIELDS = {
    "id", "messages", "task", "hidden", "outcome", "reward", "score", "turn_rewards", "policy", "seed", "record",
}  # fmt: skip


def import_messages(path: Path, database: Path) -> int:
    """Append the traces of a JSONL file to the store at `database`, which is made when it is not there.

    Returns:
        How many there were.

    Raises:
        UserError: if a row is malformed (with its line number) or its id is there already; nothing is then stored.
    """
    if str(path) == "-" or (path.exists() and not path.is_file()):
        raise UserError(
            f"{path}: a file is needed that can be read twice, to check all of it before anything is stored."
        )
    seen: set[str] = set()
    if database.exists():
        with Store(database, read_only=True) as store:
            seen = {summary.id for summary in store.summaries()}
    for number, trace in _traces_of(path):
        if trace.id in seen:
            raise UserError(
                f"{path}, line {number}: a trace {trace.id!r} is there already, in the file or in {database}."
            )
        seen.add(trace.id)
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{database.parent}: cannot be made ({error.strerror}).") from error
    count, batch = 0, []
    with Store(database) as store:
        for _, trace in _traces_of(path):  # read again, so that a large file with images is never in memory whole
            batch.append(trace)
            if len(batch) == _BATCH:
                count += len(store.append_many(batch))
                batch = []
        return count + len(store.append_many(batch))


def _traces_of(path: Path) -> Iterator[tuple[int, Trace]]:
    for number, row in iter_jsonl(path):
        try:
            trace = row_to_trace(row, f"{path.stem}-{number}")
            trace_rows(trace)  # can it be stored?
        except ValueError as error:
            raise UserError(f"{path}, line {number}: {error}.") from error
        yield number, trace


def row_to_trace(row: Mapping[str, Any], default_id: str) -> Trace:
    """The trace of a row, by `trace_to_row` or of another maker.

    Args:
        row: see the module's docstring.
        default_id: the id of the trace (and of its task) where the row has none.

    Raises:
        ValueError: if the row is malformed; the message says what is wrong with which field.
    """
    messages = _checked_messages(row)
    record = _checked_record(row, messages)
    try:
        return _trace(row, messages, record, default_id)
    except (KeyError, TypeError, AttributeError) as error:
        if record is None:
            raise
        raise ValueError(f'"record" is damaged ({error!r}); leave it out to import the messages alone') from error


def _trace(row: Mapping[str, Any], messages: list[Message], record: dict[str, Any] | None, default_id: str) -> Trace:
    count = next((index for index, message in enumerate(messages) if message["role"] not in ("system", "developer")), 0)
    prompts, messages = messages[:count], _one_call_each(messages[count:])
    task = _task(row, record, messages, default_id)
    turns, final = _turns(messages, task.instruction, record)
    trace = Trace(
        id=_typed(row, "id", str, default_id),
        task=task,
        turns=_with_turn_rewards(turns, row),
        policy=_typed(row, "policy", str, ""),
        seed=_typed(row, "seed", int, 0),
        final=final,
    )
    if record is not None:
        trace = replace(
            trace,
            outcome=_outcome(row, None),
            verdicts=tuple(Verdict(**verdict) for verdict in record["verdicts"]),
            threads=tuple(Thread(**thread) for thread in record["threads"]),
            created_at=record["created_at"],
            info=record["info"],
        )
        if row.get("reward") is not None and row["reward"] != trace.reward():
            raise ValueError(f'"reward" is {row["reward"]}, but the oracle\'s verdict in "record" is {trace.reward()}')
    else:
        name = "score" if row.get("reward") is None else "reward"
        reward = None if row.get(name) is None else _number(row[name], name)
        verdicts = () if reward is None else (Verdict(ORACLE, reward, "imported"),)
        others = {key: value for key, value in row.items() if key not in _ROW_FIELDS}
        info = {"row": others} if others else {}
        trace = replace(trace, outcome=_outcome(row, reward), verdicts=verdicts, info=info)
    return replace(trace, info={**trace.info, VERBATIM: prompts}) if prompts else trace


def _checked_messages(row: Mapping[str, Any]) -> list[Message]:
    messages = row.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ValueError('"messages" must be a list of at least one message')
    for index, message in enumerate(messages):
        place = f"messages[{index}]"
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise ValueError(f'{place} must be an object with a "role" out of {", ".join(_ROLES)}')
        content = message.get("content")
        parts = content if isinstance(content, list) else []
        if not (content is None or isinstance(content, (str, list))) or not all(
            isinstance(part, dict) for part in parts
        ):
            raise ValueError(f'{place}: "content" must be text, a list of parts, or null')
        if any(part.get("type") == "text" and not isinstance(part.get("text"), str) for part in parts):
            raise ValueError(f'{place}: a part of type "text" needs "text"')
        calls = message.get("tool_calls")
        if calls is not None and not (isinstance(calls, list) and all(_is_tool_call(call) for call in calls)):
            raise ValueError(
                f'{place}: each of "tool_calls" needs "id" and "function" with "name" and "arguments" (text)'
            )
    return messages


def _is_tool_call(call: object) -> bool:
    if not isinstance(call, dict) or not isinstance(call.get("function"), dict):
        return False
    fields = (call.get("id"), call["function"].get("name"), call["function"].get("arguments"))
    return all(isinstance(field, str) for field in fields)


def _checked_record(row: Mapping[str, Any], messages: Sequence[Message]) -> dict[str, Any] | None:
    if row.get("record") is None:
        return None
    try:
        record = parse_json(row["record"])
        turns, assistants = len(record["turns"]), sum(message["role"] == "assistant" for message in messages)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'"record" is damaged ({error!r}); leave it out to import the messages alone') from error
    if turns != assistants:
        raise ValueError(
            f'"record" has {turns} turns, but the messages have {assistants}; leave it out where they were edited'
        )
    return record


def _one_call_each(messages: list[Message]) -> list[Message]:
    """Messages in which parallel tool calls stand one after the other, each followed by its reply."""
    flat: list[Message] = []
    at = 0
    while at < len(messages):
        message = messages[at]
        at += 1
        calls = message.get("tool_calls") or []
        if len(calls) < 2:
            flat.append(message)
            continue
        replies: dict[object, deque[int]] = {}  # where the replies to each call stand, in order
        first = at
        while at < len(messages) and messages[at]["role"] == "tool":
            replies.setdefault(messages[at].get("tool_call_id"), deque()).append(at)
            at += 1
        for index, call in enumerate(calls):
            flat.append({**message, "content": message.get("content") if index == 0 else None, "tool_calls": [call]})
            if found := replies.get(call["id"]):
                flat.append(messages[found.popleft()])
        left = {place for places in replies.values() for place in places}
        flat += [messages[place] for place in range(first, at) if place in left]
    return flat


def _task(
    row: Mapping[str, Any], record: Mapping[str, Any] | None, messages: Sequence[Message], default_id: str
) -> Task:
    given = row.get("task")
    if isinstance(given, str):
        given = {"instruction": given}
    if given is None:
        first = next((message for message in messages if message["role"] == "user"), None)
        given = {"instruction": "" if first is None else _text_of(first)}
    if not isinstance(given, dict):
        raise ValueError('"task" must be an object or the instruction')
    rest = {} if record is None else record["task"]
    if record is None:
        others = {key: value for key, value in given.items() if key not in (*TASK_FIELDS, "hidden")}
        rest = {"params": others, "hidden": _hidden(row, given)}
    return codec.task_from_json(
        {
            "id": _typed(given, "id", str, default_id),
            "instruction": _typed(given, "instruction", str, ""),
            "environment": _typed(given, "environment", str, "imported"),
            "split": _typed(given, "split", str, "train"),
            **rest,
        }
    )


def _hidden(row: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Training-time information of a row of another maker: under "hidden" in the row or in its task."""
    found: dict[str, Any] = {}
    for place, holder in (("task.hidden", given), ("hidden", row)):
        hidden = holder.get("hidden")
        if hidden is None:
            continue
        if not isinstance(hidden, dict):
            raise ValueError(f'"{place}" must be an object, such as {{"reference": …}}')
        found |= hidden
    return found


def _turns(
    messages: Sequence[Message], instruction: str, record: Mapping[str, Any] | None
) -> tuple[list[Turn], Observation | None]:
    turns: list[Turn] = []
    pending: list[Message] = []
    reply_to: str | None = None
    for message in messages:
        if message["role"] != "assistant":
            pending.append(message)
            continue
        kept = None if record is None else record["turns"][len(turns)]
        observation = _observation(pending, instruction, reply_to, None if kept is None else kept["observation"])
        turn = _turn(message, observation, kept)
        turns.append(turn)
        pending, instruction, reply_to = [], "", tool_call_id(turn)
    kept = None if record is None else record["final"]
    bare = not turns and pending == observation_messages(Observation(), instruction, None)
    if kept is None and (bare or not pending):
        return turns, None
    return turns, _observation(pending, instruction, reply_to, kept)


def _observation(
    messages: list[Message], instruction: str, reply_to: str | None, kept: Mapping[str, Any] | None
) -> Observation:
    """The observation of the messages between two actions; they are kept where it would not be written as they are."""
    images = tuple(image for message in messages for image in _images_of(message))
    error, info = ("", {}) if kept is None else (kept["error"], kept["info"])
    text = "\n\n".join(_text_of(message) for message in messages)
    preface = preface_of(instruction, error)
    if text.startswith(preface):
        text = text[len(preface) :]
    elif text == preface.removesuffix("\n\n"):
        text = ""
    observation = Observation(text, images, error, info)
    if observation_messages(observation, instruction, reply_to) != messages:
        observation = replace(observation, info={**info, VERBATIM: [_without_image_bytes(m) for m in messages]})
    return observation


def _turn(message: Message, observation: Observation, kept: Mapping[str, Any] | None) -> Turn:
    info: dict[str, Any] = {} if kept is None else dict(kept["info"])
    call, error = None, ""
    tool_calls = message.get("tool_calls")
    if tool_calls:
        function = tool_calls[0]["function"]
        info[TOOL_CALL] = {"id": tool_calls[0]["id"], "name": function["name"], "arguments": function["arguments"]}
        call, error = _call(function["name"], function["arguments"])
    if kept is None:
        turn = Turn(observation, Action(_text_of(message), call, error), info=info)
    else:
        recorded = None if kept["call"] is None else Call(kept["call"]["name"], kept["call"]["arguments"])
        action = Action(_text_of(message), recorded, kept["error"], stop=StopReason(kept["stop"]))
        act_seconds, env_seconds = kept["seconds"]
        turn = Turn(
            observation,
            action,
            credits=codec.credits_from_json(kept),
            thread=kept["thread"],
            act_seconds=act_seconds,
            env_seconds=env_seconds,
            info=info,
        )
    if assistant_message(turn) != message:
        turn = replace(turn, info={**info, VERBATIM: message})
    return turn


def _call(name: str, arguments: str) -> tuple[Call | None, str]:
    try:
        parsed = parse_json(arguments or "{}")
        if not isinstance(parsed, dict):
            raise ValueError("not an object")
    except ValueError as error:
        return None, f"The arguments of {name} are not a JSON object ({error})."
    return Call(name, parsed), ""


def _text_of(message: Message) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content if part.get("type") == "text")
    return content or ""


def _images_of(message: Message) -> list[ImageRef]:
    """The images of a message that are data URLs; others are not fetched, and stay in the message that is kept."""
    content = message.get("content")
    urls = [image_url(part) for part in content] if isinstance(content, list) else []
    return [_decode(url) for url in urls if url is not None and url.startswith("data:")]


def _decode(url: str) -> ImageRef:
    head, comma, encoded = url.partition(";base64,")
    try:
        if not comma:
            raise ValueError("not base64")
        return ImageRef.of(base64.b64decode(encoded, validate=True), head.removeprefix("data:"))
    except (ValueError, binascii.Error) as error:
        raise ValueError(f'the image URL "{url[:40]}…" cannot be decoded ({error})') from error


def _without_image_bytes(message: Message) -> Message:
    """A copy of the message whose data URLs are replaced by the digests of the images."""
    if not isinstance(message.get("content"), list):
        return message
    content = []
    for part in message["content"]:
        url = image_url(part)
        if url is not None and url.startswith("data:"):
            part = {**part, "image_url": {**part["image_url"], "url": f"sha256:{_decode(url).digest}"}}
        content.append(part)
    return {**message, "content": content}


def _with_turn_rewards(turns: Sequence[Turn], row: Mapping[str, Any]) -> tuple[Turn, ...]:
    rewards = row.get("turn_rewards")
    if rewards is None:
        return tuple(turns)
    if not isinstance(rewards, list) or len(rewards) != len(turns):
        raise ValueError(f'"turn_rewards" must be a list of {len(turns)} numbers, one an action')
    return tuple(
        replace(turn, reward=_number(reward, f"turn_rewards[{index}]"))
        for index, (turn, reward) in enumerate(zip(turns, rewards, strict=True))
    )


def _outcome(row: Mapping[str, Any], reward: float | None) -> Outcome:
    given = row.get("outcome")
    if given is None:
        if reward is None:
            return Outcome.UNJUDGED
        return Outcome.SUCCESS if reward > 0.5 else Outcome.FAILURE
    if given not in list(Outcome):
        raise ValueError(f'"outcome" is {given!r}, not one of {", ".join(Outcome)}')
    return Outcome(given)


def _number(value: object, name: str) -> float:
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return value
    except OverflowError:  # a whole number beyond float
        pass
    raise ValueError(f'"{name}" must be a number, not {str(value)[:40]!r}')


def _typed(row: Mapping[str, Any], key: str, kind: type, default: Any) -> Any:
    value = row.get(key)
    if value is None:
        return default
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f'"{key}" must be {"text" if kind is str else "a whole number"}, not {value!r}')
    return value
