"""Running scripts in a page: page.js is in the page's own world, observe.js in one of ours that no page can touch.

The functions of observe.js are called by mark or by remote object. The world of a document is known from the moment its
first script runs; a document that has run none is given one when it is asked.
"""

import asyncio
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from turnsmith.errors import InfraError

if TYPE_CHECKING:
    from playwright.async_api import CDPSession

WORLD = "turnsmith"
_FOLDER = files("turnsmith.envs.browser")
PAGE_SCRIPT = _FOLDER.joinpath("page.js").read_text(encoding="utf-8")
SCRIPT = _FOLDER.joinpath("observe.js").read_text(encoding="utf-8")

# Lines of the accessibility tree can stand for a text or for the document: then the element around or at its root.
_CALL = """function (name, ...rest) {
  const target = this.nodeType === 3 ? this.parentElement : this.nodeType === 9 ? this.documentElement : this;
  return __turnsmith__[name](target, ...rest);
}"""


_REPLACED = (
    "Inspected target navigated",
    "Execution context was destroyed",
    "Cannot find context",
    "Cannot find execution context",
    "Promise was collected",
    "uniqueContextId not found",
    "Could not find object with given id",
    "No node with given id",
    "Node with given id does not belong",
)


class DocumentReplaced(Exception):
    """The document went away while a script ran in it: a navigation came through."""


class Scripts:
    """The worlds of a page, as its CDP session sees them."""

    def __init__(self, cdp: "CDPSession") -> None:
        self.cdp = cdp
        self._frame = ""
        self._worlds: dict[int, str] = {}  # our worlds of the main frame's document: id -> unique id
        self._world_known = asyncio.Event()
        cdp.on("Runtime.executionContextCreated", self._on_world)
        cdp.on("Runtime.executionContextDestroyed", self._on_world_gone)
        cdp.on("Runtime.executionContextsCleared", lambda _: self._worlds.clear())

    async def enable_scripts(self) -> None:
        """Have both scripts in every document from now on."""
        await asyncio.gather(
            self.cdp.send("Runtime.enable"),
            self.cdp.send("Page.addScriptToEvaluateOnNewDocument", {"source": PAGE_SCRIPT}),
            self.cdp.send("Page.addScriptToEvaluateOnNewDocument", {"source": SCRIPT, "worldName": WORLD}),
        )

    def _on_world(self, event: Mapping[str, Any]) -> None:
        context = event["context"]
        if context["name"] == WORLD and context.get("auxData", {}).get("frameId") == self._frame:
            self._worlds[context["id"]] = context["uniqueId"]
            self._world_known.set()

    def _on_world_gone(self, event: Mapping[str, Any]) -> None:
        self._worlds.pop(event["executionContextId"], None)

    async def world(self) -> tuple[int, str]:
        """The id and the unique id of our world in the present document.

        Raises:
            DocumentReplaced: if a navigation replaced the document meanwhile.
        """
        if not self._worlds:
            self._world_known.clear()
            await self.send("Page.createIsolatedWorld", {"frameId": self._frame, "worldName": WORLD})
            try:
                async with asyncio.timeout(1.0):
                    await self._world_known.wait()
            except TimeoutError:
                raise DocumentReplaced from None  # it came and went
        return next(reversed(self._worlds.items()))

    async def evaluate(self, expression: str) -> Any:
        """The JSON value of an expression in the page's own world; promises are awaited.

        Raises:
            DocumentReplaced: if a navigation replaced the document meanwhile.
        """
        return _value(
            await self.send(
                "Runtime.evaluate",
                {"expression": expression, "returnByValue": True, "awaitPromise": True, "userGesture": False},
            )
        )

    async def ask(self, expression: str) -> Any:
        """The JSON value of an expression in our world, where `__turnsmith__` is; promises are awaited.

        Raises:
            DocumentReplaced: if a navigation replaced the document meanwhile.
        """
        return _value(await self._in_world({"expression": expression, "returnByValue": True, "awaitPromise": True}))

    async def handle(self, expression: str) -> str | None:
        """The id of the object that an expression gives in our world; None where it gives none.

        Raises:
            DocumentReplaced: if a navigation replaced the document meanwhile.
        """
        return (await self._in_world({"expression": expression}))["result"].get("objectId")

    async def resolve(self, backend: int) -> str:
        """The id of a node's object in our world.

        Args:
            backend: its backend node id.

        Raises:
            DocumentReplaced: if the node or its document is gone.
        """
        id, _ = await self.world()
        answer = await self.send("DOM.resolveNode", {"backendNodeId": backend, "executionContextId": id})
        return answer["object"]["objectId"]

    async def call(self, function: str, target: "int | str | None", *rest: Any) -> Any:
        """Call a function of observe.js on a mark (int), a remote object of our world (its id) or nothing (None)."""
        if not isinstance(target, str):
            arguments = ", ".join(json.dumps(argument) for argument in (target, *rest))
            return await self.ask(f"__turnsmith__.{function}({arguments})")
        return _value(
            await self.send(
                "Runtime.callFunctionOn",
                {
                    "functionDeclaration": _CALL,
                    "objectId": target,
                    "arguments": [{"value": argument} for argument in (function, *rest)],
                    "returnByValue": True,
                    "awaitPromise": True,
                },
            )
        )

    async def _in_world(self, params: dict[str, Any]) -> dict[str, Any]:
        """`Runtime.evaluate` in our world; a document in which our script never ran gets it first."""
        for again in (False, True):
            _, unique = await self.world()
            answer = await self.send("Runtime.evaluate", {**params, "uniqueContextId": unique})
            thrown = answer.get("exceptionDetails", {}).get("exception", {}).get("description", "")
            if again or "__turnsmith__ is not defined" not in thrown:
                return answer
            await self.send("Runtime.evaluate", {"expression": SCRIPT, "uniqueContextId": unique})
        raise AssertionError

    async def send(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """A raw command of the protocol that speaks of the document.

        Raises:
            DocumentReplaced: if a navigation replaced the document meanwhile.
        """
        from playwright.async_api import Error

        try:
            return await self.cdp.send(method, params)
        except Error as error:
            if any(phrase in str(error) for phrase in _REPLACED):
                raise DocumentReplaced from error
            raise


def _value(answer: dict[str, Any]) -> Any:
    """The value of an answer. What a page makes a script throw is no fault of the agent, and ends one episode only."""
    if (details := answer.get("exceptionDetails")) is not None:
        raise InfraError("script_failed", details.get("exception", {}).get("description") or details["text"])
    return answer["result"].get("value")
