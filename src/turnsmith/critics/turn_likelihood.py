"""What a language model says of the turns of a log: log-probabilities, with hidden information and without.

log π(a | o, c) − log π(a | o), a mean over the tokens of a turn, is SWEET-RL's advantage before any training: a model
that reads the hidden information finds useful turns likelier. Beside the words of a turn these numbers are features of
the critic, which learns from outcomes how much they are worth.

Notable: a dialogue is read once and not once a turn. Texts are what the agent saw: the messages of the log through the
model's chat template, or as a plain transcript where it has none.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from turnsmith.agents.templates import TemplateFault, rendered, starts_with_bos
from turnsmith.engine.forward import Prompt
from turnsmith.engine.models import LanguageModel, context_of
from turnsmith.engine.score import score
from turnsmith.errors import UserError
from turnsmith.trace.messages import (
    TOOL_CALL,
    VERBATIM,
    assistant_message,
    observation_messages,
    tool_call_id,
)
from turnsmith.trace.types import Trace

_LONGEST = 4000
"""Characters of one message that are read: pages and tool output say most at their beginning."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a dialogue as text; `turn` is the agent's turn that it is, or None."""

    role: str
    text: str
    turn: int | None = None


def transcript(trace: Trace, hidden: str = "") -> list[Message]:
    """The messages of a trace as the agent saw and wrote them; `hidden` stands in front as a system message."""
    found = [Message("system", f"What the agent does not know:\n{hidden[:_LONGEST]}")] if hidden else []
    found += [Message(str(row["role"]), _text(row)) for row in trace.info.get(VERBATIM, ())]
    instruction, reply_to = trace.task.instruction, None
    for index, turn in enumerate(trace.turns):
        rows = observation_messages(turn.observation, instruction, reply_to)
        found += [Message("system" if row["role"] == "system" else "user", _text(row)) for row in rows]
        found.append(Message("assistant", _text(assistant_message(turn)), index))
        instruction, reply_to = "", tool_call_id(turn)
        if TOOL_CALL not in turn.info and turn.action.call is not None and not turn.action.text:
            call = turn.action.call
            found[-1] = Message("assistant", f"{call.name}({dict(call.arguments)})", index)
    return found


def _text(row: dict[str, Any]) -> str:
    content = row.get("content") or ""
    if isinstance(content, list):
        content = "\n".join(part.get("text", "") for part in content if part.get("type") == "text")
    calls = [call["function"] for call in row.get("tool_calls") or ()]
    return "\n".join([content, *(f"{call['name']}({call['arguments']})" for call in calls)]).strip()[:_LONGEST] or " "


def encode(tokenizer: Any, messages: Sequence[Message]) -> tuple[list[int], list[int]]:
    """Token ids of a dialogue, and of each the agent's turn it belongs to, −1 for what others said and for markup."""
    pieces = _templated(tokenizer, messages) if getattr(tokenizer, "chat_template", None) else None
    pieces = pieces or [
        part
        for message in messages
        for part in ((f"{message.role.capitalize()}: ", -1), (message.text, _turn(message)), ("\n\n", -1))
    ]
    first, ids = tokenizer.bos_token_id, list[int]()
    if first is not None and not starts_with_bos(tokenizer, pieces[0][0] if pieces else ""):
        ids.append(first)
    turns = [-1] * len(ids)
    for text, turn in pieces:
        part = tokenizer(text, add_special_tokens=False).input_ids
        ids += part
        turns += [turn] * len(part)
    return ids, turns


def _turn(message: Message) -> int:
    return -1 if message.turn is None else message.turn


def _templated(tokenizer: Any, messages: Sequence[Message]) -> list[tuple[str, int]] | None:
    """The dialogue through the chat template in pieces; None where the template does not grow message by message."""
    rows: list[dict[str, str]] = []
    before, pieces = "", []
    for message in messages:
        if rows and rows[-1]["role"] == message.role:
            return None  # many templates insist on taking turns
        try:
            cue = rendered(tokenizer, rows, cue=True) if rows else ""
            rows.append({"role": message.role, "content": message.text})
            whole = rendered(tokenizer, rows, cue=False)
        except TemplateFault:
            return None
        if " ".join(message.text.split()) not in " ".join(whole[len(before) :].split()):
            return None  # the template leaves this message out
        if not whole.startswith(before):
            return None
        if message.turn is not None and whole.startswith(cue) and len(cue) >= len(before):
            pieces += [(cue[len(before) :], -1), (whole[len(cue) :], message.turn)]
        else:
            pieces.append((whole[len(before) :], -1))
        before = whole
    return pieces


def turn_likelihoods(
    model: LanguageModel,
    tokenizer: Any,
    traces: Sequence[Trace],
    hidden: Sequence[str] | None = None,
    batch_tokens: int = 8192,
    on_trace: Callable[[], None] | None = None,
) -> list[list[float]]:
    """Mean log-probability a token of each turn of each trace.

    Args:
        model: a Hugging Face causal LM in `eval()` mode.
        tokenizer: of the model.
        traces: the log.
        hidden: hidden information of each as text, put in front; None reads the dialogues as the agent did.
        batch_tokens: padded tokens of one pass.
        on_trace: called for every trace that is done.

    Raises:
        UserError: if a dialogue does not fit into the model's context.
    """
    limit = context_of(model)
    found: list[list[float]] = []
    rows: list[tuple[list[int], list[int]]] = []
    for index, trace in enumerate(traces):
        ids, turns = encode(tokenizer, transcript(trace, "" if hidden is None else hidden[index]))
        if limit and len(ids) > limit:
            raise UserError(
                f"trace {trace.id}: {len(ids):,} tokens do not fit into the model's context of {limit:,}. Choose a "
                "model that reads more, or leave --model out."
            )
        rows.append((ids, turns))
    for start in range(0, len(rows), 64):
        part = rows[start : start + 64]
        scored = score(model, [Prompt(ids[:1]) for ids, _ in part], [ids[1:] for ids, _ in part], batch_tokens)
        for (_, turns), logprobs, trace in zip(part, scored, traces[start : start + 64], strict=True):
            sums, counts = [0.0] * len(trace.turns), [0] * len(trace.turns)
            for turn, logprob in zip(turns[1:], logprobs, strict=True):
                if turn >= 0:
                    sums[turn] += logprob
                    counts[turn] += 1
            found.append([total / max(1, count) for total, count in zip(sums, counts, strict=True)])
            if on_trace is not None:
                on_trace()
    return found
