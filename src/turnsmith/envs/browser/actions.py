"""Executing parsed calls on a tab.

| call | effect |
|---|---|
| `click{mark}` | click the element's centre, in the same tab; an option of a closed select is chosen |
| `type{mark, text}` | click the field, replace what is in it by `text`, press Enter; a select: choose that option |
| `scroll{direction, target}` | "window" or a mark: two thirds of what is visible, "up" or "down" |
| `wait{}` | until the page changes by itself, at most `Limits.wait` |
| `go_back{}` | one step back in the history |
| `search_engine{}` | open the environment's search page |
| `goto{url}` | open an address that the episode may reach (no grammar of ours has it; BrowserGym's agents do) |
| `press{key}`, `press{mark, key}` | press a key where the focus is, or on an element |
| `answer{text}` | end the episode |

Of several options with one label the second is called "label (2)". What lies over the window scrolls in its place.
`type` takes `enter: false` where Enter is not to be pressed. Before anything is touched the aim is checked again: the
element must still be there and its centre must still hit it. A call that cannot be carried out raises `StepError` and
has no effect.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from turnsmith.envs.browser.faults import StepError
from turnsmith.envs.browser.scripts import DocumentReplaced
from turnsmith.envs.browser.tab import Tab
from turnsmith.trace.types import Call

# A tab would leave the field, and a new line in a field that has one line would send it: what a paste makes of them.
_KEYS = re.compile(r"[\t\r\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LINES = re.compile(r"\r\n|[\x00-\x1f\x7f\u2028\u2029]")

_REASONS = {
    "gone": "is no longer on the page",
    "covered": "is covered by something else",
    "disabled": "is disabled",
}


class Actor:
    """Executes calls on the marks of the last observation of one tab."""

    def __init__(self, tab: Tab, search_url: str | None) -> None:
        self.tab = tab
        self.search_url = search_url
        self.count = 0
        """How many marks the last observation had."""
        self.nodes: dict[int, int] = {}
        """Backend node ids behind further numbers, which only the accessibility tree showed."""

    async def execute(self, call: Call) -> tuple[dict[str, Any], str]:
        """Carry out a call and wait until the page settled.

        Returns:
            What to record ("mark", "box" and "point" where the action aimed at an element), and why the call could not
            be carried out or led nowhere ("" where it did what it says).

        Raises:
            InfraError: as in the table of `faults`.
        """
        self.tab.begin()
        info: dict[str, Any] = {}
        try:
            try:
                await self._act(call, info)
            except DocumentReplaced:
                pass  # the page moved on while it was acted on; what it is now, the agent will see
            await self.tab.settle()
        except StepError as error:
            return info, str(error)
        return info, ""

    async def _act(self, call: Call, info: dict[str, Any]) -> None:
        match call.name:
            case "click":
                await self._click(call.arguments, info)
            case "type":
                await self._type(call.arguments, info)
            case "scroll":
                await self._scroll(call.arguments, info)
            case "wait":
                await self.tab.ask(f"__turnsmith__.change({self.tab.limits.wait * 1000})")
            case "go_back":
                if not await self.tab.go_back():
                    raise StepError("There is no earlier page to go back to.")
            case "search_engine":
                if self.search_url is None:
                    raise StepError("There is no search engine here.")
                await self.tab.goto(self.search_url)
            case "goto":
                await self._goto(str(call.arguments.get("url", "")))
            case "press":
                await self._press(call.arguments, info)
            case "answer":
                pass  # the session ends the episode
            case _:
                raise StepError(f"There is no action {call.name!r} here.")

    async def _target(self, arguments: Mapping[str, Any], name: str = "mark") -> tuple[int, int | str]:
        """The mark of a call, and what stands for its element in scripts."""
        mark = arguments.get(name)
        if isinstance(mark, bool) or not isinstance(mark, int):
            raise StepError(f"The action needs the number of an element, not {mark!r}.")
        if 0 <= mark < self.count:
            return mark, mark
        if mark in self.nodes:
            try:
                return mark, await self.tab.resolve(self.nodes[mark])
            except DocumentReplaced:
                raise StepError(f"Element [{mark}] {_REASONS['gone']}; nothing was done.") from None
        have = f"the numbers go from 0 to {self.count - 1}" if self.count else "no element has a number"
        raise StepError(f"There is no element [{mark}]: {have}.")

    async def _aim(self, mark: int, target: int | str) -> dict[str, Any]:
        aim = await self.tab.call("aim", target, isinstance(target, str))
        if trouble := aim.get("trouble"):
            raise StepError(f"Element [{mark}] {_REASONS[trouble]}; nothing was done.")
        return aim

    async def _click(self, arguments: Mapping[str, Any], info: dict[str, Any]) -> None:
        mark, target = await self._target(arguments)
        info["mark"] = mark
        aim = await self._aim(mark, target)
        if aim["kind"] == "choice":
            if (await self.tab.call("choose", target, "")).get("trouble") == "disabled":
                raise StepError(f"Element [{mark}] {_REASONS['disabled']}; nothing was done.")
            return
        if aim["kind"] == "select" and not aim["listbox"]:
            raise StepError(
                f"Element [{mark}] is a drop-down list; nothing was done. Type one of its options into it: "
                f"{_listed(aim['options'])}."
            )
        if aim["kind"] == "file":
            raise StepError(f"Element [{mark}] wants a file, which cannot be given here; nothing was done.")
        info.update(_where(aim))
        await self.tab.press(aim["point"])

    async def _type(self, arguments: Mapping[str, Any], info: dict[str, Any]) -> None:
        mark, target = await self._target(arguments)
        info["mark"] = mark
        text = arguments.get("text")
        if not isinstance(text, str):
            raise StepError("The action needs a text to type.")
        aim = await self._aim(mark, target)
        if aim["kind"] in ("select", "set"):
            done = await self.tab.call("choose" if aim["kind"] == "select" else "put", target, text)
            if not done.get("trouble"):
                info.update(_where(aim))
            elif done["trouble"] == "disabled":
                raise StepError(f"The option {text!r} of element [{mark}] is disabled; nothing was done.")
            elif aim["kind"] == "select":
                raise StepError(
                    f"Element [{mark}] has no option {text!r}; nothing was done. Options: {_listed(aim['options'])}."
                )
            else:
                raise StepError(f"Element [{mark}] wants {_wanted(aim)}, which {text!r} is not; nothing was done.")
            return
        if aim["kind"] != "text" or aim["readonly"]:
            kind = f"<{aim['tag']}>" + (f" of type {aim['type']}" if aim["tag"] == "input" else "")
            raise StepError(f"Element [{mark}] is not a field to type into ({kind}); nothing was done.")
        info.update(_where(aim))
        await self.tab.press(aim["point"])
        if await self.tab.call("take", target):
            text = _KEYS.sub(" ", text.replace("\r\n", "\n")) if aim["tag"] != "input" else _LINES.sub(" ", text)
            await self.tab.write(text, enter=arguments.get("enter", True) is not False)

    async def _press(self, arguments: Mapping[str, Any], info: dict[str, Any]) -> None:
        """Press a key, such as "Enter" or "Control+a", where the focus is, or in a field or on a button."""
        from playwright.async_api import Error

        key = arguments.get("key")
        if "mark" in arguments:
            mark, target = await self._target(arguments)
            info["mark"] = mark
            info.update(_where(await self._aim(mark, target)))
            if isinstance(target, str):
                raise StepError(f"Element [{mark}] is only in the accessibility tree; nothing was done.")
            await self.tab.ask(f"__turnsmith__.element({target}).focus()")
        try:
            await self.tab.page.keyboard.press(str(key))
        except Error as error:
            if "Unknown key" not in error.message:
                raise
            raise StepError(f"There is no key {str(key)[:40]!r}.") from error

    async def _goto(self, url: str) -> None:
        """Open an address that the episode may reach."""
        if urlsplit(url).scheme not in ("http", "https") or not self.tab.wall.allows(url):
            raise StepError(f"{url[:80]!r} is not among the addresses that this task may reach.")
        await self.tab.goto(url)

    async def _scroll(self, arguments: Mapping[str, Any], info: dict[str, Any]) -> None:
        sign = {"up": -1, "down": 1}.get(str(arguments.get("direction")))
        if sign is None:
            raise StepError("The direction of a scroll is up or down.")
        if arguments.get("target", "window") == "window":
            await self.tab.call("scroll", None, sign)
            return
        mark, target = await self._target(arguments, "target")
        info["mark"] = mark
        done = await self.tab.call("scroll", target, sign)
        if trouble := done.get("trouble"):
            raise StepError(f"Element [{mark}] {_REASONS[trouble]}; nothing was done.")


def _wanted(aim: Mapping[str, Any]) -> str:
    """What a field that is set takes."""
    if aim["type"] == "range":
        low, high = aim["range"]
        return f"a number from {low} to {high}"
    return "a colour such as #1e90ff" if aim["type"] == "color" else f"a {aim['type']}"


def _where(aim: Mapping[str, Any]) -> dict[str, Any]:
    return {"box": aim["box"], "point": [round(aim["point"][0]), round(aim["point"][1])]}


def _listed(options: list[str], limit: int = 20) -> str:
    more = ", …" if len(options) > limit else ""
    return ", ".join(options[:limit]) + more
