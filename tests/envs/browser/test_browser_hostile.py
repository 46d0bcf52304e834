"""Whatever a page does, it is seen, acted on, or ends its own episode: never the run, never a neighbour's session."""

import asyncio

import pytest
from browser_pages import Reply, act, page, script, seeing

from turnsmith.envs.browser import ObservationConfig

pytestmark = pytest.mark.asyncio(loop_scope="module")

SEEN = '[0]: <button> "b";'
FORM = "<form method=post action=/sent target=_blank><input name=q value=1>"
FLOOD = "setInterval(() => { for (let i = 0; i < 200; i++) history.pushState({}, '', '#' + i) }, 1)"


@pytest.mark.parametrize(
    "spoils",
    [
        "document.elementFromPoint = () => ({})",
        "Document.prototype.elementFromPoint = () => null",
        "Element.prototype.getClientRects = () => []",
        "document.querySelectorAll = () => { throw 1 }",
        "Document.prototype.querySelectorAll = () => [1, 2]",
        "Array.prototype.map = () => 7; Array.prototype.filter = Array.prototype.map",
        "performance.now = () => NaN",
        "EventTarget.prototype.dispatchEvent = () => { throw 1 }; window.CustomEvent = null",
        "EventTarget.prototype.addEventListener = () => { throw 1 }",
        "Object.defineProperty(window, '__turnsmith__', { value: 1 })",
        "String.prototype.replace = () => { throw 1 }; String.prototype.trim = () => { throw 1 }",
        "Set.prototype.has = Map.prototype.get = () => { throw 1 }; window.Set = null",
        "window.MutationObserver = null; window.getComputedStyle = null; window.requestAnimationFrame = null",
        "Reflect.apply = () => { throw 1 }; Function.prototype.call = Function.prototype.apply = () => { throw 1 }",
    ],
)
async def test_built_ins_that_a_page_overrides_are_not_ours(environment, pages, spoils):
    pages.put(f"<button onclick=\"document.title = 'hit'\">b</button><script>{spoils}</script>")
    async with seeing(environment, ObservationConfig(tree="viewport", screenshot="marked")) as session:
        seen = await session.reset(pages.task(), 0)
        assert seen.text.startswith(SEEN)
        assert (await session.step(act("click", mark=0))).observation.info["title"] == "hit"


async def test_who_has_a_click_handler_is_known_from_its_own_world(session, pages):
    html = """<div id=x>told</div><div>not told</div><span onclick="1">inline</span>
      <script>document.getElementById('x').onclick = () => document.title = 'hit'</script>"""
    seen = await session.reset(pages.put(html), 0)
    assert seen.text == '[0]: "told";\t[1]: "inline";'
    assert (await session.step(act("click", mark=0))).observation.info["title"] == "hit"


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("application/xml", "<?xml version='1.0'?><feed><entry>one</entry></feed>"),
        (
            "image/svg+xml",
            "<svg xmlns='http://www.w3.org/2000/svg'><a href='/'><text y='50'>t</text></a></svg>",
        ),
        ("application/xhtml+xml", "<html xmlns='http://www.w3.org/1999/xhtml'><body><a href='/'>t</a></body></html>"),
        ("text/plain", "words"),
        ("application/json", "{}"),
    ],
)
async def test_documents_that_are_no_html_are_seen_with_a_picture(environment, pages, media_type, body):
    pages.pages["/doc"] = Reply(body, media_type=media_type)
    async with seeing(environment, ObservationConfig(screenshot="marked")) as session:
        seen = await session.reset(pages.task("/doc"), 0)
        assert len(seen.images) == 1
        assert (await session.step(act("scroll", direction="down"))).observation.error == ""


async def test_half_an_emoji_is_no_character(environment, pages):
    html = """<button>b</button><a href=/ id=cut>x</a><input aria-label=f><script>
      document.title = '\\ud83d'; document.getElementById('cut').textContent = 'a' + '\\ude00';
      document.querySelector('input').value = '\\ud83d'; alert('\\ud83d')</script>"""
    pages.put(html)
    async with seeing(environment, ObservationConfig(tree="rich")) as session:
        seen = await session.reset(pages.task(), 0)
        said = seen.text + str(seen.info)
        said.encode("utf-8")
        assert "a\ufffd" in seen.text
        assert seen.info["title"] == "\ufffd"
        assert seen.info["notes"] == ["a dialog was dismissed (alert): \ufffd"]


async def test_a_text_is_cut_between_characters(session, pages):
    seen = await session.reset(pages.put(f"<button aria-label='{'x' * 197}😀😀'>b</button>"), 0)
    aria = seen.info["elements"][0]["aria"]
    aria.encode("utf-8")
    assert aria == "x" * 197 + "…"


async def test_a_page_may_nest_as_deep_as_it_likes(environment, pages):
    deep = "<div role=group aria-label=g>" * 1500
    pages.put(f"{deep}<button>b</button>")
    async with seeing(environment, ObservationConfig(tree="rich")) as session:
        seen = await session.reset(pages.task(), 0)
        assert "button 'b'" in seen.text


async def test_a_page_that_floods_the_history_costs_its_neighbour_nothing(environment, pages):
    pages.put(
        f"<script>{FLOOD}</script>",
        "/flood",
    )
    pages.put("<a href=/calm>calm</a>", "/calm")
    async with environment.session() as loud, environment.session() as calm:
        flooding = asyncio.ensure_future(loud.reset(pages.task("/flood"), 0))
        assert (await calm.reset(pages.task("/calm"), 0)).text == '[0]: "calm";'
        for _ in range(3):
            assert (await calm.step(act("click", mark=0))).observation.text == '[0]: "calm";'
        await flooding


@pytest.mark.parametrize(
    "way",
    [
        FORM + "</form><button onclick=document.forms[0].submit()>go</button>",
        FORM + "</form><button onclick=document.forms[0].requestSubmit()>go</button>",
        FORM.replace("_blank", "elsewhere") + "<button>go</button></form>",
        FORM + "<input name=target><button>go</button></form>",
    ],
)
async def test_a_form_for_a_new_window_is_sent_once_and_as_it_is(session, pages, way):
    pages.pages["/sent"] = page("<a href=/>sent</a>")
    seen = await session.reset(pages.put(way), 0)
    pages.log.clear()
    mark = next(row["mark"] for row in seen.info["elements"] if row["text"] == "go")
    step = await session.step(act("click", mark=mark))
    assert step.observation.text == '[0]: "sent";'
    sent = [line for line in pages.log if "/sent" in line]
    assert len(sent) == 1
    assert sent[0].startswith("POST /sent")
    assert "q=1" in sent[0]


async def test_a_script_that_opens_a_window_gets_one(session, pages):
    pages.pages["/new"] = page("<a href=/>new</a>")
    html = "<button onclick=\"window.open('/new') || alert('blocked')\">go</button>"
    await session.reset(pages.put(html), 0)
    step = await session.step(act("click", mark=0))
    assert step.observation.text == '[0]: "new";'
    assert step.observation.info["notes"] == []


async def test_a_script_may_open_into_a_frame_of_the_page(session, pages):
    pages.pages["/inside"] = "<title>inside</title>"
    html = "<button onclick=\"window.open('/inside', 'pane')\">go</button><iframe name=pane></iframe>"
    await session.reset(pages.put(html), 0)
    step = await session.step(act("click", mark=0))
    assert step.observation.info["url"] == pages.url("/")
    for _ in range(20):  # a frame may take longer than its page
        if await script(session, "frames.pane.document.title") == "inside":
            return
        await session.step(act("wait"))
    raise AssertionError("the frame stayed empty")


async def test_a_dialog_while_a_navigation_begins_holds_nothing_up(session, pages):
    pages.pages["/new"] = page("<a href=/>new</a>")
    html = "<button onclick=\"location.href = '/new'; alert('wait')\">go</button>"
    await session.reset(pages.put(html), 0)
    step = await session.step(act("click", mark=0))
    assert step.observation.text == '[0]: "new";\nNote: a dialog was dismissed (alert): wait'
