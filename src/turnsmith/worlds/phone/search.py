"""The browser's start page and its search engine, "Seek"."""

import re
from typing import Any
from urllib.parse import quote

from turnsmith.worlds.phone.handset import Handset, View
from turnsmith.worlds.phone.layout import layout
from turnsmith.worlds.phone.words import CITIES, SITES, TOPICS, rank

_KINDS = ("weather", "hotels", "news", "restaurants", "flights", "recipe", "movies", "directions")
_LINKS = (
    "{} - all you need to know",
    "{}: a short guide",
    "The best of {} this year",
    "Questions and answers about {}",
    "{} explained in five minutes",
)
_HOSTS = ("wikibook.org", "dailyleaf.com", "answerly.net", "travelnest.com", "openpages.org")


def address(typed: str) -> str:
    """Where an entry in the address bar leads: a shop by its host, else a search."""
    text = " ".join(typed.split())
    host = re.sub(r"^(https?://)?(www\.)?", "", text.lower()).rstrip("/")
    if host in SITES:
        return f"/web/{host}/"
    return f"/web/seek/results?q={quote(text)}" if text else "/browser"


def start_page(phone: Handset) -> tuple[str, View, dict[str, Any]]:
    """The browser's new tab."""
    traits = layout("browser", phone.day)
    return "browser_start.html", View("browser"), {"traits": traits, "sites": list(SITES.items()), "q": ""}


def seek_page(phone: Handset, query: dict[str, str]) -> tuple[str, View, dict[str, Any]]:
    """Results of a web search: a card for what it is about, shops that it names, and further links."""
    asked = " ".join(query.get("q", "").split())
    words = re.findall(r"\w+", asked.lower())
    kind = next((kind for kind in _KINDS if kind in words or kind.rstrip("s") in words), "")
    place = next((city for city in CITIES if city.lower() in words), "")
    topic = next((topic for topic in TOPICS if topic in words), "")
    shops = [(host, name) for host, name in SITES.items() if name.lower() in words or host in asked.lower()]
    turn = int(rank(asked) * len(_HOSTS))
    links = [
        {"title": line.format(asked), "host": host, "url": f"/web/seek/page?q={quote(asked)}&at={at}"}
        for at, (line, host) in enumerate(zip(_LINKS, _HOSTS[turn:] + _HOSTS[:turn], strict=True))
    ]
    values = {
        "traits": layout("browser", phone.day),
        "q": asked,
        "kind": kind,
        "place": place or topic.title() or asked.title(),
        "degrees": int(rank(f"degrees/{place}") * 34) - 2,
        "shops": shops,
        "links": links,
        "hue": int(rank(asked) * 360),
    }
    if query.get("at", "").isdigit():
        return "seek_page.html", View("seek/page", asked, int(query["at"])), values
    return "seek_results.html", View("seek/results", asked), values
