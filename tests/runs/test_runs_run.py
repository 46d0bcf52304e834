"""A run's folder survives kills and refuses what it cannot go on with."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from turnsmith import cli
from turnsmith.errors import UserError, disk_trouble
from turnsmith.runs.run import Run, read_json

CONFIG = {"recipe": "corridor", "seed": 1}


def test_a_run_reopens_with_its_metrics_and_report(tmp_path):
    with Run(tmp_path / "r", CONFIG) as run:
        run.log(iteration=0, success=0.5)
        run.report(status="running", summary=[])
    with Run(tmp_path / "r", CONFIG) as run:
        assert run.resumed
        assert run.metrics()[0]["success"] == 0.5
        run.report(status="done")
    assert read_json(tmp_path / "r" / "report.json")["summary"] == []


def test_a_torn_last_line_of_metrics_is_dropped(tmp_path):
    with Run(tmp_path / "r", CONFIG) as run:
        run.log(iteration=0)
    with (tmp_path / "r" / "metrics.jsonl").open("a") as file:
        file.write('{"time": 1, "itera')
    with Run(tmp_path / "r", CONFIG) as run:
        run.log(iteration=1)
        assert [row["iteration"] for row in run.metrics()] == [0, 1]


def test_other_settings_are_refused_by_name(tmp_path):
    Run(tmp_path / "r", CONFIG).store.close()
    with pytest.raises(UserError, match=r"other settings \(seed\)"):
        Run(tmp_path / "r", {**CONFIG, "seed": 2})


def test_a_folder_that_is_not_a_run_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="not empty and not a run"):
        Run(tmp_path, CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_unhandled_error_marks_the_run_as_failed(tmp_path):
    with pytest.raises(ZeroDivisionError), Run(tmp_path / "r", CONFIG):
        _ = 1 / 0
    assert read_json(tmp_path / "r" / "report.json")["status"] == "failed"


def test_a_run_may_be_given_more_of_what_may_grow_and_nothing_else(tmp_path):
    Run(tmp_path / "r", {**CONFIG, "arms": ["a", "b"]}).store.close()
    more = {**CONFIG, "arms": ["a", "c", "b"]}
    with pytest.raises(UserError, match=r"other settings \(arms\)"):
        Run(tmp_path / "r", more)
    Run(tmp_path / "r", more, may_grow=("arms",)).store.close()
    assert read_json(tmp_path / "r" / "config.json")["arms"] == ["a", "c", "b"]
    for other in ({**more, "arms": ["a", "b"]}, {**more, "arms": ["a", "c", "b", "d"], "seed": 2}):
        with pytest.raises(UserError, match="other settings"):
            Run(tmp_path / "r", other, may_grow=("arms",))


HOLDER = """
import sys, time
from turnsmith.runs.run import Run
run = Run(sys.argv[1], {"recipe": "corridor", "seed": 1})
print("open", flush=True)
time.sleep(60)
"""


def test_two_processes_on_one_run_are_refused_until_the_first_is_killed(tmp_path):
    other = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path / "r")], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "open\n"
    with pytest.raises(UserError, match=rf"another process \(process {other.pid}\) is at work") as caught:
        Run(tmp_path / "r", CONFIG)
    assert "\n" not in str(caught.value)
    other.send_signal(signal.SIGKILL)
    other.wait()
    with Run(tmp_path / "r", CONFIG) as run:
        assert run.resumed


def test_a_run_is_let_go_when_it_is_closed(tmp_path):
    for _ in range(2):
        with Run(tmp_path / "r", CONFIG):
            pass


def test_what_a_kill_at_the_first_instant_leaves_is_an_empty_run(tmp_path):
    (tmp_path / "r" / "checkpoints").mkdir(parents=True)
    (tmp_path / "r" / ".lock").touch()
    with Run(tmp_path / "r", CONFIG) as run:
        assert not run.resumed


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_one_line_and_leaves_no_half_of_one(tmp_path, monkeypatch):
    run = Run(tmp_path / "r", CONFIG)
    run.log(iteration=0)
    before = (tmp_path / "r" / "metrics.jsonl").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.open", full)
        with pytest.raises(UserError, match=r"metrics.jsonl: could not write \(No space left on device\)"):
            run.log(iteration=1)
    assert (tmp_path / "r" / "metrics.jsonl").read_bytes() == before
    run.log(iteration=2)
    assert [row["iteration"] for row in run.metrics()] == [0, 2]
    run.close()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_line_that_did_not_fit_is_taken_back(tmp_path):
    run = Run(tmp_path / "r", CONFIG)
    (tmp_path / "r" / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(UserError, match="could not write"):
        run.log(iteration=1)
    run.close()


def test_a_run_on_a_disk_that_may_not_be_written_is_one_line(tmp_path, monkeypatch):
    Run(tmp_path / "r", CONFIG).close()

    def read_only(self, mode="r", *_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))

    monkeypatch.setattr("pathlib.Path.open", read_only)
    with pytest.raises(UserError, match=r"cannot be written \(Read-only file system\)"):
        Run(tmp_path / "r", CONFIG)


def test_trouble_with_the_disk_is_known_in_the_words_of_other_languages():
    assert disk_trouble(Exception("I/O error: No space left on device (os error 28)")) == "No space left on device"
    assert disk_trouble(OSError(errno.EROFS, "Read-only file system")) == "Read-only file system"
    assert disk_trouble(FileNotFoundError(errno.ENOENT, "No such file")) is None
    assert disk_trouble(ValueError("28")) is None


def test_the_command_line_says_trouble_with_the_disk_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr("turnsmith.commands.runs.main", full)
    assert cli.main(["runs"]) == 2
    assert capsys.readouterr().err == "turnsmith: could not write or read (No space left on device).\n"


def test_damaged_metrics_are_one_line_with_their_place(tmp_path):
    with Run(tmp_path / "r", CONFIG) as run:
        run.log(iteration=0)
        with (tmp_path / "r" / "metrics.jsonl").open("a") as file:
            file.write("\x00\x00{\n")
        with pytest.raises(UserError, match=r"metrics\.jsonl, line 2: not JSON"):
            run.metrics()
