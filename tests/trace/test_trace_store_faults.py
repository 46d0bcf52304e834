"""What can befall a store: killed writers, many processes, a full disk, old and new versions, damage."""

import dataclasses
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
from trace_strategies import simple_trace

from turnsmith.errors import UserError
from turnsmith.trace import Credit, Store, Trace, Verdict, schema
from turnsmith.view.queries import Database

HERE = Path(__file__).parent


def python(code: str, *arguments: object, **options) -> subprocess.Popen:
    """Run code in another process, with this folder on its path."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        **options,
    )


def is_sound(path: Path) -> bool:
    return sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


WRITER = """
    import sys
    from trace_strategies import simple_trace
    from turnsmith.trace import Store
    path, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with Store(path) as store:
        for number in range(count):
            picture = f"{name}-{number}".encode() * 3000
            store.append(simple_trace(f"{name}-{number}", picture))
            print(f"{name}-{number}", flush=True)
"""


def test_a_killed_writer_loses_no_acknowledged_trace(tmp_path):
    path, rng, acknowledged = tmp_path / "run.db", random.Random(0), []
    for life in range(6):
        writer = python(WRITER, path, f"life{life}", 100_000)
        assert writer.stdout is not None
        acknowledged.append(writer.stdout.readline().strip())
        time.sleep(rng.random() * 0.15)
        writer.send_signal(signal.SIGKILL)
        acknowledged += [line.strip() for line in writer.stdout.read().splitlines()]
        writer.wait()
        with Store(path, read_only=life % 2 == 0) as store:
            stored = [trace.id for trace in store.traces()]
            for name in acknowledged[-3:]:
                trace = store.with_images(store.get(name))
                assert trace == simple_trace(name, name.encode() * 3000)
        assert stored[: len(acknowledged)] == acknowledged
        assert len(stored) <= len(acknowledged) + 1  # at most the one that was committed and not yet announced
        acknowledged = stored
    assert len(acknowledged) > 6
    assert is_sound(path)


def test_processes_create_and_write_one_store_at_once(tmp_path):
    path = tmp_path / "run.db"
    writers = [python(WRITER, path, name, 25) for name in "abcd"]
    for writer in writers:
        writer.communicate(timeout=120)
        assert writer.returncode == 0
    with Store(path, read_only=True) as store:
        ids = [summary.id for summary in store.summaries()]
        assert sorted(ids) == sorted(f"{name}-{number}" for name in "abcd" for number in range(25))
        for name in "abcd":  # each writer's own order is kept
            assert [trace_id for trace_id in ids if trace_id[0] == name] == [f"{name}-{n}" for n in range(25)]
    assert is_sound(path)


def test_a_reader_sees_whole_traces_while_a_writer_appends(tmp_path):
    path = tmp_path / "run.db"
    Store(path).close()
    writer = python(WRITER, path, "w", 60)
    seen, views = 0, set()
    with Store(path, read_only=True) as store:
        while seen < 60:
            writing = writer.poll() is None
            for summary in store.summaries(after=seen):
                assert summary.seq == seen + 1
                trace = store.with_images(store.get(summary.id))
                assert trace == simple_trace(summary.id, summary.id.encode() * 3000)
                seen = summary.seq
            views.add(seen)
            assert writing or seen == 60
    assert len(views) > 1
    assert writer.wait() == 0


def test_a_full_disk_is_one_line_and_leaves_earlier_traces_intact(tmp_path):
    """The writer may not make files larger than 4 MB, as on a disk that has no more room."""
    full = """
        import resource
        import sys
        from trace_strategies import simple_trace
        from turnsmith.errors import UserError
        from turnsmith.trace import Store
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**22, 2**22))
        store = Store(sys.argv[1])
        try:
            for number in range(1000):
                store.append(simple_trace(str(number), str(number).encode() * 10000))
                print(number, flush=True)
        except UserError as error:
            print(f"error {error}", flush=True)
        assert store.count() == number, "still readable by the same process"
        try:
            store.append(simple_trace("again", b"x" * 4_000_000))
        except UserError as error:
            print(f"error {error}", flush=True)
    """
    path = tmp_path / "run.db"
    writer = python(full, path)
    output, _ = writer.communicate(timeout=60)
    assert writer.returncode == 0
    *written, first, second = output.splitlines()
    assert len(written) > 3
    for line in (first, second):
        assert line.startswith(f"error {path}: could not write (")
        assert line.endswith("What was stored before is intact.")
    with Store(path) as store:
        assert [trace.id for trace in store.traces()] == written
        store.append(simple_trace("there is room again"))
    assert is_sound(path)


def test_sqlite_s_own_disk_full_rolls_back_and_recovers(tmp_path):
    with Store(tmp_path / "run.db") as store:
        store.append(simple_trace("before"))
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count={pages + 2}")
        with pytest.raises(UserError, match=r"could not write \(database or disk is full\)"):
            store.append(simple_trace("after", b"x" * 200_000))
        store._db.execute(f"PRAGMA max_page_count={pages + 1000}")
        store.append(simple_trace("after", b"x" * 200_000))
        assert [summary.id for summary in store.summaries()] == ["before", "after"]


# Versions


def make_version_1(path: Path, trace: Trace) -> None:
    """A store as version 1 was: a value and an advantage in the table of turns, verdicts of steps in their info."""
    with Store(path) as store:
        store.append(trace)
    db = sqlite3.connect(path)
    db.execute("DROP TABLE credits")
    db.execute("ALTER TABLE turns ADD COLUMN value REAL")
    db.execute("ALTER TABLE turns ADD COLUMN advantage REAL")
    db.execute("UPDATE turns SET value = 0.25, advantage = -1.5 WHERE position = 0")
    db.execute("UPDATE meta SET value = '1' WHERE key = 'schema_version'")
    db.commit()


def judged_trace() -> Trace:
    """An episode of a phone as version 1 recorded it: rewarded by a judge that erred on its second step."""
    trace = simple_trace("old", b"picture", verdicts=(Verdict("oracle", 0.0, "no"),))
    infos = ({"oracle": 0.0, "evaluator": "noisy"}, {"oracle": 0.0, "evaluator": "noisy"})
    turns = [replace(t, info=i, reward=float(n)) for n, (t, i) in enumerate(zip(trace.turns, infos, strict=True))]
    return replace(trace, turns=tuple(turns))


def test_a_store_of_version_1_is_read_as_it_is_and_migrates_when_it_is_written(tmp_path):
    path, trace = tmp_path / "run.db", judged_trace()
    make_version_1(path, trace)
    credit = Credit("", 0, 0.25, -1.5)
    read = replace(trace, turns=(replace(trace.turns[0], credits=(credit,)), trace.turns[1]))
    with Store(path, read_only=True) as store:
        assert store.get("old") == read
    page = Database(path).trace("old")
    assert page is not None
    assert page["turns"][0]["credits"] == [dataclasses.asdict(credit)]
    with Store(path) as store:
        found = store.get("old")
        assert found.turns == read.turns
        assert found.reward() == 0.0
        steps = [(verdict.judge, verdict.reward, verdict.turn) for verdict in found.verdicts[1:]]
        assert steps == [("oracle", 0.0, 0), ("oracle", 0.0, 1), ("noisy", 0.0, 0), ("noisy", 1.0, 1)]
        store.add_credits([("old", 1, Credit("digirl", 2, 0.5, 0.1))])
        assert store.get("old").turns[1].advantage == 0.1


def make_version_0(path: Path) -> None:
    """A store as an older Turnsmith would have left it: no `instruction` column, version 0."""
    make_version_1(path, simple_trace("old", b"picture"))
    db = sqlite3.connect(path)
    db.execute("ALTER TABLE traces DROP COLUMN instruction")
    db.execute("UPDATE turns SET value = NULL, advantage = NULL")
    db.execute("UPDATE meta SET value = '0' WHERE key = 'schema_version'")
    db.commit()


FROM_0 = (
    "ALTER TABLE traces ADD COLUMN instruction TEXT NOT NULL DEFAULT ''",
    "UPDATE traces SET instruction = json_extract(head, '$.task.instruction')",
)


def test_an_older_store_migrates_when_it_is_opened_for_writing(tmp_path, monkeypatch):
    path = tmp_path / "run.db"
    make_version_0(path)
    monkeypatch.setitem(schema.MIGRATIONS, 0, FROM_0)
    with pytest.raises(UserError, match=r"version 0 is older than 1\. Migrate it .*: turnsmith traces migrate"):
        Store(path, read_only=True)
    with Store(path) as store:
        assert store.get("old") == simple_trace("old", b"picture")
        assert store.summaries()[0].instruction == "do it"
        store.append(simple_trace("new"))
    with Store(path, read_only=True) as store:
        assert store.count() == 2


def test_a_migration_that_fails_leaves_the_old_store(tmp_path, monkeypatch):
    path = tmp_path / "run.db"
    make_version_0(path)
    monkeypatch.setitem(schema.MIGRATIONS, 0, (*FROM_0, "UPDATE missing SET x = 1"))
    with pytest.raises(UserError, match="no such table: missing"):
        Store(path)
    monkeypatch.setitem(schema.MIGRATIONS, 0, FROM_0)
    with Store(path) as store:
        assert store.get("old").task.instruction == "do it"


def test_a_newer_store_says_so(tmp_path):
    path = tmp_path / "run.db"
    Store(path).close()
    db = sqlite3.connect(path)
    db.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    db.commit()
    for read_only in (False, True):
        with pytest.raises(UserError, match=r"newer Turnsmith \(store version 99, .* reads up to 2\)\. \S"):
            Store(path, read_only=read_only)


# Files that are not stores, and damage


@pytest.mark.parametrize("read_only", [False, True])
def test_files_that_are_not_runs_are_refused_and_not_touched(tmp_path, read_only):
    foreign = tmp_path / "foreign.db"
    db = sqlite3.connect(foreign)
    db.execute("CREATE TABLE meta (x)")
    db.commit()
    db.close()
    text = tmp_path / "text.db"
    text.write_text("this is not a database, " * 100)
    for path, message in [(foreign, "not a Turnsmith run"), (text, "file is not a database")]:
        before = path.read_bytes()
        with pytest.raises(UserError, match=message):
            Store(path, read_only=read_only)
        assert path.read_bytes() == before
    with pytest.raises(UserError, match="cannot be opened as a run"):
        Store(tmp_path, read_only=read_only)


def test_a_missing_run_is_not_made_by_looking(tmp_path):
    with pytest.raises(UserError, match="no run here"):
        Store(tmp_path / "run.db", read_only=True)
    with pytest.raises(UserError, match="cannot be opened as a run"):
        Store(tmp_path / "no" / "folder" / "run.db")
    assert not list(tmp_path.iterdir())
    (tmp_path / "run.db").touch()
    with pytest.raises(UserError, match="not a Turnsmith run"):
        Store(tmp_path / "run.db", read_only=True)


def test_a_damaged_file_is_one_line_and_other_traces_stay_readable(tmp_path):
    path = tmp_path / "run.db"
    with Store(path) as store:
        for number in range(20):
            store.append(simple_trace(str(number), str(number).encode() * 10_000))
    data = bytearray(path.read_bytes())
    data[300_000:340_000] = b"\xa5" * 40_000
    path.write_bytes(data)
    readable, problems = 0, []
    with Store(path, read_only=True) as store:
        for number in range(20):
            try:
                store.with_images(store.get(str(number)))
                readable += 1
            except UserError as error:
                problems.append(str(error))
    assert readable > 0
    assert all("\n" not in problem for problem in problems)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can act as another user")
def test_a_closed_run_opens_in_a_folder_that_may_not_be_written(tmp_path):
    path = tmp_path / "run.db"
    with Store(path) as store:
        store.append(simple_trace("a"))
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o777 == 0o700:  # pytest's own: how many there are depends on how it was started
            folder.chmod(0o755)
    reader = python(
        """
        import os, sys
        from turnsmith.trace import Store
        os.chdir(sys.argv[1])
        os.setuid(65534)
        with Store("run.db", read_only=True) as store:
            print([trace.id for trace in store.traces()])
        """,
        tmp_path,
    )
    output, _ = reader.communicate(timeout=60)
    assert output.strip() == "['a']"


DAMAGE = (
    "DELETE FROM meta",
    "UPDATE meta SET value = 'seven'",
    "UPDATE traces SET head = '{'",
    "UPDATE traces SET head = '{}'",
    "UPDATE traces SET head = '[]'",
    "UPDATE traces SET outcome = 'maybe'",
    "UPDATE turns SET body = x'00ff'",
    "UPDATE turns SET body = '{\"seconds\": 3}'",
    "UPDATE turns SET tokens = x'01'",
    "UPDATE turns SET tokens = x'ffffffffffffffffffffffffffffffff'",
    "DROP TABLE turns",
)


def read_all(path):
    with Store(path) as store:
        return [*store.traces(), store.get("one")]


@pytest.mark.parametrize("statement", DAMAGE)
def test_damaged_rows_are_one_line(tmp_path, statement):
    path = tmp_path / "run.db"
    with Store(path) as store:
        store.append(simple_trace("one", b"picture"))
    with sqlite3.connect(path) as db:
        db.execute(statement)
    db.close()
    with pytest.raises(UserError, match=r"run\.db") as caught:
        read_all(path)
    assert "\n" not in str(caught.value)
