"""Made once is made once: killed at any point, the second run makes nothing twice and ends with the same bytes."""

import builtins
import json
import os
import pathlib
import shutil

import pytest

from turnsmith.errors import UserError
from turnsmith.runs import once as runs_once
from turnsmith.runs.once import JsonFormat, once, scratch
from turnsmith.runs.run import Run


class Killed(BaseException):
    """The process is gone: nothing may catch this."""


class Killer:
    """Ends the "process" at the n-th thing that it does to the disk (0: never)."""

    def __init__(self, monkeypatch, at: int) -> None:
        self.count, self.at = 0, at
        for owner, name in ((os, "rename"), (os, "replace"), (os, "fsync"), (shutil, "rmtree"),
                            (pathlib.Path, "write_text"), (pathlib.Path, "mkdir"), (pathlib.Path, "open")):  # fmt: skip
            monkeypatch.setattr(owner, name, self.counted(getattr(owner, name)))

    def counted(self, real):
        def act(*arguments, **options):
            self.count += 1
            if self.count == self.at:
                raise Killed
            return real(*arguments, **options)

        return act


def files(folder) -> dict[str, bytes]:
    """Everything on disk that is not hidden, by path; times apart."""
    found = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in relative.parts):
            found[str(relative)] = path.read_bytes()
    return found


def test_a_value_is_made_once_and_is_what_lies_on_disk(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"pair": (1, 2)}

    first = once(tmp_path, "tables/squares", {"n": 2}, make)
    again = once(tmp_path, "tables/squares", {"n": 2}, make)
    assert first == again == {"pair": [1, 2]}
    assert made == [1]


def test_other_inputs_make_it_anew_and_replace_it(tmp_path):
    assert once(tmp_path, "x", {"n": (1, 2)}, lambda: "old") == "old"
    assert once(tmp_path, "x", {"n": [1, 2]}, lambda: "same inputs as JSON") == "old"
    assert once(tmp_path, "x", {"n": [1, 3]}, lambda: "new") == "new"
    assert once(tmp_path, "x", {"n": [1, 2]}, lambda: "old again") == "old again"


def test_a_format_decides_how_it_lies_on_disk(tmp_path):
    complex_format = JsonFormat(lambda row: complex(*row), lambda value: [value.real, value.imag])
    assert once(tmp_path, "z", {}, lambda: 3 + 4j, complex_format) == 3 + 4j
    assert json.loads((tmp_path / "z" / "value.json").read_text()) == [3.0, 4.0]


def test_what_cannot_be_read_back_is_named(tmp_path):
    once(tmp_path, "x", {}, lambda: 1)
    (tmp_path / "x" / "value.json").write_text("{oops")
    with pytest.raises(UserError, match=r"x: what is kept here cannot be read .* Remove it to have it made anew"):
        once(tmp_path, "x", {}, lambda: 1)


@pytest.mark.parametrize("name", ["", "/etc", "../x", "a/../b", ".hidden", "a//b", "a/"])
def test_a_name_stays_inside_the_run(name, tmp_path):
    with pytest.raises(UserError, match="cannot name what a run keeps"):
        once(tmp_path / "in", name, {}, lambda: 1)


def test_a_full_disk_is_one_line_and_leaves_the_old_value(tmp_path, monkeypatch):
    once(tmp_path, "x", {"n": 1}, lambda: "old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"could not be written .*No space left"):
        once(tmp_path, "x", {"n": 2}, lambda: "new")
    monkeypatch.undo()
    assert once(tmp_path, "x", {"n": 1}, lambda: "made again") == "old"


def test_a_long_make_goes_on_in_its_scratch_folder(tmp_path):
    place = scratch(tmp_path, "long")

    def make():
        place.mkdir(exist_ok=True)
        half = place / "half"
        if not half.exists():
            half.write_text("21")
            raise Killed
        return 2 * int(half.read_text())

    with pytest.raises(Killed):
        once(tmp_path, "long", {}, make)
    assert once(tmp_path, "long", {}, make) == 42
    assert not place.exists()


class Sum:
    """A state that a turn changes: the numbers so far."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def save(self, folder) -> None:
        (folder / "sum.json").write_text(json.dumps(self.numbers))

    def load(self, folder) -> None:
        self.numbers = json.loads((folder / "sum.json").read_text())


class Folder:
    """`Run`'s two verbs on a bare folder, without a store to be opened: as quick as the disk."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    def once(self, name, inputs, make):
        return once(self.folder / "made", name, inputs, make)

    def iterations(self, name, count, state):
        return runs_once.iterations(self.folder / "checkpoints", name, count, state)

    def log(self, **_) -> None:
        """A bare folder has no metrics."""


def work(run: Folder | Run, log: list[str]) -> list[int]:
    """Three kinds of values and a loop of four turns; `log` gets a line for each thing that is made or done."""
    start = run.once("start", {"from": 10}, lambda: log.append("start") or 10)
    state = Sum()
    for number in run.iterations("rounds", 4, state):
        log.append(f"turn {number}")
        extra = run.once(f"extra/{number}", {"n": number}, lambda n=number: log.append(f"extra/{n}") or n * n)
        state.numbers.append(start + number + extra)
        run.log(iteration=number, value=state.numbers[-1])
    run.once("end", {}, lambda: log.append("end") or sum(state.numbers))
    return state.numbers


def work_in_a_run(folder: pathlib.Path, log: list[str]) -> list[int]:
    with Run(folder, {"recipe": "sums"}) as run:
        return work(run, log)


def work_in_a_folder(folder: pathlib.Path, log: list[str]) -> list[int]:
    return work(Folder(folder), log)


def stripped(found: dict[str, bytes]) -> dict[str, bytes]:
    """Without the store, and without the time of day, which no two runs share."""
    kept = {name: data for name, data in found.items() if not name.startswith(("report.json", "metrics", "run.db"))}
    lines = [json.loads(line) for line in found.get("metrics.jsonl", b"").splitlines()]
    kept["metrics"] = json.dumps([{**line, "time": 0} for line in lines]).encode()
    return kept


@pytest.mark.parametrize(("works", "every"), [(work_in_a_folder, 1), (work_in_a_run, 17)])
def test_killed_at_any_point_nothing_is_made_twice_and_the_bytes_are_the_same(works, every, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)  # counted as a place to be killed at, but the disk is not awaited
    numbers = works(tmp_path / "whole", [])
    assert numbers == [12, 16, 22, 30]
    expected = stripped(files(tmp_path / "whole"))
    at, kills = 0, 0
    while True:
        at += every
        folder, log = tmp_path / f"killed-{at}", []
        with pytest.MonkeyPatch.context() as patched:
            killer = Killer(patched, at)
            try:
                works(folder, log)
            except Killed:
                kills += 1
        if killer.count < at:
            break
        if works is work_in_a_run and folder.exists() and not (folder / "config.json").exists():
            shutil.rmtree(folder)  # killed while the run's folder was made: there is no run yet
        kept = {str(path.parent.relative_to(folder / "made")) for path in (folder / "made").rglob("inputs.json")}
        again: list[str] = []
        assert works(folder, again) == numbers
        assert not kept & {*again}, f"made twice after a kill at {at}"
        assert stripped(files(folder)) == expected, f"other bytes after a kill at {at}"
    assert kills > 60 / every


def test_a_finished_loop_is_not_done_again_and_later_metrics_stay(tmp_path):
    with Run(tmp_path / "r", {}) as run:
        for number in run.iterations("rounds", 2, Sum()):
            run.log(iteration=number)
        run.log(phase="eval")
    with Run(tmp_path / "r", {}) as run:
        state = Sum()
        assert list(run.iterations("rounds", 2, state)) == []
        assert [row.get("iteration", row.get("phase")) for row in run.metrics()] == [1, 2, "eval"]
        assert run.finished("rounds") == 2
        for number in run.iterations("rounds", 3, state):
            run.log(iteration=number)
        assert run.finished("rounds") == 3


def test_a_turn_that_failed_is_done_again_from_the_state_before_it(tmp_path):
    def failing() -> None:
        state = Sum()
        with Run(tmp_path / "r", {}) as run:
            for number in run.iterations("rounds", 3, state):
                state.numbers.append(number)
                run.log(iteration=number)
                _ = 1 / (2 - number)

    with pytest.raises(ZeroDivisionError):
        failing()
    with Run(tmp_path / "r", {}) as run:
        state = Sum()
        assert [state.numbers.append(number) or number for number in run.iterations("rounds", 3, state)] == [2, 3]
        assert state.numbers == [1, 2, 3]
        assert [row["iteration"] for row in run.metrics()] == [1]


def test_a_loop_saves_every_so_many_turns_and_the_last(tmp_path):
    seen = []
    for number in runs_once.iterations(tmp_path, "updates", 7, Sum(), every=3):
        seen.append((number, runs_once.last_step(tmp_path / "updates")))
    assert seen == [(1, None), (2, None), (3, None), (4, 3), (5, 3), (6, 3), (7, 6)]
    assert runs_once.last_step(tmp_path / "updates") == 7
    assert [path.name for path in (tmp_path / "updates").iterdir()] == ["step-7"]
    assert builtins.list(runs_once.iterations(tmp_path, "updates", 7, Sum(), every=3)) == []
