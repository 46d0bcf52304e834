"""The environment over phones: pixels in, the grammar out; a judge rewards each step, the oracle is asked as well."""

import asyncio

import pytest

from turnsmith.agents.aitw import render_aitw
from turnsmith.envs.device import DeviceEnvironment
from turnsmith.errors import UserError
from turnsmith.judges.base import Oracle, ever_rewarded, screens
from turnsmith.rollout.collect import Episode, Limits, collect
from turnsmith.trace.types import Action, Call, Outcome, Task, Trace, Verdict
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


async def rewarded(session) -> float:
    verdict = await session.grade()
    return verdict.reward


class Lenient:
    """A judge that keeps what it was shown and calls the second step a success."""

    name = "lenient"

    def __init__(self) -> None:
        self.shown: list[Trace] = []

    async def judge(self, trace: Trace) -> Verdict:
        self.shown.append(trace)
        return Verdict(self.name, float(len(trace.turns) == 2))


class Played:
    """A policy that does these calls, one after the other."""

    version = "played"

    def __init__(self, *calls: Call) -> None:
        self.calls = calls

    async def act(self, contexts):
        return [act(self.calls[len(context.turns)]) for context in contexts]

    async def log_prob(self, steps):
        return []


async def play(phones, judge, *calls: Call) -> Trace:
    """One episode of these calls, judged after each step."""
    episodes, limits = [Episode("e", TASK, 5)], Limits(len(calls))
    environment = DeviceEnvironment(phones, 1)
    [trace] = await collect(environment, Played(*calls), episodes, limits, judge=judge, judged="step")
    return trace


async def test_pixels_are_all_that_is_observed_and_the_oracle_speaks_of_the_phone_as_it_stands(phones):
    async with DeviceEnvironment(phones, 1).session() as session:
        assert await session.grade() is None
        first = await session.reset(TASK, 5)
        assert (first.text, len(first.images), dict(first.info), first.error) == ("", 1, {}, "")
        missed = await session.step(act(Call("tap", {"y": 0.62, "x": 0.5})))
        assert (missed.reward, missed.done) == (0.0, False)
        assert await rewarded(session) == 0.0
        assert missed.observation.images == first.images
        hit = await session.step(act(CLOCK))
        assert (hit.reward, hit.done) == (0.0, False)
        assert await rewarded(session) == 1.0
        assert dict(hit.info) == {"gesture": {"tap": [223, 668]}}
        assert dict(hit.observation.info) == {}


async def test_the_oracle_as_the_judge_rewards_the_step_and_ends_the_episode(phones):
    trace = await play(phones, Oracle(), Call("tap", {"y": 0.62, "x": 0.5}), CLOCK, Call("press", {"key": "home"}))
    assert [turn.reward for turn in trace.turns] == [0.0, 1.0]
    assert [(v.judge, v.reward, v.turn) for v in trace.verdicts] == [
        ("oracle", 0.0, 0), ("oracle", 1.0, 1), ("oracle", 1.0, None),
    ]  # fmt: skip
    assert trace.outcome is Outcome.SUCCESS


async def test_the_judge_gives_the_reward_and_the_oracle_the_report(phones):
    judge = Lenient()
    trace = await play(phones, judge, CLOCK, Call("press", {"key": "home"}), CLOCK)
    assert [turn.reward for turn in trace.turns] == [0.0, 1.0]
    said = [(v.judge, v.reward, v.turn) for v in trace.verdicts]
    assert said == [
        ("oracle", 1.0, 0), ("lenient", 0.0, 0), ("oracle", 0.0, 1), ("lenient", 1.0, 1),
        ("oracle", 0.0, None), ("lenient", 1.0, None),
    ]  # fmt: skip
    assert trace.outcome is Outcome.SUCCESS  # by the reward that the run trains on
    assert (trace.reward(), ever_rewarded(trace, "oracle")) == (0.0, True)  # it was done, and then undone
    assert [len(screens(shown)) for shown in judge.shown] == [2, 3]
    assert [shown.verdicts[-1].judge for shown in judge.shown] == ["oracle", "oracle"]


async def test_an_episode_that_is_cut_off_is_no_success_by_any_judge(phones):
    trace = await play(phones, Lenient(), CLOCK)
    assert (trace.outcome, trace.reward(), trace.reward("lenient")) == (Outcome.TRUNCATED, 0.0, 0.0)
    assert ever_rewarded(trace, "oracle") is True


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
    environment = DeviceEnvironment(phones, 3, script=ChromiumPhone.boxes)  # type: ignore
    demonstrator = Demonstrator(tasks, "all")
    episodes = [Episode(task.id, task, number) for number, task in enumerate(tasks)]
    traces = await collect(
        environment, demonstrator, episodes, Limits(horizon=30), workers=3, judge=Oracle(), judged="step"
    )
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
    async with DeviceEnvironment(phones, 1) as environment:
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
        await collect(
            environment,
            Killer(),
            [Episode("e", TASK, 0)],
            Limits(5),
            judge=Oracle(),
            judged="step",
            on_trace=traces.append,
        )
    assert [trace.outcome for trace in traces] == [Outcome.INFRA_ERROR, Outcome.SUCCESS]
