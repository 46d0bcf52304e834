"""Episodes with tools and users: what is graded, what is revealed, what is hidden."""

import asyncio
import json

import pytest

from turnsmith.agents.base import Context
from turnsmith.envs.tools.environment import ToolEnvironment
from turnsmith.envs.tools.user import RuleUser
from turnsmith.rollout.collect import Limits, collect, evaluation_episodes
from turnsmith.trace.types import Action, Call, Outcome
from turnsmith.worlds import retail
from turnsmith.worlds.retail.compact import log_of, parse_action, vocabulary
from turnsmith.worlds.retail.demonstrator import ScriptedHelper
from turnsmith.worlds.retail.requests import Request, mutations, request_of
from turnsmith.worlds.retail.tasks import make_task, random_task, requests_of, user_of


class Idle:
    """Does nothing (asks what else there is), or transfers at once."""

    def __init__(self, call: Call) -> None:
        self.version, self.call = call.name, call

    async def act(self, contexts):
        return [Action(self.call.name, self.call) for _ in contexts]

    async def log_prob(self, steps):
        raise NotImplementedError


@pytest.fixture(scope="module")
def world():
    return retail.synthetic_world(5, 60)


def tasks_in(world, count=30):
    import random

    rng = random.Random(1)
    return [random_task(f"t{n}", world.base, rng) for n in range(count)]


def play(world, tasks, policy):
    environment = ToolEnvironment(world, lambda task, _: user_of(world, task))
    return asyncio.run(collect(environment, policy, evaluation_episodes(tasks, 0), Limits(horizon=24)))


def test_the_script_solves_every_task_and_idling_solves_none(world):
    tasks = tasks_in(world)
    assert all(trace.reward() == 1 for trace in play(world, tasks, ScriptedHelper(tasks, world.base)))
    for call in (Call("respond", {"content": "What else?"}), Call("transfer_to_human_agents", {"summary": ""})):
        traces = play(world, tasks, Idle(call))
        assert all(trace.outcome is Outcome.FAILURE for trace in traces)
    noisy = play(world, tasks, ScriptedHelper(tasks, world.base, 1.0))
    assert 0 < sum(trace.reward() or 0 for trace in noisy) < len(noisy)


def test_every_wrong_variation_of_a_request_is_graded_as_wrong(world):
    environment = ToolEnvironment(world, lambda task, _: None)
    for task in tasks_in(world, 20):
        (gold, *_), base = requests_of(task), world.base
        one = make_task(task.id, base, task.hidden["user_id"], [gold])

        async def graded(request, one=one):
            async with environment.session() as session:
                await session.reset(one, 0)
                await session.step(Action("", request.call()))
                verdict = await session.grade()
                assert verdict is not None
                return verdict.reward

        assert asyncio.run(graded(gold)) == 1
        assert request_of(gold.call()) == gold
        for other in mutations(base, gold, task.hidden["user_id"]):
            assert other != gold
            assert asyncio.run(graded(other)) == 0, (gold, other)


def test_the_user_says_details_only_when_asked_and_never_the_whole_brief(world):
    held = [task for task in tasks_in(world, 60) if any(task.hidden["withheld"])]
    seen = 0
    for task in held:
        request = requests_of(task)[task.hidden["withheld"].index(True)]
        place = task.hidden["withheld"].index(True)
        user = user_of(world, task)

        async def talk(user: RuleUser, place=place):
            said = [await user.opening()]
            said += [await user.reply("What can I do for you?") for _ in range(place + 1)]
            return said, await user.reply("What is the reason, or the payment method?")

        said, answer = asyncio.run(talk(user))
        secret = request.reason or request.payment
        if request.kind in ("cancel", "return", "exchange", "modify"):
            seen += 1
            assert not any(secret in one.text for one in said)
            assert secret in answer.text or "reason" in answer.text
    assert seen > 5


def test_nothing_hidden_reaches_the_log_of_a_prompt_before_it_is_said(world):
    tasks = tasks_in(world, 20)
    for trace in play(world, tasks, ScriptedHelper(tasks, world.base)):
        first = Context(trace.task, trace.turns[0].observation)
        text = json.dumps([first.observation.text, dict(first.observation.info), log_of(first)[0]])
        for request in requests_of(trace.task):
            if request.kind != "home":
                assert request.subject not in text
        assert {turn.observation.info["from"] for turn in trace.turns} <= {"user", *(s.name for s in world.specs)}


def test_logs_are_in_the_vocabulary_and_actions_parse_back(world):
    words = set(vocabulary())
    tasks = tasks_in(world, 30)
    for trace in play(world, tasks, ScriptedHelper(tasks, world.base)):
        for index, turn in enumerate(trace.turns):
            pieces, shown = log_of(Context(trace.task, turn.observation, trace.turns[:index]))
            assert {word for piece in pieces for word in piece.split()} <= words
            assert parse_action(turn.action.text, shown) == turn.action.call


def test_malformed_actions_change_nothing_and_say_why(world):
    task = tasks_in(world, 1)[0]
    environment = ToolEnvironment(world, lambda one, _: user_of(world, one))

    async def steps():
        async with environment.session() as session:
            await session.reset(task, 0)
            for call in (
                Call("no_such_tool"),
                Call("get_order_details", {}),
                Call("get_order_details", {"order_id": 3}),
            ):
                step = await session.step(Action("", call))
                assert step.observation.error
                assert not step.done
            step = await session.step(Action("gibberish", None, "not an action"))
            assert step.observation.error == "not an action"
            verdict = await session.grade()
            assert verdict is not None
            assert verdict.reward == 0

    asyncio.run(steps())


def test_required_outputs_have_to_be_said(world):
    task = make_task("out", world.base, next(iter(world.base.tables["users"])), [])
    from dataclasses import replace

    task = replace(task, hidden={**task.hidden, "outputs": ["1,234.5"]})
    environment = ToolEnvironment(world, lambda one, _: user_of(world, one))

    async def said(text):
        async with environment.session() as session:
            await session.reset(task, 0)
            await session.step(Action("", Call("respond", {"content": text})))
            verdict = await session.grade()
            assert verdict is not None
            return verdict.reward

    assert asyncio.run(said("It is $1234.50")) == 1
    assert asyncio.run(said("I do not know")) == 0


def test_a_request_is_its_call(world):
    request = Request("exchange", "#W1", payment="p", items=(("1", "2"), ("3", "4")))
    assert request.call().arguments["new_item_ids"] == ["2", "4"]
    assert request_of(request.call()) == request
    assert request_of(Call("get_order_details", {"order_id": "#W1"})) is None
