"""The scripted policy solves pages through the same observations and actions as any agent."""

import pytest

from turnsmith.agents.base import Context
from turnsmith.agents.grammar import parse_webvoyager
from turnsmith.envs.browser import BrowserEnvironment
from turnsmith.errors import UserError
from turnsmith.rollout.collect import Episode, Limits, collect
from turnsmith.trace.types import Observation, Outcome, Task
from turnsmith.worlds.miniwob import MiniWob, list_pages, miniwob_tasks
from turnsmith.worlds.miniwob.scene import Scene
from turnsmith.worlds.miniwob.scripted import OBSERVATION, ScriptedMiniWob
from turnsmith.worlds.miniwob.solvers import SOLVERS

# Fifteen kinds of pages; benchmarks/miniwob/measure.py measures every script on many episodes.
NAMED = (
    *("choose-list", "click-button", "click-button-sequence", "click-checkboxes", "click-dialog-2", "click-link"),
    *("click-option", "click-tab-2-medium", "email-inbox-delete", "enter-date", "enter-text", "guess-number"),
    *("login-user", "navigate-tree", "read-table", "simple-algebra"),
)


async def test_fifteen_pages_are_solved():
    tasks = await miniwob_tasks(NAMED, "test", 2)
    async with BrowserEnvironment(MiniWob(), 4, OBSERVATION) as environment:
        episodes = [Episode(task.id, task, 0) for task in tasks]
        traces = await collect(environment, ScriptedMiniWob(), episodes, Limits(horizon=15), workers=4)
    failed = [
        (trace.task.id, trace.outcome, trace.verdicts) for trace in traces if trace.outcome is not Outcome.SUCCESS
    ]
    assert len(NAMED) > 15
    assert not failed
    for trace in traces:
        for turn in trace.turns:  # what it writes is in the grammar, and says what it does
            assert parse_webvoyager(turn.action.text) == turn.action.call


def test_every_script_is_for_a_page_of_the_wheel():
    assert set(SOLVERS) <= set(list_pages())
    assert len(SOLVERS) > 50


async def test_a_page_without_a_script_is_a_line_for_the_user():
    context = Context(Task("t1", "Draw a circle.", "browser", {"page": "draw-circle"}), Observation())
    with pytest.raises(UserError, match=r"task t1: no script plays 'draw-circle'"):
        await ScriptedMiniWob().act([context])


def test_a_scene_reads_lists_and_trees():
    text = """[0]: <input> "", "name";
[1] RootWebArea 'A page' focused: True
\t[0] textbox 'name'
\t[2] StaticText "it's\""""
    row = {"mark": 0, "tag": "input", "text": "", "aria": "name", "type": "text", "value": "Ann", "box": [1, 2, 3, 4]}
    scene = Scene.of(Context(Task("t", "", "browser"), Observation(text, info={"elements": [row]})))
    assert [(line.number, line.role, line.name) for line in scene.lines] == [
        (1, "RootWebArea", "A page"),
        (0, "textbox", "name"),
        (2, "StaticText", "it's"),
    ]
    assert scene.fields[0].text == "Ann"
    assert scene.named("name", "input") == scene.fields[0]
