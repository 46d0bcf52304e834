"""Recording what a person does in a page: clicks, typed texts, going back, as actions on the marks of what was seen.

`record.js`, in every document's world of ours (`scripts.py`), tells of trusted events only: the element that was
clicked by its mark of the last observation, a field's text when it is left or Enter is pressed. One observation is
made before each action, so a recorded trace reads like any other.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

from turnsmith.envs.browser.observe import ObservationConfig, observe
from turnsmith.envs.browser.scripts import WORLD
from turnsmith.envs.browser.tab import Tab
from turnsmith.trace.types import Action, Call, Observation, Turn

_BINDING = "__turnsmith_record__"
SCRIPT = files("turnsmith.envs.browser").joinpath("record.js").read_text(encoding="utf-8")


class Recorder:
    """Turns of one tab, made of what happens in it. Use: `start`, then `next` until the person is done."""

    def __init__(self, tab: Tab, seen: ObservationConfig, write: Callable[[Call], str]) -> None:
        """
        Args:
            tab: where the person browses.
            seen: what an observation holds.
            write: a call in the words of an action grammar.
        """
        self.tab = tab
        self.write = write
        self.seen = seen
        self.turns: list[Turn] = []
        self.observation = Observation()
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def start(self) -> None:
        """Listen, and look at the page for the first time."""
        cdp = self.tab.cdp
        cdp.on("Runtime.bindingCalled", self._on_event)
        await cdp.send("Runtime.addBinding", {"name": _BINDING, "executionContextName": WORLD})
        await cdp.send("Page.addScriptToEvaluateOnNewDocument", {"source": SCRIPT, "worldName": WORLD})
        await self.tab.ask(SCRIPT)
        await self.look()

    def _on_event(self, event: dict[str, Any]) -> None:
        if event["name"] == _BINDING:
            self._events.put_nowait(json.loads(event["payload"]))

    async def look(self) -> Observation:
        """Wait until the page is quiet and see what it shows; marks are those of now."""
        await self.tab.settle()
        self.observation, _ = await observe(self.tab, self.seen)
        return self.observation

    async def next(self, seconds: float | None = None) -> Turn | None:
        """The next thing that the person did, as a turn; None when nothing came for so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                event = await self._events.get()
        except TimeoutError:
            return None
        call = self._call(event)
        if call is None:
            return await self.next(seconds)
        turn = self.add(call, str(event.get("name", "")))
        await self.look()
        return turn

    def add(self, call: Call, name: str) -> Turn:
        """A turn of what was seen last and this call."""
        thought = {"click": f"open {name}", "type": f"{call.arguments.get('text', '')} into {name}"}
        text = f"Thought: {thought.get(call.name, call.name.replace('_', ' ')).strip()}\n{self.write(call)}"
        turn = Turn(self.observation, Action(text, call))
        self.turns.append(turn)
        return turn

    def _call(self, event: dict[str, Any]) -> Call | None:
        """The call of an event; None where it touched nothing that has a mark."""
        if event["kind"] == "back":
            return Call("go_back")
        marks: Sequence[dict[str, Any]] = self.observation.info.get("elements", ())
        mark = event.get("mark")
        if mark is None or not 0 <= mark < len(marks):
            return None
        if event["kind"] == "type":
            return Call("type", {"mark": mark, "text": str(event["text"])})
        return Call("click", {"mark": mark})
