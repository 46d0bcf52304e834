"""The shop's pages."""

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
from turnsmith.worlds.sites.shop.world import (
    BANDS,
    DELIVERY,
    SORTS,
    Product,
    ShopState,
    ShopWorld,
    order,
)


def _guest(request: Request) -> Guest[ShopWorld, ShopState]:
    return guest_of(request)


def _frame(request: Request) -> dict[str, Any]:
    """The navigation, and the way to the cart with a count of what is in it."""
    guest = _guest(request)
    count = sum(guest.state.cart.values())
    cart = guest.world.theme.words["cart"]
    return {
        "nav": [(category, f"/category/{category}") for category in guest.world.categories],
        "corner": [(f"{cart} ({count})" if count else cart, "/cart")],
    }


def _show(request: Request, template: str, title: str, key: str, **values: Any) -> Response:
    return page(request, f"shop/{template}", title, key, **_frame(request), **values)


def _row(item: Product) -> dict[str, Any]:
    return {"name": item.name, "url": item.url, "meta": [f"${item.price}"]}


async def home(request: Request) -> Response:
    """The front page: a welcome and four popular products."""
    return _show(request, "home.html", "Home", "home", items=[_row(item) for item in _guest(request).world.featured])


async def category(request: Request) -> Response:
    """A category with price bands and an order, in pages."""
    world, name = _guest(request).world, request.path_params["name"]
    if name not in world.categories:
        return await missing(request)
    sort = request.query_params.get("sort", SORTS[0])
    items = world.listed(name, request.query_params.get("band", ""), sort)
    return list_page(
        request,
        name,
        f"category:{name}",
        items,
        _row,
        filters=toggles(request, "band", list(BANDS)),
        sorts=choices(request, "sort", SORTS, sort),
        **_frame(request),
    )


async def search(request: Request) -> Response:
    """What a search finds."""
    query = request.query_params.get("q", "")
    items = found(query, _guest(request).world.products, lambda item: item.name)
    heading = f"Results for “{query}”"
    return list_page(request, "Results", f"search:{query}", items, _row, heading=heading, **_frame(request))


def _product(request: Request) -> Product | None:
    number = request.path_params["number"]
    return next((item for item in _guest(request).world.products if item.id == number), None)


async def item(request: Request) -> Response:
    """A product: variants, cart button, details, and others of its family."""
    product = _product(request)
    if product is None:
        return await missing(request)
    related = family(product, _guest(request).world.products)
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
    return page(request, "frame/missing.html", "Not found", "missing", status=404, **_frame(request))


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
