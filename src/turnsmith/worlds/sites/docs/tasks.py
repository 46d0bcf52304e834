"""What one can be asked to do in the documentation."""

import random

from turnsmith.worlds.sites import draft, plan
from turnsmith.worlds.sites.docs.world import LEVELS, Article, DocsWorld
from turnsmith.worlds.sites.draft import Draft, phrase, reach, templates
from turnsmith.worlds.sites.hunt import Catalogue, Deed, hunts
from turnsmith.worlds.sites.plan import Place, Stage, act, fill, found, place, read
from turnsmith.worlds.sites.words import Namer

EXTREMES = {"Shortest": ("shortest", "quickest to read"), "Longest": ("longest", "slowest to read")}


def open_page(world: DocsWorld, rng: random.Random) -> Draft:
    """Find an article and stay on it."""
    article = rng.choice(world.articles)
    wordings = "Open the documentation of {x}.", "Go to the page {x}.", "Show me the docs for {x}."
    return draft.opened(rng, article, "page", reach(article, world.featured), *wordings)


def option_default(world: DocsWorld, rng: random.Random) -> Draft:
    """The default of an option, in the newest version."""
    article = rng.choice(world.articles)
    option, value = rng.choice(list(article.options[world.versions[0]].items()))
    return Draft(
        phrase(
            rng,
            "What is the default of {o} in {x}?",
            "Find the default value of the option {o} of {x}.",
            "{x}: which value does {o} have by default?",
            o=option,
            x=article.name,
        ),
        [read(found(article.name), option, reach(article, world.featured)), plan.say_value(article.name)],
        [article.name],
        answer=[value],
    )


def page_fact(world: DocsWorld, rng: random.Random) -> Draft:
    """A detail of an article."""
    article = rng.choice(world.articles)
    wordings = "What does {x} list as {l}?", "Find {l} for {x}.", "Look up {l} on the page {x}."
    steps = reach(article, world.featured) + world.theme.folded
    return draft.fact(rng, article, rng.choice(list(article.facts)), steps, *wordings)


def _switch(world: DocsWorld, article: Article, version: str, steps: int) -> Stage:
    """Have an article on screen in a version."""
    return act(found(article.name), steps, choose=[(version, world.theme.words["version"])])


def version_default(world: DocsWorld, rng: random.Random) -> Draft:
    """The default of an option in an older version."""
    article, version = rng.choice(world.articles), rng.choice(world.versions[1:])
    option, value = rng.choice(list(article.options[version].items()))
    return Draft(
        phrase(
            rng,
            "What was the default of {o} in {x} in version {v}?",
            "In version {v}, what is the default of {o} in {x}?",
            o=option,
            x=article.name,
            v=version,
        ),
        [
            _switch(world, article, version, reach(article, world.featured) + 2),
            read(found(article.name), option, 0),
            plan.say_value(article.name),
        ],
        [article.name],
        answer=[value],
    )


def compare_versions(world: DocsWorld, rng: random.Random) -> Draft:
    """In which of two older versions a default is higher."""
    article, largest = rng.choice(world.articles), rng.random() < 0.6
    option = rng.choice(list(article.options[world.versions[0]]))
    versions = rng.sample(world.versions[1:], 2)
    values = {version: int(article.options[version][option]) for version in versions}
    stages: list[Stage] = []
    for number, version in enumerate(versions):
        stages.append(_switch(world, article, version, 2 if number else reach(article, world.featured) + 2))
        stages.append(read(found(article.name), option, 0, into=version))
    return Draft(
        phrase(
            rng,
            "In which version is the default of {o} in {x} {w}: {v} or {u}?",
            "Compare versions {v} and {u} of {x}: in which is {o} {w} by default?",
            o=option,
            x=article.name,
            w="higher" if largest else "lower",
            v=versions[0],
            u=versions[1],
        ),
        [*stages, plan.say_extreme(versions, largest)],
        [article.name],
        answer=[draft.best(values, largest)],
    )


def _line(world: DocsWorld, chain: list[Article]) -> list[Place]:
    """The places along a chain of replacements: each is linked from the one before it."""
    places = [found(chain[0].name)]
    for article in chain[1:]:
        label = f"{world.theme.words['replaced']} {article.name}"
        places.append(place(article.name, [label], after=places[-1]))
    return places


def _chain(world: DocsWorld, rng: random.Random, shortest: int) -> list[Article] | None:
    chains = [chain[:4] for article in world.articles if len(chain := world.chain(article)) >= shortest]
    return rng.choice(chains) if chains else None


def replacement_default(world: DocsWorld, rng: random.Random) -> Draft | None:
    """The default of an option of whatever replaced an article."""
    chain = _chain(world, rng, 2)
    if chain is None:
        return None
    old, new = chain[:2]
    option, value = rng.choice(list(new.options[world.versions[0]].items()))
    places = _line(world, [old, new])
    return Draft(
        phrase(
            rng,
            "What is the default of {o} in the page that replaced {x}?",
            "{x} was replaced. Find the default of {o} in its replacement.",
            o=option,
            x=old.name,
        ),
        [act(places[0], reach(old, world.featured)), read(places[1], option, 1), plan.say_value(new.name)],
        [old.name, new.name],
        answer=[value],
    )


def follow_chain(world: DocsWorld, rng: random.Random) -> Draft | None:
    """Go from replacement to replacement until there is none."""
    chain = _chain(world, rng, 3)
    if chain is None or chain[-1].successor is not None:
        return None
    stages = [act(at, 1 if k else reach(chain[0], world.featured)) for k, at in enumerate(_line(world, chain))]
    return Draft(
        phrase(
            rng,
            "Start at {x} and follow the replacements to the last page. Stay there.",
            "{x} was replaced, and so was its replacement. Open the page that is still current.",
            x=chain[0].name,
        ),
        [*stages, plan.say("done")],
        [article.name for article in chain],
        page=f"page:{chain[-1].name}",
    )


def bookmark(world: DocsWorld, rng: random.Random) -> Draft:
    """Bookmark an article."""
    article = rng.choice(world.articles)
    return Draft(
        phrase(rng, "Bookmark {x}.", "Add {x} to my bookmarks.", "Keep the page {x} as a bookmark.", x=article.name),
        [
            act(found(article.name), reach(article, world.featured) + 1, world.theme.words["bookmark"]),
            plan.say("done"),
        ],
        [article.name],
        state={"bookmarks": [article.name]},
    )


def bookmark_two(world: DocsWorld, rng: random.Random) -> Draft:
    """Bookmark two articles."""
    one, other = draft.pair(rng, world.articles)
    label = world.theme.words["bookmark"]
    return Draft(
        phrase(rng, "Bookmark {x} and {y}.", "Add both {x} and {y} to my bookmarks.", x=one.name, y=other.name),
        [
            act(found(one.name), reach(one, world.featured) + 1, label),
            act(found(other.name), reach(other, world.featured, one) + 1, label),
            plan.say("done"),
        ],
        [one.name, other.name],
        state={"bookmarks": sorted((one.name, other.name))},
    )


def top_page(world: DocsWorld, rng: random.Random) -> Draft | None:
    """The first of a section in some order."""
    section, sort = rng.choice(world.sections), rng.choice(sorted(EXTREMES))
    names = [article.name for article in world.listed(section, sort=sort)]
    listing = draft.sorted_list(section, sort, world.theme.words["sort"])
    wordings = "Which page of the section {c} is the {w} at {b}?", "In the {b} docs, what is the {w} page in {c}?"
    return draft.first_of(rng, listing, names, *wordings, w=rng.choice(EXTREMES[sort]), c=section, b=world.brand)


def compare(world: DocsWorld, rng: random.Random) -> Draft | None:
    """Two articles by a detail."""
    one, other = draft.pair(rng, world.articles)
    folded = world.theme.folded
    steps = [reach(one, world.featured) + folded, reach(other, world.featured, one) + folded]
    wordings = "Which page has the {w} number of {l}: {x} or {y}?", "Compare {x} and {y}: which has {w} {l}?"
    return draft.comparison(rng, (one, other), "Tests", steps, *wordings)


def survey(world: DocsWorld, rng: random.Random) -> Draft | None:
    """The best of a filtered section by a detail that stands only on the articles."""
    section, level = rng.choice(world.sections), rng.choice(LEVELS)
    return draft.survey(
        rng,
        draft.filtered_list(section, level),
        world.listed(section, level),
        "Tests",
        int(world.theme.folded),
        "Of the {k} pages in {c} of the {b} docs, which has the {w} number of {l}?",
        "In the {b} docs, which {k} page of {c} lists the {w} {l}?",
        k=level.lower(),
        c=section,
        b=world.brand,
    )


def suggest(world: DocsWorld, rng: random.Random) -> Draft:
    """Send a suggestion about an article."""
    article, text, words = rng.choice(world.articles), Namer(world.split, rng).remark(), world.theme.words
    return Draft(
        phrase(
            rng,
            'Send the suggestion "{t}" on the page {x}.',
            'On the page {x}, suggest "{t}".',
            t=text,
            x=article.name,
        ),
        [
            fill(
                found(article.name),
                [(words["suggestion"], text)],
                words["send"],
                reach(article, world.featured) + 2,
            ),
            plan.say("done"),
        ],
        [article.name],
        state={"suggestions": [f"{article.name}: {text}"]},
    )


def mark_helpful(world: DocsWorld, rng: random.Random) -> Draft:
    """Say that an article helped."""
    article = rng.choice(world.articles)
    return Draft(
        phrase(rng, "Mark {x} as helpful.", "Say that the page {x} was helpful.", x=article.name),
        [
            act(found(article.name), reach(article, world.featured) + 1, world.theme.words["helpful"]),
            plan.say("done"),
        ],
        [article.name],
        state={"helpful": [article.name]},
    )


def bookmark_replacement(world: DocsWorld, rng: random.Random) -> Draft | None:
    """Bookmark whatever replaced an article."""
    chain = _chain(world, rng, 2)
    if chain is None:
        return None
    old, new = chain[:2]
    places = _line(world, [old, new])
    return Draft(
        phrase(rng, "Bookmark the page that replaced {x}.", "{x} was replaced: bookmark its replacement.", x=old.name),
        [
            act(places[0], reach(old, world.featured)),
            act(places[1], 2, world.theme.words["bookmark"]),
            plan.say("done"),
        ],
        [old.name, new.name],
        state={"bookmarks": [new.name]},
    )


def _bookmarked(world: DocsWorld, rng: random.Random, article: Article, at: Place) -> Deed:
    return "bookmark it", act(at, 1, world.theme.words["bookmark"]), {"bookmarks": [article.name]}


CATALOGUE = Catalogue("page", "page", lambda world: world.sections, DocsWorld.listed, _bookmarked)
TEMPLATES = hunts(CATALOGUE) | templates(
    open_page,
    option_default,
    page_fact,
    version_default,
    compare_versions,
    replacement_default,
    follow_chain,
    bookmark,
    bookmark_two,
    top_page,
    compare,
    survey,
    suggest,
    held_out=[mark_helpful, bookmark_replacement],
)
