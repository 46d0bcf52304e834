"""Running scripts in a page: observe.js is in every document; its functions are called by mark or by remote object."""

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.async_api import CDPSession

SCRIPT = files("turnsmith.envs.browser").joinpath("observe.js").read_text(encoding="utf-8")

# Lines of the accessibility tree can stand for a text or for the document: then the element around or at its root.
_CALL = """function (name, ...rest) {
  const target = this.nodeType === 3 ? this.parentElement : this.nodeType === 9 ? this.documentElement : this;
  return window.__turnsmith__[name](target, ...rest);
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
    """The main world of a page, as its CDP session sees it."""

    def __init__(self, cdp: "CDPSession") -> None:
        self.cdp = cdp

    async def evaluate(self, expression: str) -> Any:
        """The JSON value of an expression in the page's main world; promises are awaited.

        Raises:
            DocumentReplaced: if a navigation replaced the document meanwhile.
        """
        return _value(
            await self.send(
                "Runtime.evaluate",
                {"expression": expression, "returnByValue": True, "awaitPromise": True, "userGesture": False},
            )
        )

    async def call(self, function: str, target: "int | str | None", *rest: Any) -> Any:
        """Call a function of observe.js on a mark (int), a remote object (its id) or nothing (None)."""
        if not isinstance(target, str):
            arguments = ", ".join(json.dumps(one) for one in (target, *rest))
            return await self.evaluate(f"__turnsmith__.{function}({arguments})")
        return _value(
            await self.send(
                "Runtime.callFunctionOn",
                {
                    "functionDeclaration": _CALL,
                    "objectId": target,
                    "arguments": [{"value": one} for one in (function, *rest)],
                    "returnByValue": True,
                    "awaitPromise": True,
                },
            )
        )

    async def send(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """A raw command of the protocol that speaks of the document.

        Raises:
            DocumentReplaced: if a navigation replaced the document meanwhile.
        """
        from playwright.async_api import Error

        for again in (False, True):
            try:
                answer = await self.cdp.send(method, params)
            except Error as error:
                if any(phrase in str(error) for phrase in _REPLACED):
                    raise DocumentReplaced from error
                raise
            thrown = answer.get("exceptionDetails", {}).get("exception", {}).get("description", "")
            if again or "__turnsmith__" not in thrown:
                return answer
            await self.cdp.send("Runtime.evaluate", {"expression": SCRIPT})  # a document without our script
        raise AssertionError


def _value(answer: dict[str, Any]) -> Any:
    if (details := answer.get("exceptionDetails")) is not None:
        raise RuntimeError(details.get("exception", {}).get("description") or details["text"])
    return answer["result"].get("value")
