"""A corrupt or half-written run shows what is readable and says what is not."""

import json
import os
import sqlite3

import pytest
from view_site import edit

from turnsmith.errors import UserError
from turnsmith.trace.store import Store
from turnsmith.view.folder import read_folder
from turnsmith.view.report import write_report
from turnsmith.view.run import Run
from turnsmith.view.runs import Runs, runs_to_show
from turnsmith.view.sample import write_sample_run


@pytest.fixture
def folder(tmp_path):
    return write_sample_run(tmp_path / "run", traces=30, turns=4, iterations=2, distinct=3)


def test_a_half_written_last_line_is_a_writer_at_work_and_a_bad_line_is_damage(folder):
    path = folder / "metrics.jsonl"
    good = path.read_text()
    path.write_text(good + '{"iteration": 9, "succ')
    assert read_folder(folder).problems == ()
    path.write_text("not json\n" + good + "[1]\n")
    problems = read_folder(folder).problems
    assert len(problems) == 1
    assert "lines 1, " in problems[0]
    assert len(read_folder(folder).metrics) == good.count("\n")


def test_each_broken_text_file_is_named_and_the_rest_is_shown(folder):
    (folder / "config.json").write_text('{"recipe": "filt')
    (folder / "report.json").write_bytes(b"\xff\xfe[1, 2]")
    row = Run(folder).row()
    assert row["traces"] == 30
    assert row["success"]["n"] > 0
    assert [problem.split()[0] for problem in row["problems"]] == ["config.json", "report.json"]


def test_a_turn_whose_record_is_broken_is_named_and_the_other_turns_are_shown(folder):
    edit(folder, "UPDATE turns SET body = '{\"observation\": ' WHERE trace_seq = 1 AND position = 1")
    edit(folder, "DELETE FROM turns WHERE trace_seq = 1 AND position = 2")
    edit(folder, "UPDATE turns SET tokens = x'0102' WHERE trace_seq = 1 AND position = 0")
    page = Run(folder).trace("trace-00000")
    assert page is not None
    assert [problem.split(" ")[1] for problem in page["problems"]] == ["2", "3"]
    assert page["turns"][0]["observation"]["images"]
    assert page["turns"][0]["tokens"]["ids"] == []
    assert page["turns"][1]["action"]["text"] == ""


def test_fields_of_the_wrong_kind_do_not_break_the_page(folder):
    odd = {"observation": {"text": 5, "images": "x", "info": [1]}, "action": [], "seconds": None, "info": "text"}
    edit(folder, "UPDATE turns SET body = ? WHERE trace_seq = 1", json.dumps(odd))
    edit(folder, "UPDATE traces SET head = '[]', iteration = 'many', created_at = 'x' WHERE seq = 1")
    edit(folder, "UPDATE traces SET instruction = CAST(x'ff41' AS TEXT) WHERE seq = 2")
    run = Run(folder)
    page = run.trace("trace-00000")
    assert page is not None
    assert page["task"]["hidden"] == {}
    assert page["row"]["iteration"] is None
    assert run.rows.all()[1].instruction == "�A"


@pytest.mark.parametrize("damage", ["not sqlite", "empty", "cut", "zeroed pages", "other database"])
def test_a_damaged_database_never_raises_and_is_said_to_be_damaged(folder, damage):
    path = folder / "run.db"
    edit(folder, "PRAGMA journal_mode=DELETE")
    data = path.read_bytes()
    page = int.from_bytes(data[16:18], "big")
    if damage == "not sqlite":
        path.write_bytes(b"this is no database" * 500)
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "zeroed pages":
        middle = len(data) // page // 2
        path.write_bytes(data[: middle * page] + bytes(4 * page) + data[(middle + 4) * page :])
    else:
        path.unlink()
        db = sqlite3.connect(path)
        db.execute("CREATE TABLE notes (text TEXT)")
        db.commit()
        db.close()
    run = Run(folder)
    row = run.row()
    overview = run.overview()
    assert overview["series"]
    readable = 0
    for found in run.rows.all():
        try:
            shown = run.trace(found.id)
        except sqlite3.Error:
            continue
        readable += shown is not None
        if shown and not shown["problems"]:
            images = [digest for turn in shown["turns"] for digest in turn["observation"]["images"]]
            assert images
    if damage in ("not sqlite", "empty", "other database"):
        assert row["problems"]
    else:
        assert readable > 0 or row["problems"]
    assert write_report(folder).stat().st_size > 10_000


def test_a_trace_that_cannot_be_listed_is_counted_and_the_others_are_listed(folder):
    """A page of the table of traces is overwritten; traces on other pages are still there."""
    edit(folder, "PRAGMA journal_mode=DELETE")
    db = sqlite3.connect(folder / "run.db")
    page_size = db.execute("PRAGMA page_size").fetchone()[0]
    # Leaves of the table's tree: the second one in the file loses its header.
    leaves = _leaf_pages(
        folder / "run.db", db.execute("SELECT rootpage FROM sqlite_master WHERE name='traces'").fetchone()[0], page_size
    )
    db.close()
    with (folder / "run.db").open("r+b") as file:
        file.seek((leaves[-1] - 1) * page_size)
        file.write(b"\xff" * 64)
    run = Run(folder)
    rows = run.rows.all()
    assert 0 < len(rows) < 30
    assert any("cannot be read" in problem for problem in run.problems())


def _leaf_pages(path, root: int, page_size: int) -> list[int]:
    """Child pages of an interior table page (file format of SQLite, section 1.6)."""
    data = path.read_bytes()[(root - 1) * page_size : root * page_size]
    assert data[0] == 5, "the table has grown beyond one page"
    count = int.from_bytes(data[3:5], "big")
    cells = [int.from_bytes(data[12 + 2 * i : 14 + 2 * i], "big") for i in range(count)]
    return [int.from_bytes(data[cell : cell + 4], "big") for cell in cells] + [int.from_bytes(data[8:12], "big")]


def test_a_run_without_traces_yet_is_a_run_and_gets_them_as_they_come(tmp_path):
    folder = tmp_path / "young"
    folder.mkdir()
    (folder / "config.json").write_text('{"recipe": "filtered_bc"}')
    runs = Runs(tmp_path, [])
    young = runs.get("young")
    assert young is not None
    assert young.row()["traces"] == 0
    assert any("no run.db yet" in problem for problem in young.problems())
    with Store(folder / "run.db"):
        pass
    grown = runs.get("young")
    assert grown is not None
    assert grown.problems() == []


def test_links_that_leave_the_run_folder_are_not_followed(folder, tmp_path):
    secret = tmp_path / "secret.json"
    secret.write_text('{"password": "hunter2"}')
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to(secret)
    os.rename(folder / "run.db", tmp_path / "elsewhere.db")
    (folder / "run.db").symlink_to(tmp_path / "elsewhere.db")
    run = Run(folder)
    assert "hunter2" not in json.dumps(run.overview())
    assert run.rows.all() == []
    assert any("config.json is a link" in problem for problem in run.problems())


def test_names_of_runs_are_found_below_the_folder_of_runs_and_unknown_ones_are_refused(sample_root, tmp_path):
    assert list(runs_to_show(["seed-1"], sample_root).all()) == ["seed-1"]
    assert list(runs_to_show([str(sample_root / "seed-0" / "run.db")]).all()) == ["seed-0"]
    assert list(runs_to_show([str(sample_root)]).all()) == ["seed-0", "seed-1"]
    with pytest.raises(UserError, match=r"nothing: there is no run of this name. Runs here: seed-0, seed-1"):
        runs_to_show(["nothing"], sample_root)
