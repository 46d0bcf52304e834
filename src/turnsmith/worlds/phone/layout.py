"""Layout versions: how the phone's screens and the shops' pages look on a day.

A version is a handful of traits. The traits of day 0 are the ones that everybody knows; as days go by, now
and then one trait of a site changes, at a day and to a value that its name and the day alone decide. So two days that
are close look alike, days far apart do not, and every day has one look, whatever was asked before.
"""

from collections.abc import Mapping
from functools import cache, lru_cache

from turnsmith.worlds.phone.words import APPS, SITES, draw

TRAITS: dict[str, dict[str, tuple[str, ...]]] = {
    "shop": {
        "search": ("field", "row", "icon", "bottom"),  # where the search is: in the bar, below it, behind an icon, ...
        "bar": ("light", "tint", "dark"),
        "hero": ("small", "none", "tall"),
        "list": ("rows", "grid"),
        "note": ("none", "stripe"),  # a stripe above the bar moves everything down
        "first": ("hero", "chips"),
        "word": ("Search", "Find products", "What are you looking for?"),
    },
    "launcher": {"grid": ("a", "b", "c", "d"), "dock": ("a", "b", "c"), "widget": ("top", "middle", "none")},
    "browser": {"bar": ("top", "bottom"), "tiles": ("yes", "no")},
    "settings": {"order": ("a", "b", "c"), "rows": ("wide", "tight")},
    "clock": {"tabs": ("top", "bottom"), "add": ("corner", "centre", "bar")},
    "mail": {"search": ("field", "icon"), "rows": ("wide", "tight")},
    "contacts": {"search": ("field", "icon"), "add": ("corner", "bar")},
}
"""Trait values by kind of site, the stale one first."""

CHANGE = 0.05
"""The probability that a trait changes on a given day from `FIRST` on; before that all days look like day 0."""

FIRST = 5
LAST = 500


def kind_of(site: str) -> str:
    """The key in `TRAITS` for an app or a shop."""
    return "shop" if site in SITES else site


@cache
def layout(site: str, day: int) -> Mapping[str, str]:
    """The traits of an app ("clock") or a shop ("shoply.com") on a day from 0 to `LAST`."""
    kinds = TRAITS[kind_of(site)]
    if day < FIRST:
        return {name: values[0] for name, values in kinds.items()}
    for earlier in range(FIRST, day - 1):  # from the first on, so that each finds the day before it at hand
        layout(site, earlier)
    before = layout(site, day - 1)
    traits = {}
    for name, values in kinds.items():
        source = draw("layout", site, name, day)
        changes = source.random() < CHANGE
        traits[name] = source.choice([value for value in values if value != before[name]]) if changes else before[name]
    return traits


def version(day: int) -> str:
    """A name for everything that a day looks like: days of one version look alike throughout."""
    sites = [*SITES, *(name for name in TRAITS if name != "shop")]
    return "|".join(",".join(layout(site, day).values()) for site in sites)


HUES: dict[str, int] = {
    "shoply.com": 212,
    "bigbox.com": 22,
    "nestor.com": 158,
    "trademore.com": 268,
    "kwikmart.com": 345,
}


@lru_cache(maxsize=64)
def icons(day: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(the grid, the dock) of the home screen: names of apps in the order in which they stand."""
    traits = layout("launcher", day)
    dock = ["Mail", "Browser", "Clock", "Contacts"]
    if traits["dock"] != "a":
        draw("dock", traits["dock"]).shuffle(dock)
    grid = [app for app in APPS if app not in dock]
    if traits["grid"] != "a":
        draw("grid", traits["grid"]).shuffle(grid)
    return tuple(grid), tuple(dock)
