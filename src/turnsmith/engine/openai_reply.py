"""What an OpenAI-compatible endpoint said: a response of the model, or trouble by its kind.

Providers disagree on words, so both directions read the kind and not the case:

- a reply with status 200 may still be no answer: an error object, a choice that ended in one, a filter that took the
  answer away. Those are trouble, with the provider's own words;
- what the model itself did is its own: a refusal, a tool call where text was asked for, reasoning that used up its
  tokens. Those are completions whose `stop` says so;
- ids and log-probabilities are read strictly, since they are trained on: finite numbers, whole ids.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from turnsmith.errors import InfraError, UserError
from turnsmith.jsonl import parse_json
from turnsmith.text import well_formed
from turnsmith.trace.types import StopReason

AGAIN = frozenset((408, 409, 425, 429))
"""Statuses that may pass, beside all from 500 on."""

_TOO_LONG = re.compile(
    r"context[ _-]?(length|window|size)|maximum context|too many tokens|prompt is too long|input is too long"
    r"|longer than the maximum|exceeds? the (maximum|available|limit)|(maximum|max)[\w ]*tokens? (allowed|exceeded)"
    r"|input token count|reduce the length|string_above_max_length|exceed_context",
    re.IGNORECASE,
)
_FILTERED = re.compile(
    r"content[_ -]?filter|content management policy|content policy|responsible.?ai|safety|blocked by|prohibited",
    re.IGNORECASE,
)
_QUOTA = re.compile(
    r"insufficient[_ ](quota|credits?|funds|balance)|exceeded your current quota|billing", re.IGNORECASE
)
_LONGEST_MESSAGE = 200


class TryAgain(Exception):
    """A failure that may pass. `wait` is what the server asked for, in seconds, or None."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class ContextTooLong(InfraError):
    """The prompt does not fit into the model's context. It concerns this prompt only."""

    def __init__(self, detail: str) -> None:
        super().__init__("context_too_long", detail)


class Refused(InfraError):
    """The provider would not take this prompt, or took the answer away. It concerns this prompt only."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A response of an endpoint.

    Attributes:
        text: of the response.
        stop: why it ended.
        logprobs: natural log-probability of each token; empty where the server gives none.
        prompt_ids, token_ids: empty where the server gives none.
        prompt_tokens, new_tokens: as the server counted them; 0 where it does not say.
    """

    text: str
    stop: StopReason
    logprobs: tuple[float, ...] = ()
    prompt_ids: tuple[int, ...] = ()
    token_ids: tuple[int, ...] = ()
    prompt_tokens: int = 0
    new_tokens: int = 0


def decode(body: bytes) -> Any:
    """JSON from a server.

    Raises:
        TryAgain: if it is none, or such that no parser should follow it (nested without end, numbers without end).
    """
    try:
        return parse_json(body)
    except ValueError as error:
        raise TryAgain("the reply was not JSON") from error


def completion(reply: Any) -> Completion:
    """The response in a reply whose status was 200.

    Raises:
        TryAgain, UserError, InfraError: where it holds an error, or is no chat completion.
    """
    try:
        if reply.get("error"):
            raise trouble(_status_of(reply["error"]), message_of(reply))
        choice = reply["choices"][0]
        text, stop = _answer(choice)
        usage = reply.get("usage") or {}
        content = (choice.get("logprobs") or {}).get("content") or ()
        return Completion(
            text=well_formed(text),
            stop=stop,
            logprobs=tuple(_logprob(row["logprob"]) for row in content),
            prompt_ids=_ids(reply.get("prompt_token_ids") or choice.get("prompt_token_ids")),
            token_ids=_ids(choice.get("token_ids")),
            prompt_tokens=int(usage.get("prompt_tokens") or 0),
            new_tokens=int(usage.get("completion_tokens") or 0),
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise TryAgain(f"the reply was not a chat completion ({type(error).__name__})") from error


def _answer(choice: Mapping[str, Any]) -> tuple[str, StopReason]:
    """The text of a choice, and why it ended."""
    message, ended = choice["message"], choice.get("finish_reason")
    if choice.get("error") or ended == "error":
        raise trouble(_status_of(choice.get("error")), message_of(choice))
    text = _text(message.get("content"))
    if ended == "content_filter":
        raise Refused("content_filter", "the provider's filter took the answer away")
    if message.get("refusal") and not text:
        return _text(message["refusal"]), StopReason.REFUSAL
    if ended == "length":
        return text, StopReason.LENGTH
    if message.get("tool_calls") and not text:
        return "", StopReason.TOOL_CALL
    return text, StopReason.EOS


def _text(content: Any) -> str:
    """A message's content: a string, nothing, or a list of parts of which those of text count."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part.get("type") in ("text", "output_text"))


def _logprob(value: float | str) -> float:
    number = float(value)
    if math.isnan(number) or number > 1e-4:  # a server's rounding may leave a little above 0
        raise ValueError("not a log-probability")
    return min(number, 0.0)


def _ids(values: Sequence[int] | None) -> tuple[int, ...]:
    ids = tuple(values or ())
    if any(isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31 for value in ids):
        raise ValueError("not token ids")
    return ids


def trouble(
    status: int | None, said: str, where: str = "the endpoint", wait: float | None = None, worked: bool = True
) -> Exception:
    """The exception of an error by its status and words.

    Args:
        status: HTTP's, or the code in an error object; None where there is none.
        said: the provider's words.
        where: the endpoint, for the message.
        wait: seconds that the server asks to wait.
        worked: whether a request of this kind has succeeded before: then this prompt is refused, not the set-up.

    Returns:
        A `TryAgain`, `ContextTooLong` or `Refused`, or a `UserError` for what somebody must mend.
    """
    if status in (401, 403, 402) or _QUOTA.search(said):
        return UserError(f"{where}: refused ({status}: {said}). Mend the key or the account, then go on.")
    if status == 413 or (_TOO_LONG.search(said) and status not in AGAIN):
        return ContextTooLong(said)
    if _FILTERED.search(said) and (status is None or 400 <= status < 500) and status != 429:
        return Refused("content_filter", said)
    if status is None or status in AGAIN or status >= 500 or status < 400:
        return TryAgain(f"status {status}: {said}" if status else said, wait)
    if worked:
        return Refused("request_refused", f"{status}: {said}")
    return UserError(f"{where}: the request was refused ({status}: {said}).")


def message_of(reply: Any) -> str:
    """What a server says of an error, on one line of at most 200 characters."""
    try:
        said = reply.get("error") or reply.get("message") or reply
        said = said.get("message") or said if isinstance(said, dict) else said
    except AttributeError:
        said = reply
    return shorten(str(said))


def shorten(text: str) -> str:
    """Words of a server for a message: one line of at most 200 characters."""
    line = " ".join(well_formed(text).split())
    return line[: _LONGEST_MESSAGE - 1] + "…" if len(line) > _LONGEST_MESSAGE else line


def _status_of(error: object) -> int | None:
    """The code in an error object, where it is a status."""
    code = error.get("code", error.get("status")) if isinstance(error, dict) else None
    try:
        return int(code) if code is not None and 100 <= int(code) < 600 else None
    except (TypeError, ValueError):
        return None
