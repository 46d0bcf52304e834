"""What a shop holds, and what a visitor of it has done."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from turnsmith.worlds.sites.kit import World, start_world
from turnsmith.worlds.sites.words import only

NOUNS = {
    "Kitchen": "Kettle Skillet Teapot Grinder Toaster Colander Ladle Platter Pitcher Whisk Saucepan Carafe",
    "Garden": "Spade Trowel Planter Sprinkler Hammock Rake Shears Lantern Hose Wheelbarrow Parasol Gloves",
    "Office": "Stapler Notebook Binder Chair Desk Clock Shelf Printer Folder Whiteboard Keyboard Scanner",
    "Travel": "Suitcase Backpack Pillow Tent Compass Wallet Bottle Tripod Blanket Umbrella Duffel Poncho",
    "Music": "Violin Guitar Drum Flute Speaker Cymbal Ukulele Trumpet Piano Banjo Cello Harp",
}
OPTIONS = {
    "Size": ("Small", "Medium", "Large"),
    "Colour": ("Black", "Blue", "Green", "Red", "White"),
    "Finish": ("Matte", "Gloss", "Brushed"),
}
MATERIALS = ("Steel", "Oak", "Bamboo", "Cotton", "Glass", "Copper", "Leather", "Cork", "Linen", "Ceramic")
DELIVERY = {"Standard": 4, "Express": 9, "Pick-up": 0}
BANDS = {"Under $40": (0, 39), "$40 to $80": (40, 80), "Over $80": (81, 10**6)}
SORTS = ("Popular", "Price: low to high", "Price: high to low", "Top rated")
WORDING = {
    "cart": ("Cart", "Basket", "Bag"),
    "checkout": ("Checkout", "Go to checkout", "Proceed to checkout"),
    "continue": ("Continue", "Next step", "Save and continue"),
    "place": ("Place order", "Buy now", "Confirm order"),
    "name": ("Name", "Full name"),
    "street": ("Street", "Address"),
    "city": ("City", "Town"),
    "postcode": ("Postcode", "ZIP code"),
}


@dataclass(frozen=True, slots=True)
class Product:
    """Something for sale. `price` is in whole dollars, `rating` from 1 to 5; `facts` stand only on its own page."""

    id: int
    name: str
    category: str
    price: int
    rating: float
    facts: Mapping[str, str]
    option: str
    variants: tuple[str, ...]

    @property
    def url(self) -> str:
        return f"/item/{self.id}"


@dataclass(frozen=True, slots=True)
class ShopWorld(World):
    """`products` by popularity; `address` names the fields of the address form in the order in which they stand."""

    products: tuple[Product, ...] = ()
    categories: tuple[str, ...] = ()
    address: tuple[str, ...] = ()

    @property
    def featured(self) -> tuple[Product, ...]:
        """What the front page shows."""
        return self.products[:4]

    def called(self, name: str) -> Product:
        """The product of this name."""
        return next(product for product in self.products if product.name == name)

    def listed(self, category: str, band: str = "", sort: str = "") -> list[Product]:
        """The products of a category as its page lists them."""
        low, high = BANDS.get(band, (0, 10**6))
        chosen = [item for item in self.products if item.category == category and low <= item.price <= high]
        if sort.startswith("Price"):
            chosen.sort(key=lambda item: item.price, reverse=sort.endswith("to low"))
        elif sort == "Top rated":
            chosen.sort(key=lambda item: -item.rating)
        return chosen


def build(seed: int) -> ShopWorld:
    """The shop of a world seed."""
    rng, names, base = start_world("shop", seed, WORDING)
    words = base.theme.words
    theme = replace(base.theme, words={**words, "add": f"Add to {words['cart'].lower()}"})
    section = {noun: category for category, nouns in NOUNS.items() for noun in nouns.split()}
    by_category = {category: only(nouns, names.split) for category, nouns in NOUNS.items()}
    fact_order = rng.sample(("Weight", "Height", "Warranty", "Material", "Model"), 5)
    prices = rng.sample(range(6, 160), 48)  # no two alike, so that the cheapest is one
    ratings = rng.sample(range(100, 500), 48)
    titles: list[str] = []
    while len(titles) < 40:
        first = names.word()
        for category in rng.sample(sorted(by_category), 3):
            titles.append(f"{first} {rng.choice(by_category[category])}")
    rng.shuffle(titles)
    products = []
    for number, title in enumerate(titles):
        option = rng.choice(sorted(OPTIONS))
        facts = {
            "Weight": f"{rng.randrange(12, 480) * 10} g",
            "Height": f"{rng.randrange(8, 190)} cm",
            "Warranty": f"{rng.randrange(6, 61)} months",
            "Material": rng.choice(MATERIALS),
            "Model": f"{rng.choice('ABCDEFGHKLMNPRSTX')}{rng.randrange(100, 1000)}",
        }
        variants = OPTIONS[option]
        products.append(
            Product(
                id=100 + number,
                name=title,
                category=section[title.split()[1]],
                price=prices[number],
                rating=ratings[number] / 100,
                facts={label: facts[label] for label in fact_order},
                option=option,
                variants=tuple(rng.sample(variants, 3)) if option == "Colour" else variants,
            )
        )
    return ShopWorld(
        base.seed,
        base.split,
        base.brand,
        theme,
        tuple(products),
        tuple(rng.sample(sorted(NOUNS), len(NOUNS))),
        tuple(rng.sample(("name", "street", "city", "postcode"), 4)),
    )


@dataclass
class ShopState:
    """One visitor's cart, half-filled checkout and orders."""

    cart: Counter[tuple[str, str]] = field(default_factory=Counter)
    address: dict[str, str] = field(default_factory=dict)
    delivery: str = ""
    orders: list[str] = field(default_factory=list)

    @classmethod
    def arrive(cls, world: ShopWorld, setup: Mapping[str, Any]) -> "ShopState":
        """A new visitor; `setup` may hold a "cart": [[product, variant, quantity], ...]."""
        return cls(Counter({(name, variant): int(count) for name, variant, count in setup.get("cart", ())}))

    def lines(self) -> list[str]:
        """The cart in words."""
        return sorted(line(name, variant, count) for (name, variant), count in self.cart.items())

    def snapshot(self) -> dict[str, list[str]]:
        """The cart and the orders in words."""
        return {"cart": self.lines(), "orders": sorted(self.orders)}


def line(name: str, variant: str, count: int) -> str:
    """A line of a cart in words."""
    return f"{count} x {name} ({variant})"


def order(lines: list[str], address: Mapping[str, str], delivery: str) -> str:
    """An order in words."""
    where = ", ".join(address[key] for key in ("name", "street", "city", "postcode"))
    return f"{', '.join(sorted(lines))}; {delivery}; {where}"
