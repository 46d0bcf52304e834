"""MiniWoB++ as a site host: starts the page's episode by its seed and reads the reward that the page itself gives.

Notable:
- Time never runs out: the page's timer is set far away, and the panel with timer and scores is hidden (an agent that is
  trained must not read its reward, and a clock that ticks in the page would make screenshots differ). So the reward is
  the page's raw one; its other one shrinks with the seconds that an episode takes.
- When the page ends the episode it would draw a "START" screen over itself; here the page stays as the agent left it,
  and nothing that happens after the end counts.
- Tasks carry the page's instruction (`miniwob_tasks`). It also stands in the page, in the yellow box at the top.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from turnsmith.envs.browser.host import Visit
from turnsmith.errors import InfraError, UserError
from turnsmith.trace.types import ORACLE, Task, Verdict
from turnsmith.worlds.miniwob.pages import PageServer, list_pages, page_path

if TYPE_CHECKING:
    from playwright.async_api import Page

VIEWPORT = (320, 320)
"""CSS pixels. The task area is the upper left 160x210 of it; the rest is room for menus and calendars that open beyond
it."""

FLIGHT_VIEWPORT = (600, 800)
"""CSS pixels: the window that the benchmark gives to the flight pages, whose task area is 375x667."""

_FULL_REWARD = 1 - 1e-6
_ENOUGH = 0.5
_SCORED_PAGES = {
    *("bisect-angle", "chase-circle", "circle-center", "draw-circle"),
    *("draw-line", "find-midpoint", "moving-items", "right-angle"),
}

# Runs once in a freshly loaded page. The page has set itself up when its load event was handled.
_START = """async ([seed, mode]) => {
  if (document.readyState !== "complete") {
    await new Promise((resolve) => addEventListener("load", () => setTimeout(resolve), { once: true }));
  }
  if (typeof core === "undefined" || !core.cover_div) return "not a MiniWoB page";
  core.EPISODE_MAX_TIME = 2000000000; // ms; a browser's timers end at 2**31
  core.setDataMode(mode);
  Math.seedrandom(seed);
  core.startEpisodeReal();
  core.clearTimer();
  core.hideDisplay();
  document.getElementById("click-canvas").style.display = "none";
  document.body.removeEventListener("click", core.canvasDrawClick);
  core.startEpisode = () => {};
  window.turnsmithEpisode = true; // a page that was loaded again has none
  return "";
}"""

_READY = "() => WOB_TASK_READY"

_STATE = """() => window.turnsmithEpisode
  ? [WOB_RAW_REWARD_GLOBAL, WOB_DONE_GLOBAL, String(WOB_REWARD_REASON ?? "")] : null"""

_UTTERANCE = """() => {
  const said = core.getUtterance();
  return typeof said === "string" ? said : said.utterance;
}"""


async def start_episode(page: "Page", seed: int, mode: str) -> str:
    """Start the episode of a loaded page and return its instruction.

    Args:
        page: a tab that shows a MiniWoB page.
        seed: for `Math.seedrandom`; the same seed gives the same episode.
        mode: "train" or "test": a few pages draw from another distribution when testing.

    Raises:
        InfraError: if the tab shows something else, or the page did not get ready.
    """
    from playwright.async_api import Error

    try:
        trouble = await page.evaluate(_START, [seed, mode])
        if trouble:
            raise InfraError("miniwob_not_ready", f"{page.url}: {trouble}")
        await page.wait_for_function(_READY, timeout=10_000)
        return await page.evaluate(_UTTERANCE)
    except Error as error:
        raise InfraError("miniwob_not_ready", f"{page.url}: {error.message}") from error


class MiniWobVisit:
    """One episode on one page.

    Attributes:
        utterance: the page's instruction, once the episode was started.
    """

    def __init__(self, origin: str, page: str, seed: int, mode: str) -> None:
        self.start_url = origin + page_path(page)
        self.hosts = frozenset({"127.0.0.1"})
        self.cookies: Sequence[Mapping[str, Any]] = ()
        self.utterance = ""
        self._page = page
        self._seed = seed
        self._mode = mode

    async def ready(self, page: "Page") -> None:
        """Start the episode."""
        self.utterance = await start_episode(page, self._seed, self._mode)

    async def after_step(self, page: "Page") -> tuple[float, bool]:
        """The page's raw reward (in [-1, 1]; 0 until the end) and whether it ended the episode.

        An agent that leaves the page, or loads it again, has ended the episode too, with reward 0.
        """
        state = await page.evaluate(_STATE)
        if state is None:
            return 0.0, True
        reward, done, _ = state
        return (float(reward), True) if done else (0.0, False)

    async def grade(self, page: "Page", answer: str | None) -> Verdict:
        """1 for the page's full reward, else 0: half a form right is not a success.

        Eight pages score how near a drawing or a point is instead; on these 0.5 is enough. An answer in words counts
        for nothing: no page asks for one.
        """
        state = await page.evaluate(_STATE)
        if state is None:
            return Verdict(ORACLE, 0.0, "the agent left the page")
        reward, done, reason = state
        if not done:
            return Verdict(ORACLE, 0.0, "the page had not ended the episode")
        needed = _ENOUGH if self._page in _SCORED_PAGES else _FULL_REWARD
        said = f"the page gave {reward:g}" + (f" ({reason})" if reason else "")
        return Verdict(ORACLE, float(reward >= needed), said)

    async def close(self) -> None:
        """Nothing is held."""


class MiniWob:
    """Serves MiniWoB++ (environment "browser").

    Task params: `page` (a name of `list_pages()`), `seed` (the page's random seed; without it the episode's seed is
    taken) and optionally `mode` ("train" or "test").

    Args:
        viewport: width and height in CSS pixels; `FLIGHT_VIEWPORT` suits the flight pages.
    """

    def __init__(self, viewport: tuple[int, int] | None = VIEWPORT) -> None:
        self.viewport = viewport
        self._server: PageServer | None = None

    @property
    def origin(self) -> str:
        """The server's address, "http://127.0.0.1:PORT"; only while it is started."""
        if self._server is None:
            raise RuntimeError("MiniWob is not started")
        return self._server.origin

    async def start(self) -> None:
        """Start the server.

        Raises:
            UserError: if the wheel is not installed.
        """
        self._server = PageServer()

    async def stop(self) -> None:
        """Stop the server."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def visit(self, task: Task, seed: int) -> Visit:
        """Prepare one episode.

        Raises:
            UserError: if the task's params name no page of the wheel, or a mode that does not exist.
        """
        page, mode = task.params.get("page"), task.params.get("mode", "train")
        known_page(page, f"task {task.id}")
        if mode not in ("train", "test"):
            raise UserError(f'task {task.id}: mode {mode!r} is neither "train" nor "test".')
        return MiniWobVisit(self.origin, str(page), int(task.params.get("seed", seed)), mode)


def known_page(page: object, where: str) -> None:
    """Check that `page` is a page of the wheel.

    Raises:
        UserError: if it is not; the message begins with `where` and suggests near names.
    """
    if page not in list_pages():
        near = get_close_matches(str(page), list_pages(), n=3) or ["click-test", "login-user"]
        raise UserError(f"{where}: there is no MiniWoB page {page!r}. Pages are named like {', '.join(near)}.")
