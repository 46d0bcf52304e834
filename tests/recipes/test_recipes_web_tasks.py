"""Tasks of one's own in every web recipe: drawn again and again, tested apart, each kind with its host."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from turnsmith.envs.browser import OpenWeb
from turnsmith.errors import UserError
from turnsmith.judges.webarena.host import WebArenaHost
from turnsmith.recipes.shared.web import WebEpisodes
from turnsmith.recipes.shared.web_config import WebConfig
from turnsmith.recipes.shared.web_tasks import FileTasks, LocalTasks, task_source
from turnsmith.runs.run import Run
from turnsmith.tasks.files import save_tasks
from turnsmith.trace.types import Task
from turnsmith.worlds.sites.server import LocalSites
from turnsmith.worlds.sites.tasks import generate


def own_tasks(tmp_path: Path) -> tuple[list[Task], str]:
    tasks = [
        replace(one, id=f"{split}-{one.id}", split=split)
        for split in ("train", "test")
        for one in generate(("shop",), split, 3, 0)
    ]
    return tasks, str(save_tasks(tasks, tmp_path / "mine.jsonl"))


def test_training_goes_round_a_file_and_tests_are_apart(tmp_path: Path):
    tasks, path = own_tasks(tmp_path)
    source = FileTasks(path)
    drawn = source.draw("train", 7, 5)
    assert Counter(task.id for task in drawn[:6]) == {task.id: 2 for task in tasks[:3]}
    assert drawn[:4] == source.draw("train", 4, 5)
    assert drawn != source.draw("train", 7, 6)
    assert source.draw("test", 2, 0) == tasks[3:5]
    only = str(save_tasks(tasks[:3], tmp_path / "train.jsonl"))
    with pytest.raises(UserError, match='no task has the split "test"'):
        FileTasks(only).draw("test", 2, 0)


def test_each_kind_of_task_has_its_host(tmp_path: Path):
    def host(*tasks: Task):
        return FileTasks(str(save_tasks(tasks, tmp_path / "tasks.jsonl"))).host()

    page = Task("a", "look", "browser", {"start_url": "http://a.org/"})
    assert isinstance(host(page), OpenWeb)
    assert not isinstance(host(page), WebArenaHost)
    assert isinstance(host(replace(page, hidden={"eval": {}})), WebArenaHost)
    assert isinstance(FileTasks(own_tasks(tmp_path)[1]).host(), LocalSites)
    assert isinstance(task_source("", WebConfig()), LocalTasks)


def test_scripts_demonstrate_the_local_sites_alone(tmp_path: Path):
    FileTasks(own_tasks(tmp_path)[1]).check_demonstrations(3)
    page = Task("a", "look", "browser", {"start_url": "http://a.org/"})
    there = FileTasks(str(save_tasks([page], tmp_path / "web.jsonl")))
    there.check_demonstrations(0)
    with pytest.raises(UserError, match="of the local sites alone"):
        there.check_demonstrations(1)


def test_rewards_come_from_the_judge_that_is_named(tmp_path: Path):
    with Run(tmp_path / "run", {"recipe": "x"}) as run:
        assert WebEpisodes(run, WebConfig()).decides == "oracle"
        judged = WebEpisodes(run, WebConfig(), judge="openai:m@http://127.0.0.1:9/v1")
    assert judged.decides != "oracle"
