"""The pages of the course catalogue."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from turnsmith.worlds.sites.courses.world import (
    LEVELS,
    SORTS,
    Course,
    CoursesState,
    CoursesWorld,
    Lecturer,
)
from turnsmith.worlds.sites.draft import family
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


def _guest(request: Request) -> Guest[CoursesWorld, CoursesState]:
    return guest_of(request)


def _frame(request: Request) -> dict[str, Any]:
    guest = _guest(request)
    count, mine = len(guest.state.enrolled), guest.world.theme.words["mine"]
    return {
        "nav": [(department, f"/department/{department}") for department in guest.world.departments],
        "corner": [(f"{mine} ({count})" if count else mine, "/mine")],
    }


def _show(request: Request, template: str, title: str, key: str, **values: Any) -> Response:
    return page(request, f"courses/{template}", title, key, **_frame(request), **values)


def _row(one: Course | Lecturer) -> dict[str, Any]:
    meta = [f"{one.hours} hours"] if isinstance(one, Course) else ["Lecturer"]
    return {"name": one.name, "url": one.url, "meta": meta}


async def home(request: Request) -> Response:
    """The front page: a few courses."""
    return _show(
        request, "home.html", "Home", "home", items=[_row(course) for course in _guest(request).world.featured]
    )


async def department(request: Request) -> Response:
    """A department's courses."""
    world, name = _guest(request).world, request.path_params["name"]
    if name not in world.departments:
        return await missing(request)
    sort = request.query_params.get("sort", SORTS[0])
    return list_page(
        request,
        name,
        f"department:{name}",
        world.listed(name, request.query_params.get("level", ""), sort),
        _row,
        filters=toggles(request, "level", LEVELS),
        sorts=choices(request, "sort", SORTS, sort),
        **_frame(request),
    )


async def search(request: Request) -> Response:
    """Courses and lecturers that a search finds."""
    query, world = request.query_params.get("q", ""), _guest(request).world
    items = found(query, [*world.courses, *world.lecturers], lambda one: one.name)
    heading = f"Results for “{query}”"
    return list_page(request, "Results", f"search:{query}", items, _row, heading=heading, **_frame(request))


def _course(request: Request) -> Course | None:
    return _guest(request).world.numbered(request.path_params["number"])


async def course(request: Request) -> Response:
    """A course: groups, details, what it requires and what it leads to."""
    guest, one = _guest(request), _course(request)
    if one is None:
        return await missing(request)
    return _show(
        request,
        "course.html",
        one.name,
        f"course:{one.name}",
        course=one,
        group=guest.state.enrolled.get(one.name),
        required=guest.world.numbered(one.requires),
        leads=[other for other in guest.world.courses if other.requires == one.id],
        similar=family(one, guest.world.courses),
    )


async def enrol(request: Request) -> Response:
    """Take a course in a group, or change the group; what the course requires has to be taken first."""
    guest, one, group = _guest(request), _course(request), (await form(request)).get("group", "")
    if one is None or group not in one.groups:
        return await missing(request)
    required = guest.world.numbered(one.requires)
    if required is not None and required.name not in guest.state.enrolled:
        return see(f"{one.url}?refused=1")
    guest.state.enrolled[one.name] = group
    return see(one.url)


async def drop(request: Request) -> Response:
    """Leave a course."""
    one = _course(request)
    if one is None:
        return await missing(request)
    _guest(request).state.enrolled.pop(one.name, None)
    return see(one.url)


async def mine(request: Request) -> Response:
    """What the visitor takes."""
    guest = _guest(request)
    rows = [
        (course, guest.state.enrolled[course.name])
        for course in guest.world.courses
        if course.name in guest.state.enrolled
    ]
    return _show(request, "mine.html", guest.world.theme.words["mine"], "mine", rows=rows)


async def lecturer(request: Request) -> Response:
    """A lecturer: details and courses."""
    world, number = _guest(request).world, request.path_params["number"]
    one = next((lecturer for lecturer in world.lecturers if lecturer.id == number), None)
    if one is None:
        return await missing(request)
    taught = [course for course in world.courses if course.lecturer.name == one.name][:4]
    return _show(request, "lecturer.html", one.name, f"lecturer:{one.name}", lecturer=one, taught=taught)


async def missing(request: Request) -> Response:
    """Nothing here."""
    return page(request, "frame/missing.html", "Not found", "missing", status=404, **_frame(request))


ROUTES = [
    get("/", home),
    get("/department/{name}", department),
    get("/search", search),
    get("/course/{number:int}", course),
    post("/course/{number:int}/enrol", enrol),
    post("/course/{number:int}/drop", drop),
    get("/mine", mine),
    get("/lecturer/{number:int}", lecturer),
    get("/{rest:path}", missing),
]
