"""What one can be asked to do on the recipe site."""

import random

from turnsmith.worlds.sites import draft, plan
from turnsmith.worlds.sites.draft import Draft, phrase, reach, templates
from turnsmith.worlds.sites.hunt import Catalogue, Deed, hunts
from turnsmith.worlds.sites.plan import Place, Stage, act, found, read
from turnsmith.worlds.sites.recipes.world import SERVINGS, STARS, STYLES, Recipe, RecipesWorld

EXTREMES = {"Quickest": ("quickest", "fastest"), "Best rated": ("best rated", "highest-rated")}
COMPARABLE = ("Calories", "Protein")


def open_recipe(world: RecipesWorld, rng: random.Random) -> Draft:
    """Find a recipe and stay on it."""
    recipe = rng.choice(world.recipes)
    wordings = "Open the recipe {x}.", "Show me how to cook {x}.", "Go to the page of {x}."
    return draft.opened(rng, recipe, "recipe", reach(recipe, world.featured), *wordings)


def recipe_fact(world: RecipesWorld, rng: random.Random) -> Draft:
    """A detail that stands only on the recipe's page."""
    recipe = rng.choice(world.recipes)
    wordings = "What does {x} show as {l}?", "Find the {l} of {x}.", "Look up {x}: {l}?"
    steps = reach(recipe, world.featured) + world.theme.folded
    return draft.fact(rng, recipe, rng.choice(list(recipe.facts)), steps, *wordings)


def ingredient(world: RecipesWorld, rng: random.Random) -> Draft:
    """An amount, for the servings that the page shows."""
    recipe = rng.choice(world.recipes)
    one = rng.choice(list(recipe.portions))
    return Draft(
        phrase(rng, "How much {i} does {x} need?", "Find out how much {i} goes into {x}.", i=one, x=recipe.name),
        [read(found(recipe.name), one, reach(recipe, world.featured)), plan.say_value(recipe.name)],
        [recipe.name],
        answer=[recipe.amount(one, recipe.serves)],
    )


def _serve(world: RecipesWorld, recipe: Recipe, servings: int) -> Stage:
    steps = reach(recipe, world.featured) + (servings != recipe.serves)
    return act(found(recipe.name), steps, choose=[(str(servings), "")])


def ingredient_for(world: RecipesWorld, rng: random.Random) -> Draft:
    """An amount, for other servings than the page shows at first."""
    recipe = rng.choice(world.recipes)
    one = rng.choice(list(recipe.portions))
    servings = rng.choice([count for count in SERVINGS if count != recipe.serves])
    return Draft(
        phrase(
            rng,
            "How much {i} does {x} need for {n} servings?",
            "I cook {x} for {n}. How much {i} do I need?",
            i=one,
            x=recipe.name,
            n=servings,
        ),
        [_serve(world, recipe, servings), read(found(recipe.name), one, 0), plan.say_value(recipe.name)],
        [recipe.name],
        answer=[recipe.amount(one, servings)],
    )


def save(world: RecipesWorld, rng: random.Random) -> Draft:
    """Keep a recipe."""
    recipe = rng.choice(world.recipes)
    return Draft(
        phrase(rng, "Save the recipe {x}.", "Add {x} to my saved recipes.", "Keep {x} as a favourite.", x=recipe.name),
        [act(found(recipe.name), reach(recipe, world.featured) + 1, world.theme.words["save"]), plan.say("done")],
        [recipe.name],
        state={"saved": [recipe.name]},
    )


def _collect(world: RecipesWorld, recipe: Recipe, collection: str, steps: int) -> Stage:
    return act(found(recipe.name), steps + 2, choose=[(collection, world.theme.words["collect"])])


def collect(world: RecipesWorld, rng: random.Random) -> Draft:
    """Put a recipe into a collection."""
    recipe, collection = rng.choice(world.recipes), rng.choice(world.collections)
    return Draft(
        phrase(
            rng,
            "Put {x} into the collection {c}.",
            "Add {x} to my {c} collection.",
            x=recipe.name,
            c=collection,
        ),
        [_collect(world, recipe, collection, reach(recipe, world.featured)), plan.say("done")],
        [recipe.name],
        state={"collections": [f"{collection}: {recipe.name}"]},
    )


def shop(world: RecipesWorld, rng: random.Random) -> Draft:
    """Put a recipe for a number of servings on the shopping list."""
    recipe, servings = rng.choice(world.recipes), rng.choice(SERVINGS)
    chosen = _serve(world, recipe, servings)
    return Draft(
        phrase(
            rng,
            "Put {x} for {n} servings on the shopping list.",
            "Add what {x} needs for {n} people to my shopping list.",
            x=recipe.name,
            n=servings,
        ),
        [{**chosen, "press": world.theme.words["shop"], "steps": chosen["steps"] + 1}, plan.say("done")],
        [recipe.name],
        state={"shopping": [f"{recipe.name} for {servings}"]},
    )


def top_recipe(world: RecipesWorld, rng: random.Random) -> Draft | None:
    """The first of a kind in some order."""
    kind, sort = rng.choice(world.kinds), rng.choice(sorted(EXTREMES))
    names = [recipe.name for recipe in world.listed(kind, sort=sort)]
    listing = draft.sorted_list(kind, sort, world.theme.words["sort"])
    wordings = "Which is the {w} recipe under {c} at {b}?", "At {b}, what is the {w} of the {c}?"
    return draft.first_of(rng, listing, names, *wordings, w=rng.choice(EXTREMES[sort]), c=kind, b=world.brand)


def compare(world: RecipesWorld, rng: random.Random) -> Draft | None:
    """Two recipes by a detail that stands only on their pages."""
    one, other = draft.pair(rng, world.recipes)
    folded = world.theme.folded
    steps = [reach(one, world.featured) + folded, reach(other, world.featured, one) + folded]
    wordings = "Which has the {w} {l}: {x} or {y}?", "Compare the {l} of {x} and {y}: which is {w}?"
    return draft.comparison(rng, (one, other), rng.choice(COMPARABLE), steps, *wordings)


def survey(world: RecipesWorld, rng: random.Random) -> Draft | None:
    """The best of a filtered kind by a detail that stands only on the recipes' pages."""
    kind, style = rng.choice(world.kinds), rng.choice(STYLES)
    return draft.survey(
        rng,
        draft.filtered_list(kind, style),
        world.listed(kind, style),
        rng.choice(COMPARABLE),
        int(world.theme.folded),
        "Of the {k} {c} at {b}, which has the {w} {l}?",
        "At {b}, which of the {k} recipes under {c} has the {w} {l}?",
        k=style.lower(),
        c=kind,
        b=world.brand,
    )


def _rate(world: RecipesWorld, recipe: Recipe, stars: str, steps: int) -> Stage:
    return act(found(recipe.name), steps + 2, choose=[(stars, world.theme.words["rate"])])


def cooked(world: RecipesWorld, rng: random.Random) -> Draft:
    """Rate a recipe, save it, and put it into a collection."""
    recipe, stars, collection = rng.choice(world.recipes), rng.choice(STARS), rng.choice(world.collections)
    return Draft(
        phrase(
            rng,
            "Rate {x} with {s}, save it and put it into {c}.",
            "I cooked {x}: give it {s}, save it, and add it to the collection {c}.",
            x=recipe.name,
            s=stars,
            c=collection,
        ),
        [
            _rate(world, recipe, stars, reach(recipe, world.featured)),
            act(found(recipe.name), 1, world.theme.words["save"]),
            _collect(world, recipe, collection, 0),
            plan.say("done"),
        ],
        [recipe.name],
        state={
            "ratings": [f"{recipe.name}: {stars}"],
            "saved": [recipe.name],
            "collections": [f"{collection}: {recipe.name}"],
        },
    )


def menu(world: RecipesWorld, rng: random.Random) -> Draft:
    """Three recipes into one collection."""
    recipes, collection = rng.sample(world.recipes, 3), rng.choice(world.collections)
    names = [recipe.name for recipe in recipes]
    stages = [
        _collect(world, recipe, collection, reach(recipe, world.featured, recipes[k - 1] if k else None))
        for k, recipe in enumerate(recipes)
    ]
    return Draft(
        phrase(
            rng,
            "Put {x}, {y} and {z} into the collection {c}.",
            "Fill the collection {c} with {x}, {y} and {z}.",
            x=names[0],
            y=names[1],
            z=names[2],
            c=collection,
        ),
        [*stages, plan.say("done")],
        names,
        state={"collections": sorted(f"{collection}: {name}" for name in names)},
    )


def rate(world: RecipesWorld, rng: random.Random) -> Draft:
    """Give a recipe stars."""
    recipe, stars = rng.choice(world.recipes), rng.choice(STARS)
    return Draft(
        phrase(rng, "Rate {x} with {s}.", "Give {x} {s}.", x=recipe.name, s=stars),
        [_rate(world, recipe, stars, reach(recipe, world.featured)), plan.say("done")],
        [recipe.name],
        state={"ratings": [f"{recipe.name}: {stars}"]},
    )


def save_two(world: RecipesWorld, rng: random.Random) -> Draft:
    """Keep two recipes."""
    one, other = draft.pair(rng, world.recipes)
    label = world.theme.words["save"]
    return Draft(
        phrase(rng, "Save {x} and {y}.", "Keep both {x} and {y}.", x=one.name, y=other.name),
        [
            act(found(one.name), reach(one, world.featured) + 1, label),
            act(found(other.name), reach(other, world.featured, one) + 1, label),
            plan.say("done"),
        ],
        [one.name, other.name],
        state={"saved": sorted((one.name, other.name))},
    )


def _saved(world: RecipesWorld, rng: random.Random, recipe: Recipe, at: Place) -> Deed:
    return "save it", act(at, 1, world.theme.words["save"]), {"saved": [recipe.name]}


CATALOGUE = Catalogue("recipe", "recipe", lambda world: world.kinds, RecipesWorld.listed, _saved)
TEMPLATES = hunts(CATALOGUE) | templates(
    open_recipe,
    recipe_fact,
    ingredient,
    ingredient_for,
    save,
    collect,
    shop,
    top_recipe,
    compare,
    survey,
    cooked,
    menu,
    held_out=[rate, save_two],
)
