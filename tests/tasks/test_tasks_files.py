"""Task files: what is written is read back, other formats are understood, complaints name file and line."""

import json
from pathlib import Path
from typing import Any

import pytest

from turnsmith.data import data_file
from turnsmith.errors import UserError
from turnsmith.tasks.files import load_tasks, load_webarena, load_webvoyager, save_tasks
from turnsmith.trace.types import Task

SHORT = {"id": "a", "instruction": "Find it.", "start_url": "https://example.org/"}


def written(tmp_path: Path, *rows: Any) -> Path:
    path = tmp_path / "tasks.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_tasks_are_read_back_as_they_were_written(tmp_path):
    tasks = [
        Task("a", "Kauf „Äpfel“\nund mehr", "browser", {"site": "shop", "world": 3}, "test", {"n": 1}, {"goal": {}}),
        Task("b", "Solve it.", "countdown", {"numbers": [1, 2]}),
    ]
    assert load_tasks(save_tasks(tasks, tmp_path / "t.jsonl")) == tasks


def test_the_short_form_becomes_a_browser_task(tmp_path):
    row = {**SHORT, "allow": ["*.example.org"], "split": "test", "hidden": {"answer": "7"}}
    assert load_tasks(written(tmp_path, "", row)) == [
        Task(
            "a",
            "Find it.",
            "browser",
            {"start_url": "https://example.org/", "allow": ["*.example.org"]},
            "test",
            hidden={"answer": "7"},
        )
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"id": "a", "instruction": "x"}], 'line 1: "start_url" is missing. Each task needs id, instruction and'),
        ([SHORT, {**SHORT, "id": ""}], 'line 2: "id" is missing'),
        ([{**SHORT, "instruction": "  "}], 'line 1: "instruction" must be a text'),
        ([{**SHORT, "start_url": "ftp://x"}], "line 1: 'ftp://x' is not an http or https address"),
        ([{**SHORT, "start_url": "https://[x"}], "is not an http or https address"),
        ([{**SHORT, "params": [1]}], 'line 1: "params" must be an object'),
        ([SHORT, "", SHORT], "line 3: the id 'a' is already that of line 1"),
        ([SHORT, "{"], "line 2: not JSON"),
        ([{"ques": "x", "id": "A--0"}], 'line 1: "web" is missing'),
    ],
)
def test_a_bad_row_is_named_with_its_line(tmp_path, rows, message):
    with pytest.raises(UserError) as raised:
        load_tasks(written(tmp_path, *rows))
    assert message in str(raised.value)
    assert str(raised.value).startswith(str(tmp_path / "tasks.jsonl"))
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        load_tasks(tmp_path / "none.jsonl")
    with pytest.raises(UserError, match="cannot be written"):
        save_tasks([], tmp_path / "none" / "t.jsonl")


def test_pae_rows_keep_their_evaluator_hidden(tmp_path):
    row = {"web_name": "Shop", "id": "Shop--0", "ques": "Buy.", "web": "https://s.org", "eval": {"eval_types": []}}
    (task,) = load_tasks(written(tmp_path, row))
    assert task.params["site"] == "Shop"
    assert task.hidden == {"eval": {"eval_types": []}}


def test_pae_rows_of_webarena_get_their_addresses(tmp_path, monkeypatch):
    row = {"web_name": "shopping", "id": "s--1", "ques": "Go.", "web": "__SHOPPING__"}
    row["eval"] = {"eval_types": ["url_match"], "reference_url": "__SHOPPING__/cart"}  # type: ignore
    monkeypatch.setenv("SHOPPING", "http://localhost:7770/")
    (task,) = load_tasks(written(tmp_path, row))
    assert task.params["start_url"] == "http://localhost:7770"
    assert task.hidden["eval"]["reference_url"] == "http://localhost:7770/cart"
    monkeypatch.delenv("SHOPPING")
    with pytest.raises(UserError, match="line 1: __SHOPPING__ has no address"):
        load_tasks(written(tmp_path, row))


WEBARENA = {
    "sites": ["shopping"],
    "task_id": 7,
    "require_login": True,
    "storage_state": "./.auth/shopping_state.json",
    "start_url": "__SHOPPING__/a |AND| __SHOPPING__/b",
    "geolocation": None,
    "intent_template": "{{x}}",
    "intent_template_id": 1,
    "instantiation_dict": {"x": "y"},
    "intent": "Compare.",
    "require_reset": False,
    "eval": {"eval_types": ["url_match"], "reference_url": "__SHOPPING__/b"},
}


def test_webarena_placeholders_become_addresses_everywhere(tmp_path):
    path = tmp_path / "test.json"
    path.write_text(json.dumps([WEBARENA]))
    (task,) = load_webarena(path, {"shopping": "http://localhost:7770/"})
    assert task.id == "webarena-7"
    assert task.params["start_url"] == "http://localhost:7770/a"
    assert task.params["start_urls"] == ["http://localhost:7770/a", "http://localhost:7770/b"]
    assert task.params["allow"] == ["localhost"]
    assert task.hidden["eval"]["reference_url"] == "http://localhost:7770/b"


def test_a_webarena_site_without_an_address_says_which_variable_to_set(tmp_path, monkeypatch):
    monkeypatch.delenv("SHOPPING", raising=False)
    path = tmp_path / "test.json"
    path.write_text(json.dumps([WEBARENA]))
    with pytest.raises(UserError, match=r"task 1: __SHOPPING__ has no address. Set the environment variable SHOPPING"):
        load_tasks(path)
    path.write_text(json.dumps([{"task_id": 1}]))
    with pytest.raises(UserError, match='task 1: "intent" is missing'):
        load_tasks(path)


def real(name: str) -> Path:
    path = data_file(f"web/{name}")
    if path is None:
        pytest.skip(f"the real file {name} is not here; set TURNSMITH_DATA")
    return path


def test_the_real_webvoyager_tasks_all_load_with_their_references():
    tasks = load_webvoyager(real("webvoyager_tasks.jsonl"), real("webvoyager_reference_answers.json"))
    assert len(tasks) == 643
    assert len({task.params["site"] for task in tasks}) == 15
    kinds = [task.hidden["reference"]["type"] for task in tasks]
    assert (kinds.count("golden"), kinds.count("possible")) == (143, 500)
    assert tasks == load_webvoyager(real("webvoyager_tasks.jsonl"), real("webvoyager_reference_answers.json"))
    assert [task.id for task in load_tasks(real("webvoyager_tasks.jsonl"))] == [task.id for task in tasks]


def test_the_real_webarena_configurations_all_load():
    sites = ("shopping", "shopping_admin", "reddit", "gitlab", "map", "wikipedia", "homepage")
    tasks = load_webarena(real("webarena_tasks.json"), {site: f"http://{site}.test:80" for site in sites})
    assert len(tasks) == 812
    assert not any("__" in task.params["start_url"] for task in tasks)
    references = [task.hidden["eval"].get("reference_answers") or {} for task in tasks]
    assert sum("N/A" in str(answer.get("fuzzy_match", "")) for answer in references) == 36
