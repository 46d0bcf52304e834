"""A client of any OpenAI-compatible endpoint: vLLM, SGLang, llama.cpp, or a hosted service.

Which failure is whose, the rule (`engine.openai_reply` reads the kinds):

- What someone must mend before anything can work is a `UserError`: the key (401, 403), the account, the model's name or
  the path (404), an address at which nothing answers the first time, and any other 4xx before a request has succeeded.
- What concerns one prompt is an `InfraError` of its own kind: `ContextTooLong` (longer than the model's context),
  `Refused` (a filter, or a 4xx after others have succeeded).
- What may pass is tried again, and then `InfraError("endpoint_down")`: 408, 409, 425, 429, 5xx, a time-out of the whole
  try (a byte now and then does not prolong it), a connection that drops or is cut short, a reply that is not a chat
  completion or is larger than any should be.

Waits between tries double from half a second, with jitter, and obey `Retry-After` up to a minute. The key comes from an
environment variable, is sent only as the bearer token, and is in no message, also where a server echoes it.
"""

import asyncio
import email.utils
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from turnsmith.engine.openai_reply import Completion, TryAgain, completion, decode, message_of, shorten, trouble
from turnsmith.engine.sampling import Sampling
from turnsmith.errors import InfraError, UserError

ENDPOINT = "openai:"
"""How the name of a served model begins."""
_LONGEST_WAIT = 60.0
_LARGEST_REPLY = 32 * 2**20
"""Bytes, unpacked: a reply of 100,000 tokens with log-probabilities has a tenth of it."""

T = TypeVar("T")


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


def endpoint_of(spec: str, what: str = "policy") -> Endpoint:
    """The endpoint that "openai:MODEL@BASE_URL" names.

    Raises:
        UserError: if it is not of this form; `what` says whose endpoint it should be.
    """
    model, at, url = spec.removeprefix(ENDPOINT).rpartition("@")
    if not spec.startswith(ENDPOINT) or not at or not model or not url.startswith(("http://", "https://")):
        raise UserError(f"{what} {spec!r}: write openai:MODEL@BASE_URL, such as openai:qwen@http://localhost:8000/v1.")
    return Endpoint(url, model)


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
        self._reached = self._worked = False
        self._limit_name = "max_tokens"
        self.tokens = 0
        """Tokens of all prompts and responses so far, as the server counted them."""
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
        return await self._with_patience("GET", "models", None, _model_names)

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
        reply = await self._with_patience("POST", "chat/completions", body, completion)
        self._worked = True
        self.tokens += reply.prompt_tokens + reply.new_tokens
        return reply

    async def _with_patience(self, method: str, path: str, body: dict[str, Any] | None, read: Callable[[Any], T]) -> T:
        async with self._places:
            wait = self._first_wait
            for attempt in range(1, self.endpoint.tries + 1):
                try:
                    return read(await self._once(method, path, body))
                except TryAgain as error:
                    if attempt == self.endpoint.tries:
                        where = f"{self.endpoint.base_url} ({self.endpoint.model})"
                        raise InfraError(
                            "endpoint_down", f"{where}: {self._without_key(error)}, {attempt} times"
                        ) from None
                    jittered = wait * random.uniform(0.5, 1.0)
                    await asyncio.sleep(jittered if error.wait is None else min(error.wait, _LONGEST_WAIT))
                    wait *= 2
        raise AssertionError("unreachable")

    async def _once(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        """One try: the reply's JSON."""
        sent = body and {self._limit_name if name == "max_tokens" else name: value for name, value in body.items()}
        try:
            async with asyncio.timeout(self.endpoint.timeout_seconds):
                response, content = await self._exchange(method, path, sent)
        except (httpx.ConnectError, httpx.UnsupportedProtocol) as error:
            if not self._reached:
                raise UserError(
                    f"{self.endpoint.base_url}: nothing answers there ({error or type(error).__name__}). "
                    "Start the server, or mend the address."
                ) from error
            raise TryAgain(f"connection failed ({error})") from error
        except (TimeoutError, httpx.TimeoutException) as error:
            raise TryAgain(f"no whole reply within {self.endpoint.timeout_seconds:g} s") from error
        except httpx.RequestError as error:  # a connection that broke, a body that is not what its header says
            raise TryAgain(f"the connection broke ({type(error).__name__})") from error
        self._reached = True
        if response.status_code == 200:
            return decode(content)
        if response.status_code == 400 and "max_tokens" in (sent or ()) and b"max_completion_tokens" in content:
            self._limit_name = "max_completion_tokens"  # what reasoning models call it; from now on it is sent so
            return await self._once(method, path, body)
        raise self._trouble(response, content)

    async def _exchange(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[httpx.Response, bytes]:
        """Send a request and read its reply, as much of it as a reply should have."""
        key = os.environ.get(self.endpoint.key_variable)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        async with self._http.stream(method, path, json=body, headers=headers) as response:
            parts, size = [], 0
            async for part in response.aiter_bytes():
                parts.append(part)
                size += len(part)
                if size > _LARGEST_REPLY:
                    raise TryAgain(f"the reply has more than {_LARGEST_REPLY // 2**20} MiB")
            return response, b"".join(parts)

    def _trouble(self, response: httpx.Response, content: bytes) -> Exception:
        """The exception of a reply whose status is not 200."""
        status, where = response.status_code, self.endpoint.base_url
        try:
            said = message_of(decode(content))
        except TryAgain:
            said = shorten(content.decode("utf-8", "replace"))
        said = self._without_key(said)
        if status in (401, 403):
            return UserError(f"{where}: refused the key ({status}). Set the variable {self.endpoint.key_variable}.")
        if status == 404:
            return UserError(
                f"{where}: knows no model {self.endpoint.model!r}, or the address is not an OpenAI-compatible one "
                f"(404: {said}). Its models: GET {where.rstrip('/')}/models"
            )
        return trouble(status, said, where, _retry_after(response), self._worked)

    def _without_key(self, said: object) -> str:
        """A server's words without our key, should it echo it."""
        key = os.environ.get(self.endpoint.key_variable)
        return str(said).replace(key, "(the key)") if key else str(said)


def _model_names(reply: Any) -> list[str]:
    try:
        return [str(row["id"]) for row in reply["data"]]
    except (KeyError, TypeError) as error:
        raise TryAgain("the reply was no list of models") from error


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
