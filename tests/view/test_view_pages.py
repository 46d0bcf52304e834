"""The viewer in real headless Chromium: what a person does with it."""

import json
import re

import pytest
from view_site import edit, serving, until

from turnsmith.trace.store import Store
from turnsmith.trace.types import ORACLE, Action, Observation, Outcome, Task, Thread, Trace, Turn, Verdict
from turnsmith.view.sample import write_sample_run


def visit(page, site, path: str) -> None:
    """Open a page of the viewer, signed in."""
    if not page.url.startswith(site.origin):
        page.goto(site.link)
    page.goto(f"{site.origin}/#/{path}")


def test_the_link_signs_in_and_the_token_leaves_the_address(page, site):
    page.goto(site.link)
    page.get_by_role("link", name="seed-0").wait_for()
    assert page.url == f"{site.origin}/#/"
    other = page.context.new_page()  # a new tab of the same browser is signed in as well
    other.goto(site.origin)
    other.get_by_role("link", name="seed-1").wait_for()


def test_without_the_link_there_is_no_data(chromium, site):
    with chromium.new_context() as context:
        page = context.new_page()
        page.goto(site.origin)
        page.get_by_text("Open the link that `turnsmith view` printed.").wait_for()
        assert page.get_by_role("link", name="seed-0").count() == 0


def test_from_the_runs_to_a_turn_and_through_it_by_keyboard(page, site):
    page.goto(site.link)
    page.get_by_role("link", name="seed-0").click()
    page.get_by_role("img", name=re.compile("Success: eval from")).wait_for()
    page.get_by_role("link", name="Traces", exact=True).click()
    page.get_by_text("1 to 60 of 60").wait_for()
    page.get_by_label("outcome").select_option("failure")
    page.locator("table.traces tbody tr").first.get_by_text("failure").wait_for()
    assert page.locator("table.traces tbody .outcome-success").count() == 0
    assert "outcome=failure" in page.url

    page.locator("table.traces tbody a").first.click()
    page.get_by_role("heading", name="Turn 1").wait_for()
    until(page, "document.querySelector('.screen img')?.naturalWidth === 1280")
    for key, turn in (("ArrowRight", 2), ("j", 3), ("k", 2), ("ArrowLeft", 1)):
        page.keyboard.press(key)
        page.get_by_role("heading", name=f"Turn {turn} of").wait_for()
    page.keyboard.press("End")
    page.get_by_role("heading", name="After the last action").wait_for()
    page.keyboard.press("Home")
    page.get_by_role("heading", name="Turn 1").wait_for()
    page.keyboard.press("m")
    page.locator(".mark-box").first.wait_for()
    assert page.get_by_label("marks").is_checked()
    page.go_back()
    page.get_by_role("heading", name="Traces").wait_for()
    assert page.get_by_label("outcome").input_value() == "failure"


def test_a_turn_shows_where_the_action_went_what_it_was_worth_and_what_is_hidden(page, site):
    with Store(site.root / "seed-0" / "run.db", read_only=True) as store:
        trace = next(one for one in store.traces() if one.turns[0].info and one.outcome is Outcome.SUCCESS)
    visit(page, site, f"run/seed-0/trace/{trace.id}")
    turn = trace.turns[0]
    box = page.locator(".touch-box")
    box.wait_for()
    assert [float(box.get_attribute(name) or 0) for name in ("x", "y", "width", "height")] == turn.info["box"]
    # the drawing lies on the picture: the same box on the page, in proportion
    frame, drawn = page.locator(".overlay").bounding_box(), box.bounding_box()
    assert frame is not None
    assert drawn is not None
    assert drawn["x"] - frame["x"] == pytest.approx(turn.info["box"][0] * frame["width"] / 1280, abs=4)
    assert turn.advantage is not None
    shown = f"{turn.advantage:+.2f}".replace("-", "−")
    page.locator("dl.figures").get_by_text(shown, exact=True).wait_for()

    hidden = page.locator(".hidden-box")
    assert "Hidden from the agent" in hidden.inner_text()
    assert not page.get_by_text("The agent never sees this.").is_visible()
    hidden.locator("summary").click()
    page.get_by_text("The agent never sees this.").wait_for()

    page.locator(".token").nth(3).hover()
    page.get_by_text(re.compile(rf"4\. token {turn.action.token_ids[3]}: p = ")).wait_for()


def test_filters_sort_and_leave_a_bookmark(page, site):
    visit(page, site, "run/seed-0/traces")
    page.get_by_label("task").fill("kettle")
    until(page, "location.hash.includes('task=kettle')")
    until(
        page,
        "[...document.querySelectorAll('table.traces tbody a')].every((link) => link.textContent.includes('kettle'))",
    )
    page.get_by_label("order").select_option("surprise")
    until(
        page,
        """() => {
          const cells = [...document.querySelectorAll('table.traces tbody tr')].map((row) => row.cells[8].textContent);
          const values = cells.map(Number);
          return values.length > 1 && values.every((value, i) => value > 0 && (i === 0 || value <= values[i - 1]));
        }""",
    )
    page.reload()
    page.get_by_label("order").wait_for()
    assert page.get_by_label("task").input_value() == "kettle"
    assert page.get_by_label("order").input_value() == "surprise"


def test_a_label_is_given_and_counts_for_the_judges(page, tmp_path):
    write_sample_run(tmp_path / "mine", traces=8, turns=3, iterations=1, distinct=2)
    with serving(tmp_path) as own:
        visit(page, own, "run/mine/trace/trace-00002")
        about = page.get_by_role("region", name="Did the agent do what was asked?")
        about.get_by_role("button", name="note").click()
        about.get_by_label("Note, stored with the mark").fill("the cart <b>is</b> right")
        about.get_by_role("button", name="✓ right").click()
        about.get_by_text("the cart <b>is</b> right").wait_for()
        assert about.get_by_role("button", name="✓ right").get_attribute("aria-pressed") == "true"
        page.get_by_role("link", name="Labels").click()
        page.get_by_role("region", name="Judges against people").get_by_role("rowheader", name="vlm-judge").wait_for()
    with Store(tmp_path / "mine" / "run.db", read_only=True) as store:
        (label,) = store.labels()
    assert (label.trace_id, label.turn, label.correct, label.note) == (
        "trace-00002",
        None,
        True,
        "the cart <b>is</b> right",
    )


def test_two_runs_are_compared_and_two_traces_stand_side_by_side(page, site):
    page.goto(site.link)
    for name in ("seed-0", "seed-1"):
        page.get_by_label(f"Compare {name}").check()
    page.get_by_role("button", name="Compare 2 runs").click()
    page.get_by_role("heading", name="seed-1 against seed-0").wait_for()
    page.get_by_text("paired bootstrap").wait_for()
    page.get_by_text("mean of 2 seeds").wait_for()

    with Store(site.root / "seed-0" / "run.db", read_only=True) as store:
        first = next(one for one in store.summaries() if len(store.summaries(task_id=one.task_id)) > 1)
    visit(page, site, f"run/seed-0/trace/{first.id}")
    page.get_by_role("link", name="side by side").first.click()
    page.locator(".side-by-side .screen img").nth(1).wait_for()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("heading", name="Turn 2").count() == 2


def test_the_page_follows_a_run_that_is_being_written_without_a_reload(page, tmp_path):
    folder = write_sample_run(tmp_path / "growing", traces=4, turns=2, iterations=1, distinct=1)
    with serving(tmp_path) as own, Store(folder / "run.db") as store:
        visit(page, own, "run/growing/traces")
        page.get_by_text("1 to 4 of 4").wait_for()
        page.evaluate("window.sameDocument = true")
        (last,) = store.traces(limit=1)
        task = Task("new", "A task that was not there before", "browser")
        store.append(Trace("fresh", task, last.turns, Outcome.SUCCESS, (Verdict(ORACLE, 1.0),)))
        page.get_by_role("link", name="A task that was not there before").wait_for()
        page.get_by_text("1 to 5 of 5").wait_for()
        with (folder / "metrics.jsonl").open("a") as file:
            for iteration, value in ((1, 0.5), (2, 0.6)):  # a curve of one point says nothing, and is not drawn
                file.write(json.dumps({"iteration": iteration, "phase": "eval", "new_metric": value}) + "\n")
            file.write('{"iteration": 3, "ne')
        page.get_by_role("link", name="Overview").click()
        page.get_by_role("img", name=re.compile("New metric")).wait_for()
        assert page.evaluate("window.sameDocument")


def test_threads_are_drawn_as_lanes_in_sequential_tokens(page, tmp_path):
    # The root samples 10 tokens, spawns threads of 20, 5 and 4, waits for all, and samples 10 more: 40 in sequence.
    # The last of the three takes the place of the second.
    def turn(thread: int, tokens: int) -> Turn:
        action = Action("x" * tokens, token_ids=(1,) * tokens, logprobs=(-0.1,) * tokens)
        return Turn(Observation(f"thread {thread}"), action, thread=thread)

    threads = (Thread(0), Thread(1, 0, 10, 10), Thread(2, 0, 10, 10), Thread(3, 0, 10, 10, "cancelled", 5))
    turns = (turn(0, 10), turn(1, 20), turn(2, 5), turn(3, 4), turn(0, 10))
    (tmp_path / "apr").mkdir()
    (tmp_path / "apr" / "config.json").write_text("{}")
    with Store(tmp_path / "apr" / "run.db") as store:
        store.append(Trace("tree", Task("t", "Reach 24 from 1, 2, 3, 4.", "countdown"), turns, threads=threads))
    with serving(tmp_path) as own:
        visit(page, own, "run/apr/trace/tree")
        page.get_by_role("img", name="4 threads over 40 tokens").wait_for()
        pieces = [piece.bounding_box() for piece in page.locator(".piece").all()]
        first, last, longer, shorter, following = (box or {} for box in pieces)
        assert longer["x"] == pytest.approx(shorter["x"], abs=1)
        assert longer["x"] >= first["x"] + first["width"]
        assert last["x"] >= longer["x"] + longer["width"]
        assert first["y"] < longer["y"] < shorter["y"] < following["y"]
        assert following["x"] == pytest.approx(shorter["x"] + shorter["width"] + 1, abs=1)
        page.locator(".piece").nth(2).click()
        page.get_by_role("heading", name="Turn 2 of 5").wait_for()


def test_a_damaged_run_shows_what_is_readable_and_says_what_is_not(chromium, tmp_path):
    folder = write_sample_run(tmp_path / "hurt", traces=4, turns=2, iterations=1, distinct=1)
    (folder / "config.json").write_text('{"recipe": ')
    edit(folder, "UPDATE turns SET body = '{' WHERE trace_seq = 1 AND position = 0")
    edit(folder, "DELETE FROM images")
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "run.db").write_bytes(b"no database at all" * 100)
    with serving(tmp_path) as own, chromium.new_context() as context:
        page = context.new_page()
        page.goto(own.link)
        page.get_by_text("partly unreadable").nth(1).wait_for()
        visit(page, own, "run/hurt")
        page.get_by_text("config.json is not complete JSON").wait_for()
        visit(page, own, "run/hurt/trace/trace-00000")
        page.get_by_text("Turn 1 is not readable").wait_for()
        page.keyboard.press("ArrowRight")
        page.get_by_role("heading", name="Turn 2").wait_for()
        page.locator(".screen").get_by_text("This image is missing or not readable.").wait_for()
        visit(page, own, "run/gone")
        page.get_by_text("run.db cannot be read").wait_for()
