"""The pages as a server gives them: every link leads somewhere, visitors are apart, nothing is injected."""

import html
import re

import pytest

from turnsmith.errors import InfraError, UserError
from turnsmith.trace.types import Task
from turnsmith.worlds.sites import SITES
from turnsmith.worlds.sites.server import LocalSites
from turnsmith.worlds.sites.tasks import generate

pytestmark = pytest.mark.asyncio(loop_scope="module")


def links(text: str) -> set[str]:
    return {html.unescape(url) for url in re.findall(r'(?:href|src)="([^"]+)"', text)} - {"data:,"}


@pytest.mark.parametrize("site", SITES)
async def test_every_link_leads_to_a_page_of_the_same_site(enter, site):
    visitor = await enter(site, 11)
    waiting, seen = ["/"], {"/"}
    while waiting and len(seen) < 90:
        response = await visitor.get(waiting.pop(0))
        assert response.status_code == 200, response.url
        if "text/html" not in response.headers["content-type"]:
            continue
        assert response.headers["cache-control"] == "no-store"
        for url in sorted(links(response.text) - seen):
            assert url.startswith("/"), url
            seen.add(url)
            waiting.append(url)
    assert len(seen) > 60
    assert (await visitor.get("/no/such/page")).status_code == 404


@pytest.mark.parametrize("site", SITES)
async def test_what_is_typed_is_shown_as_text(enter, site):
    visitor = await enter(site, 3)
    attack = "<script>alert(1)</script>\"'><b>"
    prefix = "/1.0" if site == "docs" else ""
    response = await visitor.client.get(f"{prefix}/search", params={"q": attack})
    assert "<script>alert" not in response.text
    assert "<b>" not in response.text
    assert "&lt;script&gt;alert(1)" in response.text


async def test_two_visitors_of_one_world_share_nothing(enter):
    one, other = await enter("shop", 4), await enter("shop", 4)
    await one.post("/item/100", variant=SITES["shop"].world(4).products[0].variants[0])
    assert len((await one.visit.look())[0]["cart"]) == 1
    assert (await other.visit.look())[0]["cart"] == []
    assert "(1)" in (await one.get("/")).text
    assert "(1)" not in (await other.get("/")).text


async def test_only_the_server_side_cookie_opens_a_page_and_a_closed_visit_is_gone(enter, sites):
    visitor = await enter("forum", 2)
    assert (await visitor.get("/")).status_code == 200
    visitor.client.cookies.set("guest", "guess")
    assert (await visitor.get("/")).status_code == 403
    visitor.client.cookies.set("guest", visitor.visit.token)
    assert (await visitor.client.get("/", headers={"host": "bank.localhost"})).status_code == 404
    token = visitor.visit.token
    await visitor.visit.close()
    assert token not in sites.guests
    assert (await visitor.get("/")).status_code == 403
    with pytest.raises(InfraError):
        await visitor.visit.grade(None, "done")


async def test_a_visitor_of_one_site_is_a_stranger_to_another(enter):
    visitor = await enter("shop", 2)
    assert (await visitor.client.get("/", headers={"host": "forum.localhost"})).status_code == 403


async def test_the_page_on_screen_is_the_last_one_that_was_served(enter):
    visitor = await enter("recipes", 2)
    recipe = SITES["recipes"].world(2).recipes[5]
    await visitor.get(recipe.url)
    assert (await visitor.visit.look())[1] == f"recipe:{recipe.name}"
    await visitor.get("/")
    assert (await visitor.visit.look())[1] == "home"


async def test_a_course_is_refused_until_its_prerequisite_is_taken(enter):
    world = SITES["courses"].world(6)
    course = next(
        one for one in world.courses if one.requires is not None and world.numbered(one.requires).requires is None
    )
    required = world.numbered(course.requires)
    visitor = await enter("courses", 6)
    refused = await visitor.post(f"{course.url}/enrol", group=course.groups[0])
    assert f"first enrol in {required.name}" in refused.text
    assert (await visitor.visit.look())[0] == {"enrolled": []}
    await visitor.post(f"{required.url}/enrol", group=required.groups[1])
    await visitor.post(f"{course.url}/enrol", group=course.groups[0])
    expected = sorted([f"{course.name} on {course.groups[0]}", f"{required.name} on {required.groups[1]}"])
    assert (await visitor.visit.look())[0] == {"enrolled": expected}


async def test_an_order_needs_a_cart_a_whole_address_and_a_way(enter):
    product = SITES["shop"].world(8).products[3]
    visitor = await enter("shop", 8)
    assert str((await visitor.get("/checkout/review")).url).endswith("/cart")
    await visitor.post(product.url, variant=product.variants[1], count="2")
    where = {"name": "Ada Ash", "street": "1 Oak Street", "city": "Elm", "postcode": ""}
    assert "fill in every field" in (await visitor.post("/checkout", **where)).text
    await visitor.post("/checkout", **{**where, "postcode": "12345"})
    await visitor.post("/checkout/delivery", way="By horse")
    assert (await visitor.post("/checkout/review")).status_code == 200
    assert (await visitor.visit.look())[0]["orders"] == []
    await visitor.post("/checkout/delivery", way="Express")
    await visitor.post("/checkout/review")
    order = f"2 x {product.name} ({product.variants[1]}); Express; Ada Ash, 1 Oak Street, Elm, 12345"
    assert (await visitor.visit.look())[0] == {"cart": [], "orders": [order]}


@pytest.mark.parametrize("count", ["0", "-1", "1000000", "two", ""])
async def test_an_odd_quantity_adds_nothing(enter, count):
    product = SITES["shop"].world(8).products[3]
    visitor = await enter("shop", 8)
    await visitor.post(product.url, variant=product.variants[0], count=count)
    assert (await visitor.visit.look())[0]["cart"] == []


async def test_votes_and_marks_are_taken_back_by_a_second_press(enter):
    visitor = await enter("forum", 1)
    await visitor.post("/thread/300/vote")
    assert len((await visitor.visit.look())[0]["votes"]) == 1
    await visitor.post("/thread/300/vote")
    assert (await visitor.visit.look())[0]["votes"] == []


async def test_a_task_begins_in_the_state_that_it_says(enter):
    (task,) = generate(["shop"], "test_templates", 1, 0, ["remove_item"])
    visitor = await enter(task)
    state = (await visitor.visit.look())[0]
    assert len(state["cart"]) == 3
    verdict = await visitor.visit.grade(None, "done")
    assert verdict is not None
    assert verdict.reward == 0
    assert verdict.judge == "oracle"


async def test_tasks_that_do_not_fit_are_said_in_one_line(sites):
    for params, message in [
        ({}, '"site" is None'),
        ({"site": "mall", "world": 1}, "not one of shop"),
        ({"site": "shop"}, '"world" None'),
        ({"site": "shop", "world": 99999}, "does not fit"),
        ({"site": "shop", "world": 1, "path": "http://x"}, '"path" must be'),
    ]:
        with pytest.raises(UserError) as raised:
            await sites.visit(Task("t", "x", "browser", params), 0)
        assert message in str(raised.value)


async def test_a_taken_port_is_a_user_error_and_a_stopped_server_an_infra_error(sites):
    with pytest.raises(UserError, match=f"port {sites.port} on 127.0.0.1 is taken"):
        await LocalSites(port=sites.port).start()
    with pytest.raises(UserError, match="cannot be used"):
        await LocalSites(port=99999).start()
    other = LocalSites()
    await other.start()
    await other.stop()
    with pytest.raises(InfraError):
        await other.visit(Task("t", "x", "browser", {"site": "shop", "world": 1}), 0)
