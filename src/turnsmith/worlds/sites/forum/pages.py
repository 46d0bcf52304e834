"""The forum's pages."""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from turnsmith.worlds.sites.draft import family
from turnsmith.worlds.sites.forum.world import FILTERS, SORTS, ForumState, ForumWorld, Member, Thread
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


def _guest(request: Request) -> Guest[ForumWorld, ForumState]:
    return guest_of(request)


def _frame(request: Request) -> dict[str, Any]:
    world = _guest(request).world
    return {"nav": [(board, f"/board/{board}") for board in world.boards], "corner": [("Members", "/members")]}


def _list(request: Request, title: str, key: str, items: Sequence[Thread | Member], **values: Any) -> Response:
    return list_page(request, title, key, items, _row, pictures=False, **_frame(request), **values)


def _show(request: Request, template: str, title: str, key: str, **values: Any) -> Response:
    return page(request, f"forum/{template}", title, key, **_frame(request), **values)


def _row(one: Thread | Member) -> dict[str, Any]:
    meta = [f"{one.count} replies"] if isinstance(one, Thread) else ["Member"]
    return {"name": one.name, "url": one.url, "meta": meta}


async def home(request: Request) -> Response:
    """The front page: the newest threads."""
    return _show(
        request, "home.html", "Home", "home", items=[_row(thread) for thread in _guest(request).world.featured]
    )


async def board(request: Request) -> Response:
    """A board's threads."""
    world, name = _guest(request).world, request.path_params["name"]
    if name not in world.boards:
        return await missing(request)
    sort = request.query_params.get("sort", SORTS[0])
    return _list(
        request,
        name,
        f"board:{name}",
        world.listed(name, request.query_params.get("kept", ""), sort),
        filters=toggles(request, "kept", FILTERS),
        sorts=choices(request, "sort", SORTS, sort),
        more=[(world.theme.words["new_thread"], f"/board/{name}/new")],
    )


async def search(request: Request) -> Response:
    """Threads and members that a search finds."""
    query, world = request.query_params.get("q", ""), _guest(request).world
    items = found(query, [*world.threads, *world.members], lambda one: one.name)
    heading = f"Results for “{query}”"
    return _list(request, "Results", f"search:{query}", items, heading=heading)


async def members(request: Request) -> Response:
    """Everybody."""
    return _list(request, "Members", "members", _guest(request).world.members)


def _thread(request: Request) -> Thread | None:
    number = request.path_params["number"]
    return next((thread for thread in _guest(request).world.threads if thread.id == number), None)


def _member(request: Request) -> Member | None:
    number = request.path_params["number"]
    return next((member for member in _guest(request).world.members if member.id == number), None)


async def thread(request: Request) -> Response:
    """A thread: its text, details, replies, and the form for one's own."""
    guest, one = _guest(request), _thread(request)
    if one is None:
        return await missing(request)
    own = [text for name, text in guest.state.replies if name == one.name]
    similar = family(one, guest.world.threads)
    return _show(request, "thread.html", one.name, f"thread:{one.name}", thread=one, own=own, similar=similar)


async def reply(request: Request) -> Response:
    """Take a reply."""
    one, text = _thread(request), (await form(request)).get("text", "")
    if one is None:
        return await missing(request)
    if text:
        _guest(request).state.replies.append((one.name, text))
    return see(one.url)


async def vote(request: Request) -> Response:
    """Vote for a thread, or take the vote back."""
    one = _thread(request)
    if one is None:
        return await missing(request)
    _guest(request).state.votes.symmetric_difference_update({one.name})
    return see(one.url)


async def like(request: Request) -> Response:
    """Like a reply, or stop liking it."""
    one, name = _thread(request), (await form(request)).get("member", "")
    if one is None or name not in [member.name for member, _, _ in one.replies]:
        return await missing(request)
    _guest(request).state.likes.symmetric_difference_update({(one.name, name)})
    return see(one.url)


async def member(request: Request) -> Response:
    """A member: details and their threads."""
    world, one = _guest(request).world, _member(request)
    if one is None:
        return await missing(request)
    threads = [thread for thread in world.threads if thread.author.name == one.name][:4]
    return _show(request, "member.html", one.name, f"member:{one.name}", member=one, threads=threads)


async def follow(request: Request) -> Response:
    """Follow a member, or stop following."""
    one = _member(request)
    if one is None:
        return await missing(request)
    _guest(request).state.follows.symmetric_difference_update({one.name})
    return see(one.url)


async def new(request: Request) -> Response:
    """The form for a new thread."""
    name = request.path_params["name"]
    if name not in _guest(request).world.boards:
        return await missing(request)
    return _show(request, "new.html", f"New in {name}", f"new:{name}", board=name)


async def publish(request: Request) -> Response:
    """Take a new thread."""
    name, fields = request.path_params["name"], await form(request)
    title, text = fields.get("title", ""), fields.get("text", "")
    if name not in _guest(request).world.boards:
        return await missing(request)
    if not (title and text):
        return see(f"/board/{name}/new?problem=1")
    _guest(request).state.threads.append((name, title, text))
    return _show(request, "published.html", title, f"own:{title}", board=name, text=text)


async def missing(request: Request) -> Response:
    """Nothing here."""
    return page(request, "frame/missing.html", "Not found", "missing", status=404, **_frame(request))


ROUTES = [
    get("/", home),
    get("/board/{name}", board),
    get("/board/{name}/new", new),
    post("/board/{name}/new", publish),
    get("/search", search),
    get("/members", members),
    get("/thread/{number:int}", thread),
    post("/thread/{number:int}/reply", reply),
    post("/thread/{number:int}/vote", vote),
    post("/thread/{number:int}/like", like),
    get("/member/{number:int}", member),
    post("/member/{number:int}/follow", follow),
    get("/{rest:path}", missing),
]
