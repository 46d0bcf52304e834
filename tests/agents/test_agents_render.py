"""Renderings: what is in a prompt, what is left out, and that hidden fields cannot get in."""

import base64
import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnsmith.agents.base import Context
from turnsmith.agents.render import CHATS, chat, compact, compact_response, image_parts, plain, to_openai
from turnsmith.trace.types import Action, Call, ImageRef, Observation, Task, Turn


def page(elements: list[dict], **info: object) -> Context:
    rows = [{"aria": "", "box": [0, 0, 9, 9], **row} for row in elements]
    shown = Observation(info={"elements": rows, "title": "Kettles", "url": "http://127.0.0.1:99/shop?q=1", **info})
    return Context(Task("t", "Buy a\nkettle.", "browser"), shown)


def test_a_compact_page_line_by_line():
    context = page(
        [
            {"mark": 0, "tag": "a", "text": "Home"},
            {"mark": 1, "tag": "input", "text": "blue", "aria": "Search products", "type": "search"},
            {"mark": 2, "tag": "button", "text": "Add to cart", "disabled": True},
            {"mark": 3, "tag": "td", "text": "3.4 kg"},
            {"mark": 4, "tag": "a", "text": "", "aria": "Velta Kettle"},
            {"mark": 5, "tag": "select", "text": "Red", "aria": "Colour: Red, Blue"},
        ],
        scroll=[40, 100],
    )
    assert compact(context) == (
        "goal: Buy a kettle.\n"
        "page: Kettles /shop more above more below\n"
        "Home [0]\n"
        "field Search products [1] = blue\n"
        "button Add to cart [2] (disabled)\n"
        "3.4 kg [3]\n"
        "Velta Kettle [4]\n"
        "menu Colour: Red, Blue [5] = Red\n"
    )


def test_history_and_error_stand_in_a_compact_prompt(later):
    lines = compact(later).splitlines()
    assert lines[1] == "did: search the kettle | hm Click (invalid)"
    assert lines[2] == "error: There is no action."


def test_host_and_port_do_not_reach_a_compact_prompt():
    assert "127" not in compact(page([]))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=300), max_size=120))
def test_a_compact_prompt_is_bounded_and_keeps_every_mark(texts):
    context = page([{"mark": mark, "tag": "a", "text": text} for mark, text in enumerate(texts)])
    prompt = compact(context)
    assert len(prompt) <= 3500
    assert [line.rsplit(" ", 1)[-1] for line in prompt.splitlines()[2:]] == [f"[{n}]" for n in range(len(texts))]


def test_without_elements_the_text_is_shown():
    context = Context(Task("t", "Count", "countdown"), Observation("numbers: 3 8 1"))
    assert compact(context) == "goal: Count\nnumbers: 3 8 1\n"


def episode(turns: int) -> Context:
    seen = [Observation(f"page {n}", (ImageRef.of(b"%d" % n),)) for n in range(turns + 1)]
    done = tuple(
        Turn(look, Action(f"Thought: t{n}\nAction: Click [{n}]", Call("click", {"mark": n})))
        for n, look in enumerate(seen[:-1])
    )
    return Context(Task("t", "Find it", "browser"), seen[-1], done)


@pytest.mark.parametrize(("name", "pictures"), [("webvoyager", 3), ("tti", 4)])
def test_a_chat_shows_the_present_page_and_the_last_pictures(name, pictures):
    messages = CHATS[name](episode(6))
    assert [message["role"] for message in messages] == ["system", *["user", "assistant"] * 6, "user"]
    assert [image.data for image in image_parts(messages)] == [b"%d" % n for n in range(7 - pictures, 7)]
    text = plain(messages)
    assert "page 6" in text
    assert "page 5" not in text
    assert text.count("no longer shown") == 6
    assert text.count("Task: Find it") == 1
    assert "Action: Click [5]" in text


def test_each_dialect_is_told_its_own_grammar():
    webvoyager, tti = (plain(CHATS[name](episode(0))) for name in ("webvoyager", "tti"))
    assert "Type [n]; [text]" in webvoyager
    assert "Google" in webvoyager
    assert "Type [n] [text]" in tti
    assert "Bing" in tti
    assert "Google" not in tti


def test_an_error_is_said_in_a_chat(later):
    assert "Your last action was not carried out: There is no action." in plain(chat(later, "webvoyager", 3))


def test_openai_form_has_data_uris_and_plain_strings():
    sent = to_openai(chat(episode(1), "webvoyager", 1))
    assert isinstance(sent[0]["content"], str)
    assert isinstance(sent[1]["content"], str)
    url = sent[-1]["content"][0]["image_url"]["url"]
    assert url == "data:image/jpeg;base64," + base64.b64encode(b"1").decode()
    with pytest.raises(ValueError, match="fetch it with Store"):
        to_openai(chat(dataclasses.replace(episode(0), observation=Observation(images=(ImageRef("ab"),))), "tti", 1))


@pytest.mark.parametrize("name", ["compact", "webvoyager", "tti"])
def test_hidden_fields_never_reach_a_rendered_prompt(name, later):
    secret = "SECRET-plan-42"
    task = dataclasses.replace(
        later.task, hidden={"plan": secret}, params={"site": secret}, provenance={"template": secret}
    )
    context = dataclasses.replace(later, task=task)
    prompt = compact(context) if name == "compact" else plain(CHATS[name](context))
    assert secret not in prompt


def test_a_small_models_thought_ends_with_the_mark_that_it_uses():
    assert compact_response("Thought: open Velta\nAction: Click [13]") == "Thought: open Velta [13]\nAction: Click [13]"
    typed = "Thought: search Velta in Search [2]\nAction: Type [2]; [Velta [13]]"
    assert compact_response(typed) == typed
    for unmarked in ("Thought: done\nAction: ANSWER; [13]", "Click [13]", "Thought: up\nAction: Scroll [WINDOW]; [up]"):
        assert compact_response(unmarked) == unmarked


def test_marks_of_earlier_pages_are_not_in_the_history():
    done = Turn(Observation(), Action("Thought: open Velta [13]\nAction: Click [13]", Call("click", {"mark": 13})))
    assert "did: open Velta\n" in compact(dataclasses.replace(page([]), turns=(done,)))
