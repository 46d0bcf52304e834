"""BrowserGym's tasks through our contract. Runs where BrowserGym is installed (docs/browsergym.md), else skips."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("browsergym.core", reason="BrowserGym is not installed here: see docs/browsergym.md")
pytest.importorskip("browsergym.miniwob", reason="browsergym-miniwob is not installed here: see docs/browsergym.md")

from turnsmith.agents.grammar import parse_webvoyager
from turnsmith.agents.parsing import parse
from turnsmith.envs.browser.chromium import find_chromium
from turnsmith.envs.browsergym.tasks import BrowserGymTasks
from turnsmith.errors import UserError
from turnsmith.rollout.collect import Episode, Limits, collect
from turnsmith.trace.types import Action, Call, Outcome, Task


@pytest.fixture(autouse=True)
def pages(monkeypatch):
    if "MINIWOB_URL" not in os.environ:
        spec = find_spec("miniwob")
        if spec is None or spec.origin is None:
            pytest.skip("MiniWoB++ is not installed here: pip install miniwob, or set MINIWOB_URL")
        monkeypatch.setenv("MINIWOB_URL", f"file://{Path(spec.origin).parent}/html/miniwob/")


def environment(**options):
    return BrowserGymTasks(chromium=str(find_chromium().path), **options)


def task(page):
    return Task(page, "", "browsergym", {"env": f"browsergym/miniwob.{page}"})


class Agent:
    """Clicks the button that the task names, or types what it names and submits: as our agents would, by marks."""

    version = "agent"

    async def act(self, contexts):
        return [self._act(context) for context in contexts]

    def _act(self, context):
        goal, elements = context.observation.info["goal"], context.observation.info["elements"]
        wanted = goal.split('"')[1]
        fields = [element for element in elements if element["tag"] == "input" and goal.startswith("Enter")]
        if fields and fields[0].get("value") != wanted:
            text = f"Action: Type [{fields[0]['mark']}]; [{wanted}]"
        else:
            label = "Submit" if fields else wanted
            buttons = [element for element in elements if element["tag"] == "button"]
            mark = next(element["mark"] for element in buttons if element["text"].lower() == label.lower())
            text = f"Action: Click [{mark}]"
        return Action(text, *parse(text, "webvoyager"))

    async def log_prob(self, steps):
        return [[] for _ in steps]


async def test_our_agent_earns_browsergyms_reward():
    async with environment(screenshots=True) as gym:
        episodes = [Episode(page, task(page), seed) for seed, page in enumerate(("click-button", "enter-text"), 1)]
        traces = await collect(gym, Agent(), episodes, Limits(6, retries=0))
    assert [trace.outcome for trace in traces] == [Outcome.SUCCESS] * 2, [trace.info for trace in traces]
    look = traces[0].turns[0].observation
    assert look.text.startswith("Task: Click on")
    assert len(look.images[0].data or b"") > 500
    assert traces[1].turns[0].info["browsergym_action"].startswith("fill(")


async def test_errors_are_the_agents_and_an_answer_ends_the_episode():
    async with environment() as gym, gym.session() as session:
        await session.reset(task("click-button"), 0)
        for action, message in (
            (Action("x", Call("click", {"mark": 99})), "no element"),
            (Action("x", Call("search_engine")), "no action"),
            (Action("x", None, "huh?"), "huh?"),
        ):
            step = await session.step(action)
            assert message in step.observation.error
            assert (step.done, step.reward) == (False, 0.0)
        step = await session.step(Action("x", parse_webvoyager("Action: ANSWER; [done]")))
        assert step.done
        verdict = await session.grade()
        assert verdict is not None
        assert verdict.reward == 0.0
        with pytest.raises(UserError, match='"env" must name'):
            await session.reset(Task("t", "", "browsergym"), 0)
        with pytest.raises(UserError, match="BrowserGym has no"):
            await session.reset(Task("t", "", "browsergym", {"env": "browsergym/miniwob.none"}), 0)
