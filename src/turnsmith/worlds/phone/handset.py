"""What one phone holds during one episode, on the server's side: apps' data, where the user is, and what was loaded.

A handset is made for an episode and thrown away after it; nothing in it is shared. It starts from a *world* (whose
contacts and mail it holds), a day (how everything looks) and a seed (what happens by chance).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from turnsmith.worlds.phone.chance import CALM, Chance, Events, at_load
from turnsmith.worlds.phone.words import BODIES, PEOPLE, SITES, SUBJECTS, draw, found, rank

HOME = "/launcher"

SWITCHES: dict[str, str] = {
    "Wi-Fi": "on",
    "Bluetooth": "off",
    "Airplane mode": "off",
    "Dark theme": "off",
    "Auto-rotate": "on",
    "Do not disturb": "off",
    "Vibration": "on",
    "Battery saver": "off",
    "Location": "on",
    "Automatic time": "on",
}
"""What can be switched in the settings, and how it stands at the start."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail in the inbox."""

    sender: str
    subject: str
    body: str


@dataclass(frozen=True, slots=True)
class World:
    """Whose phone it is: contacts by name with their numbers, mail by age, the time on the clock."""

    contacts: Mapping[str, str]
    mails: tuple[Mail, ...]
    time: str


@lru_cache(maxsize=512)
def world(seed: int) -> World:
    """The world of a seed."""
    source = draw("world", seed)
    people = sorted(source.sample(PEOPLE, 14))
    contacts = {name: f"0{source.randrange(151, 179)} {source.randrange(10**6, 10**7)}" for name in people}
    subjects = source.sample(SUBJECTS, 10)
    mails = tuple(Mail(source.choice(people), subject, source.choice(BODIES)) for subject in subjects)
    return World(contacts, mails, f"{source.randrange(7, 22)}:{source.randrange(60):02d}")


@dataclass(frozen=True, slots=True)
class View:
    """What is on the screen.

    Attributes:
        page: such as "settings/Battery", "shoply.com/results", "contact/Ada Birch".
        query: what was searched, on a page of results or of an item found by it.
        place: of the item among its results, from 0; -1 elsewhere.
    """

    page: str
    query: str = ""
    place: int = -1


@dataclass
class Handset:
    """One phone in one episode.

    Attributes:
        seed, day, chance: decide looks and luck.
        world: whose phone it is.
        switches, alarms, cities, timers, running, starred, deleted, sent, contacts, calls, carts: the apps' data.
        stack: the addresses behind the back key; the last one is shown.
        view: what is on the screen; its page is "blank/…" while a page is blank, "failed/…", "check/…".
        hidden: the view that comes when the blank page is there.
        events: what happened at the last load.
        loads: counts page loads.
        seen: sites and apps that were opened.
        checks: where the box of a human check stands, for sites that still ask for one.
    """

    seed: int
    day: int
    chance: Chance
    world: World
    switches: dict[str, str] = field(default_factory=lambda: dict(SWITCHES))
    alarms: list[str] = field(default_factory=lambda: ["6:30 AM"])
    cities: list[str] = field(default_factory=lambda: ["London"])
    timers: list[str] = field(default_factory=list)
    running: bool = False
    starred: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    sent: list[str] = field(default_factory=list)
    contacts: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    carts: list[str] = field(default_factory=list)
    stack: list[str] = field(default_factory=lambda: [HOME])
    view: View = field(default_factory=lambda: View("launcher"))
    hidden: View | None = None
    events: Events = field(default_factory=Events)
    loads: int = 0
    seen: set[str] = field(default_factory=set)
    checks: dict[str, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def start(cls, seed: int, day: int = 0, world_seed: int = 0, chance: Chance = CALM) -> "Handset":
        """A phone as it is at the start of an episode."""
        own = world(world_seed)
        return cls(seed, day, chance, own, contacts=dict(own.contacts))

    def arrive(self, url: str, site: str, *, web: bool, again: bool) -> Events:
        """Count a load of `url` and draw what happens at it; `again` says that the user came back to it.

        The back key's stack grows by it unless it is shown already.
        """
        if not again and self.stack[-1] != url:
            self.stack.append(url)
        if site in ("launcher", "browser"):
            self.events = Events()
            return self.events
        self.loads += 1
        events = at_load(self.chance, self.seed, self.loads, web=web, first=site not in self.seen)
        self.seen.add(site)
        self.events = events
        return events

    def show(self, view: View, blank: bool = False) -> None:
        """A page is on the screen, or will be when it is no longer blank."""
        self.view, self.hidden = (View(f"blank/{view.page}"), view) if blank else (view, None)

    def reveal(self) -> None:
        """The blank page is there now."""
        if self.hidden is not None:
            self.view, self.hidden = self.hidden, None

    @staticmethod
    def address_of(app: str) -> str:
        """Where the icon of an app leads."""
        own = {"Browser": "/browser", "Mail": "/mail", "Clock": "/clock/alarms", "Contacts": "/contacts"}
        return {**own, "Settings": "/settings"}.get(app, f"/app/{app}")

    def facts(self) -> dict[str, Any]:
        """The state in words, by area: what the oracle compares with a goal."""
        return {
            **{f"switch {name}": value for name, value in self.switches.items()},
            "alarms": sorted(self.alarms),
            "cities": sorted(self.cities),
            "timers": sorted(self.timers),
            "stopwatch": "running" if self.running else "stopped",
            "starred": sorted(self.starred),
            "deleted": sorted(self.deleted),
            "sent": sorted(self.sent),
            "new contacts": sorted(set(self.contacts) - set(self.world.contacts)),
            "calls": sorted(self.calls),
            "carts": sorted(self.carts),
        }

    def results(self, site: str, query: str) -> list[str]:
        """The names of what a shop finds, in the order of this episode."""
        items = found(query)
        if self.chance.shuffle and draw(self.seed, "shuffle?", site).random() < self.chance.shuffle:
            draw(self.seed, "shuffle", site, query.lower()).shuffle(items)
            return items
        return sorted(items, key=lambda name: rank(f"{SITES.get(site, site)}/{name}"))
