"""The environment over phones: pixels in, the grammar out, a reward for each step, the oracle at the end."""

import asyncio

import pytest

from turnsmith.agents.aitw import render_aitw
from turnsmith.envs.device import DeviceEnvironment, Look, OracleEvaluator
from turnsmith.errors import UserError
from turnsmith.rollout.collect import Episode, Limits, collect
from turnsmith.trace.types import Action, Call, Outcome, Task, Verdict
from turnsmith.worlds.phone import ROUGH, ChromiumPhone, LocalPhones
from turnsmith.worlds.phone.demonstrator import Demonstrator
from turnsmith.worlds.phone.tasks import GENERAL, generate

pytestmark = pytest.mark.asyncio(loop_scope="session")

TASK = Task(
    "t",
    "Open the Clock app",
    "device",
    {"day": 0},
    hidden={"goal": {"page": "clock/alarms"}, "plan": [[["tap", "app Clock"]]]},
)
CLOCK = Call("tap", {"y": 0.88, "x": 0.62})


def act(call: Call) -> Action:
    return Action(render_aitw(call), call)


class Lenient:
    """An evaluator that keeps what it was shown and calls the second step a success."""

    name = "lenient"

    def __init__(self) -> None:
        self.looks: list[Look] = []

    async def judge(self, look: Look) -> Verdict:
        self.looks.append(look)
        return Verdict(self.name, float(look.step == 2))


async def test_pixels_are_all_that_is_observed_and_the_oracle_ends_the_episode(phones):
    environment = DeviceEnvironment(phones, 1, OracleEvaluator())
    async with environment.session() as session:
        first = await session.reset(TASK, 5)
        assert (first.text, len(first.images), dict(first.info), first.error) == ("", 1, {}, "")
        missed = await session.step(act(Call("tap", {"y": 0.62, "x": 0.5})))
        assert (missed.reward, missed.done, missed.info["oracle"]) == (0.0, False, 0.0)
        assert missed.observation.images == first.images
        hit = await session.step(act(CLOCK))
        assert (hit.reward, hit.done, hit.info["oracle"], hit.info["evaluator"]) == (1.0, True, 1.0, "oracle")
        assert hit.info["gesture"] == {"tap": [223, 668]}
        assert dict(hit.observation.info) == {}
        verdict = await session.grade()
        assert verdict is not None
        assert verdict.reward == 1.0


async def test_the_evaluator_gives_the_reward_and_the_oracle_the_report(phones):
    evaluator = Lenient()
    async with DeviceEnvironment(phones, 1, evaluator).session() as session:
        await session.reset(TASK, 5)
        hit = await session.step(act(CLOCK))
        assert (hit.reward, hit.done, hit.info["oracle"]) == (0.0, False, 1.0)
        wrong = await session.step(act(Call("press", {"key": "home"})))
        assert (wrong.reward, wrong.done, wrong.info["oracle"]) == (1.0, True, 0.0)
        assert (await session.grade()).reward == 0.0  # type: ignore[union-attr]
    assert [len(look.images) for look in evaluator.looks] == [2, 3]
    assert all(not look.task.hidden for look in evaluator.looks)


async def test_status_ends_and_nonsense_is_a_step_error(phones):
    async with DeviceEnvironment(phones, 1).session() as session:
        first = await session.reset(TASK, 5)
        bad = await session.step(Action("nonsense", None, "There is no decision."))
        assert bad.observation.error == "There is no decision."
        assert bad.observation.images == first.images
        assert not bad.done
        with pytest.raises(UserError, match="no action"):
            await session.step(act(Call("tap", {"y": 0.1, "x": 0.1})) and Action("", Call("click", {"mark": 1})))
        ended = await session.step(act(Call("status", {"state": "complete"})))
        assert ended.done
        assert ended.reward == 0.0


async def test_every_kind_of_task_can_be_done(phones):
    """The demonstrator that knows everything solves one task of each template and WebShop's triple in rough weather."""
    tasks = [*generate("general", "train", len(GENERAL), seed=3), *generate("webshop", "test", 3, seed=3)]
    rough = {name: 0.5 * getattr(ROUGH, name) for name in ROUGH.__slots__}
    tasks = [
        Task(t.id, t.instruction, t.environment, {**t.params, "chance": rough}, t.split, t.provenance, t.hidden)
        for t in tasks
    ]
    assert len({task.params["template"] for task in tasks}) >= len(GENERAL)
    environment = DeviceEnvironment(phones, 3, OracleEvaluator(), script=ChromiumPhone.boxes)
    demonstrator = Demonstrator(tasks, "all")
    episodes = [Episode(task.id, task, number) for number, task in enumerate(tasks)]
    traces = await collect(environment, demonstrator, episodes, Limits(horizon=30), workers=3)
    assert [trace.task.instruction for trace in traces if trace.outcome is not Outcome.SUCCESS] == []
    assert min(len(trace.turns) for trace in traces) >= 1


async def test_phones_play_side_by_side_without_meeting(phones):
    """Four episodes at once show what each shows alone."""

    async def play(number: int) -> list[str]:
        async with environment.session() as session:
            observation = await session.reset(Task("t", "x", "device", {"day": 20 + number, "world": number}), number)
            digests = [observation.images[0].digest]
            for call in (CLOCK, Call("press", {"key": "home"}), Call("tap", {"y": 0.88, "x": 0.13})):
                digests.append((await session.step(act(call))).observation.images[0].digest)
            return digests

    environment = DeviceEnvironment(phones, 4)
    together = await asyncio.gather(*(play(number) for number in range(4)))
    assert together == [await play(number) for number in range(4)]


async def test_a_dead_browser_is_an_infra_error_and_is_replaced():
    phones = LocalPhones()
    async with DeviceEnvironment(phones, 1, OracleEvaluator()) as environment:
        lost = []

        class Killer:
            version = "killer"

            async def act(self, contexts):
                if not lost:
                    lost.append(True)
                    browser = await phones.pool.browser()
                    await browser.close()
                return [act(CLOCK) for _ in contexts]

            async def log_prob(self, steps):
                return []

        traces = []
        await collect(environment, Killer(), [Episode("e", TASK, 0)], Limits(5), on_trace=traces.append)
    assert [trace.outcome for trace in traces] == [Outcome.INFRA_ERROR, Outcome.SUCCESS]
