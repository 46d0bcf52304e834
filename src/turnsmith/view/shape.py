"""From stored values to the JSON that the pages read. `viewer/src/types.ts` is the other half of this contract.

Everything here is data: no HTML is made on this side, and the pages only ever put it into text nodes and attributes.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from turnsmith.view.queries import Row, unpack_tokens

TokenTexts = Callable[[tuple[int, ...]], list[str] | None]
"""The text of each token of a sequence; None where no tokenizer is at hand."""


def to_json(value: object) -> str:
    """JSON that every browser parses: ASCII only, and null for numbers that JSON does not have."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False, separators=(",", ":"))


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value


def row_json(row: Row) -> dict[str, Any]:
    """One row of the list of traces."""
    return {
        "seq": row.seq,
        "id": row.id,
        "task": row.task_id,
        "instruction": row.instruction,
        "environment": row.environment,
        "site": row.site,
        "split": row.split,
        "phase": row.phase,
        "iteration": row.iteration,
        "outcome": row.outcome,
        "policy": row.policy,
        "seed": row.seed,
        "created": row.created_at,
        "turns": row.turns,
        "solved": row.solved,
        "verdicts": row.verdicts,
        "surprise": row.surprise,
        "value_error": row.value_error,
        "labels": row.labels,
    }


def trace_json(trace: dict[str, Any], token_texts: TokenTexts) -> dict[str, Any]:
    """The page of one trace, from `queries.Database.trace`."""
    head = trace["head"]
    task = _mapping(head.get("task"))
    return {
        "row": row_json(trace["row"]),
        "task": {
            "id": trace["row"].task_id,
            "instruction": _text(task.get("instruction")),
            "params": _mapping(task.get("params")),
            "provenance": _mapping(task.get("provenance")),
            "hidden": _mapping(task.get("hidden")),
        },
        "turns": [_turn_json(index, turn, token_texts) for index, turn in enumerate(trace["turns"])],
        "final": None if not isinstance(head.get("final"), dict) else _observation_json(head["final"]),
        "threads": [_thread_json(thread) for thread in _sequence(head.get("threads")) if _is_thread(thread)],
        "info": _mapping(head.get("info")),
        "verdicts": [
            {"judge": str(judge), "reward": reward, "reason": _text(reason), "turn": turn}
            for judge, reward, reason, turn in trace["verdicts"]
        ],
        "problems": trace["problems"],
    }


def _turn_json(index: int, turn: dict[str, Any], token_texts: TokenTexts) -> dict[str, Any]:
    body = turn["body"]
    action = _mapping(body.get("action"))
    call = action.get("call")
    prompt_ids, token_ids, logprobs, sampled = unpack_tokens(turn["tokens"])
    return {
        "index": index,
        "thread": turn["thread"],
        "observation": _observation_json(_mapping(body.get("observation"))),
        "action": {
            "text": _text(action.get("text")),
            "call": {"name": _text(call.get("name")), "arguments": _mapping(call.get("arguments"))}
            if isinstance(call, dict)
            else None,
            "error": _text(action.get("error")),
            "stop": _text(action.get("stop")),
        },
        "tokens": {
            "ids": list(token_ids),
            "logprobs": list(logprobs),
            "sampled": list(sampled),
            "texts": token_texts(token_ids) if token_ids else None,
            "prompt": len(prompt_ids),
        },
        "reward": turn["reward"],
        "credits": turn["credits"],
        "value": turn["credits"][-1]["value"] if turn["credits"] else None,
        "advantage": turn["credits"][-1]["advantage"] if turn["credits"] else None,
        "seconds": _sequence(body.get("seconds")),
        "info": _mapping(body.get("info")),
    }


def _observation_json(observation: Mapping[str, Any]) -> dict[str, Any]:
    images = [image[0] for image in _sequence(observation.get("images")) if isinstance(image, list) and image]
    return {
        "text": _text(observation.get("text")),
        "images": [str(digest) for digest in images],
        "error": _text(observation.get("error")),
        "info": _mapping(observation.get("info")),
    }


def _is_thread(thread: object) -> bool:
    return isinstance(thread, list) and len(thread) in (5, 6)  # the delay is missing in older rows


def _thread_json(thread: Sequence[object]) -> dict[str, Any]:
    names = ("id", "parent", "spawned_at", "joined_at", "status", "delay")
    return dict(zip(names, [*thread, 0][: len(names)], strict=True))


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _sequence(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    return "" if value is None else str(value)
