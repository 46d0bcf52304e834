"""What one can be asked to do on the phone: General-like tasks (apps and web searches) and WebShop-like triples.

`generate` draws tasks of a split. In the *disjoint* split nothing of a test task was ever trained on: its query, city,
name or time (the entity), its whole instruction, and the layout versions of its day; a quarter of the WebShop-like test
tasks are at a shop that training never visits. Words are shared: "voltro headphones" may be tested when "voltro lamp"
and "zenit headphones" were trained. Instructions without an entity ("Turn on Bluetooth") come in several wordings, of
which some are held out. The *overlapping* split draws both sides from everything, as the authors' lists do.

A task's params are "day", "world" and "template"; its hidden part holds the "goal" for the oracle (goals.py) and the
"plan" for the demonstrator (demonstrator.py): groups of steps, each group for one screen.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count as count_up
from typing import Any, Literal

from turnsmith.errors import UserError
from turnsmith.trace.types import Task
from turnsmith.worlds.phone import words
from turnsmith.worlds.phone.apps import SECTIONS, TIMERS
from turnsmith.worlds.phone.handset import SWITCHES, Handset, world
from turnsmith.worlds.phone.layout import layout
from turnsmith.worlds.phone.words import APPS, HELD_OUT_SITE, SITES, only, split_of

Kind = Literal["general", "webshop"]
Plan = list[list[list[str]]]

STALE_DAYS = range(3)
"""The days that the demonstrator's habits come from."""
DEMONSTRATION_DAYS = range(140, 420, 4)
"""Days far from all others, with many layouts: demonstrations of them teach looking, not places known by heart."""
TRAIN_DAYS = range(20, 50)
TEST_DAYS = range(50, 80)
DRIFT_DAYS = range(80, 140)
"""Days after both, for experiments under drift."""

WORLDS = {"train": range(400), "test": range(400, 500)}
HELD_OUT_SITE_SHARE = 0.25
_TRIES = 40


@dataclass(frozen=True, slots=True)
class Draft:
    """A task in the making: several wordings of the instruction, what must hold, how it is done."""

    wordings: tuple[str, ...]
    goal: dict[str, Any]
    plan: Plan
    entities: tuple[str, ...] = ()


def tap(key: str) -> list[str]:
    """A step: tap what has this key."""
    return ["tap", key]


def fill(key: str, text: str, enter: bool = True) -> list[str]:
    """A step: write into the field of this key, and press enter unless told not to."""
    return ["fill" if enter else "write", key, text]


def _app(name: str) -> list[list[str]]:
    return [tap(f"app {name}")]


def _web(text: str) -> Plan:
    return [_app("Browser"), [fill("address", text)]]


@dataclass(frozen=True, slots=True)
class Source:
    """What a template draws from.

    Attributes:
        rng: the random source.
        split: "train" or "test" for the disjoint split, None for everything.
        world: the world of the task.
    """

    rng: random.Random
    split: str | None
    world: int

    def one(self, texts: Sequence[str]) -> str:
        """A text of the split, or of all where the split has none."""
        return self.rng.choice(only(tuple(texts), self.split) or list(texts))


def _open(source: Source) -> Draft:
    app = source.rng.choice(APPS)
    page = Handset.address_of(app).strip("/")
    said = (f"Open {app}", f"Open the {app} app", f"Start {app}", f"Launch the {app} app", f"Show me {app}")
    goal = {"page": [page, "browser"] if app == "Browser" else page}
    return Draft(said, goal, [_app(app)])


def _switch(source: Source) -> Draft:
    name = source.rng.choice(list(SWITCHES))
    new = "off" if SWITCHES[name] == "on" else "on"
    section = next(section for section, names in SECTIONS.items() if name in names)
    said = (f"Turn {new} {name}", f"Switch {new} {name}", f"Turn {name} {new}", f"Please switch {name} {new}")
    plan = [_app("Settings"), [tap(section)], [tap(f"switch {name}")]]
    return Draft(said, {"facts": {f"switch {name}": new}}, plan)


def _section(source: Source) -> Draft:
    name = source.rng.choice(list(SECTIONS))
    low = name.lower()
    said = (
        f"Check the {low} settings",
        f"Go to the {low} settings",
        f"Open the settings for {low}",
        f"Show {low} settings",
    )
    return Draft(said, {"page": f"settings/{name}"}, [_app("Settings"), [tap(name)]])


def _app_settings(source: Source) -> Draft:
    app = source.rng.choice(APPS)
    said = (f"Check the settings for the {app} app", f"Open the app settings of {app}", f"Show the app info of {app}")
    return Draft(said, {"page": f"settings/Apps/{app}"}, [_app("Settings"), [tap("Apps")], [tap(app)]])


def _alarm(source: Source) -> Draft | None:
    hours = [
        f"{hour}:{minute} {half}"
        for hour in range(1, 13)
        for minute in ("00", "15", "30", "45")
        for half in ("AM", "PM")
    ]
    when = source.one(hours)
    if when == "6:30 AM":
        return None
    clock, half = when.split()
    hour, minute = clock.split(":")
    short = f"{hour}{'' if minute == '00' else ':' + minute}{half.lower()}"
    said = (f"Set an alarm for {short}", f"Wake me up at {short}", f"Add an alarm at {short}")
    picks = [tap(f"hour {hour}"), tap(f"minute {minute}"), tap(f"half {half}"), tap("save")]
    goal = {"facts": {"alarms": sorted(["6:30 AM", when])}}
    return Draft(said, goal, [_app("Clock"), [tap("tab alarms"), tap("add")], picks], (f"alarm {when}",))


def _timer(source: Source) -> Draft:
    minutes = source.rng.choice(TIMERS)
    said = tuple(
        text.format(minutes)
        for text in ("Set a timer for {} minutes", "Start a {} minute timer", "Count down {} minutes")
    )
    plan = [_app("Clock"), [tap("tab timer")], [tap(f"timer {minutes}")]]
    return Draft(said, {"facts": {"timers": [f"{minutes} min"]}}, plan)


def _stopwatch(source: Source) -> Draft:
    said = ("Start the stopwatch", "Start a stopwatch", "Run the stopwatch", "Use the stopwatch")
    return Draft(said, {"facts": {"stopwatch": "running"}}, [_app("Clock"), [tap("tab stopwatch")], [tap("stopwatch")]])


def _city(source: Source) -> Draft:
    city = source.one(words.CITIES)
    said = (f"Add {city} to the world clock", f"Show the time in {city} on the clock", f"Add a clock for {city}")
    plan = [_app("Clock"), [tap("tab world"), tap("add")], [fill("search", city, enter=False), tap(f"city {city}")]]
    return Draft(said, {"facts": {"cities": sorted(["London", city])}}, plan, (city,))


def _search(kind: str, texts: Sequence[str], *said: str) -> Callable[[Source], Draft]:
    def make(source: Source) -> Draft:
        name = source.one(texts)
        goal = {"page": "seek/results", "words": [kind, name.lower()]}
        return Draft(tuple(text.format(name) for text in said), goal, _web(f"{kind} {name}"), (name,))

    return make


def _flights(source: Source) -> Draft | None:
    start, end = source.one(words.CITIES), source.one(words.CITIES)
    if start == end:
        return None
    said = (f"Search for flights from {start} to {end}", f"Find flights from {start} to {end}")
    goal = {"page": "seek/results", "words": ["flights", start.lower(), end.lower()]}
    return Draft(said, goal, _web(f"flights {start} to {end}"), (start, end))


def _mail(source: Source, deed: str) -> Draft | None:
    mails = world(source.world).mails
    subject = source.one([mail.subject for mail in mails])
    if source.split and split_of(subject) != source.split:
        return None
    plan: Plan = [_app("Mail"), [tap(f"mail {subject}")]]
    match deed:
        case "open":
            said = (f"Open the mail “{subject}”", f"Read the mail “{subject}”", f"Show me the mail “{subject}”")
            return Draft(said, {"page": f"mail/{subject}"}, plan, (subject,))
        case "star":
            said = (f"Star the mail “{subject}”", f"Mark the mail “{subject}” with a star")
            return Draft(said, {"facts": {"starred": [subject]}}, [*plan, [tap("star")]], (subject,))
    said = (f"Delete the mail “{subject}”", f"Throw away the mail “{subject}”")
    return Draft(said, {"facts": {"deleted": [subject]}}, [*plan, [tap("delete")]], (subject,))


def _person(source: Source, deed: str) -> Draft | None:
    known = world(source.world).contacts
    name = source.one([person for person in words.PEOPLE if (person in known) != (deed == "add")])
    if source.split and split_of(name) != source.split:
        return None
    match deed:
        case "show":
            said = (f"Show the contact {name}", f"Open the contact of {name}", f"Look up {name} in the contacts")
            return Draft(said, {"page": f"contacts/{name}"}, [_app("Contacts"), [tap(f"contact {name}")]], (name,))
        case "call":
            said = (f"Call {name}", f"Phone {name}", f"Give {name} a call")
            plan = [_app("Contacts"), [tap(f"contact {name}")], [tap("call")]]
            return Draft(said, {"facts": {"calls": [name]}}, plan, (name,))
    said = (f"Add {name} to the contacts", f"Create a contact for {name}", f"Save {name} as a contact")
    plan = [_app("Contacts"), [tap("add")], [fill("name", name, enter=False), tap("save")]]
    return Draft(said, {"facts": {"new contacts": [name]}}, plan, (name,))


GENERAL: dict[str, Callable[[Source], Draft | None]] = {
    "open": _open,
    "switch": _switch,
    "section": _section,
    "app_settings": _app_settings,
    "alarm": _alarm,
    "timer": _timer,
    "stopwatch": _stopwatch,
    "city": _city,
    "weather": _search(
        "weather", words.CITIES, "What's the weather in {}?", "Look up the weather in {}", "How is the weather in {}?"
    ),
    "hotels": _search("hotels", words.CITIES, "Search for hotels in {}", "Find hotels in {}"),
    "restaurants": _search("restaurants", words.CITIES, "Search for restaurants in {}", "Find good restaurants in {}"),
    "news": _search("news", words.TOPICS, "What's the latest news in {}?", "Look up the news about {}"),
    "recipe": _search("recipe", words.DISHES, "Find a recipe for {}", "Search for a recipe for {}"),
    "flights": _flights,
    "mail_open": lambda source: _mail(source, "open"),
    "mail_star": lambda source: _mail(source, "star"),
    "mail_delete": lambda source: _mail(source, "delete"),
    "contact_show": lambda source: _person(source, "show"),
    "contact_call": lambda source: _person(source, "call"),
    "contact_add": lambda source: _person(source, "add"),
}
"""General-like templates by name."""


def webshop_draft(site: str, query: str, level: int) -> Draft:
    """One of a triple: 0 goes to the site, 1 searches there as well, 2 opens the first result as well."""
    plan = _web(site)
    if level == 0:
        return Draft((f"Go to {site}",), {"page": f"{site}/home"}, plan)
    plan = [*plan, [fill("search", query)]]
    if level == 1:
        said = f"Go to {site}, search for '{query}'"
        return Draft((said,), {"page": f"{site}/results", "query": query}, plan, (query,))
    said = f"Go to {site}, search for '{query}', and select the first entry"
    goal = {"page": f"{site}/item", "query": query, "place": 0}
    return Draft((said,), goal, [*plan, [tap("result 0")]], (query,))


@lru_cache(maxsize=256)
def days_of(site: str | None, split: str | None) -> tuple[int, ...]:
    """The days of a split; for a test at a shop, those on which it looks as on no day of training or demonstrations."""
    if split is None:
        return (*TRAIN_DAYS, *TEST_DAYS)
    if split == "train":
        return tuple(TRAIN_DAYS)
    if site is None:
        return tuple(TEST_DAYS)
    trained = [layout(site, day) for day in (*STALE_DAYS, *TRAIN_DAYS, *DEMONSTRATION_DAYS)]
    return tuple(day for day in TEST_DAYS if layout(site, day) not in trained)


def generate(
    kind: Kind,
    split: Literal["train", "test"],
    count: int,
    seed: int = 0,
    *,
    overlapping: bool = False,
    days: Sequence[int] | None = None,
    sites: Sequence[str] | None = None,
) -> list[Task]:
    """Draw tasks.

    Args:
        kind: "general" or "webshop".
        split: which side.
        count: how many; WebShop-like tasks come as evenly as possible from the three levels.
        seed: the same seed draws the same tasks.
        overlapping: both sides draw from everything (the authors' way) instead of disjointly.
        days: instead of the split's own (`DEMONSTRATION_DAYS`, `DRIFT_DAYS` for drift).
        sites: shops, instead of the split's own.

    Raises:
        UserError: if kind or split is unknown or so many different tasks cannot be drawn.
    """
    if kind not in ("general", "webshop") or split not in ("train", "test"):
        raise UserError(f"there are no {kind!r} tasks of split {split!r}: general or webshop, train or test.")
    rng = random.Random(f"{kind}/{split}/{seed}/{overlapping}")
    side = None if overlapping else split
    names = [*GENERAL]
    rng.shuffle(names)
    tasks: dict[tuple[str, int], Task] = {}  # an instruction is asked once a day
    barren = 0  # turns in a row that gave nothing new
    for number in count_up():
        if len(tasks) >= count:
            break
        if barren > 3 * len(names):
            raise UserError(f"only {len(tasks)} different {kind} tasks could be drawn, not {count}; ask for fewer.")
        barren += 1
        for _ in range(_TRIES):
            if kind == "general":
                task = _general(rng, names[number % len(names)], split, side, days)
            else:
                task = _webshop(rng, split, side, number % 3, days, sites)
            if task is not None and (key := (task.instruction, task.params["day"])) not in tasks:
                tasks[key] = task
                barren = 0
                break
    return list(tasks.values())


def _general(rng: random.Random, name: str, split: str, side: str | None, days: Sequence[int] | None) -> Task | None:
    own = rng.choice(WORLDS[split])
    draft = GENERAL[name](Source(rng, side, own))
    if draft is None:
        return None
    said = rng.choice(draft.wordings)
    if side is not None and not draft.entities and split_of(said, 0.3) != side:
        return None
    return _task(name, draft, said, split, rng.choice(days or days_of(None, side)), own, {"kind": "general"})


def _webshop(
    rng: random.Random,
    split: str,
    side: str | None,
    level: int,
    days: Sequence[int] | None,
    sites: Sequence[str] | None,
) -> Task:
    if sites is None:
        sites = list(SITES) if side is None else [site for site in SITES if site != HELD_OUT_SITE]
        if side == "test":
            # A bare "Go to SITE" has no query that could be new, so it is tested at the held-out shop alone.
            if rng.random() < HELD_OUT_SITE_SHARE:
                sites = [HELD_OUT_SITE]
            elif level == 0:
                level = rng.choice((1, 2))
    site = rng.choice(list(sites))
    draft = webshop_draft(site, rng.choice(only(words.queries(), side)), level)
    more = {"kind": "webshop", "site": site, "level": level, "held_out_site": site == HELD_OUT_SITE}
    day, own = rng.choice(days or days_of(site, side)), rng.choice(WORLDS[split])
    return _task(f"webshop{level}", draft, draft.wordings[0], split, day, own, more)


def _task(template: str, draft: Draft, said: str, split: str, day: int, own: int, provenance: dict[str, Any]) -> Task:
    return Task(
        id=f"{template}-{words.rank(said) * 1e9:.0f}-{day}-{own}",
        instruction=said,
        environment="device",
        params={"day": day, "world": own, "template": template},
        split=split,
        provenance={**provenance, "template": template, "entities": list(draft.entities)},
        hidden={"goal": draft.goal, "plan": draft.plan},
    )
