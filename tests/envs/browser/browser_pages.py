"""A small HTTP server for the browser tests: every path answers with what a test put there."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from turnsmith.envs.browser import BrowserEnvironment, ObservationConfig, OpenWeb
from turnsmith.envs.browser.session import BrowserSession
from turnsmith.trace.types import Action, Call, Task


@dataclass
class Reply:
    """One answer. It waits for `gate` if there is one; `stall` sends the head and half of the body and then nothing."""

    body: str | bytes = ""
    status: str = "200 OK"
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = "text/html; charset=utf-8"
    gate: asyncio.Event | None = None
    stall: bool = False


class PageServer:
    """Serves `pages[path]` (HTML, a Reply, or a function of the request) on loopback; keeps a log of requests."""

    def __init__(self) -> None:
        self.pages: dict[str, str | Reply | Callable[[str], str | Reply]] = {}
        self.log: list[str] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and drop every connection, as a dying server does."""
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._writers):
            writer.close()
        await asyncio.sleep(0)

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def task(self, path: str = "/", **params: object) -> Task:
        return Task(path, "look around", "browser", {"start_url": self.url(path), **params})

    def put(self, html: str, path: str = "/") -> Task:
        """Serve a page (with a doctype and a margin of 8 px) and return the task that starts there."""
        self.pages[path] = page(html)
        return self.task(path)

    async def asked(self, line: str) -> None:
        """Wait until this request has come in."""
        await until(lambda: line in self.log)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = next((line for line in head.split("\r\n") if line.lower().startswith("content-length:")), "")
                body = (await reader.readexactly(int(length.split(":")[1]))).decode() if length else ""
                method, target, _ = head.split("\r\n", 1)[0].split(" ")
                self.log.append(f"{method} {target} {body}".strip())
                found = self.pages.get(target, self.pages.get(target.split("?")[0], Reply("not here", "404 Not Found")))
                reply = found(f"{head}{body}") if callable(found) else found
                reply = reply if isinstance(reply, Reply) else Reply(reply)
                if reply.gate is not None:
                    await reply.gate.wait()
                content = reply.body.encode() if isinstance(reply.body, str) else reply.body
                headers = {"Content-Type": reply.media_type, "Content-Length": str(len(content)), **reply.headers}
                lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                sent = content[: len(content) // 2] if reply.stall else content
                writer.write(f"HTTP/1.1 {reply.status}\r\n{lines}\r\n".encode() + sent)
                await writer.drain()
                if reply.stall:
                    await asyncio.Event().wait()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


def page(body: str, head: str = "") -> str:
    return (
        f"<!doctype html><html><head><title>A page</title>{head}</head>"
        f"<body style='font: 16px sans-serif'>{body}</body></html>"
    )


def act(name: str, **arguments: object) -> Action:
    return Action(f"Action: {name}", Call(name, arguments))


def mark_of(observation, text: str) -> int:
    """The mark of the element with this text or name."""
    found = [one["mark"] for one in observation.info["elements"] if text in (one["text"], one["aria"])]
    assert len(found) == 1, (text, observation.text)
    return found[0]


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; fails after ten seconds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 (any condition, not one event)
            await asyncio.sleep(0.005)


@asynccontextmanager
async def seeing(environment: BrowserEnvironment, config: ObservationConfig) -> AsyncIterator[BrowserSession]:
    """A session in the browser of `environment` that observes otherwise."""
    session = BrowserSession(environment.pool, OpenWeb(), config, None)
    try:
        yield session
    finally:
        await session.close()


async def script(session: BrowserSession, expression: str) -> Any:
    """The value of an expression in the session's page."""
    assert session._tab is not None
    return await session._tab.evaluate(expression)
