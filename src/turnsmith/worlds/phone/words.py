"""What the phone's world is made of: shops, products, places, people, mail. All names are invented or everyday words.

A product query is a maker and a thing, "voltro headphones", as in the WebShop lists of DigiRL ("razer blade"). Which
queries belong to which split follows from a stable hash of the whole query, so the words are shared between the splits
and the queries are not.
"""

import hashlib
import random
import re
from functools import lru_cache


def _each(text: str) -> tuple[str, ...]:
    return tuple(text.split())


SITES: dict[str, str] = {
    "shoply.com": "Shoply",
    "bigbox.com": "BigBox",
    "nestor.com": "Nestor",
    "trademore.com": "TradeMore",
    "kwikmart.com": "KwikMart",
}
"""The five shops: host and name. The last one is held out of training in the disjoint split."""

HELD_OUT_SITE = "kwikmart.com"

MAKERS = (
    "voltro", "asmara", "korvix", "lumen", "pixara", "dellano", "harbor", "nordik", "quanta", "razzo", "solaris",
    "tempo", "umbra", "vectra", "zenit", "omnix",
)  # fmt: skip
THINGS = (
    "headphones", "laptop", "keyboard", "mouse", "monitor", "speaker", "charger", "tablet", "camera", "printer",
    "router", "battery", "backpack", "kettle", "lamp", "drone",
)  # fmt: skip
GRADES = ("Pro", "Air", "Mini", "Max", "Plus", "Lite", "S2", "X5", "Neo", "One")
FACTS = ("Free delivery", "2-year warranty", "In stock", "Ships today", "Only 3 left", "Refurbished")

CITIES = _each(
    "Oslo Lima Quito Porto Bergen Osaka Nairobi Austin Denver Boston Dublin Havana Cairo Milan Seoul Perth Zurich "
    "Accra Delhi Prague Athens Berlin Bogota Boise Cardiff Cork Dallas Dakar Dubai Geneva Ghent Hanoi Kyoto Lagos "
    "Leeds Lyon Madrid Malmo Manila Miami Munich Naples Odessa Omaha Paris Riga Rome Salem Sofia Split Sydney "
    "Tampa Tokyo Tunis Turin Utrecht Vienna Warsaw York Zagreb"
)
TOPICS = _each(
    "science sports music space health travel energy movies chess gardening physics sailing robots whales volcanoes "
    "football cycling theatre banking farming"
)
DISHES = _each(
    "pizza ramen tacos curry sushi burgers pancakes noodles falafel waffles lasagna risotto dumplings gumbo paella "
    "goulash chili hummus omelette pretzels"
)

PEOPLE = (
    "Ada Birch", "Bruno Vale", "Clara Frost", "Dario Moss", "Elin Stone", "Felix Ray", "Greta Lind", "Hugo Marsh",
    "Ines Colt", "Jonas Reed", "Kira Snow", "Leo Grant", "Mara Wolfe", "Nils Archer", "Olga Penn", "Pia Hart",
    "Ravi Cole", "Sara Lake", "Tomas Hill", "Uma Dale", "Vera Kent", "Wanda Fox", "Yara Bell", "Zeno Park",
)  # fmt: skip
SUBJECTS = (
    "Lunch on Friday", "Rent for March", "Your tickets", "Photos of the trip", "Team meeting", "Invoice 2041",
    "Happy birthday", "Book club", "Parcel at the door", "New schedule", "Recipe you asked for", "Garden party",
    "Flight details", "Piano lesson", "Lost umbrella", "Weekend plans",
)  # fmt: skip
BODIES = (
    "Hi, does this still suit you? Let me know until tomorrow.",
    "As promised, here is everything. Tell me if something is missing.",
    "Just a short note: all is settled. See you soon!",
    "Please have a look when you find the time. Thank you.",
)

APPS = (
    "Browser", "Mail", "Clock", "Contacts", "Settings", "Calculator", "Camera", "Gallery", "Maps", "Music", "Notes",
    "Weather",
)  # fmt: skip
"""The apps of the phone; the first five do something, the others open and show little."""


def rank(text: str) -> float:
    """A stable number in [0, 1) for a text, unrelated to any other text's."""
    return int.from_bytes(hashlib.sha256(text.lower().encode()).digest()[:6], "big") / 2**48


@lru_cache(maxsize=1)
def queries() -> tuple[str, ...]:
    """Every product query."""
    return tuple(f"{maker} {thing}" for maker in MAKERS for thing in THINGS)


def split_of(text: str, test_share: float = 0.25) -> str:
    """The split, "train" or "test", that an entity (a query, a city, a name) belongs to in the disjoint split."""
    return "test" if rank(f"split/{text}") < test_share else "train"


@lru_cache(maxsize=256)
def only(texts: tuple[str, ...], split: str | None) -> tuple[str, ...]:
    """Those of a split; all of them for None."""
    return tuple(text for text in texts if split is None or split_of(text) == split)


def draw(seed: object, *names: object) -> random.Random:
    """A random source of its own for a purpose."""
    return random.Random("/".join(str(part) for part in (seed, *names)))


def found(query: str) -> list[str]:
    """What a shop finds: six things by the maker and kind that the query names; [] where it names neither."""
    asked = re.findall(r"\w+", query.lower())
    makers = [maker for maker in MAKERS if maker in asked]
    things = [thing for thing in THINGS if thing in asked or f"{thing}s" in asked or thing.rstrip("s") in asked]
    if not makers and not things:
        return []
    source = draw("found", ",".join(makers), ",".join(things))
    names: list[str] = []
    for grade in source.sample(GRADES, 6):
        maker = makers[0] if makers else source.choice(MAKERS)
        thing = things[0] if things else source.choice(THINGS)
        names.append(f"{maker.title()} {thing.title()} {grade}")
    return names
