"""The web server behind the phones: one ASGI application on loopback, in a thread of its own.

The phone is one page (`pages/shell.html`: status bar, screen, keyboard, navigation bar) whose script fetches the
screens as fragments of HTML, so a tap costs one small request and no new document. A handset is made in Python and
known here by a random cookie: nothing that a page can reach makes, resets or reveals a state.

| request | answer |
|---|---|
| GET `/` | the shell |
| GET `/p/…` | the screen at an address: `/p/launcher`, `/p/settings/Display`, `/p/web/shoply.com/results?q=…` |
| POST `/do/APP/VERB` | does something, then the screen that it leads to |
| POST `/back`, `/home`, `/again` | the keys of the phone; load the page again |
| POST `/shown`, `/checked` | a blank page has appeared; a human was checked |
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from turnsmith.worlds.phone import apps
from turnsmith.worlds.phone.chance import Events
from turnsmith.worlds.phone.handset import HOME, Handset, View
from turnsmith.worlds.phone.icons import icon
from turnsmith.worlds.phone.layout import layout
from turnsmith.worlds.phone.search import address, seek_page, start_page
from turnsmith.worlds.phone.shop import buy, shop_page
from turnsmith.worlds.phone.words import SITES, rank
from turnsmith.worlds.sites.server import LocalSites, token_of

PAGES = Path(__file__).parent / "pages"
_NO_STORE = {"Cache-Control": "no-store"}
_CACHED = {"Cache-Control": "max-age=86400"}

_jinja = Environment(
    loader=FileSystemLoader(PAGES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,  # a run shows the same screens to its end
)
_jinja.globals.update(icon=icon, SITES=SITES, hue_of=lambda text: int(rank(text) * 360))


@cache
def _file(name: str) -> str:
    return (PAGES / name).read_text(encoding="utf-8")


class PhoneServer(LocalSites):
    """Serves handsets instead of the guests of local sites; starting and stopping are the same."""

    def __init__(self, port: int = 0, address: str = "127.0.0.1") -> None:
        super().__init__(port, address)
        self.handsets: dict[str, Handset] = {}
        self._app = PhoneApp(self.handsets)

    async def ask(self, work: Callable[[], Any]) -> Any:
        """Run a function on the server's own thread, between two of its answers."""

        assert self._loop is not None

        async def run() -> Any:
            return work()

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(run(), self._loop))


class PhoneApp:
    """The ASGI application: the cookie picks the handset."""

    def __init__(self, handsets: Mapping[str, Handset]) -> None:
        self.handsets = handsets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            request = Request(scope, receive)
            await (await self._answer(request))(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = request.url.path
        if path == "/phone.css":
            return Response(_file("phone.css"), media_type="text/css", headers=_CACHED)
        if path == "/phone.js":
            return Response(_file("phone.js"), media_type="text/javascript", headers=_CACHED)
        phone = self.handsets.get(token_of(dict(request.scope["headers"])))
        if phone is None:
            return PlainTextResponse("This page belongs to an episode, and no episode knows this browser.", 403)
        if path == "/":
            html = _jinja.get_template("shell.html").render(
                phone=phone, time=phone.world.time, screen=screen(phone, HOME)
            )
            return HTMLResponse(html, headers=_NO_STORE)
        if request.method == "GET" and path.startswith("/p/"):
            query = f"?{request.url.query}" if request.url.query else ""
            return HTMLResponse(screen(phone, unquote(path[2:]) + query), headers=_NO_STORE)
        if request.method == "POST":
            body = (await request.body()).decode("utf-8", "replace")
            fields = dict(parse_qsl(body, keep_blank_values=True))
            return HTMLResponse(_post(phone, path, fields), headers=_NO_STORE)
        return PlainTextResponse("Not found.", 404)


def _post(phone: Handset, path: str, fields: Mapping[str, str]) -> str:
    match path.strip("/").split("/"):
        case ["back"]:
            if len(phone.stack) > 1:
                phone.stack.pop()
            return screen(phone, phone.stack[-1], again=True)
        case ["home"]:
            del phone.stack[1:]
            return screen(phone, HOME, again=True)
        case ["again"]:
            return screen(phone, phone.stack[-1], again=True)
        case ["shown"]:
            phone.reveal()
            return ""
        case ["checked"]:
            phone.checks.pop(fields.get("site", ""), None)
            return screen(phone, phone.stack[-1], again=True)
        case ["do", "browser", "go"]:
            return screen(phone, address(fields.get("q", "")))
        case ["do", "web", site, "search"] if site in SITES:
            asked = " ".join(fields.get("q", "").split())
            return screen(phone, f"/web/{site}/results?{urlencode({'q': asked})}" if asked else f"/web/{site}/")
        case ["do", "web", site, "buy"] if site in SITES:
            buy(phone, site, fields.get("q", ""), fields.get("at", ""))
            return screen(phone, phone.stack[-1], again=True)
        case ["do", app, verb] if app in apps.DO:
            apps.DO[app](phone, verb, fields)
            then = apps.THEN.get((app, verb))
            if then is not None:  # the form that was sent is not what the back key leads to
                phone.stack.pop()
            if (app, verb) == ("contacts", "call"):
                return screen(phone, f"/contacts/call/{fields.get('name', '')}")
            if (app, verb) == ("contacts", "save") and fields.get("name", "").strip():
                phone.stack.pop()
                return screen(phone, f"/contacts/{' '.join(fields['name'].split())}")
            return screen(phone, then or phone.stack[-1], again=then is None)
    return screen(phone, HOME)


def screen(phone: Handset, url: str, again: bool = False) -> str:
    """The HTML of the screen at an address, with what happens by chance at this load; the handset notes the view."""
    parts = urlsplit(url)
    app, _, rest = parts.path.strip("/").partition("/")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    web = app == "web"
    site, _, rest = rest.partition("/") if web else (app, "", rest)
    if web and site not in SITES and site != "seek":
        app, web = "browser", False
    events = phone.arrive(url, site, web=web, again=again)
    template, view, values = _page(phone, app, site, rest, query)
    if web and events.check is not None and site != "seek":
        phone.checks[site] = events.check
    if events.failed:
        template, view, events = "failed.html", View(f"failed/{view.page}"), Events()
    elif site in phone.checks:
        template, view, events = "check.html", View(f"check/{site}"), Events()
    phone.show(view, blank=events.blank > 0)
    shown = {
        **values,
        "phone": phone,
        "view": view,
        "events": events,
        "site": site,
        "url": url,
        "spot": phone.checks.get(site, (0, 0)),
        "address_bar": layout("browser", phone.day)["bar"],
    }
    return _jinja.get_template(template).render(shown)


def _page(phone: Handset, app: str, site: str, rest: str, query: dict[str, str]) -> apps.Shown:
    match app:
        case "web" if site == "seek":
            return seek_page(phone, query)
        case "web":
            return shop_page(phone, site, rest, query)
        case "browser":
            return start_page(phone)
        case "settings":
            return apps.settings(phone, rest)
        case "clock":
            return apps.clock(phone, rest)
        case "mail":
            return apps.mail(phone, rest, query)
        case "contacts":
            return apps.contacts(phone, rest)
        case "app":
            return apps.plain(phone, rest)
    return apps.launcher(phone, rest)
