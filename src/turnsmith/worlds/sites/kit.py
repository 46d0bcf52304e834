"""What the five sites share: worlds with their themes, guests with their state, and the rendering of pages.

A *world* is everything about a site that follows from its seed: content, colours, layout, wording; it is built once and
cached. A *guest* is one visitor in one episode: a world, and the state that belongs to this visitor alone (cart,
posts, enrolments). Pages are rendered on the server from jinja2 templates with autoescape; information that tasks ask
for stands in table cells, list items, links and buttons, which are what an element list shows.
"""

import random
import re
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import parse_qsl, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from turnsmith.worlds.sites.words import Namer, split_of_world

HERE = Path(__file__).parent
PAGE_SIZE = 8  # results on a page, so that an element list stays within about 35 marks

# accent, page background, surface, text
_PALETTES = (
    ("#2563eb", "#f4f6fb", "#ffffff", "#1b2333"),
    ("#0f766e", "#f1f7f6", "#ffffff", "#17302d"),
    ("#b45309", "#fbf6ee", "#fffdf9", "#33271a"),
    ("#7c3aed", "#f6f3fc", "#ffffff", "#251b38"),
    ("#be123c", "#fbf3f4", "#ffffff", "#33191f"),
    ("#15803d", "#f2f8f3", "#ffffff", "#182b1d"),
    ("#0369a1", "#eef5fa", "#ffffff", "#14283a"),
    ("#4d4d56", "#f3f3f4", "#ffffff", "#1f1f24"),
)
_FONTS = (
    "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif",
    "'Helvetica Neue', Arial, 'Liberation Sans', sans-serif",
    "Georgia, 'DejaVu Serif', serif",
)
_WORDING: dict[str, Sequence[str]] = {
    "search": ("Search", "Find", "Go"),
    "search_hint": ("Search", "Find anything", "What are you looking for?"),
    "next": ("Next", "Next page", "More"),
    "previous": ("Previous", "Back", "Earlier"),
    "details": ("Details", "Specifications", "More details"),
    "sort": ("Sort", "Sort by", "Order"),
    "accept": ("Accept", "Accept all", "OK"),
    "decline": ("Decline", "Only necessary", "Reject"),
    "no_thanks": ("No thanks", "Not now", "Close"),
}


@dataclass(frozen=True, slots=True)
class Theme:
    """How a world looks and speaks.

    Attributes:
        style: CSS custom properties.
        nav: "top" or "side".
        layout: "cards" or "rows" for lists of results.
        search_first: the search field stands before the navigation in the page.
        folded: tables of details are closed until their button is pressed.
        cookie: a cookie banner stands at the bottom until it is answered.
        newsletter: a modal asks for an address on the second page.
        words: the wording of buttons and labels, by key.
    """

    style: Mapping[str, str]
    nav: str
    layout: str
    search_first: bool
    folded: bool
    cookie: bool
    newsletter: bool
    words: Mapping[str, str]

    @classmethod
    def draw(cls, rng: random.Random, wording: Mapping[str, Sequence[str]]) -> "Theme":
        """A theme by chance; `wording` adds the site's own labels, each with its variants."""
        accent, page, surface, text = rng.choice(_PALETTES)
        dark = rng.random() < 0.4
        style = {
            "accent": accent,
            "page": page,
            "surface": surface,
            "text": text,
            "bar": text if dark else surface,
            "bar-text": "#ffffff" if dark else text,
            "radius": rng.choice(("2px", "8px", "14px")),
            "font": rng.choice(_FONTS),
        }
        return cls(
            style=style,
            nav=rng.choice(("top", "top", "side")),
            layout=rng.choice(("cards", "rows")),
            search_first=rng.random() < 0.5,
            folded=rng.random() < 0.3,
            cookie=rng.random() < 0.35,
            newsletter=rng.random() < 0.2,
            words={key: rng.choice(variants) for key, variants in {**_WORDING, **wording}.items()},
        )


@dataclass(frozen=True, slots=True)
class World:
    """The part of a world that every site has; each site adds its content.

    Attributes:
        seed: decides everything else.
        split: "train", "validation", "test" or "test_templates".
        brand: the site's name in this world.
        theme: looks and wording.
    """

    seed: int
    split: str
    brand: str
    theme: Theme


class State(Protocol):
    """What belongs to one guest."""

    def snapshot(self) -> dict[str, list[str]]:
        """The state in words, by area ("cart", "orders"), each sorted: what the oracle compares with the goal."""
        ...


T = TypeVar("T")
W = TypeVar("W", bound=World)
S = TypeVar("S", bound=State)


@dataclass
class Guest(Generic[W, S]):
    """One visitor of one world.

    Attributes:
        site: the name of the site that they visit.
        world: shared and never changed.
        state: this guest's own.
        viewing: the key of the page that was served last, such as "product:Amberfall Kettle".
        views: how many pages were served.
    """

    site: str
    world: W
    state: S
    viewing: str = ""
    views: int = 0


def guest_of(request: Request) -> Guest:
    """Whose request this is."""
    return request.scope["guest"]


@dataclass(frozen=True)
class Site:
    """One of the local sites.

    Attributes:
        name: also its host, NAME.localhost.
        build: the world of a seed (cached by `world`).
        arrive: the state of a new guest in a world; the second argument is the task's "setup".
        routes: what is served.
        templates: its task templates, by name.
    """

    name: str
    build: Callable[[int], Any]
    arrive: Callable[[Any, Mapping[str, Any]], Any]
    routes: Sequence[Route]
    templates: Mapping[str, "Any"]

    def world(self, seed: int) -> Any:
        """The world of a seed, built at most once while it stays among the 256 last used."""
        return _world(self.build, seed)


@lru_cache(maxsize=256)
def _world(build: Callable[[int], Any], seed: int) -> Any:
    return build(seed)


def start_world(site: str, seed: int, wording: Mapping[str, Sequence[str]]) -> tuple[random.Random, Namer, World]:
    """What every world starts from: its random source, its names, and the shared part."""
    split = split_of_world(seed)
    rng = random.Random(f"{site}/{seed}")
    names = Namer(split, rng)
    return rng, names, World(seed, split, names.word(), Theme.draw(rng, wording))


# ---------------------------------------------------------------------------------------------------------------------
# pages


def _hue(name: str) -> int:
    """A colour for the picture of a thing, the same every time."""
    return zlib.crc32(name.encode()) % 360


def _initials(name: str) -> str:
    return "".join(word[0] for word in re.findall(r"[A-Za-z]+", name)[:2])


_jinja = Environment(
    loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_jinja.filters.update(hue=_hue, initials=_initials)
_NO_STORE = {"Cache-Control": "no-store"}  # going back asks the server again, so `viewing` is what is on screen


def page(request: Request, template: str, title: str, key: str, status: int = 200, **values: Any) -> Response:
    """Render `SITE/TEMPLATE` for the guest of this request and note what they are looking at."""
    guest = guest_of(request)
    guest.views += 1
    guest.viewing = key
    theme = guest.world.theme
    html = _jinja.get_template(template).render(
        title=title,
        world=guest.world,
        theme=theme,
        words=theme.words,
        state=guest.state,
        cookie=theme.cookie and "cookie" not in request.cookies,
        modal=theme.newsletter and guest.views >= 2 and "newsletter" not in request.cookies,
        path=request.url.path,
        query=request.query_params.get("q", ""),
        url_with=lambda **changes: _url_with(request, changes),
        **values,
    )
    return HTMLResponse(html, status, headers=_NO_STORE)


def _url_with(request: Request, changes: Mapping[str, Any]) -> str:
    """This page's address with some query keys changed; None or "" removes a key."""
    query = {**request.query_params, **{key: str(value) for key, value in changes.items() if value is not None}}
    kept = {key: value for key, value in query.items() if value and changes.get(key, value) is not None}
    return f"{request.url.path}?{urlencode(kept)}" if kept else request.url.path


@dataclass(frozen=True, slots=True)
class _Slice:
    """One page of a longer list: its items, its number from 1, and how many pages there are."""

    items: Sequence[Any]
    number: int
    pages: int


def _paged(request: Request, items: Sequence[object]) -> _Slice:
    """The part of `items` that `?page=N` asks for."""
    pages = max(1, -(-len(items) // PAGE_SIZE))
    asked = request.query_params.get("page", "1")
    number = min(max(int(asked), 1), pages) if asked.isascii() and asked.isdigit() and len(asked) < 9 else 1
    return _Slice(items[(number - 1) * PAGE_SIZE : number * PAGE_SIZE], number, pages)


Option = tuple[str, str, bool]  # text, address, whether it is chosen


def choices(request: Request, key: str, options: Sequence[str], chosen: str) -> list[Option]:
    """Links of which exactly one is chosen, such as the order of a list; they set the query key."""
    return [(option, _url_with(request, {key: option, "page": None}), option == chosen) for option in options]


def toggles(request: Request, key: str, options: Sequence[str]) -> list[Option]:
    """Links that switch a filter on, or off again when it is on."""
    chosen = request.query_params.get(key, "")
    return [
        (option, _url_with(request, {key: None if option == chosen else option, "page": None}), option == chosen)
        for option in options
    ]


def list_page(
    request: Request,
    title: str,
    key: str,
    items: Sequence[Any],
    row: Callable[[Any], dict[str, Any]],
    *,
    heading: str = "",
    filters: Sequence[Option] = (),
    sorts: Sequence[Option] = (),
    more: Sequence[tuple[str, str]] = (),
    pictures: bool = True,
    **values: Any,
) -> Response:
    """A list in pages; `row` makes {"name", "url", "meta"} of an item, `more` are further buttons (label, address)."""
    part = _paged(request, items)
    rows = [row(item) for item in part.items]
    return page(
        request,
        "frame/list.html",
        title,
        key,
        heading=heading or title,
        slice=part,
        items=rows,
        filters=filters,
        sorts=sorts,
        more=more,
        pictures=pictures,
        **values,
    )


def see(path: str) -> Response:
    """Send the browser on to another page after a form was taken (303)."""
    return RedirectResponse(path, 303, headers=_NO_STORE)


async def form(request: Request) -> dict[str, str]:
    """The fields of a submitted form, trimmed."""
    body = (await request.body()).decode("utf-8", "replace")
    return {key: value.strip() for key, value in parse_qsl(body, keep_blank_values=True)}


def found(query: str, items: Sequence[T], name: Callable[[T], str]) -> list[T]:
    """The items whose name has a word that starts with a word of the query, in the order given.

    Popularity decides the order, as in many shops, and not how well a name fits: results have to be read.
    """
    asked = re.findall(r"\w+", query.lower())
    return [
        item
        for item in items
        if any(word.startswith(part) for part in asked for word in re.findall(r"\w+", name(item).lower()))
    ]


Handler = Callable[[Request], Awaitable[Response]]


def get(path: str, handler: Handler) -> Route:
    """A page."""
    return Route(path, handler, methods=["GET"])


def post(path: str, handler: Handler) -> Route:
    """A form's target."""
    return Route(path, handler, methods=["POST"])
