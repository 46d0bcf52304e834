"""Where things stand on the first day: python -m turnsmith.worlds.phone.remember writes `remembered.json`.

The demonstrator's habits come from this file. Keys are "PLACE:KEY" as `place_of` makes them, values (y, x) normalised.
"""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from turnsmith.worlds.phone.words import SITES

FILE = Path(__file__).with_name("remembered.json")

_SCREENS = (
    "/launcher", "/browser", "/settings", "/settings/Apps", "/settings/Network", "/settings/Connected devices",
    "/settings/Display", "/settings/Sound", "/settings/Battery", "/settings/Location", "/settings/Date and time",
    "/clock/alarms", "/clock/world", "/clock/timer", "/clock/stopwatch", "/clock/new", "/clock/add", "/mail", "/mail/0",
    "/contacts", "/contacts/new", "/web/shoply.com/", "/web/shoply.com/results?q=voltro lamp",
)  # fmt: skip


def place_of(view: str) -> str:
    """The kind of screen that a view is: shops count as one, and so do all mails, all contacts."""
    head, _, rest = view.partition("/")
    if head in SITES:
        return f"shop/{rest}"
    if head in ("mail", "contacts") and rest and rest not in ("write", "search", "new"):
        return f"{head}/one"
    return view


async def look() -> Mapping[str, tuple[float, float]]:
    """Visit the screens on day 0 and note where everything is."""
    from turnsmith.worlds.phone.driver import SIZE, LocalPhones

    places: dict[str, tuple[float, float]] = {}
    phones = LocalPhones()
    await phones.start()
    try:
        phone = await phones.borrow()
        await phone.reset(0)
        for url in _SCREENS:
            await phone.show(url)
            screen: dict[str, Any] = await phone.boxes()
            for box in screen["boxes"]:
                y, x = (box["y"] + box["height"] / 2) / SIZE[1], (box["x"] + box["width"] / 2) / SIZE[0]
                if box["clear"] and not box["key"].startswith(("mail ", "contact ", "drop ", "chip ", "popular ")):
                    places[f"{place_of(screen['view'])}:{box['key']}"] = (round(y, 4), round(x, 4))
        await phone.close()
    finally:
        await phones.stop()
    return places


if __name__ == "__main__":
    FILE.write_text(json.dumps(dict(asyncio.run(look())), indent=0, sort_keys=True) + "\n", encoding="utf-8")
