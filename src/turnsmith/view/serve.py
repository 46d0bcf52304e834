"""Running the viewer's server on a socket, and printing its link.

A client that is slow holds a connection, never the viewer: a request must have come in full within seconds, and an
answer must be taken within a minute.
"""

import asyncio
import socket
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from turnsmith.view.runs import Runs
from turnsmith.view.server import make_app

ASK_SECONDS = 10.0
"""For the head of a request, and for each piece of its body."""
TAKE_SECONDS = 60.0
"""For a piece of an answer to be taken."""
_CONNECTIONS = 512


class PatientProtocol(H11Protocol):
    """HTTP/1.1 that closes a connection on which no request has come in full in time."""

    _watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._expect()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._watch is not None:
            self._watch.cancel()

    def _expect(self) -> None:
        """Watch the connection while a request is awaited, from the first moment on; not while one is answered."""
        awaited = self.cycle is None or self.cycle.response_complete
        if awaited and self._watch is None:
            self._watch = self.loop.call_later(ASK_SECONDS, self._close)
        elif not awaited and self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _close(self) -> None:
        self._watch = None
        if not self.transport.is_closing():
            self.transport.abort()


class Patience:
    """Ends what a client asks for when its body does not come, or its answer is not taken, in time."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        whole = False

        async def read() -> Message:
            nonlocal whole
            if whole:  # only that the client has gone can come now, and that may take as long as it likes
                return await receive()
            message = await asyncio.wait_for(receive(), ASK_SECONDS)
            whole = not message.get("more_body", False)
            return message

        async def write(message: Message) -> None:
            await asyncio.wait_for(send(message), TAKE_SECONDS)

        try:
            await self.app(scope, read, write)
        except TimeoutError:
            return  # the server closes a connection whose answer is not complete


def serve(runs: Runs, listener: socket.socket, results: Path = Path("results")) -> None:
    """Print the link and serve until interrupted. The link's token is new with every start."""
    app = make_app(runs, results=results)
    host, port = listener.getsockname()[:2]
    print(f"http://{host}:{port}/#token={app.state.token}\n(Ctrl-C ends the viewer.)", flush=True)
    uvicorn.Server(settings(app)).run(sockets=[listener])


def settings(app: ASGIApp) -> uvicorn.Config:
    """How the viewer is served."""
    return uvicorn.Config(
        Patience(app), log_level="error", access_log=False, server_header=False, lifespan="on", http=PatientProtocol,
        limit_concurrency=_CONNECTIONS,
    )  # fmt: skip
