"""The phone: fingers and keys do what they do on a phone, and nothing of one episode reaches the next."""

import io
from dataclasses import asdict

import httpx
import pytest
from phone_helpers import keys, page, picture, tap
from PIL import Image

from turnsmith.errors import InfraError, UserError
from turnsmith.worlds.phone import CALM, ROUGH

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_screen_is_a_jpeg_of_the_phones_size(phone):
    await phone.reset(0)
    shot = await phone.screenshot()
    image = Image.open(io.BytesIO(shot.data))
    assert (image.format, image.size, phone.size) == ("JPEG", (360, 760), (360, 760))
    assert await phone.screenshot() is shot  # nothing was done in between


async def test_reset_is_free_of_state(phone):
    """Whatever is done in an episode, the next one starts from the same pixels, and so does every screen in it."""

    async def tour() -> list[str]:
        digests = [await picture(phone)]
        for url in ("/settings/Display", "/clock/alarms", "/mail", "/contacts", "/web/shoply.com/cart", "/browser"):
            await phone.show(url)
            digests.append(await picture(phone))
        return digests

    await phone.reset(7, {"day": 35, "world": 3})
    before = await tour()
    await phone.show("/settings/Display")
    await tap(phone, "switch Dark theme")
    await phone.show("/clock/new")
    await tap(phone, "hour 7")
    await tap(phone, "save")
    await phone.show("/mail/0")
    await tap(phone, "delete")
    await phone.show("/web/shoply.com/item?q=voltro lamp&at=0")
    await tap(phone, "buy")
    await phone.show("/contacts/new")
    await tap(phone, "name")
    await phone.type_text("Nobody")
    await phone.tab.evaluate(
        "localStorage.left = 1; sessionStorage.left = 1; document.cookie = 'left=1'; history.pushState(1, '')"
    )
    assert phone.handset.facts()["carts"]
    assert await tour() != before
    await phone.reset(1, {"day": 60, "world": 9})
    assert (await tour())[0] != before[0]
    await phone.reset(7, {"day": 35, "world": 3})
    assert await phone.tab.evaluate("localStorage.left + document.cookie + history.length") == "undefined2"
    assert await tour() == before


async def test_same_seed_and_actions_same_pixels(phone):
    """With everything that happens by chance switched on; another seed shows something else."""

    async def play(seed: int) -> list[str]:
        await phone.reset(seed, {"day": 40, "chance": asdict(ROUGH)})
        digests = []
        for url in ("/web/bigbox.com/", "/web/bigbox.com/results?q=zenit drone", "/clock/alarms", "/web/nestor.com/"):
            await phone.show(url)
            digests.append(await picture(phone))
            await phone.tap(180, 300)
            await phone.swipe(180, 600, 180, 320)
            digests.append(await picture(phone))
        return digests

    first, again, other = await play(3), await play(3), await play(4)
    assert first == again
    assert first != other


async def test_a_tap_opens_what_is_under_it(phone):
    await phone.reset(0)
    await tap(phone, "app Clock")
    assert page(phone) == "clock/alarms"
    before = await picture(phone)
    await phone.tap(180, 400)  # nothing there
    assert (page(phone), await picture(phone)) == ("clock/alarms", before)


async def test_back_and_home(phone):
    await phone.reset(0)
    await tap(phone, "app Settings")
    await tap(phone, "Display")
    await phone.press("back")
    assert page(phone) == "settings"
    await tap(phone, "Display")
    await phone.press("home")
    assert page(phone) == "launcher"
    await phone.press("back")
    assert page(phone) == "launcher"
    await tap(phone, "app Mail")
    await phone.tap(60, 738)  # the triangle at the bottom
    assert page(phone) == "launcher"
    with pytest.raises(UserError, match="no key"):
        await phone.press("volume")  # type: ignore[arg-type]


async def test_typing_goes_where_the_focus_is(phone):
    await phone.reset(0)
    before = await picture(phone)
    await phone.type_text("nothing has the focus")
    assert await picture(phone) == before
    await tap(phone, "app Browser")
    await tap(phone, "address")
    assert (await phone.boxes())["typing"]
    await phone.type_text('wrong "text", ü')
    assert (await keys(phone))["address"]["value"] == 'wrong "text", ü'
    await phone.press("back")  # puts the keyboard away first
    assert not (await phone.boxes())["typing"]
    assert page(phone) == "browser"
    await tap(phone, "address")  # selects what is there
    await phone.type_text("shoply.com")
    await phone.press("enter")
    assert page(phone) == "shoply.com/home"


async def test_the_drawn_keyboard_types(phone):
    await phone.reset(0)
    await phone.show("/contacts/new")
    await tap(phone, "name")
    box = await phone.tab.evaluate(
        "(b => [b.x + 10, b.y + 10])(document.querySelector('[data-key=q]').getBoundingClientRect())"
    )
    for _ in range(2):
        await phone.tap(*(round(one) for one in box))
    assert (await keys(phone))["name"]["value"] == "qq"


async def test_a_swipe_scrolls_the_same_way_every_time_and_opens_the_drawer(phone):
    pictures = []
    for _ in range(2):
        await phone.reset(0)
        await phone.show("/settings")
        top = await picture(phone)
        await phone.swipe(180, 600, 180, 300)
        pictures.append(await picture(phone))
        assert pictures[-1] != top
        await phone.swipe(180, 300, 180, 650)
        assert await picture(phone) == top
    assert pictures[0] == pictures[1]
    await phone.press("home")
    await phone.swipe(180, 600, 180, 250)
    assert page(phone) == "drawer"
    await tap(phone, "app Notes")
    assert page(phone) == "app/Notes"


async def test_shopping_from_search_to_cart(phone):
    await phone.reset(2, {"chance": {"shuffle": 1.0}})
    await phone.show("/web/nestor.com/")
    await tap(phone, "search")
    await phone.type_text("voltro headphones")
    await phone.press("enter")
    assert (page(phone), phone.handset.view.query) == ("nestor.com/results", "voltro headphones")
    first = phone.handset.results("nestor.com", "voltro headphones")[0]
    await tap(phone, "result 0")
    assert (page(phone), phone.handset.view.place) == ("nestor.com/item", 0)
    await phone.swipe(180, 600, 180, 300)
    await tap(phone, "buy")
    assert phone.handset.facts()["carts"] == [f"nestor.com: {first}"]


async def test_a_popup_is_in_the_way_until_it_is_closed(phone):
    await phone.reset(1, {"chance": {"popup": 1.0}})
    await phone.show("/web/shoply.com/")
    boxes = await keys(phone)
    assert not boxes["search"]["clear"]
    assert boxes["dismiss"]["clear"]
    await tap(phone, "search")
    assert not (await phone.boxes())["typing"]
    await tap(phone, "dismiss")
    boxes = await keys(phone)
    assert boxes["search"]["clear"]
    assert "dismiss" not in boxes
    await phone.show("/web/bigbox.com/")
    await tap(phone, "lure")
    assert page(phone) == "bigbox.com/offer"


async def test_a_blank_page_waits_for_actions_not_for_time(phone):
    await phone.reset(1, {"chance": {"blank": 1.0}})
    await phone.show("/web/shoply.com/")
    assert page(phone) == "blank/shoply.com/home"
    assert not any(box["clear"] for key, box in (await keys(phone)).items() if key == "search")
    for _ in range(2):
        await phone.tap(180, 400)
    assert page(phone) == "shoply.com/home"
    assert (await keys(phone))["search"]["clear"]


async def test_a_failed_page_and_a_human_check(phone):
    await phone.reset(1, {"chance": {"fail": 1.0}})
    await phone.show("/web/shoply.com/")
    assert page(phone) == "failed/shoply.com/home"
    await phone.reset(1, {"chance": {"check": 1.0}})
    await phone.show("/web/shoply.com/")
    assert page(phone) == "check/shoply.com"
    await phone.show("/web/shoply.com/search")
    assert page(phone) == "check/shoply.com"
    await tap(phone, "human")
    assert page(phone) == "shoply.com/search"


async def test_nobody_without_a_handset_sees_anything(phone):
    await phone.reset(0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{phone._phones.server.port}") as client:
        assert (await client.get("/")).status_code == 403
        assert (await client.post("/home")).status_code == 403


async def test_a_bad_setup_is_the_users_error(phone):
    for setup in ({"day": -1}, {"day": "x"}, {"world": None}, {"chance": {"nonsense": 1}}):
        with pytest.raises(UserError):
            await phone.reset(0, setup)


async def test_a_crashed_page_is_lost_and_the_phone_comes_back(phone):
    await phone.reset(0)
    with pytest.raises(InfraError) as caught:
        await phone.tab.guard(phone.tab.cdp.send("Page.crash"))
    assert caught.value.kind == "page_crashed"
    with pytest.raises(InfraError):
        await phone.tap(10, 10)
    assert await phone.health()
    await phone.reset(0)
    assert await phone.health() == ""
    assert CALM.popup == 0
