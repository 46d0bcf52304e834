"""One page in a context of its own: navigation, waiting on events, and scripts, over one CDP session.

Notable: the page's own CDP session is used directly for everything that happens on every step (one round trip each);
Playwright launches the browser, makes contexts, types, and reports crashes, dialogs and downloads. Nothing here waits
for a fixed time.
"""

import asyncio
import base64
import time
from collections import deque
from collections.abc import Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from turnsmith.envs.browser.faults import SERVER_DOWN, Limits, StepError
from turnsmith.envs.browser.scripts import DocumentReplaced, Scripts
from turnsmith.envs.browser.wall import Wall
from turnsmith.errors import InfraError
from turnsmith.text import well_formed

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, CDPSession, Dialog, Download, Page, Request

T = TypeVar("T")


async def answers(browser: "Browser", patience: float = 5.0) -> bool:
    """Whether a browser does what it is asked (`is_connected` knows nothing of the death of Playwright's driver)."""
    from playwright.async_api import Error

    try:
        async with asyncio.timeout(patience):
            session = await browser.new_browser_cdp_session()
            await session.detach()
    except (Error, TimeoutError):
        return False
    return True


class Tab(Scripts):
    """A page, its context, its wall and its CDP session. Make one with `Tab.open`."""

    def __init__(self, context: "BrowserContext", page: "Page", cdp: "CDPSession", wall: Wall, limits: Limits) -> None:
        super().__init__(cdp)
        self.context = context
        self.page = page
        self.wall = wall
        self.limits = limits
        self.notes: list[str] = []
        """What happened besides (dialogs, downloads, windows), for the next observation."""
        self.failure: asyncio.Future[InfraError] = asyncio.get_running_loop().create_future()
        """Set when the page or the browser is lost; `guard` raises it."""
        self.url = "about:blank"
        self._pending: str | None = None  # the URL of a navigation that began and has not come through
        self._wanted = ""  # the URL of the last navigation that began since `begin`
        self._commits = 0  # navigations that came through
        self._since = (0, 0)  # blocked requests and commits at `begin`
        self._moved = asyncio.Event()  # something about `_pending` changed
        self._unreachable = ""  # the URL whose error page is shown
        self._network_error = ""
        self._windows: deque[str] = deque()  # URLs of windows that are about to open
        self._tasks: set[asyncio.Task[Any]] = set()

    @classmethod
    async def open(cls, browser: "Browser", hosts: frozenset[str], viewport: tuple[int, int], limits: Limits) -> "Tab":
        """Make a context behind its own wall, with one page in it, ready to navigate."""
        wall = Wall(hosts)
        proxy = await wall.open()
        try:
            context = await browser.new_context(
                viewport={"width": viewport[0], "height": viewport[1]},
                proxy=None if "*" in hosts else proxy,  # type: ignore[arg-type]
                accept_downloads=False,
                service_workers="block",
                reduced_motion="reduce",
                locale="en-US",
                timezone_id="UTC",
            )
            page = await context.new_page()
            cdp = await context.new_cdp_session(page)
            tab = cls(context, page, cdp, wall, limits)
            await tab._attach(browser)
        except BaseException:
            await wall.close()
            raise
        return tab

    async def _attach(self, browser: "Browser") -> None:
        browser.on("disconnected", self._on_disconnected)
        self.page.on("crash", lambda _: self._fail("page_crashed"))
        self.page.on("close", lambda _: self._spawn(self._closed()))
        self.page.on("dialog", self._on_dialog)
        self.page.on("download", self._on_download)
        self.page.on("requestfailed", self._on_request_failed)
        self.context.on("page", self._on_window)
        self.cdp.on("Page.frameStartedNavigating", self._on_navigating)
        self.cdp.on("Page.frameStoppedLoading", self._on_stopped)
        self.cdp.on("Page.frameNavigated", self._on_navigated)
        self.cdp.on("Page.navigatedWithinDocument", self._on_within)
        self.cdp.on("Page.windowOpen", self._on_window_announced)
        patterns = [{"urlPattern": "https://*", "resourceType": "Document"}]
        self.cdp.on("Fetch.requestPaused", lambda event: self._spawn(self._judge(event)))
        tree = await self.cdp.send("Page.getFrameTree")
        self._frame = tree["frameTree"]["frame"]["id"]
        await asyncio.gather(
            self.cdp.send("Page.enable"), self.cdp.send("Fetch.enable", {"patterns": patterns}), self.enable_scripts()
        )
        self._browser = browser

    async def lives(self, patience: float = 5.0) -> bool:
        """Whether the page answers."""
        from playwright.async_api import Error

        try:
            async with asyncio.timeout(patience):
                await self.cdp.send("Page.getFrameTree")
        except (Error, TimeoutError):
            return False
        return not self.failure.done()

    async def close(self) -> None:
        """Close the context and the wall. Never raises: what is already gone needs no closing."""
        from playwright.async_api import Error

        self._browser.remove_listener("disconnected", self._on_disconnected)
        for task in tuple(self._tasks):
            task.cancel()
        try:
            await self.context.close()
        except Error:
            pass
        await self.wall.close()

    # ---- events ----

    def _on_disconnected(self, _: object) -> None:
        self._fail("browser_died")

    async def _closed(self) -> None:
        """A dying browser closes its pages first; that it died is heard a moment later."""
        await asyncio.wait({self.failure}, timeout=0.5)
        self._fail("page_closed")

    def _fail(self, kind: str) -> None:
        if not self.failure.done():
            self.failure.set_result(InfraError(kind, self.url))

    def _spawn(self, work: Awaitable[Any]) -> None:
        from playwright.async_api import Error

        async def run() -> None:
            try:
                await work
            except Error:
                pass  # the page went away meanwhile; whoever needs it will find out

        task = asyncio.ensure_future(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _on_dialog(self, dialog: "Dialog") -> None:
        if dialog.type == "beforeunload":  # asks whether to leave the page: the agent's action says so
            self._spawn(dialog.accept())
            return
        self.notes.append(f"a dialog was dismissed ({dialog.type}): {well_formed(dialog.message)}")
        self._spawn(dialog.dismiss())

    def _on_download(self, download: "Download") -> None:
        self.notes.append(f"a download was refused: {well_formed(download.suggested_filename)}")

    def _on_window(self, window: "Page") -> None:
        """A new window comes to the same tab."""
        if window is not self.page:
            self._spawn(self._adopt(window))

    def _on_window_announced(self, event: Mapping[str, Any]) -> None:
        self._windows.append(event["url"])
        self._begin(event["url"])

    async def _adopt(self, window: "Page") -> None:
        url = self._windows.popleft() if self._windows else window.url
        await window.close()
        if urlsplit(url).scheme in ("http", "https"):
            self._begin(url)
            await self.cdp.send("Page.navigate", {"url": url})
        else:
            self._end()
            self.notes.append("a new window was closed")

    def _on_request_failed(self, request: "Request") -> None:
        if request.is_navigation_request() and request.frame == self.page.main_frame:
            self._network_error = request.failure or ""

    async def _judge(self, event: Mapping[str, Any]) -> None:
        """Let a navigation over https through, or stop it before it is sent (the page stays as it is)."""
        url = event["request"]["url"]
        if self.wall.allows(url):
            await self.cdp.send("Fetch.continueRequest", {"requestId": event["requestId"]})
        else:
            self.wall.count(url)
            await self.cdp.send("Fetch.failRequest", {"requestId": event["requestId"], "errorReason": "Aborted"})

    def _begin(self, url: str) -> None:
        self._pending = self._wanted = url
        self._moved.set()

    def _end(self) -> None:
        self._pending = None
        self._moved.set()

    def _on_navigating(self, event: Mapping[str, Any]) -> None:
        if event["frameId"] == self._frame and "ameDocument" not in event.get("navigationType", ""):
            self._begin(event["url"])

    def _on_stopped(self, event: Mapping[str, Any]) -> None:
        if event["frameId"] == self._frame:
            self._end()

    def _on_navigated(self, event: Mapping[str, Any]) -> None:
        frame = event["frame"]
        if "parentId" not in frame:
            self._frame = frame["id"]
            self._commits += 1
            self._unreachable = frame.get("unreachableUrl", "")
            self.url = self._unreachable or frame["url"] + frame.get("urlFragment", "")
            self._end()

    def _on_within(self, event: Mapping[str, Any]) -> None:
        if event["frameId"] == self._frame:
            self.url = event["url"]
            self._end()

    # ---- guarded work ----

    async def guard(self, work: Awaitable[T]) -> T:
        """Run `work` under the step limit, and give up at once when the page or the browser is lost.

        Raises:
            InfraError: as in the table of `faults`.
        """
        from playwright.async_api import Error

        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, self.failure}, timeout=self.limits.step, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                task.cancel()
        if not task.done():
            await asyncio.gather(task, return_exceptions=True)
            raise self.failure.result() if self.failure.done() else self._too_late()
        try:
            return task.result()
        except Error as error:
            raise await self._classify(error) from error

    def _too_late(self) -> InfraError:
        return InfraError("navigation_timeout", self._pending) if self._pending else InfraError("page_hung", self.url)

    async def _classify(self, error: Exception) -> Exception:
        """A Playwright error after the page was lost is that loss; any other is a bug and stays what it is."""
        if "closed" in str(error) or "crashed" in str(error) or "disconnected" in str(error):
            await asyncio.wait({self.failure}, timeout=1.0)
            if not self.failure.done():
                self._fail("page_closed" if await answers(self._browser) else "browser_died")
            return self.failure.result()
        return error

    # ---- navigation and waiting ----

    async def goto(self, url: str) -> None:
        """Navigate to `url` and wait until it settled. Begins an action.

        Raises:
            StepError: if the navigation was blocked or failed in the browser.
            InfraError: `server_down`, `navigation_timeout`.
        """
        self.begin()
        self._begin(url)
        navigation = asyncio.ensure_future(self.cdp.send("Page.navigate", {"url": url}))
        done, _ = await asyncio.wait({navigation}, timeout=self.limits.navigation)
        if not done:
            navigation.cancel()
            raise InfraError("navigation_timeout", url)
        if code := navigation.result().get("errorText"):
            self._end()
            if code != "net::ERR_ABORTED":  # aborted is stopped by the wall, or a download: the page stays
                self._unreachable, self._network_error = url, code
        await self.settle()

    async def go_back(self) -> bool:
        """Start one step back in the history; False where there is none (a blank first page does not count)."""
        history = await self.cdp.send("Page.getNavigationHistory")
        at = history["currentIndex"]
        if at == 0 or history["entries"][at - 1]["url"] == "about:blank":
            return False
        self._begin(history["entries"][at - 1]["url"])
        await self.cdp.send("Page.navigateToHistoryEntry", {"entryId": history["entries"][at - 1]["id"]})
        return True

    def begin(self) -> None:
        """An action begins: `settle` will speak of what happened since."""
        self._since = len(self.wall.blocked), self._commits
        self._wanted = ""

    async def settle(self) -> None:
        """Wait for the navigation that the action caused, if any, and then until the page is quiet.

        Raises:
            StepError: if a navigation was blocked, or failed in the browser.
            InfraError: `server_down`, `navigation_timeout`.
        """
        patience, restless = self.limits.settle * 1000, self.limits.restless * 1000
        deadline = time.monotonic() + self.limits.navigation
        while True:
            await self._navigation(deadline)
            try:  # while a navigation is under way, the browser holds scripts back until it came through
                async with asyncio.timeout(deadline - time.monotonic() + self.limits.settle):
                    await self.ask(f"__turnsmith__.quiet({patience}, {restless})")
            except DocumentReplaced:
                continue
            except TimeoutError:
                raise self._too_late() from None
            if self._pending is None:
                break
        if self._unreachable:
            self._raise_unreachable()
        blocked, commits = self._since
        hosts = sorted(set(self.wall.blocked[blocked:]))
        if self._wanted and self._commits == commits and hosts:
            listed = ", ".join(hosts)
            raise StepError(f"The navigation was blocked: {listed} is not among the hosts that this task may reach.")

    async def _navigation(self, deadline: float) -> None:
        """Wait until no navigation is pending."""
        while self._pending is not None:
            self._moved.clear()
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    await self._moved.wait()
            except TimeoutError:
                raise self._too_late() from None

    def _raise_unreachable(self) -> None:
        url, code = self._unreachable, self._network_error or "no reason given"
        if any(name in code for name in SERVER_DOWN):
            raise InfraError("server_down", f"{url} ({code})")
        raise StepError(f"The page {url} could not be opened ({code}).")

    async def screenshot(self, quality: int) -> bytes:
        """JPEG of the viewport.

        Raises:
            InfraError: `no_screenshot` if the browser gives none.
        """
        from playwright.async_api import Error

        options = {"format": "jpeg", "quality": quality, "optimizeForSpeed": True}
        try:
            shot = await self.cdp.send("Page.captureScreenshot", options)
            return base64.b64decode(shot["data"])
        except Error:
            pass  # there was no frame yet: Playwright waits for one
        try:
            return await self.page.screenshot(type="jpeg", quality=quality, caret="initial", animations="allow")
        except Error as error:
            if "Unable to capture" in str(error):
                raise InfraError("no_screenshot", str(error).partition("\n")[0]) from error
            raise

    async def mouse(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Dispatch mouse events in order, in one round trip."""
        await asyncio.gather(*(self.cdp.send("Input.dispatchMouseEvent", dict(event)) for event in events))

    async def press(self, point: tuple[float, float]) -> None:
        """Click the left button at a point of the viewport."""
        at = {"x": point[0], "y": point[1]}
        button = {**at, "button": "left", "clickCount": 1}
        await self.mouse(
            [{"type": "mouseMoved", **at}, {"type": "mousePressed", **button}, {"type": "mouseReleased", **button}]
        )

    async def write(self, text: str, enter: bool = True) -> None:
        """Type into the focused field, replacing what is selected in it, and press Enter."""
        if text:
            await self.page.keyboard.type(text)
        else:
            await self.page.keyboard.press("Delete")
        if enter:
            await self.page.keyboard.press("Enter")
