"""What a recipe site holds, and what a visitor of it has done."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from turnsmith.worlds.sites.kit import World, start_world
from turnsmith.worlds.sites.words import only

NOUNS = {
    "Soups": "Chowder Broth Bisque Gazpacho Minestrone Ramen Goulash Consomme Borscht Pottage Dumpling Bouillon",
    "Mains": "Casserole Curry Lasagne Paella Risotto Roast Stew Pilaf Moussaka Schnitzel Gratin Skewer",
    "Salads": "Slaw Tabbouleh Caprese Coleslaw Panzanella Greens Chicory Fattoush Radish Waldorf Cobb Nicoise",
    "Desserts": "Pudding Sorbet Trifle Brownie Cheesecake Custard Meringue Cobbler Eclair Tiramisu Parfait Strudel",
    "Breads": "Focaccia Baguette Pretzel Brioche Scone Flatbread Muffin Bagel Sourdough Ciabatta Crumpet Challah",
}
INGREDIENTS = {
    "Flour": "g", "Butter": "g", "Sugar": "g", "Milk": "ml", "Rice": "g", "Beans": "g", "Cheese": "g", "Cream": "ml",
    "Honey": "ml", "Oats": "g", "Lentils": "g", "Yoghurt": "ml", "Spinach": "g", "Walnuts": "g", "Stock": "ml",
}  # fmt: skip
SERVINGS = (2, 4, 6, 8)
STARS = tuple(f"{count} star{'s' if count > 1 else ''}" for count in range(1, 6))
STYLES = ("Vegan", "Spicy", "Classic")
SORTS = ("Newest", "Quickest", "Best rated")
COLLECTIONS = ("Weeknight", "Party", "Picnic", "Sunday", "Lunchbox", "Holiday")
WORDING = {
    "save": ("Save", "Favourite", "Keep"),
    "collect": ("Collection", "Collect in", "Cookbook"),
    "rate": ("Rating", "Rate", "Your stars"),
    "shop": ("Add to shopping list", "Put on list", "Shop for this"),
    "index": ("A to Z", "All recipes", "Index"),
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """A dish. `portions` is the amount of each ingredient for one; `facts` stand only on its own page."""

    id: int
    name: str
    kind: str
    style: str
    minutes: int
    rating: float
    facts: Mapping[str, str]
    portions: Mapping[str, int]
    steps: tuple[str, ...]
    serves: int

    @property
    def url(self) -> str:
        return f"/recipe/{self.id}"

    def amount(self, ingredient: str, servings: int) -> str:
        """How much of an ingredient so many servings need, as its table says it."""
        return f"{self.portions[ingredient] * servings} {INGREDIENTS[ingredient]}"


@dataclass(frozen=True, slots=True)
class RecipesWorld(World):
    """`recipes` from the newest to the oldest; `kinds` as the navigation lists them."""

    recipes: tuple[Recipe, ...] = ()
    kinds: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()

    @property
    def featured(self) -> tuple[Recipe, ...]:
        """What the front page shows."""
        return self.recipes[:4]

    def listed(self, kind: str, style: str = "", sort: str = "") -> list[Recipe]:
        """The recipes of a kind as its page lists them."""
        chosen = [recipe for recipe in self.recipes if recipe.kind == kind and style in ("", recipe.style)]
        if sort == "Quickest":
            chosen.sort(key=lambda one: one.minutes)
        elif sort == "Best rated":
            chosen.sort(key=lambda one: -one.rating)
        return chosen


def build(seed: int) -> RecipesWorld:
    """The recipes of a world seed."""
    rng, names, base = start_world("recipes", seed, WORDING)
    by_kind = {kind: only(nouns, names.split) for kind, nouns in NOUNS.items()}
    titles: list[tuple[str, str]] = []
    while len(titles) < 40:
        first = names.word()
        titles += [(f"{first} {rng.choice(by_kind[kind])}", kind) for kind in rng.sample(sorted(by_kind), 2)]
    rng.shuffle(titles)
    minutes, ratings = rng.sample(range(8, 190), len(titles)), rng.sample(range(100, 500), len(titles))
    labels = rng.sample(("Calories", "Protein", "Region"), 3)
    recipes = []
    for number, (title, kind) in enumerate(titles):
        facts = {
            "Calories": f"{rng.randrange(120, 960)} kcal",
            "Protein": f"{rng.randrange(2, 60)} g",
            "Region": names.word(),
        }
        first, second, *others = rng.sample(sorted(INGREDIENTS), 4)
        recipes.append(
            Recipe(
                id=200 + number,
                name=title,
                kind=kind,
                style=rng.choice(STYLES),
                minutes=minutes[number],
                rating=ratings[number] / 100,
                facts={label: facts[label] for label in labels},
                portions={name: rng.randrange(2, 40) * 5 for name in (first, second, *others)},
                steps=(
                    f"Warm the {first.lower()} and stir in the {second.lower()}.",
                    f"Add the rest and leave it for {rng.randrange(5, 40)} minutes.",
                    "Taste, season, serve.",
                ),
                serves=rng.choice(SERVINGS),
            )
        )
    return RecipesWorld(
        base.seed,
        base.split,
        base.brand,
        base.theme,
        tuple(recipes),
        tuple(rng.sample(sorted(NOUNS), len(NOUNS))),
        tuple(rng.sample(COLLECTIONS, 3)),
    )


@dataclass
class RecipesState:
    """What one visitor keeps, rates and wants to buy."""

    saved: set[str] = field(default_factory=set)
    collected: set[tuple[str, str]] = field(default_factory=set)
    ratings: dict[str, str] = field(default_factory=dict)
    shopping: dict[str, int] = field(default_factory=dict)

    @classmethod
    def arrive(cls, world: RecipesWorld, setup: Mapping[str, Any]) -> "RecipesState":
        """A new visitor; `setup` may hold "saved": [recipe, ...]."""
        return cls(set(setup.get("saved", ())))

    def collections_of(self, name: str) -> list[str]:
        """The collections that hold a recipe."""
        return sorted(collection for recipe, collection in self.collected if recipe == name)

    def snapshot(self) -> dict[str, list[str]]:
        """All of it in words."""
        return {
            "saved": sorted(self.saved),
            "collections": sorted(f"{collection}: {recipe}" for recipe, collection in self.collected),
            "ratings": sorted(f"{recipe}: {stars}" for recipe, stars in self.ratings.items()),
            "shopping": sorted(f"{recipe} for {servings}" for recipe, servings in self.shopping.items()),
        }
