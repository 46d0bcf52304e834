"""WebArena's `program_html`: texts that must be on pages, found by JavaScript or by a program of the benchmark.

Notable differences from the authors' code, none of which changes what is asked for: targets on the agent's last page
are looked at before anything is navigated away from it; instead of sleeping three seconds after a page was opened, the
locator is asked again until it holds what it should or `patience` is over; programs are looked up by name and never
evaluated as code.
"""

import ast
import asyncio
import html
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from turnsmith.errors import InfraError, UserError
from turnsmith.judges.webarena.strings import equal, included
from turnsmith.tasks.webarena import Target

if TYPE_CHECKING:
    from playwright.async_api import Page

_CALL = re.compile(r"func:(\w+)\((.*)\)\s*", re.DOTALL)
_AGAIN = 0.2  # seconds between two looks at a page
_MEMBER = """name => {
  const names = [...document.querySelectorAll("td[data-label='Account'] span.gl-avatar-labeled-sublabel")];
  const row = names.findIndex(one => one.outerText === "@" + name);
  const roles = document.querySelectorAll("td.col-max-role span");
  return row < 0 || !roles[row] ? "" : roles[row].outerText;
}"""


@dataclass(frozen=True, slots=True)
class Programs:
    """The benchmark's programs, and what they need.

    Attributes:
        shopping: address of the shop, whose REST interface tells the latest order and reviews.
        admin: (name, password) of the shop's administrator.
        patience: seconds until a page that does not hold what it should is given up.
    """

    shopping: str = field(default_factory=lambda: os.environ.get("SHOPPING", "").rstrip("/"))
    admin: tuple[str, str] = field(
        default_factory=lambda: (
            os.environ.get("SHOPPING_ADMIN_USER", ""),
            os.environ.get("SHOPPING_ADMIN_PASSWORD", ""),
        ),
        repr=False,
    )
    patience: float = 3.0

    async def address(self, call: str, last_url: str) -> str:
        """What a program gives as the address of a target.

        Raises:
            UserError: if there is no such program, or it lacks what it needs.
            InfraError: if the shop does not answer.
        """
        name, arguments = _parse(call.replace("__last_url__", last_url))
        if name == "reddit_get_post_url" and len(arguments) == 1:
            return post_url(arguments[0])
        if name == "shopping_get_latest_order_url" and not arguments:
            orders = await self._shop(
                "orders",
                {
                    "searchCriteria[sortOrders][0][field]": "created_at",
                    "searchCriteria[sortOrders][0][direction]": "DESC",
                    "searchCriteria[pageSize]": "1",
                },
            )
            return f"{self.shopping}/sales/order/view/order_id/{int(orders['items'][0]['increment_id'])}/"
        raise UserError(f"WebArena has no program {call!r} that gives an address.")

    async def text(self, call: str, page: "Page") -> str:
        """What a program gives as the text of a target; raises as `address`."""
        name, arguments = _parse(call)
        if name == "gitlab_get_project_memeber_role" and len(arguments) == 2:  # spelled so in the configurations
            return str(await page.evaluate(_MEMBER, arguments[1]))
        if name in ("shopping_get_sku_latest_review_author", "shopping_get_sku_latest_review_rating"):
            reviews = await self._shop(f"products/{arguments[0]}/reviews", {})
            if not reviews:
                return ""
            return str(reviews[-1]["nickname"] if "author" in name else reviews[-1]["ratings"][0]["percent"])
        raise UserError(f"WebArena has no program {call!r} that gives a text.")

    async def _shop(self, path: str, query: Mapping[str, str]) -> Any:
        if not self.shopping or not all(self.admin):
            raise UserError(
                "this task asks the shop's REST interface: set SHOPPING, SHOPPING_ADMIN_USER, SHOPPING_ADMIN_PASSWORD."
            )
        try:
            async with httpx.AsyncClient(timeout=30) as client:
                login = {"username": self.admin[0], "password": self.admin[1]}
                token = await client.post(f"{self.shopping}/rest/default/V1/integration/admin/token", json=login)
                token.raise_for_status()
                headers = {"Authorization": f"Bearer {token.json()}"}
                reply = await client.get(f"{self.shopping}/rest/V1/{path}", params=query, headers=headers)
                reply.raise_for_status()
                return reply.json()
        except (httpx.HTTPError, ValueError) as error:
            raise InfraError("server_down", f"the shop's REST interface: {type(error).__name__}") from error


def _parse(call: str) -> tuple[str, list[str]]:
    """A program's name and its arguments; `__page__` stays a word."""
    match = _CALL.fullmatch(call)
    try:
        arguments = ast.literal_eval(f"[{match[2].replace('__page__', repr('__page__'))}]") if match else None
    except (ValueError, SyntaxError):
        arguments = None
    if match is None or arguments is None or not all(isinstance(argument, str) for argument in arguments):
        raise UserError(f"cannot read the program {call!r} of a WebArena task.")
    return match[1], arguments


def post_url(url: str) -> str:
    """The address of the forum post that an address of the forum belongs to: /f/FORUM/NUMBER/; else the address."""
    parts = urlsplit(url)
    path = parts.path.split("/")
    return f"{parts.scheme}://{parts.netloc}/f/{path[2]}/{path[3]}/" if len(path) >= 4 and path[1] == "f" else url


async def failing(targets: Sequence[Target], page: "Page", programs: Programs) -> str:
    """What the first target that does not hold lacks; "" where all of them hold.

    Raises:
        InfraError: if a page could not be opened.
        UserError: if a program is not known or lacks what it needs.
    """
    last_url = page.url
    for target in sorted(targets, key=lambda one: one.url != "last"):
        if target.url != "last":
            url = await programs.address(target.url, last_url) if target.url.startswith("func:") else target.url
            await _open(page, url)
        deadline = time.monotonic() + programs.patience
        while trouble := _lacking(target, await _content(target, page, programs)):
            if time.monotonic() >= deadline:
                return f"{page.url}: {trouble}"
            await asyncio.sleep(_AGAIN)
    return ""


async def _open(page: "Page", url: str) -> None:
    from playwright.async_api import Error

    try:
        await page.goto(url, wait_until="load")
    except Error as error:
        raise InfraError("server_down", f"{url}: {error.message.splitlines()[0]}") from error


async def _content(target: Target, page: "Page", programs: Programs) -> str:
    """The text that a target's locator finds; "" where the page has nothing of the kind."""
    from playwright.async_api import Error

    try:
        if target.locator.startswith("func:"):
            return await programs.text(target.locator, page)
        if not target.locator.strip():
            return html.unescape(await page.content())
        for script in target.prepare:
            await page.evaluate(f"() => {script}")
        found = await page.evaluate(f"() => {target.locator}")
    except Error:
        return ""
    return "" if found is None else html.unescape(str(found))


def _lacking(target: Target, text: str) -> str:
    if target.exact is not None:
        return "" if equal(target.exact, text) else f"{text[:60]!r} is not {target.exact[:60]!r}"
    for group in target.include:
        if not any(included(phrase, text) for phrase in group):
            return f"{' or '.join(repr(phrase[:60]) for phrase in group)} is missing"
    return ""
