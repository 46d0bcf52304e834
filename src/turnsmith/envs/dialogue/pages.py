"""Pictures of pages that a model wrote: hostile HTML in, a PNG of the full page out, or nothing.

What such a page may do is nothing: no scripts, no network (every request is answered by us or refused, and behind that
stand a proxy that refuses and a browser that is offline), no downloads, no pop-ups, no second document. Pictures that
it names are replaced by one fixed picture, so that two pages with different addresses look alike; Tailwind's
stylesheet is given where there is a local copy of it. Each page gets a context of its own, a limit of time and of
height.

Notable: a page that cannot be pictured (it hangs, or takes its renderer down) is the agent's own doing and gives None;
only where an empty page cannot be pictured either is it the machinery's fault.
"""

import asyncio
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw

from turnsmith.envs.browser.chromium import UNWANTED_DEFAULTS, find_chromium, launch_arguments
from turnsmith.envs.browser.wall import Wall
from turnsmith.errors import InfraError, UserError, require

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page, Playwright, Route

WIDTH, HEIGHT, TALLEST = 1280, 720, 8_000
_MOST_CHARACTERS = 1_000_000
_EMPTY = "<!doctype html><title>empty</title>"
_RESTART_SECONDS = 5.0


class PageRenderer:
    """One Chromium for all pages. `start` before the first, `stop` at the end.

    Args:
        tailwind: a stylesheet (such as `dist/tailwind.min.css` of tailwindcss 2.2.19) that every page gets, as
            the pages of WebSight expect it from the network.
        seconds: the longest that a page may take.
        at_once: how many pages are rendered at the same time.

    Raises:
        UserError: if the stylesheet cannot be read.
    """

    def __init__(self, tailwind: Path | None = None, seconds: float = 15.0, at_once: int = 2) -> None:
        try:
            self._style = "" if tailwind is None else tailwind.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"--tailwind {tailwind}: cannot be read ({error}).") from error
        self.seconds = seconds
        self.refused: list[str] = []
        """What pages asked for and did not get, in order."""
        self._free = asyncio.Semaphore(at_once)
        self._starting = asyncio.Lock()
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None
        self._picture = _placeholder()

    async def start(self) -> None:
        """Start the browser.

        Raises:
            UserError: if Playwright or a Chromium is missing.
            InfraError: `browser_start`.
        """
        require("playwright", "browser")
        await self._living()

    async def stop(self) -> None:
        """End the browser."""
        if self._browser is not None:
            await _within(_RESTART_SECONDS, self._browser.close())
        if self._playwright is not None:
            await self._playwright.stop()
        self._browser = self._playwright = None

    async def _living(self) -> "Browser":
        from playwright.async_api import Error, async_playwright

        async with self._starting:
            if self._browser is not None and self._browser.is_connected():
                return self._browser
            if self._playwright is None:
                self._playwright = await async_playwright().start()
            try:
                self._browser = await self._playwright.chromium.launch(
                    executable_path=str(find_chromium().path),
                    args=launch_arguments(),
                    ignore_default_args=list(UNWANTED_DEFAULTS),
                )
            except Error as error:
                raise InfraError("browser_start", str(error).splitlines()[0]) from error
            return self._browser

    async def render(self, html: str) -> bytes | None:
        """A PNG of the page, 1,280 pixels wide and at most 8,000 high; None where the page lets none be made.

        Raises:
            InfraError: `no_picture`, where an empty page cannot be pictured either.
        """
        async with self._free:
            if (picture := await self._try(html[:_MOST_CHARACTERS])) is not None:
                return picture
            for _ in range(2):  # was it the page, or the browser?
                if await self._try(_EMPTY) is not None:
                    return None
                await self._restart()
        raise InfraError("no_picture", "the browser makes no picture of an empty page")

    async def _restart(self) -> None:
        if self._browser is not None:
            await _within(_RESTART_SECONDS, self._browser.close())
            self._browser = None

    async def _try(self, html: str) -> bytes | None:
        from playwright.async_api import Error

        wall, context = Wall(()), None
        try:
            browser = await self._living()
            context = await browser.new_context(
                viewport={"width": WIDTH, "height": HEIGHT},
                java_script_enabled=False,
                accept_downloads=False,
                service_workers="block",
                offline=True,
                proxy=await wall.open(),  # pyright: ignore[reportArgumentType]
            )
            async with asyncio.timeout(self.seconds):
                return await self._picture_of(context, html)
        except (Error, TimeoutError):
            return None
        finally:
            self.refused += wall.blocked
            await wall.close()
            if context is not None:
                await _within(_RESTART_SECONDS, context.close())

    async def _picture_of(self, context: Any, html: str) -> bytes:
        page: Page = await context.new_page()
        await context.route("**/*", self._answer)
        page.on("popup", lambda other: other.close())
        await page.set_content(self._dressed(html), wait_until="load", timeout=1000 * self.seconds)
        client = await context.new_cdp_session(page)
        metrics = await client.send("Page.getLayoutMetrics")
        height = min(TALLEST, max(HEIGHT, int(metrics["cssContentSize"]["height"])))
        clip: Any = {"x": 0, "y": 0, "width": WIDTH, "height": height}
        return await page.screenshot(full_page=True, clip=clip, animations="disabled", timeout=1000 * self.seconds)

    def _dressed(self, html: str) -> str:
        """The page with the stylesheet at the end of its head, where Tailwind's own script would put it."""
        if not self._style:
            return html
        small = html.lower()
        at = small.find("</head")
        for tag in ("<html", "<!doctype"):
            if at < 0 and (begin := small.find(tag)) >= 0:
                at = small.find(">", begin) + 1
        at = max(0, at)
        return f"{html[:at]}<style>{self._style}</style>{html[at:]}"

    async def _answer(self, route: "Route") -> None:
        """Pictures are one picture of ours; everything else is refused."""
        request = route.request
        if request.resource_type == "image" and request.url.startswith(("http://", "https://")):
            await route.fulfill(body=self._picture, content_type="image/png")
            return
        self.refused.append(request.url[:200])
        if request.is_navigation_request():
            await route.fulfill(status=204)  # the browser stays on the page that it shows
        else:
            await route.abort("blockedbyclient")


async def _within(seconds: float, work: Any) -> None:
    """Do not wait for ever for something that is only being given up."""
    from playwright.async_api import Error

    try:
        await asyncio.wait_for(work, seconds)
    except (Error, TimeoutError):
        pass


def _placeholder() -> bytes:
    """The fixed picture that stands for every picture of a page: grey, with a hill and a sun."""
    image = Image.new("RGB", (400, 300), (205, 210, 216))
    draw = ImageDraw.Draw(image)
    draw.ellipse((280, 40, 340, 100), fill=(240, 215, 140))
    draw.polygon([(0, 300), (140, 140), (230, 230), (300, 170), (400, 300)], fill=(120, 145, 130))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
