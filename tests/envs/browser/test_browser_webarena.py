"""WebArena in the real browser: logins and places take effect, and pages are graded by what they hold."""

import json

import pytest
import pytest_asyncio
from browser_pages import act, page

from turnsmith.envs.browser import BrowserEnvironment, Limits
from turnsmith.errors import InfraError, UserError
from turnsmith.judges.webarena.host import WebArenaHost
from turnsmith.judges.webarena.programs import Programs
from turnsmith.trace.types import Task

pytestmark = pytest.mark.asyncio(loop_scope="module")

WHO = page(
    "<p id=who></p><button onclick='where()'>where</button>"
    "<script>document.getElementById('who').textContent = document.cookie + ' / ' + localStorage.getItem('theme');"
    "function where() { navigator.geolocation.getCurrentPosition("
    "p => document.title = p.coords.latitude + ' ' + p.coords.longitude, e => document.title = e.message); }</script>"
)


def login(pages):
    return {
        "cookies": [
            {
                "name": "session",
                "value": "emma",
                "domain": "127.0.0.1",
                "path": "/",
                "expires": -1,
                "httpOnly": False,
                "secure": False,
                "sameSite": "Lax",
            }
        ],
        "origins": [{"origin": pages.url("").rstrip("/"), "localStorage": [{"name": "theme", "value": "dark"}]}],
    }


async def test_a_stored_login_and_a_place_take_effect_and_stay_in_their_episode(pages, session, tmp_path):
    pages.pages["/who"] = WHO
    plain = {"start_url": pages.url("/who")}
    file = tmp_path / "emma_state.json"
    file.write_text(json.dumps(login(pages)))
    for state in (str(file), login(pages)):
        params = {**plain, "storage_state": state, "geolocation": {"latitude": 40.44, "longitude": -79.94}}
        observation = await session.reset(Task("t", "", "browser", params), 0)
        assert await text_of(session) == "session=emma / dark"
        assert observation.info["url"] == pages.url("/who")
        assert (await session.step(act("go_back"))).observation.error  # nothing was opened before the first page
        await session.step(act("click", mark=0))
        await session._tab.page.wait_for_function("document.title.includes('40.44')")
        assert await session._tab.page.title() == "40.44 -79.94"
    await session.reset(Task("t", "", "browser", plain), 0)
    assert await text_of(session) == " / null"


async def text_of(session):
    return await session._tab.page.evaluate("document.getElementById('who').textContent")


async def test_a_login_that_is_none_is_a_user_error_without_its_contents(pages, session, tmp_path):
    pages.pages["/who"] = WHO
    torn = tmp_path / "torn.json"
    torn.write_text('{"cookies": [{"value": "secret"')
    for state, message in (
        (str(tmp_path / "none.json"), "cannot be read"),
        (str(torn), "not JSON"),
        ({"user": "secret"}, 'must hold "cookies"'),
        ({"cookies": "secret", "origins": []}, "must be lists"),
        ({"cookies": [{"value": "secret"}], "origins": []}, "the browser refuses"),
    ):
        with pytest.raises(UserError, match=message) as raised:
            await session.reset(Task("t", "", "browser", {"start_url": pages.url("/who"), "storage_state": state}), 0)
        assert "secret" not in str(raised.value)


class Shop(Programs):
    """Programs over our page server: the REST interface answers what it would."""

    async def _shop(self, path, query):
        if path == "orders":
            return {"items": [{"increment_id": "000000170"}]}
        return [{"nickname": "Old"}, {"nickname": "Emma", "ratings": [{"percent": 80}]}] if "B00J" in path else []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def graded(pages):
    """`await graded(evaluation)`: the verdict on an episode that opens a page and answers."""
    programs = Shop(shopping=pages.url("").rstrip("/"), admin=("a", "b"), patience=0.8)
    async with BrowserEnvironment(WebArenaHost(programs=programs), limits=Limits(settle=1)) as environment:

        async def verdict(evaluation, answer="done", start="/a", **params):
            place = {"start_url": pages.url(start), **params}
            async with environment.session() as session:
                await session.reset(Task("t", "Do it.", "browser", place, hidden={"eval": evaluation}), 0)
                await session.step(act("answer", text=answer))
                return await session.grade()

        yield verdict


def html(*targets, **more):
    kinds = ["program_html", *(["url_match"] if "reference_url" in more else [])]
    return {"eval_types": kinds, "program_html": list(targets), **more}


def target(url, locator, **contents):
    return {"url": url, "locator": locator, "required_contents": contents}


async def test_pages_are_graded_by_locators_programs_and_addresses(pages, graded):
    pages.pages["/a"] = page("<h1 id=t>Best &amp; Only</h1><input name=price value='7.50'>")
    pages.pages["/b"] = page(
        "<ul class=list></ul><script>setTimeout(() => document.querySelector('.list').innerHTML ="
        " '<li>Apple</li><li>Pear</li>', 300)</script>"
    )
    pages.pages["/sales/order/view/order_id/170/"] = page("<p id=order_status>Canceled</p>")
    pages.pages["/f/books/12/"] = page("<div class=submission__inner>I like it</div>")
    pages.pages["/f/books/12/title/comment/3"] = page("<p>a comment</p>")
    title, list_b = "document.querySelector('#t').outerText", "document.querySelector('.list').outerText"
    last, b = target("last", title, exact_match="best & only"), target(pages.url("/b"), list_b, must_include=["apple"])
    for evaluation, reward in (
        (html(last), 1),
        (html(target("last", title, exact_match="best")), 0),
        (html(target("last", "document.querySelector('[name=\"price\"').value", must_include=["7.50"])), 1),
        (html(target("last", "", must_include=["Best & Only", "nowhere |OR| 7.50"])), 1),
        (html(target("last", "", must_include=["nowhere |OR| 8.50"])), 0),
        (html(b), 1),  # filled in after the page was loaded
        (html(b, last), 1),  # the agent's own page is looked at before it is left
        (html(target(pages.url("/b"), list_b, must_include=["apple", "fig"])), 0),
        (html(target("last", "document.querySelector('#none').outerText", must_include=["x"])), 0),
        (html(target("last", "[...document.querySelectorAll('h1')].map(e => e.id)", must_include=["'t'"])), 1),
        (html(target("func:shopping_get_latest_order_url()", "document.querySelector('#order_status').outerText",
                     exact_match="Canceled")), 1),
        (html(target("last", "func:shopping_get_sku_latest_review_author('B00J')", exact_match="emma")), 1),
        (html(target("last", "func:shopping_get_sku_latest_review_rating('B00J')", exact_match="80")), 1),
        (html(target("last", "func:shopping_get_sku_latest_review_rating('C')", must_include=["80"])), 0),
        (html(last, reference_url=pages.url("/a")), 1),
        (html(last, reference_url=pages.url("/b")), 0),
    ):  # fmt: skip
        verdict = await graded(evaluation)
        assert verdict is not None
        assert (verdict.judge, verdict.reward) == ("oracle", reward), (evaluation, verdict)
    inner = "document.querySelector('.submission__inner').outerText"
    post = html(target("func:reddit_get_post_url('__last_url__')", inner, must_include=["like"]))
    assert (await graded(post, start="/f/books/12/title/comment/3")).reward == 1
    change = "document.querySelector('#t').innerText = 'Changed'"
    prepared = {**target("last", title, exact_match="changed"), "prep_actions": [change]}
    assert (await graded(html(prepared))).reward == 1


async def test_roles_are_read_from_the_members_table(pages, graded):
    name = "<span class=gl-avatar-labeled-sublabel>@{}</span>"
    row = f"<tr><td data-label=Account>{name}</td><td class=col-max-role><span>{{}}</span></td></tr>"
    pages.pages["/m"] = page(f"<table>{row.format('byte', 'Owner')}{row.format('abisub', 'Guest')}</table>")
    locator = "func:gitlab_get_project_memeber_role(__page__, '{}')"
    for name, role, reward in (("abisub", "Guest", 1), ("abisub", "Owner", 0), ("nobody", "Guest", 0)):
        evaluation = html(target("last", locator.format(name), must_include=[role]))
        assert (await graded(evaluation, start="/m")).reward == reward


async def test_what_cannot_be_decided_has_no_verdict_and_what_fails_is_named(pages, graded):
    pages.pages["/a"] = page("<h1>x</h1>")
    fuzzy = {"eval_types": ["string_match"], "reference_answers": {"fuzzy_match": ["x"]}}
    assert await graded(fuzzy, "an x") is None
    with pytest.raises(UserError, match="has no program"):
        await graded(html(target("func:launch_missiles()", "", must_include=["x"])))
    with pytest.raises(InfraError, match="server_down"):
        await graded(html(target("http://127.0.0.1:9/", "", must_include=["x"])))
    with pytest.raises(UserError, match='task t: "eval" must be an object'):
        await graded(None)
