"""What happens by chance while a phone is used: pop-ups, banners, slow and failed loads, human checks, result order.

Everything is drawn from the episode's seed and the number of the page load, never from time: the same seed and the same
actions show the same screens. A slow load stays blank for a number of actions, not of seconds.
"""

import random
from dataclasses import asdict, dataclass
from typing import Any

from turnsmith.worlds.phone.words import draw


@dataclass(frozen=True, slots=True)
class Chance:
    """Probabilities, each for one page load.

    Attributes:
        popup: a modal stands over a page of a shop or of the search until it is closed; its place and kind are random.
        cookie: a bar with two buttons covers the lower part of a shop's page.
        banner: an advertisement of random height pushes the content of a page down.
        blank: a page of a site stays blank during the next one or two actions.
        fail: a page of a site does not load; "Try again" loads it.
        check: the first page of a shop in an episode asks to prove that one is human.
        system: a dialog of the phone itself stands over a screen of an app.
        shuffle: results come in another order than the shop's own (which is by rank of their name).
    """

    popup: float = 0.0
    cookie: float = 0.0
    banner: float = 0.0
    blank: float = 0.0
    fail: float = 0.0
    check: float = 0.0
    system: float = 0.0
    shuffle: float = 0.0

    def scaled(self, by: float) -> "Chance":
        """All probabilities times a factor, at most 1."""
        return Chance(**{name: min(1.0, by * value) for name, value in asdict(self).items()})


CALM = Chance()
"""Nothing happens: every load is the page itself."""

ROUGH = Chance(
    popup=0.3, cookie=0.15, banner=0.3, blank=0.15, fail=0.08, check=0.2, system=0.35, shuffle=1.0
)  # fmt: skip
"""The weather of the experiments: what it does to the demonstrator stands in docs/device.md."""

_POPUPS: tuple[dict[str, str], ...] = (
    {"title": "Get 10 % off", "text": "Join our newsletter and save on your first order.", "yes": "Sign me up"},
    {"title": "Better in the app", "text": "Faster search, more offers. Continue in our app?", "yes": "Open app"},
    {"title": "Turn on notifications?", "text": "Be the first to hear of new deals near you.", "yes": "Allow"},
    {"title": "How do you like us?", "text": "Two minutes of your time help us to improve.", "yes": "Rate now"},
    {"title": "Flash sale", "text": "Today only: up to half price in all departments.", "yes": "Show deals"},
)
_NO = ("No thanks", "Not now", "Maybe later", "Skip")
_SYSTEM: tuple[dict[str, str], ...] = (
    {"title": "Software update", "text": "A new version is ready to be installed tonight.", "yes": "Install"},
    {"title": "Battery saver", "text": "Extend your battery by switching it on now?", "yes": "Switch on"},
    {"title": "Backup is off", "text": "Your photos are not backed up. Set it up now?", "yes": "Set up"},
)


@dataclass(frozen=True, slots=True)
class Events:
    """What happens at one page load.

    Attributes:
        popup: title, text, labels and place of a modal, or None.
        cookie: the wording of a cookie bar, or None.
        banner: (height in pixels, hue) of an advertisement, or None.
        blank: how many actions the page stays blank.
        failed: the page did not load.
        check: (distance from the top in percent, from the left in percent) of the check box, or None.
    """

    popup: dict[str, Any] | None = None
    cookie: tuple[str, str] | None = None
    banner: tuple[int, int] | None = None
    blank: int = 0
    failed: bool = False
    check: tuple[int, int] | None = None


def at_load(chance: Chance, seed: int, load: int, *, web: bool, first: bool) -> Events:
    """What happens at the `load`-th page load of an episode.

    Args:
        chance: the probabilities.
        seed: of the episode.
        load: counts the loads.
        web: the page is a shop's or the search's; else it is an app's.
        first: it is the first page of its site in the episode.
    """
    source = draw(seed, "load", load)
    rolls = [source.random() for _ in range(7)]
    if not web:
        popup = _popup(source, _SYSTEM) if rolls[0] < chance.system else None
        return Events(popup=popup)
    return Events(
        popup=_popup(source, _POPUPS) if rolls[1] < chance.popup else None,
        cookie=source.choice((("Accept all", "Reject"), ("OK", "Only necessary")))
        if rolls[2] < chance.cookie
        else None,
        banner=(source.choice((48, 72, 96, 128)), source.randrange(360)) if rolls[3] < chance.banner else None,
        blank=source.choice((1, 1, 2)) if rolls[4] < chance.blank else 0,
        failed=rolls[5] < chance.fail,
        check=(source.randrange(22, 70), source.randrange(5, 40)) if first and rolls[6] < chance.check else None,
    )


def _popup(source: random.Random, kinds: tuple[dict[str, str], ...]) -> dict[str, Any]:
    """A modal of one of the kinds: where it stands and how it is closed differ every time."""
    kind = source.choice(kinds)
    return {
        **kind,
        "no": source.choice(_NO),
        "close": source.choice(("cross-right", "cross-left", "button", "button", "link")),
        "top": source.randrange(8, 52),
        "left": source.randrange(0, 49),
        "swap": source.random() < 0.5,
        "hue": source.randrange(360),
    }
