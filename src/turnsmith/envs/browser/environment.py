"""The browser environment: sessions over one Chromium, at the pages of a host."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from turnsmith.envs.browser.chromium import ChromiumInstall
from turnsmith.envs.browser.faults import Limits
from turnsmith.envs.browser.host import SiteHost
from turnsmith.envs.browser.observe import ObservationConfig
from turnsmith.envs.browser.pool import BrowserPool
from turnsmith.envs.browser.session import BrowserSession

VIEWPORT = (1024, 768)


class BrowserEnvironment:
    """Web pages in a real Chromium. `envs.base.Environment` is the contract.

    async with BrowserEnvironment(OpenWeb(), observation=ObservationConfig(screenshot="marked")) as environment:
        async with environment.session() as session:
            observation = await session.reset(task, seed=0)
    """

    def __init__(
        self,
        host: SiteHost,
        sessions: int = 4,
        observation: ObservationConfig | None = None,
        *,
        name: str = "browser",
        search_url: str | None = None,
        limits: Limits | None = None,
        chromium: ChromiumInstall | None = None,
        headless: bool = True,
    ) -> None:
        """
        Args:
            host: serves the pages, knows the truth.
            sessions: how many episodes are played at once, each in a context of its own; further ones wait.
            observation: what the agent sees; the element list by default.
            name: the environment's name in tasks and traces.
            search_url: what the action Google or Bing opens; without it that action is a step error.
            limits: time limits.
            chromium: the browser; found by `find_chromium` by default.
            headless: without a window.
        """
        if sessions < 1:
            raise ValueError(f"sessions must be at least 1, not {sessions}")
        self.name = name
        self.host = host
        self.observation = observation or ObservationConfig()
        self.search_url = search_url
        self.pool = BrowserPool(host.viewport or VIEWPORT, limits or Limits(), chromium, headless)
        self._free = asyncio.Semaphore(sessions)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[BrowserSession]:
        """Borrow a session for one or more episodes; waits while all are in use."""
        async with self._free:
            session = BrowserSession(self.pool, self.host, self.observation, self.search_url)
            try:
                yield session
            finally:
                await session.close()

    async def __aenter__(self) -> "BrowserEnvironment":
        await self.pool.start()
        try:
            await self.host.start()
        except BaseException:
            await self.pool.stop()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        try:
            await self.pool.stop()
        finally:
            await self.host.stop()
