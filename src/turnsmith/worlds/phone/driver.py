"""The phone of ours as a `Device`: real Chromium in mobile emulation, real touch events, pictures of the screen.

Notable: everything of a step goes through the tab's own CDP session, and only two round trips are waited for. The first
carries the touch and a promise that the page keeps when the tap went through and nothing is under way; the second takes
the picture. No time is slept. Fingers rest before they lift, so nothing flings on after a swipe, and the same swipe
always scrolls as far.
"""

import asyncio
import json
import secrets
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from turnsmith.envs.browser.chromium import ChromiumInstall
from turnsmith.envs.browser.faults import Limits
from turnsmith.envs.browser.pool import BrowserPool
from turnsmith.envs.device.base import Device, Key
from turnsmith.errors import InfraError, UserError
from turnsmith.trace.types import ImageRef, Task
from turnsmith.worlds.phone.chance import CALM, Chance
from turnsmith.worlds.phone.goals import judge
from turnsmith.worlds.phone.handset import Handset
from turnsmith.worlds.phone.layout import LAST
from turnsmith.worlds.phone.server import PhoneServer
from turnsmith.worlds.sites.server import COOKIE

if TYPE_CHECKING:
    from turnsmith.envs.browser.tab import Tab

SIZE = (360, 760)
HOST = "phone.localhost"
_HOSTS = frozenset({HOST})
_SWIPE_STEPS = 6
_FRAME, _REST = 0.016, 0.1
"""Seconds between the moves of a finger, and for which it rests before it lifts."""


class LocalPhones:
    """Phones drawn by one Chromium, with one server behind them. `environment.Phones` is the contract.

    Args:
        chance: what happens by chance; a task's params may bring their own ("chance": {...}).
        quality: of the JPEG pictures, 1 to 100.
        limits: time limits.
        chromium: the browser; found by `find_chromium` by default.
        pool: a browser that others use as well; it is started if need be and left running.
    """

    def __init__(
        self,
        chance: Chance = CALM,
        quality: int = 70,
        limits: Limits | None = None,
        chromium: ChromiumInstall | None = None,
        pool: BrowserPool | None = None,
    ) -> None:
        self.chance = chance
        self.quality = quality
        self.pool = pool or BrowserPool(SIZE, limits or Limits(), chromium)
        self._shared = pool is not None
        self.server = PhoneServer()

    async def start(self) -> None:
        """Start the browser and the server.

        Raises:
            UserError: if Playwright or a Chromium is missing.
            InfraError: if either does not start.
        """
        await self.pool.start()
        try:
            await self.server.start()
        except BaseException:
            await self._leave()
            raise

    async def stop(self) -> None:
        """Close the port, and the browser unless it is shared."""
        try:
            await self._leave()
        finally:
            await self.server.stop()

    async def _leave(self) -> None:
        if not self._shared:
            await self.pool.stop()

    async def borrow(self) -> "ChromiumPhone":
        """A phone; there are as many as are wanted."""
        return ChromiumPhone(self)

    async def give_back(self, device: Device) -> None:
        """Throw the phone away: nothing of an episode is left for the next."""
        await device.close()

    async def truth(self, device: Device, task: Task) -> tuple[bool, str] | None:
        """The oracle: what is on the screen and what the phone holds, against the task's goal."""
        goal = task.hidden.get("goal")
        handset = cast(ChromiumPhone, device).handset
        if not goal or handset is None:
            return None
        return await self.server.ask(lambda: judge(goal, handset.view, handset.facts()))


class ChromiumPhone:
    """One phone. `base.Device` is the contract; make it with `LocalPhones.borrow`.

    `reset` takes as its setup: "day" (the layout version, default 0), "world" (whose phone it is, default 0), and
    optionally "chance" (fields of `Chance` instead of those that the phones were made with).
    """

    size = SIZE

    def __init__(self, phones: LocalPhones) -> None:
        self._phones = phones
        self._tab: Tab | None = None
        self._token = ""
        self._lifts = 0
        self._picture: ImageRef | None = None
        self.handset: Handset | None = None
        """The state behind the screen: for the oracle and scripts, never for a policy."""

    # ---- life ----

    async def measure(self) -> tuple[int, int]:
        """Always the same: this phone is not turned."""
        return self.size

    async def reset(self, seed: int, setup: Mapping[str, Any] | None = None) -> None:
        """A new handset in a new browser context; nothing is carried over.

        Raises:
            UserError: if the setup is not as above.
            InfraError: as in the table of envs/browser/faults.
        """
        await self.close()
        phones = self._phones
        self.handset = handset = handset_of(seed, setup or {}, phones.chance)
        self._token = secrets.token_urlsafe(18)
        phones.server.handsets[self._token] = handset
        self._tab = tab = await phones.pool.tab(_HOSTS)
        self._lifts = 0
        await tab.guard(self._open(tab))
        phones.pool.prepare(_HOSTS)

    async def _open(self, tab: "Tab") -> None:
        url = f"http://{HOST}:{self._phones.server.port}/"
        cookie: Any = {"name": COOKIE, "value": self._token, "url": url, "httpOnly": True, "sameSite": "Lax"}
        metrics = {"width": SIZE[0], "height": SIZE[1], "deviceScaleFactor": 1, "mobile": True}
        await asyncio.gather(
            tab.context.add_cookies([cookie]),
            tab.cdp.send("Emulation.setDeviceMetricsOverride", metrics),
            tab.cdp.send("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 1}),
        )
        await tab.goto(url)

    async def health(self) -> str:
        """What is wrong with the phone; "" when it is fine or was not started yet."""
        if self._tab is None:
            return ""
        if self._tab.failure.done():
            return str(self._tab.failure.result())
        return "" if await self._tab.lives() else "the page of the phone does not answer"

    async def close(self) -> None:
        """Throw the tab and the handset away."""
        self._phones.server.handsets.pop(self._token, None)
        tab, self._tab, self.handset, self._picture = self._tab, None, None, None
        if tab is not None:
            self._phones.pool.retire(tab)

    @property
    def tab(self) -> "Tab":
        """The tab behind the glass."""
        if self._tab is None:
            raise InfraError("page_closed", "the phone was not reset")
        return self._tab

    # ---- eyes ----

    async def screenshot(self) -> ImageRef:
        """JPEG of the whole screen, 360 by 760. The same one again when nothing was done since the last."""
        if self._picture is None:
            tab = self.tab
            self._picture = ImageRef.of(await tab.guard(tab.screenshot(self._phones.quality)))
        return self._picture

    async def show(self, url: str) -> None:
        """Go straight to a screen, such as "/settings/Display": for scripts and tests."""
        await self._act(self._run(f"phone.go({json.dumps(url)})"))

    async def boxes(self) -> dict[str, Any]:
        """What can be touched, in pixels, for scripts: {"view", "query", "blank", "typing", "boxes": [{"key", …}]}."""
        return await self._run("phone.boxes()")

    # ---- fingers ----

    async def tap(self, x: int, y: int) -> None:
        """Touch and lift."""
        await self._touch([("touchStart", x, y), ("touchEnd", x, y)])

    async def swipe(self, x: int, y: int, to_x: int, to_y: int) -> None:
        """Move in a straight line and rest before lifting."""
        path = [
            ("touchMove", x + (to_x - x) * at // _SWIPE_STEPS, y + (to_y - y) * at // _SWIPE_STEPS)
            for at in range(1, _SWIPE_STEPS + 1)
        ]
        await self._touch([("touchStart", x, y), *path, path[-1], ("touchEnd", to_x, to_y)])

    async def _touch(self, events: list[tuple[str, int, int]]) -> None:
        self._lifts += 1
        tab = self.tab
        # The browser reckons speeds by these times: a finger that was seen to rest before it lifts flings nothing on,
        # and the next tap is a tap and does not merely stop a fling.
        times = [time.time() - _FRAME * (len(events) - index) - _REST for index in range(len(events) - 1)] + [
            time.time()
        ]
        sent = []
        for (kind, x, y), at in zip(events, times, strict=True):
            points = [] if kind == "touchEnd" else [{"x": x, "y": y}]
            touch = {"type": kind, "touchPoints": points, "timestamp": at}
            sent.append(tab.cdp.send("Input.dispatchTouchEvent", touch))
        self._picture = None
        await tab.guard(asyncio.gather(*sent, self._run(f"phone.rest({self._lifts})")))

    async def type_text(self, text: str) -> None:
        """Insert the text at the caret, replacing what is selected; without a focused field nothing happens."""
        await self._act(self.tab.cdp.send("Input.insertText", {"text": text}))

    async def press(self, key: Key) -> None:
        """Back, home or enter."""
        if key == "enter":
            enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
            cdp = self.tab.cdp
            events = [{"type": "keyDown", **enter}, {"type": "keyUp", **enter}]
            await self._act(*(cdp.send("Input.dispatchKeyEvent", event) for event in events))
        elif key in ("back", "home"):
            await self._act(self._run(f"phone.{key}()"))
        else:
            raise UserError(f"the phone has no key {key!r}: it has back, home and enter.")

    async def _act(self, *sent: Any) -> None:
        """Await what was sent, then until all that it caused has come to rest.

        The page counts fingers, so the promise can travel together with a touch; keys and text are waited for first,
        since the browser may hand them to the page after a script that was sent later.
        """
        self._picture = None
        await self.tab.guard(self._settle(*sent))

    async def _settle(self, *sent: Any) -> None:
        await asyncio.gather(*sent)
        await self._run(f"phone.rest({self._lifts})")

    async def _run(self, expression: str) -> Any:
        return await self.tab.evaluate(expression)


def handset_of(seed: int, setup: Mapping[str, Any], chance: Chance) -> Handset:
    """The handset that a setup describes.

    Raises:
        UserError: if the setup is not what a phone takes.
    """
    day, world, own = setup.get("day", 0), setup.get("world", 0), setup.get("chance")
    if not (isinstance(day, int) and isinstance(world, int) and 0 <= day <= LAST and world >= 0):
        raise UserError(
            f'the phone: "day" {day!r} and "world" {world!r} must be whole numbers from 0, the day at most {LAST}.'
        )
    if own is not None:
        try:
            chance = Chance(**{str(key): float(value) for key, value in own.items()})
        except (TypeError, ValueError, AttributeError) as error:
            raise UserError(f'the phone: "chance" must hold probabilities by name ({error}).') from error
    return Handset.start(seed, day, world, chance)
