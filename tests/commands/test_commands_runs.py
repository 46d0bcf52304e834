"""Runs on the command line: listed, removed, named safely, and none left behind by a mistake."""

import pytest

from turnsmith.cli import main
from turnsmith.errors import UserError
from turnsmith.runs.run import Run, run_folder
from turnsmith.view.sample import write_sample_run


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_runs_are_listed_with_what_came_of_them_in_eighty_columns(here, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    long = "filtered_bc-laptop-with-a-long-name-that-somebody-chose-s0"
    for name in ("short", long):
        write_sample_run(here / "runs" / name, traces=12, turns=2, iterations=1)
    assert main(["runs", "ls"]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    assert "…" not in said
    assert "short" in said
    first_words = [line.split()[0] for line in said.splitlines() if line.strip()]
    assert long in "".join(first_words)
    assert " 12 " in said


def test_a_run_is_removed_and_nothing_else(here, capsys):
    write_sample_run(here / "runs" / "old", traces=4, turns=2)
    (here / "runs" / "notes").mkdir()
    (here / "thesis").mkdir()
    for wrong in ("notes", "../thesis", "absent", ".", "old/checkpoints", "/", ""):
        assert main(["runs", "rm", "old", wrong]) == 2, wrong
        assert (here / "runs" / "old" / "run.db").exists()
    assert main(["runs", "rm", "runs/old"]) == 0
    assert not (here / "runs" / "old").exists()
    assert (here / "thesis").exists()


@pytest.mark.parametrize("name", ["../out", "/tmp/out", "a/b", "", ".hidden", "..", "a\nb", "~"])
def test_a_name_cannot_leave_the_folder_of_runs(here, name, capsys):
    with pytest.raises(UserError, match="--name"):
        run_folder(name)
    assert main(["run", "filtered_bc", "--preset", "smoke", f"--name={name}"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert list(here.iterdir()) == []


def test_a_mistake_that_shows_at_the_start_leaves_no_run_behind(here, capsys):
    arguments = ["--preset", "smoke", "--policy.model", "absent", "--demonstrations.count", "0"]
    assert main(["run", "filtered_bc", *arguments]) == 2
    assert "absent" in capsys.readouterr().err
    assert not (here / "runs" / "filtered_bc-smoke").exists()


def test_a_run_that_has_something_stays_whatever_stops_it(here):
    def stopped(why: str, **metrics: float) -> None:
        with Run("runs/x", {"recipe": "x", "seed": 0}) as run:
            if metrics:
                run.log(**metrics)
            raise UserError(why)

    with pytest.raises(UserError, match="the disk is full"):
        stopped("the disk is full", loss=1.0)
    with pytest.raises(UserError, match="again"):
        stopped("again")
    with Run("runs/x", {"recipe": "x", "seed": 0}) as run:
        assert run.metrics()[0]["loss"] == 1.0
