"""`turnsmith traces`: list, show, export, import and migrate, with runs and mistakes of every kind."""

import json
import sqlite3

import pytest

from turnsmith.cli import main
from turnsmith.trace import (
    Action,
    Call,
    Credit,
    ImageRef,
    Label,
    Observation,
    Outcome,
    Store,
    Task,
    Trace,
    Turn,
    Verdict,
)

ESCAPE = "\x1b[31mred\x07 [bold]not markup[/bold] \u202e \ud800"


def make_trace(number: int) -> Trace:
    task = Task(f"task-{number}", f"Find shoe {number}", "browser", {"site": "shop"}, hidden={"goal": "size 42"})
    click = Action("Thought: it is red.\nAction: Click [3]", Call("click", {"mark": 3}), token_ids=(1, 2))
    bad = Action("Action: Fly [3]", error="Unknown action.")
    seen = Observation("\n".join(f"line {n}" for n in range(9)), (ImageRef.of(b"x"),), info={"url": "http://shop/7"})
    return Trace(
        f"trace-{number:03}",
        task,
        (
            Turn(seen, click, credits=(Credit("fbc", 0, None, 1.0), Credit("digirl", 2, 0.25, 0.5))),
            Turn(Observation("b", error="No element 3."), bad, reward=1.0),
        ),
        Outcome.SUCCESS if number % 2 else Outcome.INFRA_ERROR,
        (Verdict("oracle", 1.0, "bought"), Verdict("judge", 0.5, "hm", 1)),
        policy="step-7",
        seed=number,
        created_at=1.0e9,
        info={"phase": "eval" if number > 40 else "train", "iteration": 2},
    )


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "first").mkdir(parents=True)
    with Store(tmp_path / "runs" / "first" / "run.db") as store:
        store.append_many([make_trace(number) for number in range(50)])
        yield store  # the run is open for writing while it is looked at


def out(capsys) -> str:
    return capsys.readouterr().out


@pytest.mark.parametrize("name", ["first", "runs/first", "runs/first/run.db"])
def test_ls_shows_the_last_traces(run, capsys, name):
    assert main(["traces", "ls", name]) == 0
    text = out(capsys)
    assert "trace-010" in text
    assert "trace-009" not in text
    assert "The last 40 of 50" in text
    (row,) = [line.split() for line in text.splitlines() if "trace-049" in line]
    assert row == ["trace-049", "eval", "2", "shop", "success", "1", "2", "step-7", "Find", "shoe", "49"]
    (row,) = [line.split() for line in text.splitlines() if "trace-048" in line]
    assert row[4:6] == ["infra_error", "2"], "an infra error has no reward"


def test_ls_filters(run, capsys):
    assert main(["traces", "ls", "first", "--phase", "eval", "--outcome", "success", "--limit", "0"]) == 0
    shown = [line.split()[0] for line in out(capsys).splitlines() if line.strip().startswith("trace-")]
    assert shown == ["trace-041", "trace-043", "trace-045", "trace-047", "trace-049"]
    assert main(["traces", "ls", "first", "--site", "forum"]) == 0
    assert out(capsys) == "first: no traces match.\n"


def test_show_tells_the_whole_story(run, capsys):
    run.add_label(Label("trace-003", False, 1, "not that one"))
    assert main(["traces", "show", "first", "trace-003"]) == 0
    text = out(capsys)
    for part in (
        "trace trace-003 · success · reward 1 · 2 turns · policy step-7 · seed 3 · 2001-09-09 01:46:40 UTC",
        "task     Find shoe 3",
        'hidden   {"goal": "size 42"}  (the agent never sees this)',
        "turn 0 · reward 0 · 2 tokens",
        "credit   fbc, iteration 0: advantage +1",
        "credit   digirl, iteration 2: value 0.25, advantage +0.5",
        "sees     http://shop/7",
        "line 3\n           … 5 more lines\n           [1 image]",
        "thinks   it is red.",
        "acts     Click [3]",
        'call     click {"mark": 3}',
        "turn 1 · reward 1",
        "error    No element 3.",
        "acts     Fly [3]",
        "invalid  Unknown action.",
        "oracle   1  bought",
        "judge    0.5 on turn 1  hm",
        "a person turn 1 is wrong  not that one",
    ):
        assert part in text, part
    assert main(["traces", "show", "first", "trace-003", "--full"]) == 0
    assert "line 8" in out(capsys)


def test_an_id_may_be_shortened_while_it_is_clear(run, capsys):
    run.append(Trace("other", Task("t", "i", "tools")))
    assert main(["traces", "show", "first", "oth"]) == 0
    assert "trace other" in out(capsys)
    assert main(["traces", "show", "first", "trace-00"]) == 2
    assert "10 traces begin with 'trace-00': trace-000, " in capsys.readouterr().err


def test_nothing_in_a_trace_can_drive_the_terminal(run, capsys):
    task = Task(ESCAPE, ESCAPE, ESCAPE, {"site": ESCAPE}, hidden={ESCAPE: ESCAPE})
    observation = Observation(ESCAPE, (), ESCAPE, {"url": ESCAPE})
    action = Action(f"Thought: {ESCAPE}\nAction: {ESCAPE}", Call(ESCAPE, {ESCAPE: ESCAPE}), ESCAPE)
    hostile = Trace(
        "h" + ESCAPE,
        task,
        (Turn(observation, action), Turn(observation, Action(ESCAPE, error=ESCAPE))),
        verdicts=(Verdict(ESCAPE, 1.0, ESCAPE),),
        policy=ESCAPE,
        final=observation,
        info={"phase": ESCAPE},
    )
    run.append(hostile)
    run.add_label(Label(hostile.id, True, note=ESCAPE))
    for arguments in (["ls", "first", "--judge", ESCAPE], ["show", "first", "h", "--full"]):
        assert main(["traces", *arguments]) == 0
        text = out(capsys)
        assert "[bold]not markup[/bold]" in text
        assert all(character.isprintable() or character == "\n" for character in text)


def test_export_and_import(run, capsys, tmp_path):
    assert main(["traces", "export", "first", "a.jsonl", "--images", "--hidden"]) == 0
    assert out(capsys) == "wrote 50 traces to a.jsonl\n"
    assert main(["traces", "import", "a.jsonl", "second"]) == 0
    assert out(capsys) == "imported 50 traces into runs/second\n"
    assert main(["traces", "export", "second", "b.jsonl", "--images", "--hidden"]) == 0
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert main(["traces", "export", "first", "pq", "--format", "parquet", "--phase", "eval", "--images"]) == 0
    assert "wrote 9 traces to pq" in out(capsys)
    assert sorted(path.stem for path in (tmp_path / "pq").iterdir()) == ["images", "traces", "turns", "verdicts"]
    assert main(["traces", "import", "a.jsonl", "elsewhere/third"]) == 0
    assert (tmp_path / "elsewhere" / "third" / "run.db").is_file()


def test_a_bad_import_makes_no_run(run, capsys, tmp_path):
    (tmp_path / "bad.jsonl").write_text(json.dumps({"messages": [{"role": "user", "content": "x"}]}) + "\n{}\n")
    assert main(["traces", "import", "bad.jsonl", "new"]) == 2
    assert capsys.readouterr().err.startswith('turnsmith: bad.jsonl, line 2: "messages" must be a list')
    assert not (tmp_path / "runs" / "new").exists()
    assert main(["traces", "import", "absent.jsonl", "new"]) == 2
    assert "absent.jsonl: cannot be read" in capsys.readouterr().err
    (tmp_path / "file").touch()
    (tmp_path / "empty.jsonl").touch()
    assert main(["traces", "import", "empty.jsonl", "file/new"]) == 2
    assert "cannot be made" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ls", "absent"], "absent: there is no run of this name. Runs here: first."),
        (["show", "first", "absent"], "there is no trace 'absent'"),
        (["ls", "first", "--limit", "-1"], "--limit -1"),
        (["export", "first", "no/folder/x.jsonl"], "could not write"),
        (["export", "absent", "x.jsonl"], "there is no run of this name"),
        (["import", "-", "first"], "a file is needed"),
        (["import", ".", "first"], "a file is needed"),
        (["migrate", "absent"], "there is no run of this name"),
        (["ls", "text.db"], "file is not a database"),
    ],
)
def test_mistakes_are_one_line(run, capsys, tmp_path, arguments, message):
    (tmp_path / "text.db").write_text("not a database " * 100)
    assert main(["traces", *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert message in output.err


def test_a_newer_run_and_migrate(run, capsys):
    assert main(["traces", "migrate", "first"]) == 0
    assert "is of store version 2 now" in out(capsys)
    run.close()
    db = sqlite3.connect(run.path)
    db.execute("UPDATE meta SET value = '7' WHERE key = 'schema_version'")
    db.commit()
    for verb in ("ls", "migrate"):
        assert main(["traces", verb, "first"]) == 2
        assert "written by a newer Turnsmith (store version 7" in capsys.readouterr().err
