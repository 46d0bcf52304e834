"""A recorder turns what a person does in a page into actions on the marks of what was seen."""

import pytest

from turnsmith.agents.grammar import render
from turnsmith.envs.browser import ObservationConfig
from turnsmith.envs.browser.recorder import Recorder

pytestmark = pytest.mark.asyncio(loop_scope="module")
HOME = """<a href="/next">Next</a>
<form action="/found"><input aria-label="Search" name="q"><input type="password" aria-label="Code" name="c">
<button>Go</button></form>"""


async def test_clicks_and_typed_texts_become_turns_with_what_was_seen_before_each(pages, session):
    task = pages.put(HOME)
    pages.pages["/next"] = "<!doctype html><title>Next | Own</title><a href='/'>Home</a>"
    pages.pages["/found"] = "<!doctype html><title>Found | Own</title><p>Found</p>"
    await session.reset(task, 0)
    recorder = Recorder(session.tab, ObservationConfig(screenshot="marked"), render)
    await recorder.start()
    page = session.tab.page
    mark = {e["aria"] or e["text"]: e["mark"] for e in recorder.observation.info["elements"]}

    await page.click("a")
    opened = await recorder.next(10)
    assert opened is not None
    assert opened.action.text == f"Thought: open Next\nAction: Click [{mark['Next']}]"
    assert opened.observation.info["title"] == "A page"
    assert recorder.observation.info["title"] == "Next | Own"  # looked at again after the click

    await page.click("a")
    assert await recorder.next(10) is not None
    await page.click("[name=q]")
    await page.keyboard.type("kettle")
    await page.keyboard.press("Enter")
    typed = await recorder.next(10)
    assert typed is not None
    assert typed.action.call is not None
    assert (typed.action.call.name, typed.action.call.arguments["text"]) == ("type", "kettle")
    assert recorder.observation.info["title"] == "Found | Own"
    assert all(turn.observation.images for turn in recorder.turns)
    assert await recorder.next(0.2) is None  # nothing more is done


async def test_what_is_typed_into_a_password_field_is_not_recorded(pages, session):
    task = pages.put(HOME)
    await session.reset(task, 0)
    recorder = Recorder(session.tab, ObservationConfig(), render)
    await recorder.start()
    page = session.tab.page
    await page.click("[name=c]")
    await page.keyboard.type("open sesame")
    await page.click("[name=q]")
    turn = await recorder.next(10)
    assert turn is not None
    assert "sesame" not in repr(recorder.turns)
    assert "sesame" not in turn.action.text
