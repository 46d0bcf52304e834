"""The long family: hunts are what they promise, and the other templates' draws are what they always were."""

import hashlib
import json
from collections import Counter

import pytest

from turnsmith.engine.sampling import turn_seed
from turnsmith.envs.browser.chromium import find_chromium
from turnsmith.envs.browser.environment import BrowserEnvironment
from turnsmith.errors import UserError
from turnsmith.rollout.collect import Episode, Limits, collect
from turnsmith.tasks.splits import check_overlap
from turnsmith.trace.codec import task_to_json
from turnsmith.worlds.sites import SITES
from turnsmith.worlds.sites.demonstrator import DETOUR, Demonstrator
from turnsmith.worlds.sites.hunt import LONGEST, SHORTEST
from turnsmith.worlds.sites.server import LocalSites
from turnsmith.worlds.sites.tasks import generate, template_names

ALL = tuple(SITES)

# SHA-256 of draws made before there were hunts: recorded results rest on them.
BEFORE = {
    ("train", 0): "cf22e5a5cbf9c734585f2398f9402423626e0775161441de80639d23104fe641",
    ("validation", 0): "75d45f4ceb396703d14c4e177b01539136b6d288e4fdcc818d42541691922ab9",
    ("test", 0): "d4ec9b2e73f500585a4e76814be5ae94aa5d3aa29292b10b6ceb6461af844e91",
    ("test_templates", 3): "5c97f497c6242b1a63d859b9adea0ad331c7322dc29c21da1e1c5a7d2d67d02b",
}


@pytest.mark.parametrize(("split", "seed"), BEFORE)
def test_draws_of_the_other_templates_are_what_they_were(split, seed):
    rows = [task_to_json(task) for task in generate(ALL, split, 150, seed)]
    assert hashlib.sha256(json.dumps(rows).encode()).hexdigest() == BEFORE[split, seed]


def test_the_family_is_apart_and_its_held_out_template_is_only_in_its_split():
    for site in SITES:
        assert template_names(site, "train", long=True) == ["hunt", "hunt_open", "hunt_mark"]
        assert template_names(site, "test_templates", long=True) == ["hunt_fact"]
        for split in ("train", "test_templates"):
            assert not any(name.startswith("hunt") for name in template_names(site, split))
    with pytest.raises(UserError, match="no template compare"):
        generate(ALL, "train", 5, 0, ["compare"], long=True)


def test_hunts_need_six_to_twenty_steps_of_looking_and_one_thing_fits():
    tasks = generate(ALL, "train", 150, 1, long=True)
    for task in tasks:
        world = SITES[task.params["site"]].world(task.params["world"])
        popups = world.theme.cookie + world.theme.newsletter
        hunt = task.hidden["plan"][0]
        steps = task.params["needed_steps"] - popups
        assert SHORTEST <= steps <= LONGEST + 2  # marking takes up to two steps more
        assert hunt["do"] == "hunt"
        assert task.provenance["entities"][0] == world.brand
        assert hunt["value"] in task.instruction
        assert hunt["label"] in task.instruction
    assert Counter(task.params["template"] for task in tasks) == {"hunt": 50, "hunt_open": 50, "hunt_mark": 50}
    assert sum(task.params["needed_steps"] > 10 for task in tasks) > 80
    check_overlap(tasks, generate(ALL, "test", 150, 0, long=True))


def test_a_longer_draw_begins_with_the_shorter_one():
    longer = generate(("shop", "docs"), "train", 40, 9, long=True)
    assert generate(("shop", "docs"), "train", 15, 9, long=True) == longer[:15]


@pytest.fixture(scope="module")
def chromium():
    try:
        find_chromium()
    except UserError as error:
        pytest.skip(str(error))


async def played(tasks, script, horizon=30):
    episodes = [Episode(task.id, task, turn_seed(0, place)) for place, task in enumerate(tasks)]
    async with BrowserEnvironment(LocalSites(), 4) as environment:
        return await collect(environment, script, episodes, Limits(horizon), workers=4)


async def test_a_flawless_hunt_takes_the_promised_steps(chromium):
    tasks = [
        next(task for task in generate((site,), split, 12, 2, long=True) if task.params["needed_steps"] < 12)
        for site, split in zip(ALL, ("train", "test", "test_templates", "train", "test_templates"), strict=True)
    ]
    for trace in await played(tasks, Demonstrator(tasks)):
        assert trace.reward() == 1.0, trace.verdicts
        assert len(trace.turns) == trace.task.params["needed_steps"]


async def test_demonstrations_wander_and_go_back_and_fail_at_times(chromium):
    tasks = generate(("shop", "forum"), "train", 12, 5, long=True)
    traces = await played(tasks, Demonstrator(tasks, 0.6, 0.0, 5, detour=0.15, roam=1.0), 24)
    backs = [sum(turn.action.call.name == "go_back" for turn in trace.turns) for trace in traces]  # type: ignore
    assert sum(backs) > 12
    detours = 0
    for trace in traces:
        for turn, after in zip(trace.turns[:-1], trace.turns[1:], strict=True):
            if turn.action.text.startswith(f"Thought: {DETOUR}"):
                moved = turn.observation.info["url"] != after.observation.info["url"]
                detours += moved
                assert not moved or after.action.call.name == "go_back"  # type: ignore
    assert detours > 0
    assert 0 < sum(trace.reward() or 0.0 for trace in traces) < len(traces)
    again = await played(tasks[:3], Demonstrator(tasks, 0.6, 0.0, 5, detour=0.15, roam=1.0), 24)
    assert [[turn.action.text for turn in trace.turns] for trace in again] == [
        [turn.action.text for turn in trace.turns] for trace in traces[:3]
    ]
