"""The pages of the recipe site."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

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
from turnsmith.worlds.sites.recipes.world import (
    INGREDIENTS,
    SERVINGS,
    SORTS,
    STARS,
    STYLES,
    Recipe,
    RecipesState,
    RecipesWorld,
)


def _guest(request: Request) -> Guest[RecipesWorld, RecipesState]:
    return guest_of(request)


def _frame(request: Request) -> dict[str, Any]:
    guest = _guest(request)
    saved, shopping = len(guest.state.saved), len(guest.state.shopping)
    return {
        "nav": [*((kind, f"/kind/{kind}") for kind in guest.world.kinds), (guest.world.theme.words["index"], "/index")],
        "corner": [
            (f"Saved ({saved})" if saved else "Saved", "/saved"),
            (f"List ({shopping})" if shopping else "List", "/list"),
        ],
    }


def _show(request: Request, template: str, title: str, key: str, **values: Any) -> Response:
    return page(request, f"recipes/{template}", title, key, **_frame(request), **values)


def _row(one: Recipe) -> dict[str, Any]:
    return {"name": one.name, "url": one.url, "meta": [f"{one.minutes} min"]}


async def home(request: Request) -> Response:
    """The front page: the newest recipes."""
    return _show(
        request, "home.html", "Home", "home", items=[_row(recipe) for recipe in _guest(request).world.featured]
    )


async def kind(request: Request) -> Response:
    """A kind of dish."""
    world, name = _guest(request).world, request.path_params["name"]
    if name not in world.kinds:
        return await missing(request)
    sort = request.query_params.get("sort", SORTS[0])
    return list_page(
        request,
        name,
        f"kind:{name}",
        world.listed(name, request.query_params.get("style", ""), sort),
        _row,
        filters=toggles(request, "style", STYLES),
        sorts=choices(request, "sort", SORTS, sort),
        **_frame(request),
    )


async def search(request: Request) -> Response:
    """What a search finds."""
    query = request.query_params.get("q", "")
    items = found(query, _guest(request).world.recipes, lambda one: one.name)
    heading = f"Results for “{query}”"
    return list_page(request, "Results", f"search:{query}", items, _row, heading=heading, **_frame(request))


async def index(request: Request) -> Response:
    """All recipes in one long list, with a filter that works while one types."""
    world = _guest(request).world
    title = world.theme.words["index"]
    return _show(request, "index.html", title, "index", recipes=sorted(world.recipes, key=lambda one: one.name))


async def saved(request: Request) -> Response:
    """What was saved."""
    guest = _guest(request)
    items = [recipe for recipe in guest.world.recipes if recipe.name in guest.state.saved]
    return list_page(request, "Saved", "saved", items, _row, **_frame(request))


async def shopping(request: Request) -> Response:
    """The shopping list."""
    guest = _guest(request)
    rows = [
        (recipe, guest.state.shopping[recipe.name])
        for recipe in guest.world.recipes
        if recipe.name in guest.state.shopping
    ]
    return _show(request, "list.html", "List", "list", rows=rows)


def _recipe(request: Request) -> Recipe | None:
    number = request.path_params["number"]
    return next((recipe for recipe in _guest(request).world.recipes if recipe.id == number), None)


async def recipe(request: Request) -> Response:
    """A recipe: ingredients for a number of servings, details, and what a visitor can do with it."""
    world, one = _guest(request).world, _recipe(request)
    if one is None:
        return await missing(request)
    return _show(
        request,
        "recipe.html",
        one.name,
        f"recipe:{one.name}",
        recipe=one,
        units=INGREDIENTS,
        servings=SERVINGS,
        stars=STARS,
        similar=family(one, world.recipes),
    )


async def act(request: Request) -> Response:
    """Save, collect, rate, or put on the shopping list; the first two also undo."""
    guest, one, fields = _guest(request), _recipe(request), await form(request)
    if one is None:
        return await missing(request)
    state, value = guest.state, fields.get("value", "")
    match request.path_params["what"]:
        case "save":
            state.saved.symmetric_difference_update({one.name})
        case "collect" if value in guest.world.collections:
            state.collected.symmetric_difference_update({(one.name, value)})
        case "rate" if value in STARS:
            state.ratings[one.name] = value
        case "shop" if value in map(str, SERVINGS):
            state.shopping[one.name] = int(value)
        case _:
            return await missing(request)
    return see(one.url)


async def drop(request: Request) -> Response:
    """Take a recipe off the shopping list."""
    _guest(request).state.shopping.pop((await form(request)).get("name", ""), None)
    return see("/list")


async def missing(request: Request) -> Response:
    """Nothing here."""
    return page(request, "frame/missing.html", "Not found", "missing", status=404, **_frame(request))


ROUTES = [
    get("/", home),
    get("/kind/{name}", kind),
    get("/search", search),
    get("/index", index),
    get("/saved", saved),
    get("/list", shopping),
    post("/list/drop", drop),
    get("/recipe/{number:int}", recipe),
    post("/recipe/{number:int}/{what}", act),
    get("/{rest:path}", missing),
]
