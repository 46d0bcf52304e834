"""The five shops: a front page, a search page, results and items, in the layout of the day."""

from typing import Any

from turnsmith.worlds.phone.handset import Handset, View
from turnsmith.worlds.phone.layout import HUES, layout
from turnsmith.worlds.phone.words import FACTS, GRADES, MAKERS, SITES, THINGS, draw, rank


def _item(name: str, url: str = "") -> dict[str, Any]:
    return {
        "name": name,
        "url": url,
        "price": 9 + int(rank(f"price/{name}") * 390),
        "fact": FACTS[int(rank(f"fact/{name}") * len(FACTS))],
        "stars": 3 + int(rank(f"stars/{name}") * 3),
        "hue": int(rank(f"hue/{name}") * 360),
        "shape": THINGS.index(thing) if (thing := name.split()[1].lower()) in THINGS else 0,
    }


def shop_page(phone: Handset, site: str, rest: str, query: dict[str, str]) -> tuple[str, View, dict[str, Any]]:
    """(template, view, values) of a shop's page.

    Args:
        phone: whose episode.
        site: the shop's host.
        rest: the path behind the host: "", "search", "results", "item", "cart", "offer".
        query: of the address: "q", "at" (the place of an item among the results).
    """
    asked = " ".join(query.get("q", "").split())
    base: dict[str, Any] = {
        "site": site,
        "name": SITES[site],
        "hue": HUES[site],
        "traits": layout(site, phone.day),
        "q": asked,
        "cart": sum(line.startswith(site) for line in phone.carts),
    }
    if rest == "search":
        return "shop_search.html", View(f"{site}/search"), base
    if rest == "results":
        names = phone.results(site, asked)
        items = [_item(name, f"/web/{site}/item?q={asked}&at={at}") for at, name in enumerate(names)]
        return "shop_results.html", View(f"{site}/results", asked), {**base, "items": items}
    if rest == "item":
        names = phone.results(site, asked)
        at = int(query["at"]) if query.get("at", "").isdigit() else 0
        if at < len(names):
            line = f"{site}: {names[at]}"
            values = {**base, "item": _item(names[at]), "at": at, "bought": line in phone.carts}
            return "shop_item.html", View(f"{site}/item", asked, at), values
    if rest == "cart":
        lines = [_item(line.partition(": ")[2]) for line in phone.carts if line.startswith(site)]
        return "shop_cart.html", View(f"{site}/cart"), {**base, "items": lines}
    if rest == "offer":
        return "shop_offer.html", View(f"{site}/offer"), base
    source = draw("front", site)
    chips = source.sample(THINGS, 6)
    popular = [
        f"{source.choice(MAKERS).title()} {source.choice(THINGS).title()} {source.choice(GRADES)}" for _ in "1234"
    ]
    items = [_item(name, f"/web/{site}/results?q={' '.join(name.lower().split()[:2])}") for name in popular]
    return "shop_home.html", View(f"{site}/home"), {**base, "chips": chips, "items": items}


def buy(phone: Handset, site: str, asked: str, at: str) -> None:
    """Put an item into the cart."""
    names = phone.results(site, asked)
    if at.isdigit() and int(at) < len(names):
        phone.carts.append(f"{site}: {names[int(at)]}")
