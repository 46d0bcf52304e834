"""The contract between the driver and whoever serves pages, and the default host: any site on the web.

A `SiteHost` is made once and serves many episodes. For each it hands out a `Visit`: where the episode starts, which
hosts it may reach, and, where somebody knows it, the truth about how it went.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

from turnsmith.envs.browser.wall import host_pattern
from turnsmith.errors import UserError
from turnsmith.jsonl import read_json
from turnsmith.trace.types import Task, Verdict

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page


class Visit(Protocol):
    """One episode at one site.

    Attributes:
        start_url: the first page.
        hosts: hostnames (no port) that requests may go to. "*.example.org" means every subdomain, "*" every host.
        cookies: Playwright cookie dicts that are set in the fresh context before the first navigation.
    """

    @property
    def start_url(self) -> str: ...

    @property
    def hosts(self) -> frozenset[str]: ...

    @property
    def cookies(self) -> Sequence[Mapping[str, Any]]: ...

    async def ready(self, page: "Page") -> None:
        """Called after the first navigation, before the first observation (MiniWoB starts its episode here)."""
        ...

    async def after_step(self, page: "Page") -> tuple[float, bool]:
        """(reward, done) of the page's own game after each executed step; (0.0, False) for most sites."""
        ...

    async def grade(self, page: "Page", answer: str | None) -> Verdict | None:
        """The oracle, given the agent's answer (None when it gave none); None where there is no oracle."""
        ...

    async def close(self) -> None:
        """The episode is over; give back what it held. Called exactly once."""
        ...


@runtime_checkable
class Prepared(Protocol):
    """A visit that also prepares its fresh browser context: a stored login, a place on earth."""

    async def prepare(self, context: "BrowserContext") -> None:
        """Called before the first navigation, and before `cookies` are set.

        Raises:
            UserError: if the task asks for something that the browser refuses.
        """
        ...


@runtime_checkable
class Noting(Protocol):
    """A visit that has something to tell the agent besides what the page shows."""

    def notes(self) -> list[str]:
        """What happened since it was asked last; it stands in the next observation."""
        ...


class SiteHost(Protocol):
    """Serves the pages of many episodes.

    Attributes:
        viewport: (width, height) in CSS pixels instead of 1024x768, or None.
    """

    @property
    def viewport(self) -> tuple[int, int] | None: ...

    async def start(self) -> None:
        """Start serving. Called once, before the first visit."""
        ...

    async def stop(self) -> None:
        """Stop serving. Called once, after the last visit was closed."""
        ...

    async def visit(self, task: Task, seed: int) -> Visit:
        """Prepare one episode, in a state that depends on `task` and `seed` only.

        Raises:
            UserError: if the task's params are not what this host needs.
            InfraError: if the server behind it failed.
        """
        ...


@dataclass(frozen=True, slots=True)
class OpenVisit:
    """An episode at a site that somebody else serves: no state of ours to reset and no oracle."""

    start_url: str
    hosts: frozenset[str]
    cookies: Sequence[Mapping[str, Any]] = field(default=())
    storage_state: Mapping[str, Any] | None = field(default=None, repr=False)
    geolocation: Mapping[str, float] | None = None

    async def prepare(self, context: "BrowserContext") -> None:
        """Log in by what Playwright's `storage_state` kept (cookies, local storage), and say where the browser is."""
        from playwright.async_api import Error

        try:
            if self.storage_state is not None:
                await context.set_storage_state(dict(self.storage_state))  # type: ignore[arg-type]
            if self.geolocation is not None:
                await context.grant_permissions(["geolocation"])
                await context.set_geolocation(dict(self.geolocation))  # type: ignore[arg-type]
        except Error as error:
            reason = error.message.splitlines()[0]
            raise UserError(f"the browser refuses the task's storage_state or geolocation: {reason}") from error

    async def ready(self, page: "Page") -> None:
        """Nothing to start."""

    async def after_step(self, page: "Page") -> tuple[float, bool]:
        """The site plays no game of its own."""
        return 0.0, False

    async def grade(self, page: "Page", answer: str | None) -> Verdict | None:
        """There is no oracle; judge the trace with one of `judges/`."""
        return None

    async def close(self) -> None:
        """Nothing is held."""


class OpenWeb:
    """Any site by its URL: how users bring their own.

    Task params: `start_url` (http or https), optionally `allow` (list of further hostnames, "*.example.org" for every
    subdomain, "*" for every host; the start URL's own host is always allowed), `cookies` (Playwright cookie dicts),
    `storage_state` (a file that Playwright's `context.storage_state(path=…)` wrote, or its contents) and `geolocation`
    ({"latitude", "longitude"} in degrees).
    """

    def __init__(self, viewport: tuple[int, int] | None = None) -> None:
        self.viewport = viewport

    async def start(self) -> None:
        """Somebody else serves."""

    async def stop(self) -> None:
        """Somebody else serves."""

    async def visit(self, task: Task, seed: int) -> OpenVisit:
        """Read the task's params; the seed changes nothing, since the site's state is not ours."""
        start_url = task.params.get("start_url")
        if not isinstance(start_url, str) or not start_url:
            raise UserError(f'task {task.id}: "start_url" is missing from its params. Give the URL of the first page.')
        try:
            parts = urlsplit(start_url)
        except ValueError as error:
            raise UserError(f"task {task.id}: start_url {start_url!r} is no address ({error}).") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(f"task {task.id}: start_url {start_url!r} is not an http or https address.")
        allow = task.params.get("allow", ())
        if not isinstance(allow, list | tuple) or not all(isinstance(host, str) for host in allow):
            raise UserError(f'task {task.id}: "allow" must be a list of hostnames.')
        return OpenVisit(
            start_url,
            _reachable(task, parts.hostname, allow),
            tuple(task.params.get("cookies", ())),
            storage_state(task),
            task.params.get("geolocation"),
        )


def storage_state(task: Task) -> Mapping[str, Any] | None:
    """The stored login that a task names in its params: {"cookies": […], "origins": […]}, from a file or as it is.

    Raises:
        UserError: if the file cannot be read or holds something else. Nothing of its contents is in the message.
    """
    state = task.params.get("storage_state")
    if state is None:
        return None
    where = f"task {task.id}: storage_state"
    if isinstance(state, str):
        where = f"{where} {state}"
        try:
            state = read_json(state)
        except UserError as error:
            raise UserError(
                f"{where}: {str(error).removeprefix(f'{state}: ')} Log in once and store the state."
            ) from error
    known = ("cookies", "origins")
    if not isinstance(state, Mapping) or not any(key in state for key in known):
        raise UserError(f'{where}: must hold "cookies" and "origins", as Playwright writes them.')
    if not all(isinstance(state.get(key, []), list) for key in known):
        raise UserError(f'{where}: "cookies" and "origins" must be lists.')
    return {key: state.get(key, []) for key in known}


def _reachable(task: Task, host: str, allow: Sequence[str]) -> frozenset[str]:
    """The hosts of an episode: the start's, the same with or without "www.", to which many sites send on, and `allow`.

    Raises:
        UserError: if an entry is no host.
    """
    twin = host.removeprefix("www.") if host.startswith("www.") else f"www.{host}"
    try:
        own = host_pattern(host)
        twins = {host_pattern(twin)} if own.strip("[]") == own and any(letter.isalpha() for letter in own) else set()
        return frozenset({own, *twins, *map(host_pattern, allow)})
    except UserError as error:
        raise UserError(f"task {task.id}: {error}") from error
