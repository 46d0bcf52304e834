"""The shop's pages."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from turnwise.envs.browser.sites.kit import Guest, form, found, get, page, paged, post, see
from turnwise.envs.browser.sites.shop.world import (
    BANDS,
    DELIVERY,
    FEATURED,
    SORTS,
    Product,
    ShopState,
    ShopWorld,
    order,
)


def _guest(request: Request) -> Guest[ShopWorld, ShopState]:
    return request.scope["guest"]


def _show(request: Request, template: str, title: str, key: str, **values: Any) -> Response:
    """A page in the shop's frame."""
    guest = _guest(request)
    count = sum(guest.state.cart.values())
    cart = guest.world.theme.words["cart"]
    nav = [(category, f"/category/{category}") for category in guest.world.categories]
    corner = [(f"{cart} ({count})" if count else cart, "/cart")]
    return page(request, f"shop/{template}", title, key, nav=nav, corner=corner, **values)


def _results(products: list[Product]) -> list[dict]:
    return [{"name": item.name, "url": item.url, "meta": [f"${item.price}"]} for item in products]


async def home(request: Request) -> Response:
    """The front page: a welcome and four popular products."""
    world = _guest(request).world
    return _show(request, "home.html", "Home", "home", items=_results(list(world.products[:FEATURED])))


async def category(request: Request) -> Response:
    """A category with price bands and an order, in pages."""
    world, name = _guest(request).world, request.path_params["name"]
    if name not in world.categories:
        return await missing(request)
    band = request.query_params.get("band", "")
    sort = request.query_params.get("sort", SORTS[0])
    part = paged(request, world.listed(name, band, sort))
    return _show(
        request,
        "list.html",
        name,
        f"category:{name}",
        slice=part,
        items=_results(list(part.items)),
        bands=list(BANDS),
        band=band,
        sorts=SORTS,
        sort=sort if sort in SORTS else SORTS[0],
    )


async def search(request: Request) -> Response:
    """What a search finds."""
    query = request.query_params.get("q", "")
    part = paged(request, found(query, _guest(request).world.products, lambda item: item.name))
    key = f"search:{query}"
    return _show(request, "list.html", "Results", key, slice=part, items=_results(list(part.items)), bands=[], sorts=[])


def _product(request: Request) -> Product | None:
    number = request.path_params["number"]
    return next((item for item in _guest(request).world.products if item.id == number), None)


async def item(request: Request) -> Response:
    """A product: variants, cart button, details, and others of its family."""
    product = _product(request)
    if product is None:
        return await missing(request)
    first = product.name.split()[0]
    related = [other for other in _guest(request).world.products if other.name.split()[0] == first and other != product]
    return _show(request, "item.html", product.name, f"item:{product.name}", item=product, related=related)


async def add(request: Request) -> Response:
    """Put a product into the cart, then show it again."""
    product, fields = _product(request), await form(request)
    if product is None or fields.get("variant") not in product.variants:
        return await missing(request)
    count = fields.get("count", "1")
    if not (count.isascii() and count.isdigit() and 1 <= int(count[:3]) <= 99):
        return see(f"{product.url}?problem=count")
    _guest(request).state.cart[product.name, fields["variant"]] += int(count[:3])
    return see(f"{product.url}?added=1")


async def cart(request: Request) -> Response:
    """The cart."""
    guest = _guest(request)
    rows = [
        (guest.world.called(name), variant, count) for (name, variant), count in guest.state.cart.items() if count > 0
    ]
    return _show(request, "cart.html", guest.world.theme.words["cart"], "cart", rows=rows)


async def remove(request: Request) -> Response:
    """Take a line out of the cart."""
    fields = await form(request)
    _guest(request).state.cart.pop((fields.get("name", ""), fields.get("variant", "")), None)
    return see("/cart")


async def address(request: Request) -> Response:
    """First step of the checkout: where to."""
    if not _guest(request).state.cart:
        return see("/cart")
    return _show(request, "address.html", "Delivery address", "address")


async def take_address(request: Request) -> Response:
    """Keep the address; go on only when every field is filled."""
    guest, fields = _guest(request), await form(request)
    guest.state.address = {key: fields.get(key, "") for key in guest.world.address}
    return see("/checkout/delivery" if all(guest.state.address.values()) else "/checkout?problem=1")


async def delivery(request: Request) -> Response:
    """Second step: how."""
    if not _guest(request).state.address:
        return see("/checkout")
    return _show(request, "delivery.html", "Delivery", "delivery", ways=DELIVERY)


async def take_delivery(request: Request) -> Response:
    """Keep the way of delivery."""
    chosen = (await form(request)).get("way", "")
    if chosen not in DELIVERY:
        return see("/checkout/delivery")
    _guest(request).state.delivery = chosen
    return see("/checkout/review")


async def review(request: Request) -> Response:
    """Third step: all of it once more."""
    guest = _guest(request)
    if not (guest.state.cart and guest.state.address and guest.state.delivery):
        return see("/checkout")
    total = sum(guest.world.called(name).price * count for (name, _), count in guest.state.cart.items())
    total += DELIVERY[guest.state.delivery]
    return _show(request, "review.html", "Review", "review", lines=guest.state.lines(), total=total)


async def place(request: Request) -> Response:
    """Turn the cart into an order."""
    state = _guest(request).state
    if not (state.cart and state.address and state.delivery):
        return see("/checkout")
    state.orders.append(order(state.lines(), state.address, state.delivery))
    state.cart.clear()
    state.delivery = ""
    return see("/checkout/thanks")


async def thanks(request: Request) -> Response:
    """The order was taken."""
    number = len(_guest(request).state.orders)
    return _show(request, "thanks.html", "Thank you", "thanks", number=7000 + number)


async def missing(request: Request) -> Response:
    """Nothing here."""
    return _show(request, "missing.html", "Not found", "missing", status=404)


ROUTES = [
    get("/", home),
    get("/category/{name}", category),
    get("/search", search),
    get("/item/{number:int}", item),
    post("/item/{number:int}", add),
    get("/cart", cart),
    post("/cart/remove", remove),
    get("/checkout", address),
    post("/checkout", take_address),
    get("/checkout/delivery", delivery),
    post("/checkout/delivery", take_delivery),
    get("/checkout/review", review),
    post("/checkout/review", place),
    get("/checkout/thanks", thanks),
    get("/{rest:path}", missing),
]
