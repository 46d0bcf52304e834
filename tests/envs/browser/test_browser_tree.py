"""The accessibility tree: pruning, numbering and both formats, against trees written by hand."""

import pytest
from browser_pages import act, seeing

from turnsmith.envs.browser import ObservationConfig

pytestmark = pytest.mark.asyncio(loop_scope="module")

VIEWPORT = ObservationConfig(elements=False, tree="viewport")
RICH = ObservationConfig(elements=False, tree="rich")

PAGE = """<h1>Shop</h1><nav aria-label=Main><a href=/a>Home</a></nav><div><div><p>Hello <b>you</b></p></div></div>
<ul><li>one</ul><input placeholder=Find required><button disabled>Buy</button><img><img alt=Logo width=9 height=9>
<select aria-label=Size><option>S<option>M</select><label><input type=checkbox checked> gift</label>"""

VIEWPORT_LINES = [
    "[6] RootWebArea 'A page' focused: True",
    "\t[7] heading 'Shop'",
    "\t[8] navigation 'Main'",
    "\t\t[0] link 'Home'",
    "\t[9] StaticText 'Hello'",
    "\t[10] StaticText 'you'",
    "\t[11] ListMarker '•'",
    "\t[12] StaticText 'one'",
    "\t[2] textbox 'Find' required: True",
    "\t[3] button 'Buy' disabled: True",
    "\t[13] image 'Logo'",
    "\t[4] combobox 'Size' hasPopup: menu expanded: False",
    "\t[5] checkbox 'gift' checked: true",
]


async def test_viewport_tree_is_pruned_indented_and_numbered_after_the_marks(environment, pages):
    async with seeing(environment, VIEWPORT) as session:
        observation = await session.reset(pages.put(PAGE), 0)
        assert observation.text.split("\n") == VIEWPORT_LINES
        again = await session.reset(pages.put(PAGE), 0)
        assert again.text == observation.text  # ids do not depend on the browser's own numbering


async def test_nodes_less_than_60_percent_in_view_go_and_their_children_stay(environment, pages):
    html = """<style>body{margin:0} h3{position:absolute;margin:0;height:100px;width:100px}</style>
      <h3 style="top:708px">sixty</h3><h3 style="top:709px;left:200px">fifty-nine</h3><h3 style="top:3000px">below</h3>
      <main style="height:4000px"><h2>inside a tall main</h2></main>"""
    async with seeing(environment, VIEWPORT) as session:
        observation = await session.reset(pages.put(html), 0)
    assert [line.strip().split(" ", 1)[1] for line in observation.text.split("\n")] == [
        "RootWebArea 'A page' focused: True",
        "heading 'sixty'",
        "StaticText 'fifty-nine'",  # the line of text is in view, its heading is not
        "heading 'inside a tall main'",
    ]


async def test_rich_tree_takes_the_whole_page_when_it_is_short(environment, pages):
    html = PAGE + "<div style='height:3000px'></div><a href=/z>Bottom</a>"
    async with seeing(environment, RICH) as session:
        observation = await session.reset(pages.put(html), 0)
        entries = observation.text.split(";\t")
        assert entries[0] == "[6]: RootWebArea 'A page' focused: True"
        assert "[0]: link 'Home'" in entries
        bottom = next(entry for entry in entries if "Bottom" in entry)
        assert "option 'M' selected: False" in observation.text
        option = next(entry for entry in entries if "option 'M'" in entry)

        # Numbers that are no marks can be aimed at: an option of a closed select, a link far below.
        step = await session.step(act("click", mark=int(option[1 : option.index("]")])))
        assert step.observation.error == ""
        assert step.observation.info["elements"][4]["text"] == "M"
        pages.pages["/z"] = "<title>z</title>"
        step = await session.step(act("click", mark=int(bottom[1 : bottom.index("]")])))
        assert step.observation.error == ""
        assert step.observation.info["url"] == pages.url("/z")


async def test_rich_tree_of_a_long_page_is_what_is_in_view_and_a_hint(environment, pages):
    html = "<h1>Top</h1>" + "".join(f"<p>{'word ' * 20}{number}</p>" for number in range(400))
    async with seeing(environment, RICH) as session:
        observation = await session.reset(pages.put(html), 0)
        assert observation.text.endswith("\nYou can scroll down to see more. Page has not yet reached the bottom.")
        assert "399" not in observation.text
        step = await session.step(act("scroll", direction="down", target="window"))
        assert step.observation.text.endswith("\nYou can scroll up or down to see more.")


async def test_rich_names_are_cut_at_500_characters(environment, pages):
    async with seeing(environment, RICH) as session:
        observation = await session.reset(pages.put(f"<h1>{'x' * 600}</h1>"), 0)
        assert f"heading '{'x' * 500}...'" in observation.text
        assert "x" * 501 not in observation.text


async def test_tree_and_element_list_can_stand_together(environment, pages):
    async with seeing(environment, ObservationConfig(tree="viewport")) as session:
        observation = await session.reset(pages.put("<a href=/>x</a>"), 0)
        assert observation.text.split("\n") == ['[0]: "x";', "[1] RootWebArea 'A page' focused: True", "\t[0] link 'x'"]
