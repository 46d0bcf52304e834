"""The table top behind the contract of environments."""

from collections.abc import Sequence

import numpy as np
import pytest

from turnsmith.agents.base import Context
from turnsmith.errors import UserError
from turnsmith.rollout.collect import Limits, collect, evaluation_episodes
from turnsmith.trace.types import Action, Call, Outcome, Task
from turnsmith.worlds.tabletop.environment import TabletopEnvironment, look, make_task
from turnsmith.worlds.tabletop.points import to_thousandths
from turnsmith.worlds.tabletop.tasks import TableTask


class Scripted:
    """Says the same keypoints in every scene."""

    version = "scripted"

    def __init__(self, points):
        self.points = points

    async def act(self, contexts: Sequence[Context]):
        assert all(not context.task.hidden for context in contexts)
        return [Action("", Call("keypoints", {"points": self.points})) for _ in contexts]

    async def log_prob(self, steps):
        return [[] for _ in steps]


async def test_an_episode_is_one_look_one_action_and_the_oracles_word(tmp_path):
    task = make_task(TableTask.DRAWER, 1, 100)
    seen = look(TableTask.DRAWER, 1, 100, tmp_path)
    points = to_thousandths(seen.oracle_52, 224, 224).tolist()
    async with TabletopEnvironment(cache=tmp_path, film=lambda task: True) as environment:
        (won,) = await collect(environment, Scripted(points), evaluation_episodes([task], 0), Limits(horizon=1))
        far = [[900, 900]] * 5
        (lost,) = await collect(environment, Scripted(far), evaluation_episodes([task], 0), Limits(horizon=1))
    assert won.outcome is Outcome.SUCCESS
    assert won.reward() == 1.0
    assert won.final is not None
    assert won.final.images[0].media_type == "image/webp"
    assert won.turns[0].observation.images[0].data == seen.jpeg
    assert max(won.turns[0].info["pixel_errors"]) < 0.5
    assert lost.outcome is Outcome.FAILURE
    assert lost.turns[0].info["failure"] == "effect"
    assert "gap" in lost.verdicts[0].reason


async def test_what_the_camera_saw_is_read_back_as_it_was(tmp_path):
    first, again = (look(TableTask.UNPLUG, 0, 7, tmp_path) for _ in range(2))
    assert first.jpeg == again.jpeg
    assert np.array_equal(first.depth_HW, again.depth_HW)
    assert np.array_equal(first.oracle_52, again.oracle_52)


async def test_words_that_are_no_keypoints_change_nothing(tmp_path):
    async with TabletopEnvironment(cache=tmp_path) as environment, environment.session() as session:
        await session.reset(make_task(TableTask.UNPLUG, 0, 7), 0)
        for action in (Action("?", None, "not JSON"), Action("", Call("keypoints", {"points": [[1, 2]]}))):
            step = await session.step(action)
            assert not step.done
            assert step.observation.error
        verdict = await session.grade()
    assert verdict is not None
    assert verdict.reward == 0.0


async def test_wrong_params_are_the_users_error():
    async with TabletopEnvironment() as environment, environment.session() as session:
        with pytest.raises(UserError, match="params must be"):
            await session.reset(Task("t", "x", "tabletop", {"task": "pouring"}), 0)
        with pytest.raises(UserError, match="unknown table-top task"):
            await session.reset(Task("t", "x", "tabletop", {"task": "ironing", "geometry": 0, "scene": 0}), 0)
