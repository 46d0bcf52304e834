"""A client of any OpenAI-compatible endpoint: vLLM, SGLang, llama.cpp, or a hosted service.

Which failure is whose, the rule:

- What someone must mend before anything can work is a `UserError`: the key (401, 403), the model's name or the path
  (404), any other 4xx, an address at which nothing answers the first time.
- A prompt longer than the model's context is `ContextTooLong`: it concerns this prompt only.
- What may pass is tried again, and then `InfraError("endpoint_down")`: 408, 409, 425, 429, 5xx, a time-out, a
  connection that drops or is cut short, a reply that is not a chat completion.

Waits between tries double from half a second, with jitter, and obey `Retry-After` up to a minute. The key comes from an
environment variable, is sent only as the bearer token, and is in no message.
"""

import asyncio
import email.utils
import json
import os
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from turnsmith.engine.sampling import Sampling
from turnsmith.errors import InfraError, UserError
from turnsmith.trace.types import StopReason

_AGAIN = frozenset((408, 409, 425, 429))
_LONGEST_WAIT = 60.0
_CONTEXT_WORDS = ("context_length", "context length", "maximum context", "context window", "too many tokens")


class ContextTooLong(InfraError):
    """The prompt does not fit into the model's context."""

    def __init__(self, detail: str) -> None:
        super().__init__("context_too_long", detail)


class _TryAgain(Exception):
    """A failure that may pass. `wait` is what the server asked for, in seconds, or None."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is served, and how patient to be.

    Attributes:
        base_url: up to and including the version, such as "http://localhost:8000/v1".
        model: the name that the server knows.
        key_variable: the environment variable that holds the API key; without it, none is sent.
        timeout_seconds: of one try.
        tries: in all, before giving up.
        concurrency: requests under way at once.
        logprobs: ask for log-probabilities of the response (some servers refuse the question).
        token_ids: ask for token ids of prompt and response (an extension of vLLM): needed to train on them.
    """

    base_url: str
    model: str
    key_variable: str = "OPENAI_API_KEY"
    timeout_seconds: float = 120.0
    tries: int = 6
    concurrency: int = 16
    logprobs: bool = False
    token_ids: bool = False


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


class OpenAIClient:
    """Asks one endpoint. Use from one event loop; `close` it at the end."""

    def __init__(self, endpoint: Endpoint, first_wait: float = 0.5) -> None:
        """Make a client; nothing is sent yet.

        Args:
            endpoint: where and how.
            first_wait: seconds before the second try; each further wait is twice as long.
        """
        self.endpoint = endpoint
        self._first_wait = first_wait
        self._reached = False
        self._places = asyncio.Semaphore(endpoint.concurrency)
        self._http = httpx.AsyncClient(
            base_url=endpoint.base_url.rstrip("/") + "/",
            timeout=httpx.Timeout(endpoint.timeout_seconds, connect=min(10.0, endpoint.timeout_seconds)),
            limits=httpx.Limits(max_connections=endpoint.concurrency),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> "OpenAIClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def models(self) -> list[str]:
        """The names of the models that the endpoint serves. Raises by the module's rule."""
        reply = await self._with_patience("GET", "models", None)
        try:
            return [str(row["id"]) for row in reply["data"]]
        except (KeyError, TypeError) as error:
            raise InfraError("endpoint_down", f"{self.endpoint.base_url}/models gave no list of models") from error

    async def chat(self, messages: Sequence[Mapping[str, Any]], sampling: Sampling, seed: int) -> Completion:
        """One response to a chat in OpenAI's form. Raises by the module's rule."""
        body: dict[str, Any] = {
            "model": self.endpoint.model,
            "messages": list(messages),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_new_tokens,
            "seed": seed % 2**31,
        }
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if self.endpoint.logprobs:
            body["logprobs"] = True
        if self.endpoint.token_ids:
            body["return_token_ids"] = True
        return await self._with_patience("POST", "chat/completions", body, _completion)

    async def _with_patience(self, method: str, path: str, body: Any, read: Any = lambda reply: reply) -> Any:
        async with self._places:
            wait = self._first_wait
            for attempt in range(1, self.endpoint.tries + 1):
                try:
                    return read(await self._once(method, path, body))
                except _TryAgain as error:
                    if attempt == self.endpoint.tries:
                        where = f"{self.endpoint.base_url} ({self.endpoint.model})"
                        raise InfraError("endpoint_down", f"{where}: {error}, {attempt} times") from error
                    jittered = wait * random.uniform(0.5, 1.0)
                    await asyncio.sleep(jittered if error.wait is None else min(error.wait, _LONGEST_WAIT))
                    wait *= 2
        raise AssertionError("unreachable")

    async def _once(self, method: str, path: str, body: Any) -> Any:
        key = os.environ.get(self.endpoint.key_variable)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            response = await self._http.request(method, path, json=body, headers=headers)
        except (httpx.ConnectError, httpx.UnsupportedProtocol) as error:
            if not self._reached:
                raise UserError(
                    f"{self.endpoint.base_url}: nothing answers there ({error or type(error).__name__}). "
                    "Start the server, or mend the address."
                ) from error
            raise _TryAgain(f"connection failed ({error})") from error
        except httpx.TimeoutException as error:
            raise _TryAgain(f"no reply within {self.endpoint.timeout_seconds:g} s") from error
        except httpx.TransportError as error:
            raise _TryAgain(f"the connection broke ({type(error).__name__})") from error
        self._reached = True
        if response.status_code != 200:
            raise self._trouble(response)
        try:
            return response.json()
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise _TryAgain("the reply was not JSON") from error

    def _trouble(self, response: httpx.Response) -> Exception:
        """The exception of a reply whose status is not 200."""
        status, said = response.status_code, _message(response)
        where = f"{self.endpoint.base_url}"
        if status in _AGAIN or status >= 500:
            return _TryAgain(f"status {status}: {said}", _retry_after(response))
        if any(word in said.lower() for word in _CONTEXT_WORDS):
            return ContextTooLong(said)
        if status in (401, 403):
            return UserError(f"{where}: refused the key ({status}). Set the variable {self.endpoint.key_variable}.")
        if status == 404:
            return UserError(
                f"{where}: knows no model {self.endpoint.model!r}, or the address is not an OpenAI-compatible one "
                f"(404: {said}). Its models: GET {where.rstrip('/')}/models"
            )
        return UserError(f"{where}: the request was refused ({status}: {said}).")


def _completion(reply: Any) -> Completion:
    try:
        choice = reply["choices"][0]
        text = choice["message"]["content"] or ""
        content = (choice.get("logprobs") or {}).get("content") or ()
        usage = reply.get("usage") or {}
        length = choice.get("finish_reason") == "length"
        return Completion(
            text=str(text),
            stop=StopReason.LENGTH if length else StopReason.EOS,
            logprobs=tuple(float(row["logprob"]) for row in content),
            prompt_ids=tuple(reply.get("prompt_token_ids") or ()),
            token_ids=tuple(choice.get("token_ids") or ()),
            prompt_tokens=int(usage.get("prompt_tokens") or 0),
            new_tokens=int(usage.get("completion_tokens") or 0),
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise _TryAgain(f"the reply was not a chat completion ({type(error).__name__})") from error


def _message(response: httpx.Response) -> str:
    """What a server says of an error, on one line."""
    try:
        said = response.json()
        said = said.get("error", said)
        said = said.get("message", said) if isinstance(said, dict) else said
    except (ValueError, AttributeError):
        said = response.text
    line = " ".join(str(said).split())
    return line[:199] + "…" if len(line) > 200 else line


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds that the server asks to wait (a number or a date), or None."""
    said = response.headers.get("retry-after")
    if said is None:
        return None
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(said).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
