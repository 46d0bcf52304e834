"""Episodes in real Chromium: pages load and step, seeds and instructions hold, rewards are the page's own."""

import pytest
import pytest_asyncio

from turnsmith.envs.browser import BrowserEnvironment, ObservationConfig
from turnsmith.trace.types import ORACLE, Action, Call, Task
from turnsmith.worlds.miniwob import MiniWob, miniwob_tasks

pytestmark = pytest.mark.asyncio(loop_scope="module")

# One page of each kind of widget; benchmarks/miniwob/measure.py sweeps all of them.
SAMPLE = (
    *("ascending-numbers", "bisect-angle", "book-flight", "choose-date", "click-color", "click-menu-2", "click-pie"),
    *("copy-paste", "daily-calendar", "drag-cube", "email-inbox", "form-sequence-3", "hot-cold", "resize-textarea"),
    *("social-media", "stock-market", "terminal", "text-editor", "use-slider", "flight.AA"),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def environment():
    async with BrowserEnvironment(MiniWob(), 2, ObservationConfig(tree="viewport")) as environment:
        yield environment


@pytest_asyncio.fixture(loop_scope="module")
async def session(environment):
    async with environment.session() as session:
        yield session


def one(page, mode="train"):
    """A task whose instruction does not matter to the test."""
    return Task(page, "", "browser", {"page": page, "seed": 7, "mode": mode})


def mark(observation, name):
    (found,) = [row["mark"] for row in observation.info["elements"] if name in (row["text"], row["aria"])]
    return found


def click(number):
    return Action("", Call("click", {"mark": number}))


async def test_sample_of_pages_loads_asks_and_steps(session):
    for task in await miniwob_tasks(SAMPLE):
        seen = await session.reset(task, 0)
        assert task.instruction
        assert "Task" in seen.info["title"] or task.params["page"].startswith("flight")
        assert "Last reward" not in seen.text
        step = await session.step(click(0) if seen.info["elements"] else Action("", Call("wait")))
        assert step.observation.error == ""
        assert -1 <= step.reward <= 1
        assert step.done or step.reward == 0
        assert step.info["blocked"] == 0


async def test_a_task_is_the_same_episode_every_time_and_seeds_differ(session):
    task, other = await miniwob_tasks(["email-inbox-forward"], "train", 2)
    first, again = await session.reset(task, 0), await session.reset(task, 5)
    assert first.text == again.text
    assert [task, other] == await miniwob_tasks(["email-inbox-forward"], "train", 2)
    assert task.instruction != other.instruction
    sender = task.instruction.split()[4]
    assert any(row["text"] == sender for row in first.info["elements"])
    assert (await session.reset(other, 0)).text != first.text


async def test_the_mode_changes_the_page(session):
    for mode, asked in (("train", "ONE"), ("test", "TWO")):
        seen = await session.reset(one("click-test-transfer", mode), 0)
        assert f"Click button {asked}." in seen.text
        assert (await session.step(click(mark(seen, asked)))).reward == 1


async def test_the_right_order_is_rewarded_at_its_end_only(session):
    seen = await session.reset(one("click-button-sequence"), 0)
    assert (await session.grade()).reward == 0
    first = await session.step(click(mark(seen, "ONE")))
    assert (first.reward, first.done) == (0, False)
    last = await session.step(click(mark(first.observation, "TWO")))
    assert (last.reward, last.done) == (1, True)
    verdict = await session.grade()
    assert (verdict.judge, verdict.reward) == (ORACLE, 1)


async def test_the_wrong_order_fails_and_nothing_counts_after_the_end(session):
    seen = await session.reset(one("click-button-sequence"), 0)
    seen = (await session.step(click(mark(seen, "TWO")))).observation
    last = await session.step(click(mark(seen, "ONE")))
    assert (last.reward, last.done) == (-1, True)
    for name in ("ONE", "TWO"):  # the page stands as it was left, and a second, right round is not a second chance
        last = await session.step(click(mark(last.observation, name)))
    assert (last.reward, last.done) == (-1, True)
    verdict = await session.grade()
    assert (verdict.reward, verdict.reason) == (0, "the page gave -1")


async def test_a_partial_reward_is_no_success(session):
    (task,) = await miniwob_tasks(["click-checkboxes-large"])
    seen = await session.reset(task, 0)
    boxes = sum(row.get("type") == "checkbox" for row in seen.info["elements"])
    names = task.instruction.removeprefix("Select ").removesuffix(" and click Submit.").split(", ")
    for name in names[1:]:
        seen = (await session.step(click(mark(seen, name)))).observation
    last = await session.step(click(mark(seen, "Submit")))
    assert last.reward == pytest.approx((boxes - 2) / boxes)
    assert last.done
    assert (await session.grade()).reward == 0


async def test_an_answer_ends_the_episode_without_reward(session):
    await session.reset(one("click-test"), 0)
    step = await session.step(Action("", Call("answer", {"text": "done"})))
    assert (step.reward, step.done) == (0, True)
    assert (await session.grade()).reward == 0


async def test_a_text_in_the_tree_can_be_clicked(session):
    seen = await session.reset(one("click-collapsible-nodelay"), 0)
    (line,) = [line for line in seen.text.split("\n") if "Expand the section below" in line]
    number = int(line.split("]")[0].strip().removeprefix("["))
    assert number >= len(seen.info["elements"])
    assert (await session.step(click(number))).observation.error == ""


async def test_a_page_that_was_loaded_again_has_lost_its_episode(environment):
    visit = await environment.host.visit(one("click-test"), 0)
    page = await (await environment.pool.browser()).new_page()
    await page.goto(visit.start_url)
    await visit.ready(page)
    assert await visit.after_step(page) == (0, False)
    await page.reload()
    assert await visit.after_step(page) == (0, True)
    verdict = await visit.grade(page, None)
    assert (verdict.reward, verdict.reason) == (0, "the agent left the page")
    await page.close()
