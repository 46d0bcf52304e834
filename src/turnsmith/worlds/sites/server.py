"""`LocalSites`: the five sites behind one real web server on loopback.

http://shop.localhost:PORT/, http://forum.localhost:PORT/ and so on: Chromium resolves every name under `localhost` to
this machine. A guest is made in Python and known to the server by a random cookie, so nothing that a page can reach
makes, resets or reveals a state. The server runs in its own thread with its own event loop, and a guest's state is
touched only there, between two awaits of its handlers, so grading never sees half a change.
"""

import asyncio
import errno
import secrets
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.responses import PlainTextResponse, Response
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from turnsmith.errors import InfraError, UserError
from turnsmith.trace.types import ORACLE, Task, Verdict
from turnsmith.worlds.sites import SITES
from turnsmith.worlds.sites.goals import judge
from turnsmith.worlds.sites.kit import HERE, Guest, Site

if TYPE_CHECKING:
    from playwright.async_api import Page

COOKIE = "guest"
Headers = Mapping[bytes, bytes]
_CACHED = {"Cache-Control": "max-age=86400"}


class LocalSites:
    """A `SiteHost` that serves the local sites.

    Task params: `site`, `world` (its seed), and optionally `path` (default "/") and `setup` (what the guest's state
    holds at the start). The episode's seed changes nothing: a world is wholly decided by its own.

    Args:
        port: 0 takes any free port.
        address: the loopback address to listen on.
        viewport: (width, height) in CSS pixels instead of 1024x768; the pages also fit a phone.
    """

    def __init__(self, port: int = 0, address: str = "127.0.0.1", viewport: tuple[int, int] | None = None) -> None:
        self.port = port
        self.address = address
        self.viewport = viewport
        self.guests: dict[str, Guest] = {}
        self._app = App(self.guests)
        self._server: Any = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Listen and serve.

        Raises:
            UserError: if the port is taken or not allowed.
            InfraError: if the server did not come up.
        """
        import uvicorn

        listener = listen(self.address, self.port)
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(self._app, log_level="error", access_log=False, lifespan="off", timeout_keep_alive=60)
        self._server = server = uvicorn.Server(config)

        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            await server.serve(sockets=[listener])

        self._thread = threading.Thread(target=lambda: asyncio.run(serve()), name="local-sites", daemon=True)
        self._thread.start()
        while not server.started:
            if not self._thread.is_alive():
                raise InfraError("server_down", "the server of the local sites did not start")
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Close the port and forget every guest."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = self._server.force_exit = True
            await asyncio.to_thread(self._thread.join, 10)
        self.guests.clear()
        self._server = self._thread = self._loop = None

    async def visit(self, task: Task, seed: int) -> "SiteVisit":
        """A new guest in the world that the task names.

        Raises:
            UserError: if the task's params do not name a site and a world.
            InfraError: if the server is not running.
        """
        if self._thread is None or not self._thread.is_alive():
            raise InfraError("server_down", "the server of the local sites is not running")
        site, world = site_of(task), task.params.get("world")
        path = task.params.get("path", "/")
        if not isinstance(path, str) or not path.startswith("/"):
            raise UserError(f'task {task.id}: "path" must be a text that starts with "/", not {path!r}.')
        try:
            content = site.world(int(world))  # type: ignore[arg-type]
            state = site.arrive(content, task.params.get("setup") or {})
        except (TypeError, ValueError) as error:
            raise UserError(f'task {task.id}: "world" {world!r} or "setup" does not fit ({error}).') from error
        token = secrets.token_urlsafe(18)
        self.guests[token] = Guest(site.name, content, state)
        return SiteVisit(self, task, site.name, token, path)


def site_of(task: Task) -> Site:
    """The site that a task names.

    Raises:
        UserError: if it names none that exists.
    """
    name = task.params.get("site")
    if name not in SITES:
        raise UserError(f'task {task.id}: "site" is {name!r}, not one of {", ".join(SITES)}.')
    return SITES[name]


def listen(address: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        UserError: if the port is taken or cannot be used.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
    except (OSError, OverflowError) as error:
        listener.close()
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        why = "is taken" if taken else f"cannot be used ({error})"
        raise UserError(f"port {port} on {address} {why}. Choose another, or 0 for any free one.") from error
    listener.listen(512)
    return listener


@dataclass(frozen=True)
class SiteVisit:
    """One episode at a local site: the driver's `Visit`."""

    host: LocalSites
    task: Task
    site: str
    token: str
    path: str
    hosts: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hosts", frozenset({f"{self.site}.localhost"}))

    @property
    def start_url(self) -> str:
        """The first page."""
        return f"http://{self.site}.localhost:{self.host.port}{self.path}"

    @property
    def cookies(self) -> Sequence[Mapping[str, Any]]:
        """The one cookie that tells the server whose request it is."""
        url = f"http://{self.site}.localhost:{self.host.port}/"
        return [{"name": COOKIE, "value": self.token, "url": url, "httpOnly": True, "sameSite": "Lax"}]

    async def ready(self, page: "Page") -> None:
        """The page needs no start signal."""

    async def after_step(self, page: "Page") -> tuple[float, bool]:
        """The sites play no game of their own."""
        return 0.0, False

    async def grade(self, page: "Page", answer: str | None) -> Verdict | None:
        """The oracle: the guest's state on the server, and the answer, against the task's goal."""
        snapshot, viewing = await self.look()
        goal = self.task.hidden.get("goal")
        if not goal:
            return None
        success, reason = judge(goal, answer, snapshot, viewing)
        return Verdict(ORACLE, float(success), reason)

    async def look(self) -> tuple[dict[str, list[str]], str]:
        """The guest's state in words, and the key of the page that they look at.

        Raises:
            InfraError: if the server is gone or the visit was closed.
        """
        guest, loop = self.host.guests.get(self.token), self.host._loop
        if guest is None or loop is None or loop.is_closed():
            raise InfraError("server_down", "the local sites know no such visit any more")

        async def read() -> tuple[dict[str, list[str]], str]:
            return guest.state.snapshot(), guest.viewing

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(read(), loop))

    async def close(self) -> None:
        """Forget the guest."""
        self.host.guests.pop(self.token, None)


class App:
    """The ASGI application: the host name picks the site, the cookie the guest."""

    def __init__(self, guests: Mapping[str, Guest]) -> None:
        self.guests = guests
        self.routers = {name: Router(routes=list(site.routes)) for name, site in SITES.items()}
        frame = (HERE / "frame" / "style.css").read_text()
        self.styles = {name: frame + (HERE / name / "style.css").read_text() for name in SITES}
        self.script = (HERE / "frame" / "site.js").read_text()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        await self._answer(site_name(headers), headers, scope)(scope, receive, send)

    def _answer(self, site: str, headers: Headers, scope: Scope) -> ASGIApp:
        if site not in self.routers:
            return PlainTextResponse("No such site.", 404)
        if scope["path"] == "/style.css":
            return Response(self.styles[site], media_type="text/css", headers=_CACHED)
        if scope["path"] == "/site.js":
            return Response(self.script, media_type="text/javascript", headers=_CACHED)
        guest = self.guests.get(token_of(headers))
        if guest is None or guest.site != site:
            return PlainTextResponse("This page belongs to an episode, and no episode knows this browser.", 403)
        scope["guest"] = guest
        return self.routers[site]


def site_name(headers: Headers) -> str:
    """The site of a request, by its host; it may be one that does not exist."""
    return headers.get(b"host", b"").decode("latin-1").split(":")[0].removesuffix(".localhost")


def token_of(headers: Headers) -> str:
    """The guest's token in the Cookie header, or ""."""
    for part in headers.get(b"cookie", b"").decode("latin-1").split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            return value
    return ""
