"""Small damage to sound input, by a seed: what the soak feeds to every reader, and the tests with bounded counts.

Each target takes bytes as they could come from outside and may refuse them with the kinds of error that it names;
anything else that is raised is a fault of ours ("untyped").
"""

import io
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from turnsmith.agents.aitw import parse_aitw, render_aitw
from turnsmith.agents.parsing import parse
from turnsmith.arrays import read_npz
from turnsmith.engine.openai_reply import TryAgain, completion, decode
from turnsmith.errors import InfraError, ParseError, UserError
from turnsmith.evaluate.claims import read_claims
from turnsmith.jsonl import parse_json, read_jsonl
from turnsmith.judges.webarena.verify import read_questions
from turnsmith.robot.kalie_files import NAMES, read_json_data, read_text
from turnsmith.tasks.files import load_tasks
from turnsmith.trace.messages_import import row_to_trace
from turnsmith.trace.types import Call
from turnsmith.worlds.countdown.grammar import parse_spawn

_MARKS = (
    b"[",
    b"{",
    b"]",
    b"}",
    b'"',
    b"\\ud83d",
    b"1e400",
    b"NaN",
    b"null",
    b"-1",
    b"9" * 400,
    b"\x00",
    b"\xff",
    b",",
)


def damaged(sound: bytes, source: random.Random) -> bytes:
    """The bytes with one to four small damages: changed, lost, doubled, cut off, or with something strange put in."""
    data = bytearray(sound)
    for _ in range(source.randint(1, 4)):
        place, length = source.randrange(len(data) + 1), source.choice((1, 2, 4, 30))
        match source.randrange(6):
            case 0:
                data[place : place + length] = source.randbytes(length)
            case 1:
                del data[place : place + length]
            case 2:
                data[place:place] = data[place : place + length]
            case 3:
                del data[max(4, place) :]
            case 4:
                data[place:place] = source.choice(_MARKS)
            case _:
                data[place:place] = source.choice((b"[", b'{"a":')) * source.choice((10, 300, 5000))
    return bytes(data)


@dataclass(frozen=True, slots=True)
class Target:
    """Something that reads bytes from outside.

    Attributes:
        sound: what it takes.
        read: reads.
        may: what it may raise.
    """

    sound: bytes
    read: Callable[[bytes], object]
    may: tuple[type[Exception], ...]


def _file(folder: Path, name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    def of(data: bytes) -> object:
        path = folder / name
        path.write_bytes(data)
        return read(path)

    return of


def _text(read: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: read(data.decode("utf-8", "surrogateescape"))


def _row(data: bytes) -> object:
    row = parse_json(data)
    if not isinstance(row, dict):
        raise ValueError("no row")
    return row_to_trace(row, "row")


def targets(folder: Path) -> Mapping[str, Target]:
    """Every target by name; those that read files write them into this folder."""
    call = {"id": "c", "type": "function", "function": {"name": "buy", "arguments": '{"n": 2}'}}
    messages = [
        {"role": "user", "content": "Buy two."},
        {"role": "assistant", "content": "Thought: two", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "bought"},
    ]
    choice = {"message": {"role": "assistant", "content": "Action: Click [3]"}, "finish_reason": "stop"}
    reply = {"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 5}, "model": "m"}
    task = {"id": "t1", "instruction": "Find it", "start_url": "http://shop.example/", "allow": ["shop.example"]}
    checked = {"eval_types": ["string_match"], "reference_answers": {"exact_match": "3"}}
    question = {"task_id": 1, "intent": "How many?", "eval": checked, "start_url": "http://x/", "sites": ["shopping"]}
    claim = {"id": "steps", "claim": "steps", "value": 3.0, "goal": ">= 2", "seeds": [0], "holds": True}
    points = {name: [100 * place, 5] for place, name in enumerate(NAMES)}
    user, refused = (UserError,), (UserError, ValueError)
    return {
        "json": Target(json.dumps({"a": [1, 2.5, "x", None, {"b": True}]}).encode(), parse_json, (ValueError,)),
        "jsonl": Target(b'{"a": 1}\n\n{"b": [2]}\n', _file(folder, "rows.jsonl", read_jsonl), user),
        "tasks": Target(json.dumps(task).encode() + b"\n", _file(folder, "tasks.jsonl", load_tasks), user),
        "messages": Target(json.dumps({"messages": messages, "reward": 1.0}).encode(), _row, refused),
        "claims": Target(json.dumps([claim]).encode(), _file(folder, "claims.json", read_claims), user),
        "webarena": Target(json.dumps([question]).encode(), _file(folder, "questions.json", read_questions), user),
        "kalie": Target(
            json.dumps({"entry_0": {"img": "x.png", "points": json.dumps(points), "other": {}}}).encode(),
            _file(folder, "data.json", read_json_data), user,
        ),
        "kalie answer": Target(json.dumps(points).encode(), _text(lambda text: read_text(text, 9, 9)), (ParseError,)),
        "reply": Target(
            json.dumps(reply).encode(), lambda data: completion(decode(data)), (TryAgain, InfraError, UserError)
        ),
        "npz": Target(_npz(), _file(folder, "x.npz", read_npz), user),
        "web action": Target(
            "Thought: I’ll type 🙂\nAction: Type [12]; lamp".encode(), _text(lambda text: parse(text, "webvoyager")), ()
        ),
        "TTI action": Target(b"Thought: x\nAction: Scroll [WINDOW]; [up]", _text(lambda text: parse(text, "tti")), ()),
        "phone action": Target(
            render_aitw(Call("tap", {"y": 0.5, "x": 0.25})).encode(), _text(parse_aitw), (ParseError,)
        ),
        "spawn": Target(b"<spawn target=24 [3, 4] [[3, 8]]>", _text(parse_spawn), (ParseError,)),
    }  # fmt: skip


@lru_cache(maxsize=1)
def _npz() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, EEG=np.arange(12.0).reshape(3, 4), labels=np.ones((3, 2)))
    return buffer.getvalue()


@dataclass(slots=True)
class Fuzzed:
    """What came of it: how many inputs, how many were refused as they may be, and what was raised otherwise."""

    inputs: int = 0
    refused: int = 0
    untyped: list[str] = field(default_factory=list)


def fuzz(folder: Path, seed: int, rounds: int, into: Fuzzed | None = None) -> Fuzzed:
    """Feed so many damaged inputs to every target.

    Args:
        folder: for files; made by the caller.
        seed: decides all damage; round r of a target depends on it, r and the target's name alone.
        rounds: inputs of each target.
        into: counts that this run adds to.
    """
    found = into or Fuzzed()
    for name, target in targets(folder).items():
        for number in range(rounds):
            data = damaged(target.sound, random.Random(f"{seed}/{name}/{number}"))
            found.inputs += 1
            try:
                target.read(data)
            except target.may:
                found.refused += 1
            except Exception as error:
                line = (str(error).strip() or "no message").splitlines()[0][:200]
                found.untyped.append(f"{name}, seed {seed}, round {number}: {type(error).__name__}: {line}")
    return found
