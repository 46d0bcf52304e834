"""Traces as JSON and as compact bytes: the one place that knows how a noun looks on disk.

Everything is JSON except the per-token arrays of an action, which are packed little-endian: they are the bulk of a
text-only trace, and packing them costs 4 bytes an id instead of about 6 characters. Log-probabilities are stored as
float64, so what was sampled is read back bit for bit.
"""

import struct
import sys
from array import array
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from turnsmith.trace.types import (
    Action,
    Call,
    Credit,
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

_HEADER = struct.Struct("<4I")


def task_to_json(task: Task, hidden: bool = True) -> dict[str, Any]:
    """The task as a JSON object; without `hidden` the training-time information is left out."""
    row = asdict(task)
    if not hidden:
        del row["hidden"]
    return row


def task_from_json(row: Mapping[str, Any]) -> Task:
    """The task of a JSON object made by `task_to_json`; unknown keys are ignored so that newer files open."""
    known = ("id", "instruction", "environment", "params", "split", "provenance", "hidden")
    return Task(**{key: row[key] for key in known if key in row})


def observation_to_json(observation: Observation) -> dict[str, Any]:
    """The observation as a JSON object; images by digest and media type, without their bytes."""
    return {
        "text": observation.text,
        "images": [[image.digest, image.media_type] for image in observation.images],
        "error": observation.error,
        "info": dict(observation.info),
    }


def observation_from_json(row: Mapping[str, Any]) -> Observation:
    """The inverse of `observation_to_json`."""
    images = tuple(ImageRef(digest, media_type) for digest, media_type in row["images"])
    return Observation(row["text"], images, row["error"], row["info"])


def action_to_json(action: Action) -> dict[str, Any]:
    """The action as a JSON object, without its per-token arrays (see `pack_tokens`)."""
    call = None if action.call is None else {"name": action.call.name, "arguments": dict(action.call.arguments)}
    return {"text": action.text, "call": call, "error": action.error, "stop": action.stop.value}


def action_from_json(row: Mapping[str, Any], tokens: bytes = b"") -> Action:
    """The inverse of `action_to_json` and `pack_tokens`."""
    call = None if row["call"] is None else Call(row["call"]["name"], row["call"]["arguments"])
    prompt_ids, token_ids, logprobs, sampled = unpack_tokens(tokens)
    return Action(row["text"], call, row["error"], prompt_ids, token_ids, logprobs, sampled, StopReason(row["stop"]))


def _little_endian(values: array) -> bytes:
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


def pack_tokens(action: Action) -> bytes:
    """The per-token arrays of an action as bytes; b"" where there are none.

    Raises:
        ValueError: if `logprobs` or `sampled` is neither empty nor as long as `token_ids`.
    """
    for name in ("logprobs", "sampled"):
        length = len(getattr(action, name))
        if length not in (0, len(action.token_ids)):
            raise ValueError(f"action.{name} has {length} entries for {len(action.token_ids)} token ids")
    if not (action.prompt_ids or action.token_ids):
        return b""
    return b"".join(
        (
            _HEADER.pack(len(action.prompt_ids), len(action.token_ids), len(action.logprobs), len(action.sampled)),
            _little_endian(array("i", action.prompt_ids)),
            _little_endian(array("i", action.token_ids)),
            _little_endian(array("d", action.logprobs)),
            bytes(action.sampled),
        )
    )


def unpack_tokens(
    packed: bytes,
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[float, ...], tuple[bool, ...]]:
    """The inverse of `pack_tokens`: prompt ids, token ids, log-probabilities, sampled mask."""
    if not packed:
        return (), (), (), ()
    prompts, ids, logprobs, sampled = _HEADER.unpack_from(packed)
    layout = struct.Struct(f"<{prompts}i{ids}i{logprobs}d{sampled}?")
    values = layout.unpack_from(packed, _HEADER.size)
    end_prompt, end_ids, end_logprobs = prompts, prompts + ids, prompts + ids + logprobs
    return values[:end_prompt], values[end_prompt:end_ids], values[end_ids:end_logprobs], values[end_logprobs:]


def trace_to_json(trace: Trace) -> dict[str, Any]:
    """The whole trace as one JSON object, per-token arrays included as lists."""
    turns = []
    for turn in trace.turns:
        action = action_to_json(turn.action)
        for name in ("prompt_ids", "token_ids", "logprobs", "sampled"):
            action[name] = list(getattr(turn.action, name))
        row: dict[str, Any] = {"observation": observation_to_json(turn.observation), "action": action}
        row.update({name: getattr(turn, name) for name in _TURN_SCALARS})
        row["credits"] = [asdict(credit) for credit in turn.credits]
        row["info"] = dict(turn.info)
        turns.append(row)
    return {
        "id": trace.id,
        "task": task_to_json(trace.task),
        "turns": turns,
        "outcome": trace.outcome.value,
        "verdicts": [asdict(verdict) for verdict in trace.verdicts],
        "policy": trace.policy,
        "seed": trace.seed,
        "created_at": trace.created_at,
        "final": None if trace.final is None else observation_to_json(trace.final),
        "threads": [asdict(thread) for thread in trace.threads],
        "info": dict(trace.info),
    }


_TURN_SCALARS = ("reward", "thread", "act_seconds", "env_seconds")


def credits_from_json(turn: Mapping[str, Any]) -> tuple[Credit, ...]:
    """The credits of a turn's JSON; older rows have a value and an advantage of a learner without a name."""
    if "credits" in turn:
        return tuple(Credit(**row) for row in turn["credits"])
    value, advantage = turn.get("value"), turn.get("advantage")
    return () if value is None and advantage is None else (Credit("", 0, value, advantage),)


def trace_from_json(row: Mapping[str, Any]) -> Trace:
    """The inverse of `trace_to_json`."""
    turns = []
    for turn in row["turns"]:
        action_row = turn["action"]
        action = action_from_json(action_row)
        arrays = {name: tuple(action_row[name]) for name in ("prompt_ids", "token_ids", "logprobs", "sampled")}
        action = Action(action.text, action.call, action.error, stop=action.stop, **arrays)
        scalars = {name: turn[name] for name in _TURN_SCALARS}
        observation, credits = observation_from_json(turn["observation"]), credits_from_json(turn)
        turns.append(Turn(observation, action, credits=credits, info=turn["info"], **scalars))
    return Trace(
        id=row["id"],
        task=task_from_json(row["task"]),
        turns=tuple(turns),
        outcome=Outcome(row["outcome"]),
        verdicts=tuple(Verdict(**verdict) for verdict in row["verdicts"]),
        policy=row["policy"],
        seed=row["seed"],
        created_at=row["created_at"],
        final=None if row["final"] is None else observation_from_json(row["final"]),
        threads=tuple(Thread(**thread) for thread in row["threads"]),
        info=row["info"],
    )
