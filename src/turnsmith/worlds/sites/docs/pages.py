"""The pages of the documentation. Every address begins with the version that is being read."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from turnsmith.worlds.sites.docs.world import LEVELS, SORTS, Article, DocsState, DocsWorld
from turnsmith.worlds.sites.kit import (
    Guest,
    choices,
    form,
    found,
    get,
    guest_of,
    list_page,
    page,
    post,
    see,
    toggles,
)


def _guest(request: Request) -> Guest[DocsWorld, DocsState]:
    return guest_of(request)


def _version(request: Request) -> str:
    """The version in the address, else the newest."""
    versions = _guest(request).world.versions
    asked = request.path_params.get("version", "")
    return asked if asked in versions else versions[0]


def _frame(request: Request) -> dict[str, Any]:
    world, version = _guest(request).world, _version(request)
    rest = request.url.path.split("/", 2)[2] if "version" in request.path_params else ""
    return {
        "nav": [(section, f"/{version}/section/{section}") for section in world.sections],
        "corner": [("Bookmarks", f"/{version}/bookmarks")],
        "version": version,
        "versions": [(other, f"/{other}/{rest}", other == version) for other in world.versions],
        "home": f"/{version}/",
        "search_to": f"/{version}/search",
    }


def _row(request: Request) -> Any:
    version = _version(request)
    return lambda one: {"name": one.name, "url": f"/{version}/page/{one.id}", "meta": [f"{one.minutes} min read"]}


def _list(request: Request, title: str, key: str, items: list[Article], **values: Any) -> Response:
    return list_page(request, title, key, items, _row(request), pictures=False, **_frame(request), **values)


async def home(request: Request) -> Response:
    """The front page: where to begin."""
    items = [_row(request)(article) for article in _guest(request).world.featured]
    return page(request, "docs/home.html", "Home", "home", items=items, **_frame(request))


async def section(request: Request) -> Response:
    """A section's articles."""
    world, name = _guest(request).world, request.path_params["name"]
    if name not in world.sections:
        return await missing(request)
    sort = request.query_params.get("sort", SORTS[0])
    return _list(
        request,
        name,
        f"section:{name}",
        world.listed(name, request.query_params.get("level", ""), sort),
        filters=toggles(request, "level", LEVELS),
        sorts=choices(request, "sort", SORTS, sort),
    )


async def search(request: Request) -> Response:
    """What a search finds."""
    query = request.query_params.get("q", "")
    items = found(query, _guest(request).world.articles, lambda one: one.name)
    return _list(request, "Results", f"search:{query}", items, heading=f"Results for “{query}”")


async def bookmarks(request: Request) -> Response:
    """What was bookmarked."""
    guest = _guest(request)
    return _list(
        request,
        "Bookmarks",
        "bookmarks",
        [article for article in guest.world.articles if article.name in guest.state.bookmarks],
    )


def _article(request: Request) -> Article | None:
    return _guest(request).world.numbered(request.path_params["number"])


async def article(request: Request) -> Response:
    """An article: options, details, cross-links, and what a reader can do with it."""
    world, one, version = _guest(request).world, _article(request), _version(request)
    if one is None:
        return await missing(request)
    return page(
        request,
        "docs/article.html",
        one.name,
        f"page:{one.name}",
        article=one,
        here=f"/{version}/page/{one.id}",
        options=one.options[version].items(),
        successor=world.numbered(one.successor) if one.successor is not None else None,
        related=[other for number in one.related if (other := world.numbered(number))],
        **_frame(request),
    )


async def bookmark(request: Request) -> Response:
    """Bookmark an article, or take the bookmark away."""
    return await _mark(request, _guest(request).state.bookmarks)


async def helpful(request: Request) -> Response:
    """Say that an article helped, or take it back."""
    return await _mark(request, _guest(request).state.helpful)


async def _mark(request: Request, marked: set[str]) -> Response:
    one = _article(request)
    if one is None:
        return await missing(request)
    marked.symmetric_difference_update({one.name})
    return see(f"/{_version(request)}/page/{one.id}")


async def suggest(request: Request) -> Response:
    """Take a suggestion."""
    one, text = _article(request), (await form(request)).get("text", "")
    if one is None:
        return await missing(request)
    if text:
        _guest(request).state.suggestions.append((one.name, text))
    return see(f"/{_version(request)}/page/{one.id}?sent=1")


async def missing(request: Request) -> Response:
    """Nothing here."""
    return page(request, "frame/missing.html", "Not found", "missing", status=404, **_frame(request))


ROUTES = [
    get("/", home),
    get("/{version}/", home),
    get("/{version}/section/{name}", section),
    get("/{version}/search", search),
    get("/{version}/bookmarks", bookmarks),
    get("/{version}/page/{number:int}", article),
    post("/{version}/page/{number:int}/bookmark", bookmark),
    post("/{version}/page/{number:int}/helpful", helpful),
    post("/{version}/page/{number:int}/suggest", suggest),
    get("/{rest:path}", missing),
]
