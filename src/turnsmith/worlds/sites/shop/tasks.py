"""What one can be asked to do in the shop."""

import random

from turnsmith.worlds.sites import draft, plan
from turnsmith.worlds.sites.draft import Draft, phrase, reach, templates
from turnsmith.worlds.sites.hunt import Catalogue, Deed, hunts
from turnsmith.worlds.sites.plan import Place, Stage, act, fill, found, place
from turnsmith.worlds.sites.shop.world import BANDS, DELIVERY, Product, ShopWorld, line, order
from turnsmith.worlds.sites.words import Namer

COMPARABLE = ("Weight", "Height", "Warranty")
EXTREMES = {
    "Price: low to high": ("cheapest", "least expensive", "lowest-priced"),
    "Price: high to low": ("most expensive", "dearest", "highest-priced"),
    "Top rated": ("best rated", "top rated", "highest-rated"),
}


def _add(world: ShopWorld, item: Product, variant: str, before: Product | None = None) -> Stage:
    steps = reach(item, world.featured, before) + (variant != item.variants[0]) + 1
    return act(found(item.name), steps, world.theme.words["add"], [(variant, "")])


def open_item(world: ShopWorld, rng: random.Random) -> Draft:
    """Find a product by name and stay on its page."""
    item = rng.choice(world.products)
    wordings = "Open the page of {x}.", "Go to the product page of {x}.", "Show me {x}."
    return draft.opened(rng, item, "item", reach(item, world.featured), *wordings)


def item_fact(world: ShopWorld, rng: random.Random) -> Draft:
    """A detail that stands only on the product's page."""
    item = rng.choice(world.products)
    wordings = "What is the {l} of {x}?", "Find the {l} of {x}.", "Look up {x}: what is its {l}?"
    return draft.fact(
        rng, item, rng.choice(list(item.facts)), reach(item, world.featured) + world.theme.folded, *wordings
    )


def add_item(world: ShopWorld, rng: random.Random) -> Draft:
    """A product in a variant into the cart."""
    item = rng.choice(world.products)
    variant = rng.choice(item.variants)
    return Draft(
        phrase(
            rng,
            "Add {x} in {v} to the cart.",
            "Put one {x} ({v}) into the cart.",
            "I want {x} in {v}: place it in my cart.",
            x=item.name,
            v=variant,
        ),
        [_add(world, item, variant), plan.say("done")],
        [item.name],
        state={"cart": [line(item.name, variant, 1)]},
    )


def _sorted(world: ShopWorld, rng: random.Random) -> tuple[Stage, list[str], dict[str, str]]:
    """A sorted category: the stage that brings it up, its names in that order, and the words for it."""
    category, sort = rng.choice(world.categories), rng.choice(sorted(EXTREMES))
    names = [item.name for item in world.listed(category, sort=sort)]
    values = {"w": rng.choice(EXTREMES[sort]), "c": category, "b": world.brand}
    return draft.sorted_list(category, sort, world.theme.words["sort"]), names, values


def extreme(world: ShopWorld, rng: random.Random) -> Draft | None:
    """The first of a category in some order, as the answer."""
    listing, names, values = _sorted(world, rng)
    wordings = (
        "Which is the {w} product in {c} at {b}?",
        "Name the {w} thing that {b} sells in {c}.",
        "At {b}, what is the {w} product in {c}?",
    )
    return draft.first_of(rng, listing, names, *wordings, **values)


def open_extreme(world: ShopWorld, rng: random.Random) -> Draft | None:
    """The first of a category in some order, opened."""
    listing, names, values = _sorted(world, rng)
    wordings = "Open the {w} product in {c} at {b}.", "Go to the page of the {w} thing in {c} at {b}."
    return draft.open_first(rng, listing, names, "item", *wordings, **values)


def compare(world: ShopWorld, rng: random.Random) -> Draft | None:
    """Two products by a detail that stands only on their pages."""
    one, other = draft.pair(rng, world.products)
    steps = [reach(one, world.featured) + world.theme.folded, reach(other, world.featured, one) + world.theme.folded]
    wordings = "Which has the {w} {l}: {x} or {y}?", "Compare {x} and {y}: which has the {w} {l}?"
    return draft.comparison(rng, (one, other), rng.choice(COMPARABLE), steps, *wordings)


def survey(world: ShopWorld, rng: random.Random) -> Draft | None:
    """The best of a filtered list by a detail that stands only on the pages behind it."""
    category, band = rng.choice(world.categories), rng.choice(list(BANDS))
    return draft.survey(
        rng,
        draft.filtered_list(category, band),
        world.listed(category, band),
        rng.choice(COMPARABLE),
        int(world.theme.folded),
        "Of the products in {c} at {p} from {b}, which has the {w} {l}?",
        "At {b}, which {c} product priced {p} has the {w} {l}?",
        c=category,
        p=band[0].lower() + band[1:],
        b=world.brand,
    )


def _wanted(world: ShopWorld, rng: random.Random, count: int) -> tuple[list[str], list[str], list[Stage]]:
    """One or two products in some variant: in words, as lines of a cart, and as stages."""
    items = [rng.choice(world.products)] if count == 1 else draft.pair(rng, world.products)
    words, lines, adds = [], [], []
    for k, item in enumerate(items):
        variant = rng.choice(item.variants)
        words.append(f"{item.name} in {variant}")
        lines.append(line(item.name, variant, 1))
        adds.append(_add(world, item, variant, items[k - 1] if k else None))
    return words, sorted(lines), adds


def add_two(world: ShopWorld, rng: random.Random) -> Draft:
    """Two products, each in a variant, into the cart."""
    words, lines, adds = _wanted(world, rng, 2)
    return Draft(
        phrase(rng, "Add {x} and {y} to the cart.", "Put {x} into the cart, and {y} too.", x=words[0], y=words[1]),
        [*adds, plan.say("done")],
        [stage["at"]["name"] for stage in adds],
        state={"cart": lines},
    )


def _order(world: ShopWorld, rng: random.Random, count: int) -> Draft:
    wanted, lines, adds = _wanted(world, rng, count)
    names, words = Namer(world.split, rng), world.theme.words
    address = {
        "name": names.person(),
        "street": f"{rng.randrange(2, 99)} {names.word()} Street",
        "city": names.word(),
        "postcode": str(rng.randrange(10000, 100000)),
    }
    way = rng.choice(list(DELIVERY))
    cart = place(words["cart"])
    fields = [(words[key], address[key]) for key in world.address]
    buy = [
        act(cart, 2, words["checkout"]),
        fill(place("Delivery address", [words["checkout"]], after=cart), fields, words["continue"]),
        act(place("Delivery", [words["checkout"]], after=cart), 1, way),
        act(place("Review", [words["checkout"]], after=cart), 1, words["place"]),
    ]
    return Draft(
        phrase(
            rng,
            "Order {x} with {d} delivery to {a}.",
            "Buy {x}. Delivery: {d}. Address: {a}.",
            x=" and ".join(wanted),
            d=way,
            a=", ".join(address.values()),
        ),
        [*adds, *buy, plan.say("done")],
        [stage["at"]["name"] for stage in adds],
        state={"cart": [], "orders": [order(lines, address, way)]},
    )


def order_one(world: ShopWorld, rng: random.Random) -> Draft:
    """A product through the whole checkout."""
    return _order(world, rng, 1)


def order_two(world: ShopWorld, rng: random.Random) -> Draft:
    """Two products through the whole checkout."""
    return _order(world, rng, 2)


def add_many(world: ShopWorld, rng: random.Random) -> Draft:
    """Several pieces of one product."""
    item, count = rng.choice(world.products), rng.randrange(2, 10)
    variant = rng.choice(item.variants)
    here = found(item.name)
    choose = act(here, reach(item, world.featured) + (variant != item.variants[0]), choose=[(variant, "")])
    return Draft(
        phrase(
            rng,
            "Add {n} pieces of {x} in {v} to the cart.",
            "Put {n} of {x} ({v}) into the cart.",
            n=count,
            x=item.name,
            v=variant,
        ),
        [choose, fill(here, [("Quantity", str(count))], world.theme.words["add"]), plan.say("done")],
        [item.name],
        state={"cart": [line(item.name, variant, count)]},
    )


def remove_item(world: ShopWorld, rng: random.Random) -> Draft:
    """One of three products out of a cart that is already filled."""
    filled = [(item.name, rng.choice(item.variants), 1) for item in rng.sample(world.products, 3)]
    gone, kept = filled[0], filled[1:]
    return Draft(
        phrase(rng, "Remove {x} from the cart.", "Take {x} out of the cart again.", x=gone[0]),
        [act(place(world.theme.words["cart"]), 2, f"Remove {gone[0]}"), plan.say("done")],
        [name for name, _, _ in filled],
        state={"cart": sorted(line(*entry) for entry in kept)},
        setup={"cart": [list(entry) for entry in filled]},
    )


def _into_cart(world: ShopWorld, rng: random.Random, item: Product, at: Place) -> Deed:
    variant = rng.choice(item.variants)
    stage = act(at, (variant != item.variants[0]) + 1, world.theme.words["add"], [(variant, "")])
    return f"add it in {variant} to the cart", stage, {"cart": [line(item.name, variant, 1)]}


CATALOGUE = Catalogue("product", "item", lambda world: world.categories, ShopWorld.listed, _into_cart)
TEMPLATES = hunts(CATALOGUE) | templates(
    open_item,
    item_fact,
    add_item,
    extreme,
    open_extreme,
    compare,
    survey,
    add_two,
    order_one,
    order_two,
    held_out=[add_many, remove_item],
)
