"""A trace as text for the terminal: what was seen, thought and done on each turn, and what it was worth.

What a page or a model wrote is not trusted: control characters, which could drive the terminal, are shown as escapes.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from turnsmith.agents.grammar import split_response
from turnsmith.trace.types import Credit, Label, Observation, Trace, Turn

_SUMMARY_LINES = 4
_SUMMARY_WIDTH = 160


def printable(text: str, multiline: bool = False) -> str:
    """The text with control, format and lone surrogate characters escaped; newlines stay where `multiline`."""
    return "".join(
        character
        if character.isprintable() or (multiline and character == "\n")
        else character.encode("unicode_escape").decode()
        for character in text
    )


def print_trace(trace: Trace, labels: Sequence[Label], full: bool) -> None:
    """Print a trace; observations whole where `full`, else their first lines."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)

    def put(name: str, text: str, style: str = "") -> None:
        lines = printable(text, multiline=True).split("\n")
        for number, line in enumerate(lines):
            console.print(Text.assemble((f"  {name if number == 0 else '':9}", "cyan"), (line, style)))

    console.print(Text(_headline(trace), "bold"))
    task = trace.task
    place = ", ".join(str(part) for part in (task.environment, task.params.get("site"), task.split) if part)
    put("task", f"{task.instruction}\n{task.id} ({place})")
    if task.params:
        put("params", _json(task.params))
    if task.hidden:
        put("hidden", f"{_json(task.hidden)}  (the agent never sees this)", "yellow")
    for position, turn in enumerate(trace.turns):
        console.print()
        console.print(Text(_turn_headline(position, turn), "bold"))
        _put_turn(put, turn, full)
    if trace.final is not None:
        console.print()
        console.print(Text("at the end", "bold"))
        put("sees", _summary(trace.final, full))
    if trace.verdicts or labels:
        console.print()
        console.print(Text("verdicts", "bold"))
    for verdict in trace.verdicts:
        about = "" if verdict.turn is None else f" on turn {verdict.turn}"
        put(printable(verdict.judge), f"{verdict.reward:g}{about}  {verdict.reason}".rstrip())
    for label in labels:
        about = "outcome" if label.turn is None else f"turn {label.turn}"
        put("a person", f"{about} is {'right' if label.correct else 'wrong'}  {label.note}".rstrip())
    sys.stdout.flush()


def _put_turn(put: Callable[..., None], turn: Turn, full: bool) -> None:
    for credit in turn.credits:
        put("credit", _credit(credit))
    put("sees", _summary(turn.observation, full))
    if turn.observation.error:
        put("error", turn.observation.error, "red")
    thought, action = split_response(turn.action.text)
    if thought and action:
        put("thinks", thought)
    if action or thought:
        put("acts" if action else "says", action or thought)
    if turn.action.call is not None:
        put("call", f"{turn.action.call.name} {_json(turn.action.call.arguments)}", "green")
    elif turn.action.error:
        put("invalid", turn.action.error, "red")


def _headline(trace: Trace) -> str:
    reward = trace.reward()
    parts = [
        f"trace {printable(trace.id)}",
        trace.outcome.value,
        "no reward" if reward is None else f"reward {reward:g}",
        f"{len(trace.turns)} turns",
    ]
    if trace.policy:
        parts.append(f"policy {printable(trace.policy)}")
    parts.append(f"seed {trace.seed}")
    if trace.created_at > 0:
        parts.append(_time(trace.created_at))
    return " · ".join(parts)


def _time(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):  # beyond the calendar
        return f"{seconds:g} s"


def _turn_headline(position: int, turn: Turn) -> str:
    parts = [f"turn {position}"]
    if turn.thread:
        parts.append(f"thread {turn.thread}")
    parts.append(f"reward {turn.reward:g}")
    if turn.action.token_ids:
        parts.append(f"{len(turn.action.token_ids)} tokens")
    if turn.act_seconds or turn.env_seconds:
        parts.append(f"acted in {turn.act_seconds:.2f} s, executed in {turn.env_seconds:.2f} s")
    return " · ".join(parts)


def _credit(credit: Credit) -> str:
    """Such as "digirl, iteration 1: value 0.42, advantage +0.13"."""
    numbers = [] if credit.value is None else [f"value {credit.value:.3g}"]
    numbers += [] if credit.advantage is None else [f"advantage {credit.advantage:+.3g}"]
    return f"{credit.learner or 'a learner'}, iteration {credit.iteration}: {', '.join(numbers)}"


def _summary(observation: Observation, full: bool) -> str:
    """Where the agent is, the first lines of what it reads, and how much more there is."""
    lines = observation.text.split("\n")
    shown = lines if full else [_cut(line) for line in lines[:_SUMMARY_LINES]]
    more = [f"… {len(lines) - len(shown)} more lines"] if len(shown) < len(lines) else []
    head = [" ".join(str(observation.info[key]) for key in ("title", "url") if observation.info.get(key))]
    images = len(observation.images)
    tail = [f"[{images} image{'s' if images > 1 else ''}]"] if images else []
    return "\n".join(line for line in (*head, *shown, *more, *tail) if line) or "(nothing)"


def _cut(line: str) -> str:
    return line if len(line) <= _SUMMARY_WIDTH else line[: _SUMMARY_WIDTH - 1] + "…"


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(dict(value), ensure_ascii=False)
