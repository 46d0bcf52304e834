"""What the phone's tests share: tapping by key, and what is on the screen."""

from turnsmith.worlds.phone import ChromiumPhone


async def keys(phone: ChromiumPhone) -> dict[str, dict]:
    """The boxes on the screen by key; the first of each."""
    return {box["key"]: box for box in reversed((await phone.boxes())["boxes"])}


async def tap(phone: ChromiumPhone, key: str) -> None:
    """Tap the middle of what has this key."""
    box = (await keys(phone))[key]
    await phone.tap(round(box["x"] + box["width"] / 2), round(box["y"] + box["height"] / 2))


def page(phone: ChromiumPhone) -> str:
    """The page that the server says is shown."""
    assert phone.handset is not None
    return phone.handset.view.page


async def picture(phone: ChromiumPhone) -> str:
    """The digest of the screen as it is."""
    return (await phone.screenshot()).digest
