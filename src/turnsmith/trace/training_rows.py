"""Traces as training data of other toolkits: TRL's conversational formats, one JSON row an example.

| format | rows by outcome                                          | rows by credit                                  |
|--------|----------------------------------------------------------|-------------------------------------------------|
| `sft`  | `messages` of each success                               | `prompt`, `completion`: each turn that helped   |
| `dpo`  | `prompt`, `chosen`, `rejected`: two attempts at one task | the same: two turns after one prompt            |
| `kto`  | `prompt`, `completion`, `label`: each attempt            | the same: each turn, by its advantage's sign  |
| `grpo` | `prompt`, `attempts`, `mean_reward` of each `task`       | –                                               |

Messages are the system prompt and all that the agent saw and wrote, tool calls included, as in `messages.py`; what came
after the last action is left out, for nobody is to learn to write it. `tools`, where the log has them, is JSON text,
which TRL reads and which keeps tools that infer a schema from the rows from mixing those of different tools. Hidden
task information is in none of them. Pictures are left out.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from turnsmith.errors import UserError
from turnsmith.jsonl import dump_row
from turnsmith.trace.messages import VERBATIM, Message, assistant_message, observation_messages, tool_call_id
from turnsmith.trace.types import ORACLE, Outcome, Trace

T = TypeVar("T")

Format = Literal["sft", "dpo", "kto", "grpo"]
Row = dict[str, Any]
_PAIRS = 4
"""The most pairs of one prompt: a task of many attempts must not outweigh the others."""


@dataclass(frozen=True, slots=True)
class _Episode:
    """An attempt as messages.

    Attributes:
        messages: all of them, ending with the agent's last.
        places: where in `messages` each turn's own message stands.
        reward: its outcome.
        advantages: of each turn, None where nobody gave any.
        tools: JSON text, or None.
        task: the task's id.
    """

    messages: list[Message]
    places: list[int]
    reward: float
    advantages: list[float | None]
    tools: str | None
    task: str

    def prompt(self, place: int) -> list[Message]:
        return self.messages[:place]


def export_training_rows(
    traces: Iterable[Trace],
    path: Path,
    format: Format,
    *,
    by_credit: bool = False,
    min_reward: float | None = None,
    judge: str = ORACLE,
) -> int:
    """Write a JSONL file of training rows, replacing it when all is written.

    Args:
        traces: where they come from; those without an outcome or turns are passed over.
        path: the file.
        format: see the module's docstring.
        by_credit: choose turns by their advantage instead of episodes by their outcome.
        min_reward: an outcome from here on is good; without it, above 0.5.
        judge: whose verdict is the outcome.

    Returns:
        How many rows there are.

    Raises:
        UserError: if nothing qualifies (with the reason), or the file cannot be written.
    """
    episodes = [episode for episode in (_episode(trace, judge) for trace in traces) if episode is not None]
    if not episodes:
        raise UserError(f"there are no traces with turns and an outcome by {judge!r} to export.")
    if by_credit and not any(a is not None for episode in episodes for a in episode.advantages):
        raise UserError("these turns have no credit yet. Give it first: turnsmith credit RUN")
    if by_credit and format == "grpo":
        raise UserError("--format grpo takes prompts of tasks; --by credit is for sft, dpo and kto.")
    good = (lambda r: r > 0.5) if min_reward is None else (lambda r: r >= min_reward)
    makers = {
        ("sft", False): lambda: _sft(episodes, good),
        ("sft", True): lambda: _turns(episodes, only_good=True),
        ("dpo", False): lambda: _attempt_pairs(episodes, good),
        ("dpo", True): lambda: _turn_pairs(episodes),
        ("kto", False): lambda: _attempts(episodes, good),
        ("kto", True): lambda: _turns(episodes, only_good=False),
        ("grpo", False): lambda: _prompts(episodes),
    }
    rows = list(makers[format, by_credit]())
    if not rows:
        raise UserError(_nothing(format, by_credit, min_reward))
    _write(path, rows)
    return len(rows)


def _nothing(format: Format, by_credit: bool, min_reward: float | None) -> str:
    if format == "dpo" and by_credit:
        return (
            "no two turns follow the same prompt here, so there are no pairs of turns. Take --format kto, which needs "
            "no pairs, or whole attempts (leave --by out)."
        )
    if format == "dpo":
        return "no task has a good and a worse attempt here. Take --format kto, which needs no pairs."
    return "no episode has an outcome that is good" + (f" (from {min_reward:g} on)." if min_reward is not None else ".")


def _episode(trace: Trace, judge: str) -> _Episode | None:
    reward = trace.reward(judge)
    if reward is None or not trace.turns or trace.outcome is Outcome.INFRA_ERROR:
        return None
    messages = [_plain(message) for message in trace.info.get(VERBATIM, ())]
    places, instruction, reply_to = [], trace.task.instruction, None
    for turn in trace.turns:
        messages += [_plain(row) for row in observation_messages(turn.observation, instruction, reply_to)]
        places.append(len(messages))
        messages.append(_plain(assistant_message(turn)))
        instruction, reply_to = "", tool_call_id(turn)
    tools = trace.info.get("row", {}).get("tools") or trace.task.params.get("tools")
    tools = tools if tools is None or isinstance(tools, str) else json.dumps(tools, ensure_ascii=False)
    advantages = [turn.advantage for turn in trace.turns]
    return _Episode(messages, places, reward, advantages, tools, trace.task.id)


def _plain(message: Message) -> Message:
    """A message of text and tool calls alone, its text as one string."""
    content = message.get("content")
    if isinstance(content, list):
        content = "\n".join(part["text"] for part in content if part.get("type") == "text")
    kept = {key: message[key] for key in ("tool_calls", "tool_call_id", "name") if message.get(key)}
    return {"role": message["role"], "content": content or "", **kept}


def _with_tools(row: Row, episode: _Episode) -> Row:
    return row if episode.tools is None else {**row, "tools": episode.tools}


def _sft(episodes: Sequence[_Episode], good: Callable[[float], bool]) -> Iterator[Row]:
    for episode in episodes:
        if good(episode.reward):
            yield _with_tools({"messages": episode.messages}, episode)


def _attempts(episodes: Sequence[_Episode], good: Callable[[float], bool]) -> Iterator[Row]:
    for episode in episodes:
        first = episode.places[0]
        row = {
            "prompt": episode.prompt(first),
            "completion": episode.messages[first:],
            "label": bool(good(episode.reward)),
        }
        yield _with_tools(row, episode)


def _turns(episodes: Sequence[_Episode], only_good: bool) -> Iterator[Row]:
    for episode in episodes:
        for place, advantage in zip(episode.places, episode.advantages, strict=True):
            if advantage is None or (only_good and advantage <= 0):
                continue
            row: Row = {"prompt": episode.prompt(place), "completion": [episode.messages[place]]}
            yield _with_tools(row if only_good else {**row, "label": advantage > 0}, episode)


def _attempt_pairs(episodes: Sequence[_Episode], good: Callable[[float], bool]) -> Iterator[Row]:
    """Of each task, good attempts against worse ones, best against worst first."""
    for group in _grouped((dump_row({"m": episode.prompt(episode.places[0])}), episode) for episode in episodes):
        ranked = sorted(group, key=lambda one: -one.reward)
        pairs = zip(ranked, reversed(ranked), strict=True)
        for better, worse in [(b, w) for b, w in pairs if b.reward > w.reward and good(b.reward)][:_PAIRS]:
            first = better.places[0]
            row = {
                "prompt": better.prompt(first),
                "chosen": better.messages[first:],
                "rejected": worse.messages[worse.places[0] :],
            }
            yield _with_tools(row, better)


def _turn_pairs(episodes: Sequence[_Episode]) -> Iterator[Row]:
    """Of each prompt that several turns follow, turns with more credit against turns with less."""
    found = (
        (dump_row({"m": episode.prompt(place)}), (advantage, place, episode))
        for episode in episodes
        for place, advantage in zip(episode.places, episode.advantages, strict=True)
        if advantage is not None
    )
    for group in _grouped(found):
        ranked = sorted(group, key=lambda row: -row[0])
        for better, worse in list(zip(ranked, reversed(ranked), strict=True))[:_PAIRS]:
            chosen, rejected = better[2].messages[better[1]], worse[2].messages[worse[1]]
            if better[0] > worse[0] and chosen != rejected:
                row = {"prompt": better[2].prompt(better[1]), "chosen": [chosen], "rejected": [rejected]}
                yield _with_tools(row, better[2])


def _prompts(episodes: Sequence[_Episode]) -> Iterator[Row]:
    for group in _grouped((episode.task, episode) for episode in episodes):
        one = group[0]
        mean = sum(each.reward for each in group) / len(group)
        row = {"prompt": one.prompt(one.places[0]), "task": one.task, "attempts": len(group), "mean_reward": mean}
        yield _with_tools(row, one)


def _grouped(rows: Iterable[tuple[str, T]]) -> Iterable[list[T]]:
    groups: dict[str, list[T]] = {}
    for key, value in rows:
        groups.setdefault(key, []).append(value)
    return groups.values()


def _write(path: Path, rows: Sequence[Row]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            for row in rows:
                file.write(dump_row(row) + "\n")
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path}: could not write ({error.strerror}). What was there before is intact.") from error
    finally:
        temporary.unlink(missing_ok=True)
