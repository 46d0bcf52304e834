# ruff: noqa: E501 (pages are easier to read on one line)
"""Every action, and that what cannot be done changes nothing."""

import asyncio

import pytest
from browser_pages import Reply, act, mark_of, page, script

from turnsmith.envs.browser import OpenWeb
from turnsmith.envs.browser.session import BrowserSession
from turnsmith.trace.types import Action

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOTED = "<script>document.title = 'start'; const note = (what) => document.title += ' ' + what</script>"


def title(step):
    return step.observation.info["title"]


# ---- click ----


async def test_click_is_a_real_click_at_the_centre_and_says_where(session, pages):
    html = f"""{NOTED}<style>body{{margin:0}} button{{position:absolute;left:100px;top:50px;width:80px;height:40px}}</style>
      <button onmousedown="note('down')" onmouseup="note('up')"
        onclick="note(event.isTrusted + '@' + event.clientX + ',' + event.clientY)">b</button>"""
    await session.reset(pages.put(html), 0)
    step = await session.step(act("click", mark=0))
    assert title(step) == "start down up true@140,70"
    assert step.info == {"mark": 0, "box": [100, 50, 80, 40], "point": [140, 70], "blocked": 0}
    assert (step.observation.error, step.reward, step.done) == ("", 0.0, False)


async def test_click_waits_for_the_page_of_a_slow_server(session, pages):
    gate = asyncio.Event()
    pages.pages["/slow"] = Reply(page("<a href=/>arrived</a>"), gate=gate)
    await session.reset(pages.put("<a href=/slow>go</a>"), 0)
    stepping = asyncio.ensure_future(session.step(act("click", mark=0)))
    await pages.asked("GET /slow")
    await asyncio.sleep(0.2)
    assert not stepping.done()
    gate.set()
    assert (await stepping).observation.text == '[0]: "arrived";'


async def test_click_waits_for_what_the_page_fetches_and_for_late_redirects(session, pages):
    gate = asyncio.Event()
    pages.pages["/data"] = Reply("<a href=/>fetched</a>", gate=gate)
    html = """<button onclick="fetch('/data').then(r => r.text()).then(t => out.innerHTML = t)">get</button><div id=out></div>
      <button onclick="setTimeout(() => location.href = '/landed')">later</button>
      <button onclick="const x = new XMLHttpRequest(); x.open('GET', '/data'); x.onload = () => out.innerHTML = x.response; x.send()">xhr</button>"""
    pages.pages["/landed"] = page("<a href=/>landed</a>")
    for mark in (0, 2):
        gate.clear()
        pages.log.clear()
        await session.reset(pages.put(html), 0)
        stepping = asyncio.ensure_future(session.step(act("click", mark=mark)))
        await pages.asked("GET /data")
        gate.set()
        assert '"fetched"' in (await stepping).observation.text
    step = await session.step(act("click", mark=mark_of((await session.reset(pages.put(html), 0)), "later")))
    assert step.observation.text == '[0]: "landed";'


async def test_new_windows_come_to_the_same_tab(session, pages):
    pages.pages["/new"] = page("<a href=/>new</a>")
    ways = [
        "<a href=/new target=_blank>go</a>",
        "<base target=_blank><a href=/new>go</a>",
        "<button onclick=\"window.open('/new')\">go</button>",
        "<button onclick=\"const a = document.createElement('a'); a.href = '/new'; a.target = '_blank'; a.click()\">go</button>",
        "<a href=/new target=_blank rel=noopener><b>go</b></a>",
        "<form action=/new target=_blank><button>go</button></form>",
        "<form action=/x><button formaction=/new formtarget=_blank>go</button></form>",
    ]
    for html in ways:
        await session.reset(pages.put(html), 0)
        step = await session.step(act("click", mark=0))
        assert step.observation.text == '[0]: "new";', html
        back = await session.step(act("go_back"))
        assert back.observation.info["url"] == pages.url("/"), html


async def test_links_for_a_frame_of_the_page_stay_in_it(session, pages):
    pages.pages["/inside"] = "<title>inside</title>"
    html = "<a href=/inside target=pane>show</a><iframe name=pane onload=\"document.title += '!'\"></iframe>"
    await session.reset(pages.put(html), 0)
    step = await session.step(act("click", mark=0))
    assert step.observation.info["url"] == pages.url("/")
    assert "GET /inside" in pages.log


async def test_click_on_options(session, pages):
    html = '<select size=3 onchange="document.title = this.value"><option>one<option>two<option>three</select><select><option>x</select>'
    await session.reset(pages.put(html), 0)
    assert title(await session.step(act("click", mark=1))) == "two"
    step = await session.step(act("click", mark=3))
    assert step.observation.error == (
        "Element [3] is a drop-down list; nothing was done. Type one of its options into it: x."
    )


async def test_links_that_lead_nowhere_do_not_hold_us_up(session, pages):
    html = """<a href="#there">hash</a> <a href="javascript:void(0)">script</a> <a href="mailto:a@b.test">mail</a>
      <a href="tel:1">tel</a> <a href="/none">no content</a> <a href="data:text/html,x">data</a> <a href="file:///etc/passwd">file</a>"""
    pages.pages["/none"] = Reply("", "204 No Content")
    observation = await session.reset(pages.put(html), 0)
    for element in observation.info["elements"]:
        step = await session.step(act("click", mark=element["mark"]))
        assert step.observation.error == "", element
        expected = "/#there"
        assert step.observation.info["url"] == pages.url(expected), element


# ---- type ----


async def test_type_clears_types_with_real_keys_and_presses_enter(session, pages):
    html = f"""{NOTED}<form action=/found><input name=q value="old words" onkeydown="note(event.key + event.isTrusted)"></form>"""
    pages.pages["/found"] = lambda head: page(f"<a href=/>{head.split(' ')[1]}</a>")
    await session.reset(pages.put(html), 0)
    step = await session.step(act("type", mark=0, text="né 1"))
    assert step.observation.text == '[0]: "/found?q=n%C3%A9+1";'
    assert step.info["mark"] == 0
    await session.reset(pages.put(html.replace("<form action=/found>", "").replace("</form>", "")), 0)
    step = await session.step(act("type", mark=0, text="ab"))
    assert title(step) == "start atrue btrue Entertrue"
    assert step.observation.info["elements"][0]["value"] == "ab"


@pytest.mark.parametrize("field", ["<textarea>old</textarea>", "<div contenteditable onclick=1>old</div>"])
async def test_type_into_larger_fields(session, pages, field):
    await session.reset(pages.put(field), 0)
    step = await session.step(act("type", mark=0, text="new text"))
    assert step.observation.info["elements"][0]["text"] == "new text"
    step = await session.step(act("type", mark=0, text=""))
    assert step.observation.info["elements"][0]["text"] == ""


async def test_type_into_a_select_chooses_the_option(session, pages):
    html = "<select onchange=\"document.title = 'chose ' + this.value\"><option>Small<option>Large<option value=xl>Extra Large</select>"
    await session.reset(pages.put(html), 0)
    for text, value in [("Large", "Large"), ("small", "Small"), ("extra", "xl")]:
        assert title(await session.step(act("type", mark=0, text=text))) == f"chose {value}"
    step = await session.step(act("type", mark=0, text="arge"))  # two options contain it
    assert step.observation.error == (
        "Element [0] has no option 'arge'; nothing was done. Options: Small, Large, Extra Large."
    )
    assert title(step) == "chose xl"


async def test_type_into_fields_whose_keys_depend_on_locale_sets_the_value(session, pages):
    html = '<input type=date onchange="document.title = this.value"><input type=range min=0 max=9 value=1><input type=color>'
    await session.reset(pages.put(html), 0)
    assert title(await session.step(act("type", mark=0, text="2024-02-29"))) == "2024-02-29"
    step = await session.step(act("type", mark=0, text="29 Feb"))
    assert step.observation.error == "Element [0] wants a date, which '29 Feb' is not; nothing was done."
    assert step.observation.info["elements"][0]["value"] == "2024-02-29"
    step = await session.step(act("type", mark=1, text="7"))
    assert step.observation.info["elements"][1]["value"] == "7"


# ---- scroll, wait, go_back, search_engine, answer ----


async def test_scroll_moves_two_thirds_of_the_viewport(session, pages):
    await session.reset(pages.put("<div style='height:3000px'></div>"), 0)
    tops = []
    for direction in ["up", "down", "down", "up", "down", "down", "down", "down"]:
        step = await session.step(act("scroll", direction=direction, target="window"))
        tops.append(step.observation.info["scroll"][0])
        assert step.observation.error == ""
    assert tops == [0, 512, 1024, 512, 1024, 1536, 2048, 3016 - 768]


async def test_scroll_of_an_element_moves_the_box_that_holds_it(session, pages):
    html = (
        "<div style='height:300px;overflow:auto'>" + "<a href=/ style='display:block;height:100px'>l</a>" * 9 + "</div>"
    )
    html += "<div style='height:3000px'>"
    await session.reset(pages.put(html), 0)
    step = await session.step(act("scroll", direction="down", target=0))
    assert await script(session, "document.querySelector('div').scrollTop") == 200
    assert step.observation.info["scroll"][0] == 0
    assert step.info["mark"] == 0


async def test_scroll_of_a_page_with_an_inner_scroll_box(session, pages):
    html = "<style>body{margin:0;overflow:hidden} main{height:600px;overflow:auto}</style><main><div style='height:2000px'></div></main>"
    await session.reset(pages.put(html), 0)
    await session.step(act("scroll", direction="down", target="window"))
    assert await script(session, "document.querySelector('main').scrollTop") == 400


async def test_wait_ends_when_the_page_changes(session, pages):
    html = "<button onclick=\"setTimeout(() => document.body.innerHTML = '<a href=/>done</a>', 100)\">start</button>"
    await session.reset(pages.put(html), 0)
    started = await session.step(act("click", mark=0))
    assert started.observation.text == '[0]: <button> "start";'
    waited = await session.step(act("wait"))
    assert waited.observation.text == '[0]: "done";'


async def test_go_back_stops_at_the_first_page(session, pages):
    pages.pages["/two"] = page("<a href=#three>two</a>")
    await session.reset(pages.put("<a href=/two>one</a>"), 0)
    await session.step(act("click", mark=0))
    await session.step(act("click", mark=0))
    steps = [await session.step(act("go_back")) for _ in range(3)]
    assert [step.observation.info["url"] for step in steps] == [pages.url("/two"), pages.url("/"), pages.url("/")]
    assert [step.observation.error for step in steps] == ["", "", "There is no earlier page to go back to."]


async def test_go_back_to_the_answer_of_a_form(session, pages):
    pages.pages["/post"] = lambda head: page(f"<a href=/other>{head.rsplit('x=')[-1]}</a>")
    pages.pages["/other"] = page("<a href=/>other</a>")
    await session.reset(
        pages.put("<form action=/post method=post><input name=x value=1><button>send</button></form>"), 0
    )
    assert (await session.step(act("click", mark=1))).observation.text == '[0]: "1";'
    await session.step(act("click", mark=0))
    step = await session.step(act("go_back"))
    assert step.observation.text == '[0]: "1";'


async def test_search_engine_opens_the_page_that_the_environment_names(environment, session, pages):
    pages.pages["/search"] = page("<input aria-label=Search>")
    await session.reset(pages.put("<a href=/>x</a>"), 0)
    step = await session.step(act("search_engine"))
    assert step.observation.error == "There is no search engine here."
    searching = BrowserSession(environment.pool, OpenWeb(), environment.observation, pages.url("/search"))
    await searching.reset(pages.put("<a href=/>x</a>"), 0)
    assert (await searching.step(act("search_engine"))).observation.text == '[0]: <input> "Search";'
    await searching.close()


async def test_answer_ends_the_episode(session, pages):
    await session.reset(pages.put("<a href=/>x</a>"), 0)
    step = await session.step(act("answer", text="42"))
    assert step.done
    assert step.observation.text == '[0]: "x";'


# ---- what cannot be done ----

TRAP = f"""{NOTED}<body onclick="note('click')" onkeydown="note('key')" onscroll="note('scroll')" onfocusin="note('focus')">
  <a href=/gone>link</a> <button disabled>off</button> <input type=checkbox aria-label=check> <input type=file aria-label=file>
  <input value=fixed readonly> <input value=dead disabled>"""


@pytest.mark.parametrize(
    ("action", "error"),
    [
        (Action("Click 3", None, "There is no 'Action:' line."), "There is no 'Action:' line."),
        (Action("Click 3", None), "The action is not in the grammar; nothing was done."),
        (act("click", mark=6), "There is no element [6]: the numbers go from 0 to 5."),
        (act("click", mark=-1), "There is no element [-1]: the numbers go from 0 to 5."),
        (act("type", mark=17, text="x"), "There is no element [17]: the numbers go from 0 to 5."),
        (act("scroll", target=17, direction="down"), "There is no element [17]: the numbers go from 0 to 5."),
        (act("click", mark="a"), "The action needs the number of an element, not 'a'."),
        (act("click"), "The action needs the number of an element, not None."),
        (act("scroll", target="window", direction="left"), "The direction of a scroll is up or down."),
        (act("type", mark=0, text="x"), "Element [0] is not a field to type into (<a>); nothing was done."),
        (act("click", mark=1), "Element [1] is disabled; nothing was done."),
        (act("type", mark=2, text="x"), "Element [2] is not a field to type into (<input> of type checkbox); nothing was done."),
        (act("click", mark=3), "Element [3] wants a file, which cannot be given here; nothing was done."),
        (act("type", mark=4, text="x"), "Element [4] is not a field to type into (<input> of type text); nothing was done."),
        (act("type", mark=5, text="x"), "Element [5] is disabled; nothing was done."),
        (act("fly", mark=0), "There is no action 'fly' here."),
        (act("go_back"), "There is no earlier page to go back to."),
    ],
)  # fmt: skip
async def test_what_cannot_be_done_changes_nothing_and_says_why(session, pages, action, error):
    before = await session.reset(pages.put(TRAP, "/trap"), 0)
    pages.log.clear()
    step = await session.step(action)
    assert step.observation.error == error
    assert (step.observation.text, step.observation.info) == (before.text, before.info)
    assert pages.log == []
    assert (step.reward, step.done) == (0.0, False)


async def test_an_element_that_vanished_or_was_covered_since_is_not_clicked(session, pages):
    html = f"""{NOTED}<a href=/a onclick="note('a')">a</a> <button onclick="note('b')">b</button>
      <div id=lid onclick="note('lid')" style="position:absolute;inset:0;display:none"></div>"""
    await session.reset(pages.put(html), 0)
    await script(session, "document.querySelector('a').remove()")
    step = await session.step(act("click", mark=0))
    assert step.observation.error == "Element [0] is no longer on the page; nothing was done."
    assert step.observation.text == '[0]: <button> "b";'
    await script(session, "lid.style.display = 'block'")
    step = await session.step(act("click", mark=0))
    assert step.observation.error == "Element [0] is covered by something else; nothing was done."
    assert title(step) == "start"


async def test_marks_are_those_of_the_last_observation(session, pages):
    """A mark means the element that had it when the agent looked, wherever it moved since."""
    html = f"{NOTED}<button onclick=\"note('first')\">first</button><button onclick=\"note('second')\">second</button>"
    await session.reset(pages.put(html), 0)
    await script(session, "document.body.prepend(document.querySelectorAll('button')[1])")
    assert title(await session.step(act("click", mark=1))) == "start second"
