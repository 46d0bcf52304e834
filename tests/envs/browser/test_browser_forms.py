# ruff: noqa: E501 (pages are easier to read on one line)
"""Forms and pages that take what is done to them otherwise than it looks: each does what a person would get, or says why."""

import time

import pytest
from browser_pages import Reply, act, mark_of, script, seeing

from turnsmith.agents.grammar import parse_turnsmith
from turnsmith.envs.browser import ObservationConfig
from turnsmith.errors import InfraError
from turnsmith.trace.types import Action

pytestmark = pytest.mark.asyncio(loop_scope="module")


def values(session):
    return script(session, "[...document.querySelectorAll('input, select')].map((one) => one.value)")


async def test_what_a_fieldset_disables_is_disabled(session, pages):
    html = "<fieldset disabled><legend><input aria-label=Free></legend><input aria-label=Name><select><option>1<option>2</select><button>go</button></fieldset>"
    observation = await session.reset(pages.put(html), 0)
    assert [one.get("disabled", False) for one in observation.info["elements"]] == [False, True, True, True]
    for mark, call in [
        (1, act("type", mark=1, text="Ann")),
        (2, act("type", mark=2, text="2")),
        (3, act("click", mark=3)),
    ]:
        assert (await session.step(call)).observation.error == f"Element [{mark}] is disabled; nothing was done."
    assert (await session.step(act("type", mark=0, text="Ann", enter=False))).observation.error == ""
    assert await values(session) == ["Ann", "", "1"]


async def test_an_option_of_a_disabled_group_is_disabled(session, pages):
    html = "<select><option>none</option><optgroup label=x disabled><option>Banana</option></optgroup><optgroup label=y><option>Cherry</option></optgroup></select>"
    await session.reset(pages.put(html), 0)
    step = await session.step(act("type", mark=0, text="Banana"))
    assert step.observation.error == "The option 'Banana' of element [0] is disabled; nothing was done."
    assert await values(session) == ["none"]
    assert (await session.step(act("type", mark=0, text="cherry"))).observation.error == ""
    assert await values(session) == ["Cherry"]


async def test_of_several_options_with_one_label_each_can_be_chosen(session, pages):
    html = "<select onchange='document.title = this.value'><option value=0>City (2)<option value=il>City<option value=ma>City<option value=or>City</select>"
    observation = await session.reset(pages.put(html), 0)
    assert observation.info["elements"][0]["options"] == ["City (2)", "City", "City (3)", "City (4)"]
    for text, value in [("City (3)", "ma"), ("city", "il"), ("City (4)", "or"), ("City (2)", "0")]:
        step = await session.step(act("type", mark=0, text=text))
        assert (step.observation.error, step.observation.info["title"]) == ("", value)
        assert step.observation.info["elements"][0]["text"] == text.capitalize()


async def test_ranges_and_colours_take_what_they_mean_and_nothing_else(session, pages):
    html = "<input type=range min=5 max=50 value=10 step=5><input type=color value=#112233>"
    await session.reset(pages.put(html), 0)
    for text in ("$30", "30%", "cheap", "", "1e400", "51", "4.9", "0x10", "NaN"):
        step = await session.step(act("type", mark=0, text=text))
        assert (
            step.observation.error
            == f"Element [0] wants a number from 5 to 50, which {text!r} is not; nothing was done."
        )
    for text in ("red-ish", "#12", "112233", "#11223g"):
        step = await session.step(act("type", mark=1, text=text))
        assert (
            step.observation.error
            == f"Element [1] wants a colour such as #1e90ff, which {text!r} is not; nothing was done."
        )
    assert await values(session) == ["10", "#112233"]
    for mark, text in [(0, " 30 "), (1, "#A0b1C2")]:
        assert (await session.step(act("type", mark=mark, text=text))).observation.error == ""
    assert await values(session) == ["30", "#a0b1c2"]


async def test_new_lines_and_tabs_are_typed_not_pressed(session, pages):
    pages.pages["/echo"] = lambda request: Reply(request.split(" ")[1])
    await session.reset(pages.put("<form action=/echo><input name=q></form>"), 0)
    step = await session.step(act("type", mark=0, text="line one\r\nline\ttwo\x08!"))
    assert step.observation.info["url"] == pages.url("/echo?q=line+one+line+two+%21")
    await session.reset(pages.put("<textarea></textarea><input>"), 0)
    await session.step(act("type", mark=0, text="one\r\ntwo\tthree", enter=False))
    assert await script(session, "document.querySelector('textarea').value") == "one\ntwo three"
    assert await values(session) == [""]


MODALS = {
    "fixed": "<div id=m style='position:fixed;inset:0;background:#fff;overflow-y:auto'>TALL</div>",
    "fixed with a box": "<div style='position:fixed;inset:50px;background:#fff'><h1>Hi</h1><div id=m style='height:400px;overflow-y:auto'>TALL</div></div>",
    "dialog": "<dialog style='width:80%;height:80%'><div id=m style='height:90%;overflow-y:auto'>TALL</div></dialog><script>document.querySelector('dialog').showModal()</script>",
}


@pytest.mark.parametrize("name", MODALS)
@pytest.mark.parametrize("locked", ["", "body{overflow:hidden}"])
async def test_what_lies_over_the_page_scrolls_instead_of_it(session, pages, name, locked):
    tall = "<div style='height:3000px'>page</div>"
    html = f"<style>{locked}</style>{tall}{MODALS[name].replace('TALL', tall)}"
    await session.reset(pages.put(html), 0)
    await session.step(act("scroll", direction="down", target="window"))
    page, modal = await script(session, "[scrollY, m.scrollTop]")
    assert page == 0
    assert modal > 100


async def test_a_small_fixed_bar_does_not_keep_the_page_from_scrolling(session, pages):
    html = "<div style='position:fixed;top:0;height:80px;width:100%;overflow:auto'><p style='height:500px'>bar</p></div><div style='height:3000px'>"
    await session.reset(pages.put(html), 0)
    await session.step(act("scroll", direction="down", target="window"))
    assert await script(session, "scrollY") == 512


async def test_a_hundred_thousand_buttons_cost_seconds_or_that_episode(session, pages):
    for style in ("", "<style>button{position:absolute;left:0;top:0}</style>"):
        html = f"{style}<script>document.write('<button>b</button>'.repeat(100000))</script>"
        began = time.monotonic()
        try:
            observation = await session.reset(pages.put(html), 0)
            assert observation.info["elements"]
        except InfraError as error:
            assert error.kind in ("page_hung", "navigation_timeout")  # noqa: PT017 (either is right, by the machine)
        assert time.monotonic() - began < 40
    await session.reset(pages.put("<button>one</button>"), 0)


async def test_a_page_with_more_elements_than_there_is_time_for_shows_the_first(environment, pages, monkeypatch):
    from turnsmith.envs.browser import scripts

    monkeypatch.setattr(scripts, "SCRIPT", scripts.SCRIPT.replace("PATIENCE = 3000", "PATIENCE = -1"))
    async with environment.session() as session:
        observation = await session.reset(pages.put("<button>b</button>" * 200), 0)
    shown = len(observation.info["elements"])
    assert 0 < shown < 200
    note = f"the page has more elements than there was time for; the first {shown} are shown"
    assert observation.info["notes"] == [note]
    assert observation.text.endswith(f"Note: {note}")


async def test_a_window_for_a_file_is_a_download_that_is_refused(session, pages):
    disposition = {"Content-Disposition": "attachment; filename=data.csv"}
    pages.pages["/file"] = Reply("a,b", headers=disposition, media_type="text/csv")
    html = """<button onclick="window.open('/file')">open</button><a href=/file target=_blank>link</a>
      <form action=/file target=_blank><button>form</button></form><form action=/file method=post target=_blank><button>post</button></form>"""
    observation = await session.reset(pages.put(html), 0)
    for name in ("open", "link", "form", "post"):
        step = await session.step(act("click", mark=mark_of(observation, name)))
        observation = step.observation
        assert (name, observation.error, observation.info["url"].rstrip("?")) == (name, "", pages.url("/"))
        assert observation.info["notes"] == ["a download was refused: data.csv"], name


async def test_an_element_in_a_shadow_tree_is_hit_there(environment, pages):
    from browser_pages import seeing

    from turnsmith.envs.browser import ObservationConfig

    html = "<x-y></x-y><script>for (const mode of ['open']) { const root = document.querySelector('x-y').attachShadow({mode}); root.innerHTML = '<button>in</button><button>two</button>'; root.querySelectorAll('button')[1].onclick = () => document.title = 'hit' }</script>"
    async with seeing(environment, ObservationConfig(elements=False, tree="viewport")) as session:
        observation = await session.reset(pages.put(html), 0)
        line = next(line for line in observation.text.splitlines() if '"two"' in line or "two" in line)
        mark = int("".join(one for one in line.split("]")[0] if one.isdigit()))
        step = await session.step(act("click", mark=mark))
        assert (step.observation.error, step.observation.info["title"]) == ("", "hit")


async def test_a_form_of_three_fields_is_filled_before_it_is_sent(session, pages):
    html = "<form action=/sent><input name=a aria-label=First><input name=b aria-label=Second><input name=c aria-label=Third><button>Send</button></form>"
    observation = await session.reset(pages.put(html), 0)
    for name, text in (("First", "one"), ("Second", "two"), ("Third", "three")):
        call = parse_turnsmith(f"Action: Type [{mark_of(observation, name)}]; [{text}]")
        observation = (await session.step(Action("", call))).observation
    assert await values(session) == ["one", "two", "three"]
    last = (await session.step(Action("", parse_turnsmith("Action: Press [Enter]")))).observation
    assert last.info["url"].endswith("/sent?a=one&b=two&c=three")


async def test_a_key_goes_where_the_focus_is_or_where_it_is_sent(session, pages):
    html = "<input aria-label=First><input aria-label=Second>"
    observation = await session.reset(pages.put(html), 0)
    await session.step(act("type", mark=mark_of(observation, "First"), text="ab", enter=False))
    await session.step(act("press", key="Backspace"))
    await session.step(act("press", mark=mark_of(observation, "Second"), key="x"))
    assert await values(session) == ["a", "x"]
    step = await session.step(act("press", key="NoSuchKey"))
    assert step.observation.error == "There is no key 'NoSuchKey'."


async def test_what_a_page_says_in_view_is_read_without_what_marked_elements_say(environment, pages):
    html = """<h1>Town <b>library</b></h1><p>Open from <i>nine</i> to five, except on <a href=/x>holidays</a>.</p>
    <script>var hidden = "code"</script><p hidden>never shown</p><div style="visibility:hidden">nor this</div>
    <p><a href=/y>Catalogue</a></p><ul><li>Books</li></ul><div style="height:3000px"></div><p>far below</p>"""
    async with seeing(environment, ObservationConfig()) as session:
        observation = await session.reset(pages.put(html), 0)
        listed, text = observation.text.split("\nText:\n")
        assert text == "Town library\nOpen from nine to five, except on holidays."
        assert all(name in listed for name in ("holidays", "Catalogue", "Books"))
        for _ in range(8):
            observation = (await session.step(act("scroll", direction="down", target="window"))).observation
        assert observation.text.split("Text:\n")[1] == "far below"
