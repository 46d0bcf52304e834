"""What a documentation holds, and what a visitor of it has done."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from turnsmith.worlds.sites.kit import World, start_world
from turnsmith.worlds.sites.words import only

NOUNS = {
    "Guides": "Install Upgrade Deploy Backup Logging Testing Tuning Debugging Packaging Theming Offline Sandbox",
    "Storage": "Bucket Cache Journal Snapshot Index Shard Archive Volume Ledger Replica Catalog Blob",
    "Network": "Socket Proxy Router Gateway Tunnel Beacon Relay Firewall Balancer Channel Endpoint Mesh",
    "Security": "Token Keyring Vault Policy Session Audit Cipher Certificate Signer Scope Role Nonce",
    "Jobs": "Scheduler Worker Queue Trigger Batch Pipeline Retry Timer Watchdog Semaphore Fanout Cron",
}
OPTIONS = ("timeout", "retries", "buffer", "limit", "depth", "interval", "threads", "window", "quota", "burst")
LEVELS = ("Basic", "Advanced")
SORTS = ("A to Z", "Shortest", "Longest")
WORDING = {
    "version": ("Version", "Release", "Docs for"),
    "bookmark": ("Bookmark", "Add bookmark", "Save page"),
    "replaced": ("Replaced by", "Superseded by", "Use instead:"),
    "helpful": ("Helpful", "This helped", "Useful"),
    "suggestion": ("Suggestion", "Suggest a change", "What is missing?"),
    "send": ("Send", "Submit", "Send suggestion"),
}


@dataclass(frozen=True, slots=True)
class Article:
    """A page. `options` are the defaults by version; `facts` stand only on the page; `successor` is another's id."""

    id: int
    name: str
    section: str
    level: str
    minutes: int
    facts: Mapping[str, str]
    options: Mapping[str, Mapping[str, str]]
    successor: int | None
    related: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DocsWorld(World):
    """`versions` from the newest to the oldest; `articles` in alphabetical order."""

    articles: tuple[Article, ...] = ()
    sections: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()

    @property
    def featured(self) -> tuple[Article, ...]:
        """What the front page shows."""
        return tuple(article for article in self.articles if article.id % 10 == 0)

    def numbered(self, number: int) -> Article | None:
        """The article with this id."""
        return next((article for article in self.articles if article.id == number), None)

    def listed(self, section: str, level: str = "", sort: str = "") -> list[Article]:
        """The articles of a section as its page lists them."""
        chosen = [article for article in self.articles if article.section == section and level in ("", article.level)]
        if sort in ("Shortest", "Longest"):
            chosen.sort(key=lambda one: one.minutes, reverse=sort == "Longest")
        return chosen

    def chain(self, article: Article) -> list[Article]:
        """An article, what replaced it, what replaced that, and so on."""
        line = [article]
        while (number := line[-1].successor) is not None and (following := self.numbered(number)) is not None:
            line.append(following)
        return line


def build(seed: int) -> DocsWorld:
    """The documentation of a world seed."""
    rng, names, base = start_world("docs", seed, WORDING)
    by_section = {section: only(nouns, names.split) for section, nouns in NOUNS.items()}
    major = rng.randrange(2, 9)
    versions = tuple(f"{major - back}.{rng.randrange(10)}" for back in range(3))
    titles: list[tuple[str, str]] = []
    while len(titles) < 40:
        first = names.word()
        titles += [
            (f"{first} {rng.choice(by_section[section])}", section) for section in rng.sample(sorted(by_section), 2)
        ]
    titles.sort()
    ids = rng.sample(range(500, 500 + len(titles)), len(titles))
    minutes = rng.sample(range(2, 60), len(titles))
    labels = rng.sample(("Added in", "Maintainer", "Tests", "Import"), 4)
    # Replacements go along a random order, so chains end: each article points to a later one or to none.
    order = rng.sample(range(len(titles)), len(titles))
    successor = {ids[one]: ids[after] for one, after in zip(order[::2], order[1::2], strict=True)}
    successor |= {ids[one]: ids[after] for one, after in zip(order[1:14:2], order[2:15:2], strict=True)}
    kin: dict[str, set[int]] = defaultdict(set)  # by first word
    for number, (title, _) in zip(ids, titles, strict=True):
        kin[title.split()[0]].add(number)
    articles = []
    for number, (title, section) in enumerate(titles):
        facts = {
            "Added in": f"{rng.randrange(2008, 2025)}",
            "Maintainer": names.word(),
            "Tests": str(rng.randrange(20, 900)),
            "Import": f"{rng.choice('abcdefgh')}{rng.randrange(10, 100)}",
        }
        chosen = rng.sample(OPTIONS, 4)
        values = {option: rng.sample(range(1, 999), len(versions)) for option in chosen}
        articles.append(
            Article(
                id=ids[number],
                name=title,
                section=section,
                level=rng.choice(LEVELS),
                minutes=minutes[number],
                facts={label: facts[label] for label in labels},
                options={
                    version: {option: str(values[option][k]) for option in chosen} for k, version in enumerate(versions)
                },
                successor=successor.get(ids[number]),
                related=tuple(kin[title.split()[0]] - {ids[number]}),
            )
        )
    sections = tuple(rng.sample(sorted(NOUNS), len(NOUNS)))
    return DocsWorld(base.seed, base.split, base.brand, base.theme, tuple(articles), sections, versions)


@dataclass
class DocsState:
    """What one visitor marked and suggested."""

    bookmarks: set[str] = field(default_factory=set)
    helpful: set[str] = field(default_factory=set)
    suggestions: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def arrive(cls, world: DocsWorld, setup: Mapping[str, Any]) -> "DocsState":
        """A new visitor; `setup` may hold "bookmarks": [title, ...]."""
        return cls(set(setup.get("bookmarks", ())))

    def snapshot(self) -> dict[str, list[str]]:
        """All of it in words."""
        return {
            "bookmarks": sorted(self.bookmarks),
            "helpful": sorted(self.helpful),
            "suggestions": sorted(f"{title}: {text}" for title, text in self.suggestions),
        }
