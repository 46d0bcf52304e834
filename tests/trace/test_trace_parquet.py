"""Exports for analysis: read back with DuckDB and with Hugging Face datasets, against what the store holds."""

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trace_strategies import simple_trace, traces

from turnsmith.errors import UserError
from turnsmith.trace import Action, Call, ImageRef, Observation, Outcome, Store, Task, Trace, Turn, Verdict
from turnsmith.trace.messages import export_messages
from turnsmith.trace.parquet import TRACES, TURNS, export_parquet

PAGES = tuple(
    Turn(
        Observation(f"page {position}", (ImageRef.of(b"%d" % position),)),
        Action("Action: Click [1]", Call("click", {"mark": 1}), token_ids=(7, 8), logprobs=(-0.5, -1.5)),
        reward=float(position),
    )
    for position in range(3)
)
ANSWER = Turn(Observation("last"), Action("Action: ANSWER; [red]", Call("answer", {"text": "red"})))
RUN = [
    Trace(
        f"t{number}",
        Task(f"task{number % 2}", "Find 鞋", "browser", {"site": "shop"}, hidden={"goal": "SECRET"}),
        (*PAGES, ANSWER),
        Outcome.SUCCESS if number % 3 == 0 else Outcome.FAILURE,
        (Verdict("oracle", float(number % 3 == 0)), Verdict("judge", 1.0, "fine", 1)),
        seed=-(2**63),
    )
    for number in range(250)
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parquet")
    with Store(folder / "run.db") as store:
        store.append_many(RUN)
        assert export_parquet(store, folder / "out", images=True) == 250
        export_messages(store, folder / "rows.jsonl")
    return folder


def test_duckdb_reads_it(exported):
    duckdb = pytest.importorskip("duckdb")
    db = duckdb.connect()
    out = exported / "out"
    assert db.execute(f"SELECT count(*), sum(reward), min(seed) FROM '{out}/traces.parquet'").fetchone() == (
        250,
        84.0,
        -(2**63),
    )
    per_trace = f"""
        SELECT t.id, t.answer, sum(u.reward), count(DISTINCT i.digest), list_sum(first(u.logprobs ORDER BY u.position))
        FROM '{out}/traces.parquet' t JOIN '{out}/turns.parquet' u ON u.trace_id = t.id
        LEFT JOIN '{out}/images.parquet' i ON list_contains(u.images, i.digest)
        WHERE t.instruction = 'Find 鞋' AND t.params->>'site' = t.site
        GROUP BY ALL
    """
    rows = db.execute(per_trace).fetchall()
    assert sorted(rows, key=lambda row: int(row[0][1:])) == [
        (f"t{number}", "red", 3.0, 3, -2.0) for number in range(250)
    ]
    judged = db.execute(f"SELECT judge, count(*), max(turn) FROM '{out}/verdicts.parquet' GROUP BY 1 ORDER BY 1")
    assert judged.fetchall() == [("judge", 250, 1), ("oracle", 250, None)]
    assert db.execute(f"SELECT data FROM '{out}/images.parquet' ORDER BY data").fetchall() == [
        (b"0",),
        (b"1",),
        (b"2",),
    ]
    assert db.execute(f"SELECT count(*) FROM '{out}/traces.parquet' WHERE hidden IS NOT NULL").fetchone() == (0,)


def test_hugging_face_datasets_reads_parquet_and_messages(exported, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    files = {"data_files": str(exported / "out" / "turns.parquet"), "cache_dir": str(tmp_path), "split": "train"}
    turns = datasets.load_dataset("parquet", **files)
    assert len(turns) == 1000
    assert turns[0]["token_ids"] == [7, 8]
    assert json.loads(turns[3]["arguments"]) == {"text": "red"}
    rows = datasets.load_dataset("json", **{**files, "data_files": str(exported / "rows.jsonl")})
    assert rows[1]["messages"][1] == {"role": "assistant", "content": "Action: Click [1]"}
    assert rows[1]["turn_rewards"] == [0.0, 1.0, 2.0, 0.0]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(several=st.lists(traces, max_size=3, unique_by=lambda trace: trace.id))
def test_any_trace_can_be_exported(tmp_path_factory, several):
    import pyarrow.parquet as pq

    folder = tmp_path_factory.mktemp("parquet")
    with Store(folder / "run.db") as store:
        store.append_many(several)
        export_parquet(store, folder / "out", images=True, hidden=True)
    table = pq.read_table(folder / "out" / "turns.parquet")
    assert table.schema.names == TURNS.names
    credits = [[credit.iteration for credit in turn.credits] for trace in several for turn in trace.turns]
    assert [[credit["iteration"] for credit in row] for row in table["credits"].to_pylist()] == credits
    assert table["logprobs"].to_pylist() == [list(turn.action.logprobs) for trace in several for turn in trace.turns]
    heads = pq.read_table(folder / "out" / "traces.parquet")
    assert heads.schema.names == TRACES.names
    assert heads["turn_count"].to_pylist() == [len(trace.turns) for trace in several]
    assert all(isinstance(json.loads(hidden), dict) for hidden in heads["hidden"].to_pylist())


def test_filters_hold_and_a_failed_export_leaves_the_old_files(tmp_path):
    with Store(tmp_path / "run.db") as store:
        store.append_many(RUN[:6])
        assert export_parquet(store, tmp_path / "out", outcome=Outcome.SUCCESS) == 2
        before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
        assert sorted(before) == ["traces.parquet", "turns.parquet", "verdicts.parquet"]
        store.append(replace(simple_trace("lost", b"x")))
        store._db.execute("DELETE FROM images")
        with pytest.raises(UserError, match="no image"):
            export_parquet(store, tmp_path / "out", images=True)
        (tmp_path / "file").touch()
        with pytest.raises(UserError, match="could not write"):
            export_parquet(store, tmp_path / "file")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
