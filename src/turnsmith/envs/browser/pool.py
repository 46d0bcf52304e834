"""One Chromium for all sessions, replaced when it dies.

A dead browser takes its contexts with it: the sessions that had one raise `InfraError("browser_died")`; the first
episode that begins after that starts a new browser, and the others wait for it.
"""

import asyncio
from typing import TYPE_CHECKING, Any

from turnsmith.envs.browser.chromium import UNWANTED_DEFAULTS, ChromiumInstall, find_chromium, launch_arguments
from turnsmith.envs.browser.faults import Limits
from turnsmith.envs.browser.tab import Tab, answers
from turnsmith.errors import InfraError, require

if TYPE_CHECKING:
    from playwright.async_api import Browser, Playwright


SPARES = 6
"""How many spare tabs are kept at most, one for each set of hosts. A spare takes about 20 MiB."""


class BrowserPool:
    """Makes tabs in one shared browser."""

    def __init__(
        self,
        viewport: tuple[int, int],
        limits: Limits,
        chromium: ChromiumInstall | None = None,
        headless: bool = True,
    ) -> None:
        self.headless = headless
        self.viewport = viewport
        self.limits = limits
        self.chromium = chromium
        self.launches = 0
        """How many browsers were started so far."""
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None
        self._starting = asyncio.Lock()
        self._spares: dict[frozenset[str], asyncio.Task[Tab]] = {}
        self._retiring: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Start the browser.

        Raises:
            UserError: if Playwright or a Chromium is missing.
            InfraError: `browser_start`.
        """
        require("playwright", "browser")
        self.chromium = self.chromium or find_chromium(window=not self.headless)
        await self.browser()

    async def browser(self) -> "Browser":
        """The living browser."""
        async with self._starting:
            if self._browser is None or not self._browser.is_connected():
                self._browser = await self._launch()
            return self._browser

    async def _launch(self) -> "Browser":
        from playwright.async_api import Error, async_playwright

        assert self.chromium is not None
        for fresh in (False, True):
            if fresh and self._playwright is not None:  # its own driver process may have died as well
                await self._stop_playwright()
            if self._playwright is None:
                self._playwright = await async_playwright().start()
            try:
                browser = await self._playwright.chromium.launch(
                    executable_path=str(self.chromium.path),
                    args=launch_arguments(),
                    ignore_default_args=list(UNWANTED_DEFAULTS),
                    headless=self.headless,
                    timeout=self.limits.launch * 1000,
                )
            except Error as error:
                if fresh:
                    raise InfraError("browser_start", str(error).splitlines()[0]) from error
            else:
                self.launches += 1
                return browser
        raise AssertionError

    async def tab(self, hosts: frozenset[str]) -> Tab:
        """A fresh tab that may reach `hosts`: the spare one if there is one, else a new one.

        Raises:
            InfraError: `browser_died` if no tab could be made in a fresh browser either, `browser_start`.
        """
        spare = self._spares.pop(hosts, None)
        if spare is not None:
            await asyncio.wait({spare})
            if not spare.cancelled() and spare.exception() is None:
                if await spare.result().lives():
                    return spare.result()
                self.retire(spare.result())  # it died with its browser
        return await self._make(hosts)

    def prepare(self, hosts: frozenset[str]) -> None:
        """Make a spare tab for the next episode at `hosts` while this one is played, unless there is one already.

        Making a context and its renderer process is a third of a reset. A spare has not been anywhere, so nothing can
        leak through it.
        """
        if hosts in self._spares:
            return
        self._spares[hosts] = asyncio.ensure_future(self._make(hosts))
        while len(self._spares) > SPARES:
            self._drop(self._spares.pop(next(iter(self._spares))))

    def _drop(self, spare: "asyncio.Task[Tab]") -> None:
        """Retire a spare tab, once it is made."""

        def made(task: "asyncio.Task[Tab]") -> None:
            if not task.cancelled() and task.exception() is None:
                self.retire(task.result())

        spare.add_done_callback(made)

    async def _make(self, hosts: frozenset[str]) -> Tab:
        from playwright.async_api import Error

        reason = ""
        for _ in range(3):
            browser = await self.browser()
            try:
                async with asyncio.timeout(self.limits.step):
                    return await Tab.open(browser, hosts, self.viewport, self.limits)
            except (Error, TimeoutError) as error:
                reason = str(error).partition("\n")[0]
                async with self._starting:
                    if browser is self._browser and not await answers(browser):
                        await self._close(browser)
                        self._browser = None
        raise InfraError("browser_died", reason)

    def retire(self, tab: Tab) -> None:
        """Close a tab in the background."""
        task = asyncio.ensure_future(tab.close())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _close(self, browser: "Browser") -> None:
        """Close a browser, whether or not it still answers."""
        from playwright.async_api import Error

        try:
            async with asyncio.timeout(5):
                await browser.close()
        except (Error, TimeoutError):
            pass

    async def _stop_playwright(self) -> None:
        if self._playwright is not None:
            playwright, self._playwright = self._playwright, None
            try:
                await playwright.stop()
            except Exception:
                pass  # its driver is dead; there is nothing left to stop

    async def stop(self) -> None:
        """Close all tabs and the browser."""
        spares = tuple(self._spares.values())
        self._spares.clear()
        for spare in spares:
            self._drop(spare)
        if spares:
            await asyncio.wait(spares)
            await asyncio.sleep(0)  # lets the finished ones be retired
        if self._retiring:
            await asyncio.wait(set(self._retiring), timeout=self.limits.step)
        if self._browser is not None:
            await self._close(self._browser)
            self._browser = None
        await self._stop_playwright()
