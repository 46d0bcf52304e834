"""What one can be asked to do in the shop."""

import random

from turnwise.envs.browser.sites import plan
from turnwise.envs.browser.sites.draft import Draft, Template, by_name, phrase
from turnwise.envs.browser.sites.plan import Stage, act, fill, found, place, read
from turnwise.envs.browser.sites.shop.world import BANDS, DELIVERY, FEATURED, Product, ShopWorld, line, order
from turnwise.envs.browser.sites.words import Namer

COMPARABLE = ("Weight", "Height", "Warranty")
EXTREMES = {
    "Price: low to high": ("cheapest", "least expensive", "lowest-priced"),
    "Price: high to low": ("most expensive", "dearest", "highest-priced"),
    "Top rated": ("best rated", "top rated", "highest-rated"),
}


def number(text: str) -> int:
    """The number in a value such as "340 g"."""
    return int(text.split()[0])


def _pair(world: ShopWorld, rng: random.Random) -> tuple[Product, Product]:
    """Two products; half of the time of the same maker, so that their names differ in the last word only."""
    first = rng.choice(world.products)
    family = [item for item in world.products if item.name.split()[0] == first.name.split()[0] and item != first]
    if family and rng.random() < 0.5:
        return first, rng.choice(family)
    return first, rng.choice([item for item in world.products if item != first])


def _reach(world: ShopWorld, item: Product, before: Product | None = None) -> int:
    """How many steps lead to a product from the front page, or from another product's page."""
    if before is None:
        return 1 if item in world.products[:FEATURED] else 2
    return 1 if item.name.split()[0] == before.name.split()[0] else 2


def _add(world: ShopWorld, item: Product, variant: str, before: Product | None = None) -> Stage:
    steps = _reach(world, item, before) + (variant != item.variants[0]) + 1
    return act(found(item.name), steps, world.theme.words["add"], [(variant, "")])


def open_item(world: ShopWorld, rng: random.Random) -> Draft:
    """Find a product by name and stay on its page."""
    item = rng.choice(world.products)
    return Draft(
        phrase(rng, "Open the page of {x}.", "Go to the product page of {x}.", "Show me {x}.", x=item.name),
        [act(found(item.name), _reach(world, item)), plan.say("done")],
        [item.name],
        page=f"item:{item.name}",
    )


def item_fact(world: ShopWorld, rng: random.Random) -> Draft:
    """A detail that stands only on the product's page."""
    item = rng.choice(world.products)
    label = rng.choice(list(item.facts))
    return Draft(
        phrase(
            rng,
            "What is the {l} of {x}?",
            "Find the {l} of {x}.",
            "Look up {x}: what is its {l}?",
            l=label,
            x=item.name,
        ),
        [read(found(item.name), label, _reach(world, item) + world.theme.folded), plan.say_value(item.name)],
        [item.name],
        answer=[item.facts[label]],
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


def _sorted(world: ShopWorld, rng: random.Random) -> tuple[str, str, list[str], Stage]:
    """A category, a word for the order, the names in that order, and the stage that brings them up."""
    category, sort = rng.choice(world.categories), rng.choice(sorted(EXTREMES))
    names = [item.name for item in world.listed(category, sort=sort)]
    stage = act(place(category), 3, choose=[(sort, world.theme.words["sort"])])
    return category, rng.choice(EXTREMES[sort]), names, stage


def extreme(world: ShopWorld, rng: random.Random) -> Draft | None:
    """The first of a category in some order, as the answer."""
    category, word, names, stage = _sorted(world, rng)
    if len(names) < 2:
        return None
    return Draft(
        phrase(
            rng,
            "Which is the {w} product in {c} at {b}?",
            "Name the {w} thing that {b} sells in {c}.",
            "At {b}, what is the {w} product in {c}?",
            w=word,
            c=category,
            b=world.brand,
        ),
        [stage, plan.say_first(names[0], names)],
        [world.brand, names[0]],
        answer=[names[0]],
    )


def open_extreme(world: ShopWorld, rng: random.Random) -> Draft | None:
    """The first of a category in some order, opened."""
    category, word, names, stage = _sorted(world, rng)
    if len(names) < 2:
        return None
    return Draft(
        phrase(
            rng,
            "Open the {w} product in {c} at {b}.",
            "Go to the page of the {w} thing in {c} at {b}.",
            w=word,
            c=category,
            b=world.brand,
        ),
        [stage, act(place(names[0], [category]), 1), plan.say("done")],
        [world.brand, names[0]],
        page=f"item:{names[0]}",
    )


def compare(world: ShopWorld, rng: random.Random) -> Draft | None:
    """Two products by a detail that stands only on their pages."""
    (one, other), label, largest = _pair(world, rng), rng.choice(COMPARABLE), rng.random() < 0.6
    if one.facts[label] == other.facts[label]:
        return None
    values = {item.name: number(item.facts[label]) for item in (one, other)}
    best = (max if largest else min)(values, key=values.__getitem__)
    steps = [_reach(world, item, before) + world.theme.folded for item, before in ((one, None), (other, one))]
    reads = [read(found(item.name), label, count) for item, count in zip((one, other), steps, strict=True)]
    return Draft(
        phrase(
            rng,
            "Which has the {w} {l}: {x} or {y}?",
            "Compare {x} and {y}: which has the {w} {l}?",
            w="higher" if largest else "lower",
            l=label,
            x=one.name,
            y=other.name,
        ),
        [*reads, plan.say_extreme(list(values), largest)],
        list(values),
        answer=[best],
    )


def survey(world: ShopWorld, rng: random.Random) -> Draft | None:
    """The best of a filtered list by a detail that stands only on the pages behind it."""
    category, band, label = rng.choice(world.categories), rng.choice(list(BANDS)), rng.choice(COMPARABLE)
    items = world.listed(category, band)
    values = {item.name: number(item.facts[label]) for item in items}
    if not 2 <= len(items) <= 4 or len(set(values.values())) < len(values):
        return None
    largest = rng.random() < 0.6
    best = (max if largest else min)(values, key=values.__getitem__)
    folded = int(world.theme.folded)
    reads = [read(place(name, [category]), label, (2 if k else 1) + folded) for k, name in enumerate(values)]
    return Draft(
        phrase(
            rng,
            "Of the products in {c} at {p} from {b}, which has the {w} {l}?",
            "At {b}, which {c} product priced {p} has the {w} {l}?",
            c=category,
            p=band[0].lower() + band[1:],
            b=world.brand,
            w="highest" if largest else "lowest",
            l=label,
        ),
        [act(place(category), 2, choose=[(band, "")]), *reads, plan.say_extreme(list(values), largest)],
        [world.brand, *values],
        answer=[best],
    )


def add_two(world: ShopWorld, rng: random.Random) -> Draft:
    """Two products, each in a variant, into the cart."""
    pair = _pair(world, rng)
    wanted = [(item, rng.choice(item.variants)) for item in pair]
    adds = [_add(world, *wanted[0]), _add(world, *wanted[1], before=pair[0])]
    x, y = (f"{item.name} in {variant}" for item, variant in wanted)
    return Draft(
        phrase(rng, "Add {x} and {y} to the cart.", "Put {x} into the cart, and {y} too.", x=x, y=y),
        [*adds, plan.say("done")],
        [item.name for item in pair],
        state={"cart": sorted(line(item.name, variant, 1) for item, variant in wanted)},
    )


def _order(world: ShopWorld, rng: random.Random, count: int) -> Draft:
    items = rng.sample(world.products, 1) if count == 1 else list(_pair(world, rng))
    wanted = [(item, rng.choice(item.variants)) for item in items]
    adds = [_add(world, *wanted[k], before=items[k - 1] if k else None) for k in range(count)]
    names, words = Namer(world.split, rng), world.theme.words
    address = {
        "name": names.person(),
        "street": f"{rng.randrange(2, 99)} {names.word()} Street",
        "city": names.word(),
        "postcode": str(rng.randrange(10000, 100000)),
    }
    way = rng.choice(list(DELIVERY))
    cart, checkout = words["cart"], words["checkout"]
    buy = [
        act(place(cart, [cart]), 2, checkout),
        fill(
            place("Delivery address", [checkout, cart]),
            [(words[key], address[key]) for key in world.address],
            words["continue"],
        ),
        act(place("Delivery", [checkout, cart]), 1, way),
        act(place("Review", [checkout, cart]), 1, words["place"]),
    ]
    lines = [line(item.name, variant, 1) for item, variant in wanted]
    return Draft(
        phrase(
            rng,
            "Order {x} with {d} delivery to {a}.",
            "Buy {x}. Delivery: {d}. Address: {a}.",
            x=" and ".join(f"{item.name} in {variant}" for item, variant in wanted),
            d=way,
            a=", ".join(address.values()),
        ),
        [*adds, *buy, plan.say("done")],
        [item.name for item in items],
        state={"cart": [], "orders": [order(lines, address, way)]},
    )


def order_one(world: ShopWorld, rng: random.Random) -> Draft:
    """A product through the whole checkout."""
    return _order(world, rng, 1)


def order_two(world: ShopWorld, rng: random.Random) -> Draft:
    """Two products through the whole checkout."""
    return _order(world, rng, 2)


def add_many(world: ShopWorld, rng: random.Random) -> Draft:
    """Several pieces of one product (held out)."""
    item, count = rng.choice(world.products), rng.randrange(2, 10)
    variant = rng.choice(item.variants)
    here = found(item.name)
    choose = act(here, _reach(world, item) + (variant != item.variants[0]), choose=[(variant, "")])
    return Draft(
        phrase(rng, "Add {n} pieces of {x} in {v} to the cart.", "Put {n} of {x} ({v}) into the cart.",
               n=count, x=item.name, v=variant),
        [choose, fill(here, [("Quantity", str(count))], world.theme.words["add"]), plan.say("done")],
        [item.name],
        state={"cart": [line(item.name, variant, count)]},
    )  # fmt: skip


def remove_item(world: ShopWorld, rng: random.Random) -> Draft:
    """One of three products out of a cart that is already filled (held out)."""
    items = rng.sample(world.products, 3)
    filled = [(item.name, rng.choice(item.variants), 1) for item in items]
    gone, kept = filled[0], filled[1:]
    cart = world.theme.words["cart"]
    return Draft(
        phrase(rng, "Remove {x} from the cart.", "Take {x} out of the cart again.", x=gone[0]),
        [act(place(cart, [cart]), 2, f"Remove {gone[0]}"), plan.say("done")],
        [name for name, _, _ in filled],
        state={"cart": sorted(line(*entry) for entry in kept)},
        setup={"cart": [list(entry) for entry in filled]},
    )


TEMPLATES = by_name(
    Template("open_item", open_item),
    Template("item_fact", item_fact),
    Template("add_item", add_item),
    Template("extreme", extreme),
    Template("open_extreme", open_extreme),
    Template("compare", compare),
    Template("survey", survey),
    Template("add_two", add_two),
    Template("order_one", order_one),
    Template("order_two", order_two),
    Template("add_many", add_many, held_out=True),
    Template("remove_item", remove_item, held_out=True),
)
