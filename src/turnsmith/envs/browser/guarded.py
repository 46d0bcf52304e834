"""Somebody's own site, so that training on it does no harm: nothing is sent but GET, unless that is allowed.

`GuardedWeb` is `OpenWeb` with four guards:

- **Writes.** Without `allow_writes`, whatever the browser wants to send that is no GET, HEAD or OPTIONS is refused
  (forms, fetch, beacons, workers' requests, frames), and WebSockets are closed, since nobody can tell what goes over
  them. A refused navigation leaves the page as it is; the agent reads in a note that it was refused.
- **Reset.** Before each episode an address is POSTed to, or a shell command is run. It has to succeed.
- **Login.** A stored state of cookies and local storage is put into each episode's context (`log_in` makes one). It is
  in no task and in no trace.
- **Hosts.** As for every site: only the start URL's own and those of the task's allow-list (`wall.py`).

A GET that changes something is the site's own fault and is not caught: such a site needs `reset`, or a copy.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from turnsmith.envs.browser.faults import Limits, StepError
from turnsmith.envs.browser.host import OpenWeb
from turnsmith.envs.browser.pool import BrowserPool
from turnsmith.errors import InfraError, UserError
from turnsmith.trace.types import Task, Verdict

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page, Route, WebSocketRoute

READS = ("GET", "HEAD", "OPTIONS")
_RESET_SECONDS = 120.0


class GuardedWeb(OpenWeb):
    """A site by its URL, guarded. Task params as for `OpenWeb`.

    Args:
        allow_writes: let everything through.
        reset: an http(s) address to POST to, or a shell command, before each episode; "" for none.
        state: Playwright's storage state of a login; None for none.
        login: makes such a state anew after each reset, which often forgets who was logged in.
        viewport: (width, height) in CSS pixels instead of 1024x768.
    """

    def __init__(
        self,
        *,
        allow_writes: bool = False,
        reset: str = "",
        state: Mapping[str, Any] | None = None,
        login: Callable[[], Awaitable[Mapping[str, Any]]] | None = None,
        viewport: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(viewport)
        self.allow_writes = allow_writes
        self.reset = reset
        self.state = state
        self.login = login

    async def visit(self, task: Task, seed: int) -> "GuardedVisit":
        """Put the site's state back, then read the task's params.

        Raises:
            UserError: as `OpenWeb`, and if the command to reset cannot be run.
            InfraError: `reset_failed`.
        """
        if self.reset:
            await put_back(self.reset)
            if self.login is not None:
                self.state = await self.login()
        base = await super().visit(task, seed)
        return GuardedVisit(base.start_url, base.hosts, tuple(base.cookies), self.allow_writes, self.state)


@dataclass
class GuardedVisit:
    """One episode at a guarded site: a `Visit`, `Prepared` and `Noting`."""

    start_url: str
    hosts: frozenset[str]
    cookies: Sequence[Mapping[str, Any]]
    allow_writes: bool
    state: Mapping[str, Any] | None = field(repr=False)
    refused: list[str] = field(default_factory=list)
    """Method and path of every refused request, in order."""
    _told: int = 0

    async def prepare(self, context: "BrowserContext") -> None:
        """Log in by the stored state, and stand guard over what is sent."""
        if self.state is not None:
            await context.set_storage_state(dict(self.state))  # type: ignore[arg-type]
        if not self.allow_writes:
            await context.route("**/*", self._look_at)
            await context.route_web_socket("**/*", self._close)

    async def _look_at(self, route: "Route") -> None:
        request = route.request
        if request.method in READS:
            await route.fallback()
            return
        self.refused.append(f"{request.method} {urlsplit(request.url).path or '/'}")
        if request.is_navigation_request():
            await route.fulfill(status=204)  # the browser stays on the page that it shows
        else:
            await route.abort("blockedbyclient")

    async def _close(self, socket: "WebSocketRoute") -> None:
        self.refused.append(f"WEBSOCKET {urlsplit(socket.url).path or '/'}")
        await socket.close()

    def notes(self) -> list[str]:
        """What was refused since the last step."""
        new, self._told = self.refused[self._told :], len(self.refused)
        return [f"the site was not changed: {refused} was refused" for refused in dict.fromkeys(new)]

    async def ready(self, page: "Page") -> None:
        """Nothing to start."""

    async def after_step(self, page: "Page") -> tuple[float, bool]:
        """The site plays no game of its own."""
        return 0.0, False

    async def grade(self, page: "Page", answer: str | None) -> Verdict | None:
        """There is no oracle."""
        return None

    async def close(self) -> None:
        """Nothing is held."""


async def put_back(reset: str) -> None:
    """POST to an address, or run a shell command, and wait until it is done.

    Raises:
        InfraError: `reset_failed`, with the end of what it said.
    """
    if reset.startswith(("http://", "https://")):
        try:
            async with httpx.AsyncClient(timeout=_RESET_SECONDS, follow_redirects=True) as client:
                response = await client.post(reset)
        except httpx.HTTPError as error:
            raise InfraError("reset_failed", f"{reset}: {error or type(error).__name__}") from error
        if response.status_code >= 400:
            raise InfraError("reset_failed", f"{reset} answered {response.status_code}")
        return
    process = await asyncio.create_subprocess_shell(
        reset, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(_RESET_SECONDS):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise InfraError("reset_failed", f"the command took more than {_RESET_SECONDS:g} s") from None
    if process.returncode:
        end = said.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise InfraError("reset_failed", f"the command ended with {process.returncode}: {end[0][:200]}")


_FORM = """() => {
  const secret = [...document.querySelectorAll("input[type=password]")].find((one) => one.offsetParent !== null);
  if (!secret) return "";
  const fields = [...(secret.form || document).querySelectorAll("input")];
  const before = fields.slice(0, fields.indexOf(secret)).reverse();
  const name = before.find((one) => ["text", "email", "tel", ""].includes(one.getAttribute("type") || "")
                           && one.offsetParent !== null);
  secret.setAttribute("data-turnsmith", "password");
  if (name) name.setAttribute("data-turnsmith", "user");
  return name ? "both" : "password";
}"""


async def log_in(url: str, user: str, password: str, hosts: Sequence[str] = ()) -> Mapping[str, Any]:
    """Fill a login form in and keep what the site gives for it.

    Args:
        url: of the page with the form.
        user, password: what is filled in; neither is in any message or result of ours.
        hosts: further hostnames that the form needs.

    Returns:
        Playwright's storage state: {"cookies": […], "origins": […]}.

    Raises:
        UserError: if there is no such form, or it still asks for a password afterwards.
        InfraError: as for every episode.
    """
    host = urlsplit(url).hostname
    if host is None or not url.startswith(("http://", "https://")):
        raise UserError(f"--login {url}: not an http or https address.")
    pool = BrowserPool((1024, 768), Limits())
    await pool.start()
    try:
        tab = await pool.tab(frozenset({host, *hosts}))
        return await tab.guard(_logged_in(tab, url, user, password))
    except StepError as error:
        raise UserError(f"--login {url}: {error}") from error
    finally:
        await pool.stop()


async def _logged_in(tab: Any, url: str, user: str, password: str) -> Mapping[str, Any]:
    await tab.goto(url)
    form = await tab.page.evaluate(_FORM)
    if not form:
        raise UserError(
            f"--login {url}: there is no visible field for a password. Give the address of the form itself."
        )
    if form == "both":
        await tab.page.fill("[data-turnsmith=user]", user)
    await tab.page.fill("[data-turnsmith=password]", password)
    tab.begin()
    await tab.page.press("[data-turnsmith=password]", "Enter")
    await tab.settle()
    if await tab.page.evaluate(_FORM):
        raise UserError(f"--login {url}: the page still asks for a password. Check the two variables.")
    return await tab.context.storage_state()
