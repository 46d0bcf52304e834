"""The sites in real Chromium: the demonstrator solves them through what an agent sees, in the promised steps."""

import asyncio

import pytest
import pytest_asyncio

from turnsmith.agents.base import Context
from turnsmith.agents.grammar import parse_webvoyager
from turnsmith.envs.browser import BrowserEnvironment
from turnsmith.errors import UserError
from turnsmith.trace.types import Action, Call, Observation, Task, Turn
from turnsmith.worlds.sites import SITES
from turnsmith.worlds.sites.demonstrator import Demonstrator
from turnsmith.worlds.sites.server import LocalSites
from turnsmith.worlds.sites.tasks import generate

pytestmark = pytest.mark.asyncio(loop_scope="module")

# One template for each thing that pages let one do; scripts/sweep_sites.py plays all of them, many times.
SAMPLE = [
    ("shop/order_two", "train"),
    ("shop/survey", "test"),
    ("shop/open_extreme", "validation"),
    ("shop/add_many", "test_templates"),
    ("shop/remove_item", "test_templates"),
    ("forum/take_part", "train"),
    ("forum/like_reply", "test"),
    ("forum/new_thread", "test"),
    ("forum/compare_authors", "validation"),
    ("docs/compare_versions", "test"),
    ("docs/follow_chain", "train"),
    ("docs/suggest", "test"),
    ("recipes/ingredient_for", "test"),
    ("recipes/shop", "train"),
    ("recipes/cooked", "test"),
    ("courses/enrol_chain", "test"),
    ("courses/lecturer_fact", "validation"),
    ("courses/change_group", "test_templates"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def environment():
    async with BrowserEnvironment(LocalSites(), sessions=4) as environment:
        yield environment


async def play(
    environment: BrowserEnvironment, task: Task, policy: Demonstrator, horizon: int
) -> tuple[list[Turn], float]:
    turns: list[Turn] = []
    async with environment.session() as session:
        observation = await session.reset(task, 0)
        for _ in range(horizon):
            (action,) = await policy.act([Context(task, observation, tuple(turns))])
            step = await session.step(action)
            turns.append(Turn(observation, action))
            observation = step.observation
            if step.done:
                break
        verdict = await session.grade()
    assert verdict is not None
    return turns, verdict.reward


async def test_a_flawless_demonstrator_solves_every_sampled_template_in_the_needed_steps(environment):
    tasks = [generate([kind.split("/")[0]], split, 1, 1, [kind])[0] for kind, split in SAMPLE]
    policy = Demonstrator(tasks)
    played = await asyncio.gather(*(play(environment, task, policy, 25) for task in tasks))
    for task, (turns, reward) in zip(tasks, played, strict=True):
        assert reward == 1.0, task.id
        assert len(turns) == task.params["needed_steps"], task.id
        for turn in turns:
            assert parse_webvoyager(turn.action.text) == turn.action.call
            assert turn.observation.error == ""
            assert 3 <= len(turn.observation.info["elements"]) <= 42
            assert len(turn.observation.text) < 1100


async def test_mistakes_are_the_same_for_the_same_seed_and_cost_success(environment):
    tasks = generate(["shop", "courses"], "train", 8, 2, ["add_two", "enrol_two"])
    first, second = Demonstrator(tasks, noise=0.8, seed=5), Demonstrator(tasks, noise=0.8, seed=5)
    one = await asyncio.gather(*(play(environment, task, first, 12) for task in tasks[:4]))
    two = await asyncio.gather(*(play(environment, task, second, 12) for task in tasks[:4]))
    assert [[turn.action.text for turn in turns] for turns, _ in one] == [
        [t.action.text for t in turns] for turns, _ in two
    ]
    assert sum(reward for _, reward in one) < 4


async def test_a_demonstrator_that_wanders_off_finds_back(environment):
    (task,) = generate(["shop"], "train", 1, 4, ["add_item"])
    policy = Demonstrator([task])
    async with environment.session() as session:
        observation = await session.reset(task, 0)
        turns: list[Turn] = []
        lost = [Call("click", {"mark": 0}), Call("type", {"mark": _search(observation), "text": "zzz"})]
        for number in range(15):
            action = (
                Action("", lost[number])
                if number < len(lost)
                else (await policy.act([_context(task, observation, turns)]))[0]
            )
            step = await session.step(action)
            turns.append(Turn(observation, action))
            observation = step.observation
            if step.done:
                break
        verdict = await session.grade()
    assert verdict is not None
    assert verdict.reward == 1.0


def _context(task: Task, observation: Observation, turns: list[Turn]) -> Context:
    return Context(task, observation, tuple(turns))


def _search(observation: Observation) -> int:
    return next(one["mark"] for one in observation.info["elements"] if one.get("type") == "search")


async def test_going_back_is_seen_by_the_server(environment):
    (task,) = generate(["docs"], "train", 1, 4, ["open_page"])
    policy = Demonstrator([task])
    async with environment.session() as session:
        observation = await session.reset(task, 0)
        turns: list[Turn] = []
        while (action := (await policy.act([_context(task, observation, turns)]))[0]).call != Call(
            "answer", {"text": "done"}
        ):
            turns.append(Turn(observation, action))
            observation = (await session.step(action)).observation
        await session.step(Action("", Call("go_back")))
        await session.step(action)
        verdict = await session.grade()
    assert verdict is not None
    assert "The last page is" in verdict.reason


async def test_pages_fit_a_phone_without_scrolling_sideways():
    tasks = [Task(site, "x", "browser", {"site": site, "world": 7}) for site in SITES]
    async with (
        BrowserEnvironment(LocalSites(viewport=(360, 640)), sessions=1) as environment,
        environment.session() as session,
    ):
        for task in tasks:
            observation = await session.reset(task, 0)
            for _ in range(3):
                wide = [one for one in observation.info["elements"] if one["box"][0] + one["box"][2] > 361]
                assert not wide, (task.id, wide)
                pressable = [one for one in observation.info["elements"] if one["tag"] in ("a", "button")]
                link = next((one for one in reversed(pressable) if one["tag"] == "a"), pressable[-1])  # else a pop-up
                observation = (await session.step(Action("", Call("click", {"mark": link["mark"]})))).observation


async def test_an_unknown_task_is_a_user_error():
    with pytest.raises(UserError, match="no plan for the task other"):
        await Demonstrator([]).act([Context(Task("other", "x", "browser"), Observation())])
