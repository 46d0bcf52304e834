# ruff: noqa: E501 (pages are easier to read on one line)
"""The set-of-marks list: each rule with a page and the list that it must give, written by hand."""

import io

import numpy as np
import pytest
from browser_pages import Reply, page, script, seeing
from PIL import Image

from turnsmith.envs.browser import ObservationConfig
from turnsmith.trace.types import Action

pytestmark = pytest.mark.asyncio(loop_scope="module")


RULES = {
    "the kept tags, in DOM order, with the tag only of buttons, inputs and text areas": (
        """<a href=/a>link</a> <button>push</button> <input value=in> <textarea>area</textarea>
           <select aria-label=pick><option>one<option>two</select>
           <ul><li>item</ul><table><tr><td>cell</table>
           <p>paragraph</p><div>block</div><span>span</span><b>bold</b><h2>heading</h2><label>label</label>""",
        [
            '[0]: "link";', '[1]: <button> "push";', '[2]: <input> "in";', '[3]: <textarea> "area";',
            '[4]: "one", "pick: one, two";', '[5]: "item";', '[6]: "cell";',
        ],
    ),
    "an onclick handler, as attribute or property": (
        """<div onclick="1">attribute</div><p id=p>property</p><p>none</p>
           <script>document.getElementById('p').onclick = () => 1</script>""",
        ['[0]: "attribute";', '[1]: "property";'],
    ),
    "cursor: pointer, inherited by what is inside, innermost kept": (
        """<style>.c { cursor: pointer }</style><div class=c>alone</div>
           <div class=c><b>left</b> <b>right</b></div>""",
        ['[0]: "alone";', '[1]: "left";', '[2]: "right";'],
    ),
    "IFRAME and VIDEO get a mark, their inside does not": (
        """<a href=/>before</a><iframe srcdoc="<button>inner</button>" style="width:200px;height:100px"></iframe>
           <video style="width:100px;height:50px"></video><a href=/>after</a>""",
        ['[0]: "before";', '[3]: "after";'],
    ),
    "area of at least 20 square pixels": (
        """<style>a { position:absolute; display:block; overflow:hidden }</style>
           <a style="left:0;top:0;width:5px;height:4px" aria-label=twenty></a>
           <a style="left:50px;top:0;width:19px;height:1px" aria-label=nineteen></a>
           <a style="left:90px;top:0;width:2px;height:10px" aria-label=narrow></a>""",
        ['[0]: "twenty";', '[1]: "narrow";'],
    ),
    "areas of several line boxes add up": (
        """<div style="width:6px;font-size:2px;line-height:2px">
             <a href=/ style="word-spacing:0">iiiii iiiii iiiii iiiii iiiii iiiii iiiii iiiii</a></div>""",
        ['[0]: "iiiii iiiii iiiii iiiii iiiii iiiii iiiii iiiii";'],
    ),
    "the centre must hit the element or a descendant": (
        """<style>button { position:absolute; width:100px; height:40px; left:0 }</style>
           <button style="top:0">free</button>
           <button style="top:60px">covered</button><div style="position:absolute;top:50px;left:0;width:100px;height:60px"></div>
           <button style="top:120px">edge only</button><div style="position:absolute;top:120px;left:0;width:20px;height:60px"></div>
           <button style="top:180px"><b>descendant hit</b></button>
           <button style="top:240px;visibility:hidden">hidden</button><button style="top:300px;display:none">none</button>
           <button style="top:360px;pointer-events:none">deaf</button>""",
        ['[0]: <button> "free";', '[1]: <button> "edge only";', '[2]: <button> "descendant hit";'],
    ),
    "outside the viewport, or with the centre outside": (
        """<style>button { position:absolute; left:0; width:100px; height:40px }</style>
           <button style="top:740px">centre at 760</button><button style="top:760px;left:200px">centre at 780</button>
           <button style="top:-30px;left:300px">centre above</button><button style="top:2000px">far below</button>""",
        ['[0]: <button> "centre at 760";'],
    ),
    "what is inside a kept button or link is dropped": (
        """<button><ul><li>in button</ul></button> <a href=/><table><tr><td>in link</table></a>
           <div role=button onclick=1><ul><li>in role</ul></div> <div onclick=1><ul><li>in div</ul></div>""",
        ['[0]: <button> "in button";', '[1]: "in link";', '[2]: "in role";', '[3]: "in div";'],
    ),
    "an item that contains another kept item is dropped": (
        """<ul><li>plain<li>with <a href=/>a link</a><li><ul><li>nested</ul></ul>""",
        ['[0]: "plain";', '[1]: "a link";', '[2]: "nested";'],
    ),
    "the options of a list box are items, and the box is not": (
        "<select size=3><option>one<option>two<option>three</select>",
        ['[0]: "one";', '[1]: "two";', '[2]: "three";'],
    ),
    "texts of 200 characters are left out but keep their mark": (
        f"<a href=/>{'x' * 199}</a><br><a href=/ style='font-size:2px'>{'y' * 200}</a><br><a href=/>last</a>",
        [f'[0]: "{"x" * 199}";', '[2]: "last";'],
    ),
    "white space collapses, hidden text does not count": (
        "<a href=/>  two\n\t words<span style='display:none'> secret</span> </a>",
        ['[0]: "two words";'],
    ),
    "aria-label where it says more than the text; entries without a text are left out, fields are not": (
        """<a href=/ aria-label=name>text</a> <a href=/ aria-label=same>same</a>
           <a href=/ style="display:inline-block;width:20px;height:20px"></a>
           <a href=/ aria-label="only a name" style="display:inline-block;width:20px;height:20px"></a>
           <input> <input aria-label=named> <button style="width:20px;height:20px"></button>""",
        [
            '[0]: "text", "name";', '[1]: "same";', '[3]: "only a name";', '[4]: <input> "";', '[5]: <input> "named";',
            '[6]: <button> "";',
        ],
    ),
    "what fields say: their value and their name": (
        """<label>City <input value=Rome></label> <input placeholder=Search> <label for=i>Age</label><input id=i type=number>
           <input type=checkbox aria-label=wrap checked> <label><input type=radio> red</label>
           <input type=submit> <input type=button value=Go> <input type=password value=abc aria-label=secret>
           <textarea placeholder=Say></textarea> <label>Size <select><option>S<option selected>M</select></label>""",
        [
            '[0]: <input> "Rome", "City";', '[1]: <input> "Search";', '[2]: <input> "Age";',
            '[3]: <input> "checked", "wrap";', '[4]: <input> "unchecked", "red";', '[5]: <input> "Submit";',
            '[6]: <input> "Go";', '[7]: <input> "•••", "secret";', '[8]: <textarea> "Say";', '[9]: "M", "Size: S, M";',
        ],
    ),
    "pictures speak by their alternative text": (
        "<a href=/><img alt=logo style='width:30px;height:30px'></a> <button><svg width=20 height=20><title>menu</title></svg></button>",
        ['[0]: "logo";', '[1]: <button> "menu";'],
    ),
    "shadow trees are one item": (
        """<div id=host style="cursor:pointer">light</div>
           <script>document.getElementById('host').attachShadow({mode:'open'}).innerHTML = '<button>in shadow</button>'</script>""",
        ['[0]: "in shadow";'],
    ),
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
async def test_element_list_follows_the_rule(session, pages, rule):
    html, expected = RULES[rule]
    observation = await session.reset(pages.put(html), seed=0)
    assert observation.text.split("\t") == expected


async def test_marks_count_from_zero_without_gaps_and_boxes_are_clipped_to_the_viewport(session, pages):
    html = "<style>body{margin:0}</style><button style='position:absolute;left:-50px;top:10px;width:200px;height:40px'>b</button>"
    html += "<a href=/ style='position:absolute;top:100px;left:20px'>l</a><video style='position:absolute;top:200px;left:0'></video>"
    observation = await session.reset(pages.put(html), seed=0)
    elements = observation.info["elements"]
    assert [one["mark"] for one in elements] == [0, 1, 2]
    assert [one["tag"] for one in elements] == ["button", "a", "video"]
    assert elements[0]["box"] == [0, 10, 150, 40]


async def test_info_says_where_we_are_and_what_fields_hold(session, pages):
    html = """<div style="height:2000px"><input type=checkbox checked aria-label=c><input placeholder=p value=v>
      <select><option>a<option>b</select><button disabled>d</button></div>"""
    info = (await session.reset(pages.put(html, "/info"), seed=0)).info
    assert info["url"] == pages.url("/info")
    assert info["title"] == "A page"
    assert info["viewport"] == [1024, 768]
    assert info["scroll"] == [0, 2016 - 768]
    assert info["blocked"] == 0
    check, field, select, button = info["elements"]
    assert check["checked"] is True
    assert (field["value"], field["placeholder"], field["type"]) == ("v", "p", "text")
    assert select["options"] == ["a", "b"]
    assert button["disabled"] is True


def pixels(observation, mode="L"):
    """The screenshot as an array (height, width) of brightness, or (height, width, 3) of colour."""
    image = observation.images[0]
    assert image.media_type == "image/jpeg"
    return np.asarray(Image.open(io.BytesIO(image.data)).convert(mode)).astype(int)


async def test_marked_screenshot_shows_outline_and_label_and_leaves_nothing_behind(environment, pages):
    html = "<style>body{margin:0}</style><a href=/ style='position:absolute;left:100px;top:100px;width:200px;height:100px'></a>"
    html += (
        "<dialog id=d style='margin:0;left:500px;top:100px'><button style='width:100px;height:50px'></button></dialog>"
    )
    html += "<script>d.showModal()</script>"
    async with seeing(environment, ObservationConfig(screenshot="marked")) as session:
        observation = await session.reset(
            pages.put(html.replace("<dialog", "<div hidden").replace("showModal", "focus")), 0
        )
        shot = pixels(observation)
        assert shot.shape == (768, 1024)
        outline = shot[99, 102:298]
        assert outline.min() < 60  # dashes
        assert outline.max() > 200  # and gaps
        assert shot[84, 104] < 60  # the label, top left above the box
        assert shot[150, 200] > 240  # the inside is free
        assert await script(session, "document.documentElement.children.length") == 2  # head and body only
        again = await session.step(Action("hm", None, "no action"))
        assert again.observation.text == observation.text

        observation = await session.reset(pages.put(html), 0)  # a modal dialog is in the top layer; marks lie above it
        assert [one["tag"] for one in observation.info["elements"]] == ["button"]
        left, top, width, _ = observation.info["elements"][0]["box"]
        assert pixels(observation)[top - 3 : top, left : left + width].min() < 60


async def test_plain_screenshot_shows_the_page_alone(environment, pages):
    async with seeing(environment, ObservationConfig(elements=False, screenshot="plain")) as session:
        observation = await session.reset(pages.put("<body bgcolor=#ff0000><a href=/ style='color:#f00'>x</a>"), 0)
        assert observation.text == ""
        red, green, blue = np.moveaxis(pixels(observation, "RGB"), -1, 0)
        assert red.min() > 230
        assert max(green.max(), blue.max()) < 40


async def test_a_content_security_policy_does_not_blind_us(session, pages):
    policy = "default-src 'none'; require-trusted-types-for 'script'"
    pages.pages["/csp"] = Reply(page("<a href=/>safe</a>"), headers={"Content-Security-Policy": policy})
    assert (await session.reset(pages.task("/csp"), 0)).text == '[0]: "safe";'


async def test_pages_that_spoil_globals_do_not_spoil_the_list(session, pages):
    html = """<a href=/>fine</a><script>window.setTimeout = () => 0;
      window.requestAnimationFrame = () => 0; window.Promise = null; window.getComputedStyle = null;</script>"""
    assert (await session.reset(pages.put(html), 0)).text == '[0]: "fine";'


async def test_the_same_task_reads_the_same_twice(session, pages):
    pages.put("<button>a</button><select><option>1<option>2</select><ul><li>x<li>y</ul>", "/same")
    first = await session.reset(pages.task("/same"), seed=3)
    second = await session.reset(pages.task("/same"), seed=3)
    assert (first.text, first.info) == (second.text, second.info)
