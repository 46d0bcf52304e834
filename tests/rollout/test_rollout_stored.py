"""A collection that was stopped goes on where it stopped, and gives the traces that an uninterrupted one gives."""

from dataclasses import replace

import pytest
from test_rollout_collect import LIMITS, Corridor, Walker, corridor_task

from turnsmith.rollout.collect import evaluation_episodes
from turnsmith.rollout.stored import collect_into
from turnsmith.trace import Outcome, Store

TASKS = [corridor_task(n, length=n % 4) for n in range(10)]


def content(traces):
    """Traces without what differs from one wall clock to another."""
    return [
        (t.id, t.outcome, t.verdicts, [(turn.observation.text, turn.action.text) for turn in t.turns]) for t in traces
    ]


class Stop(Exception):
    pass


async def test_an_interrupted_collection_goes_on_without_playing_anything_twice(tmp_path):
    episodes = evaluation_episodes(TASKS, seed=5)
    with Store(tmp_path / "whole.db") as store:
        whole = await collect_into(store, Corridor(), Walker(), episodes, LIMITS)
    store = Store(tmp_path / "run.db")
    seen = []

    def stop_after_four(trace):
        seen.append(trace.id)
        if len(seen) == 4:
            raise Stop

    with pytest.raises(Stop):
        await collect_into(store, Corridor(), Walker(), episodes, LIMITS, workers=2, on_trace=stop_after_four)
    kept = store.count()
    assert kept >= 4
    walker = Walker()
    resumed = await collect_into(store, Corridor(), walker, episodes, LIMITS)
    assert content(resumed) == content(whole)
    assert store.count() == len(TASKS)
    assert len({context.task.id for context in walker.contexts}) == len(TASKS) - kept


async def test_a_loss_before_the_kill_is_retried_after_it(tmp_path):
    [episode] = evaluation_episodes([corridor_task(1, breaks_at=1)], seed=5)
    store = Store(tmp_path / "run.db")

    def stop(trace):
        raise Stop

    with pytest.raises(Stop):
        await collect_into(store, Corridor(), Walker(), [episode], LIMITS, on_trace=stop)
    assert [row.outcome for row in store.summaries()] == [Outcome.INFRA_ERROR]
    corridor = Corridor()
    corridor.broken.add("walk-1")  # it broke once already
    [trace] = await collect_into(store, corridor, Walker(), [episode], LIMITS)
    assert (trace.outcome, trace.id) == (Outcome.SUCCESS, f"{episode.id}-retry1")


async def test_an_episode_whose_retries_ran_out_is_not_played_again(tmp_path):
    limits = replace(LIMITS, retries=0)
    [episode] = evaluation_episodes([corridor_task(1, breaks_at=0)], seed=5)
    with Store(tmp_path / "run.db") as store:
        await collect_into(store, Corridor(), Walker(), [episode], limits)
        [trace] = await collect_into(store, Corridor(), Walker(), [episode], limits)
        assert trace.outcome is Outcome.INFRA_ERROR
        assert store.count() == 1
