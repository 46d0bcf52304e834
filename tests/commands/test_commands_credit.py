"""`turnsmith credit` as a user types it: from a file of messages to credit in the run and in a file."""

import json
import random

import pytest

from turnsmith.cli import main
from turnsmith.evaluate.ranking import auc
from turnsmith.trace.store import Store

_FILLER = ("One moment please.", "I am looking into it.", "Thanks for waiting.", "Let me see what I can do.")


@pytest.fixture
def logs(tmp_path, monkeypatch):
    """A file of 120 dialogues in which naming the part that `hidden` calls broken decides; labels by (id, turn)."""
    monkeypatch.chdir(tmp_path)
    source, rows, labels = random.Random(1), [], {}
    parts = ["pump", "valve", "filter", "sensor", "motor", "belt"]
    for index in range(120):
        broken = source.sample(parts, 2)
        messages, won = [{"role": "user", "content": "The machine stopped."}], False
        for turn in range(4):
            part = source.choice(parts) if source.random() < 0.5 else None
            text = f"Did you check the {part}?" if part else source.choice(_FILLER)
            labels[f"log-{index}", turn] = part in broken
            won |= part in broken
            messages += [{"role": "assistant", "content": text}, {"role": "user", "content": "Okay."}]
        rows.append(
            {"id": f"log-{index}", "messages": messages, "reward": float(won), "hidden": {"report": " ".join(broken)}}
        )
    (tmp_path / "logs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["traces", "import", "logs.jsonl", "desk"]) == 0
    return labels


def test_from_a_file_of_messages_to_credit_of_every_turn(logs, tmp_path, capsys):
    assert main(["credit", "desk", "--hidden", "report", "--out", "credit.jsonl"]) == 0
    said = capsys.readouterr().out
    assert "The best turns" in said
    assert "How sure this is" in said
    assert max(len(line) for line in said.splitlines()) <= 100
    rows = [json.loads(line) for line in (tmp_path / "credit.jsonl").read_text().splitlines()]
    assert [(row["trace"], row["turn"]) for row in rows] == sorted(logs, key=lambda k: (int(k[0][4:]), k[1]))
    found = auc([row["advantage"] for row in rows], [logs[row["trace"], row["turn"]] for row in rows])
    assert found is not None
    assert found > 0.9
    with Store("runs/desk/run.db", read_only=True) as store:
        trace = store.get("log-7")
        assert [turn.advantage for turn in trace.turns] == [r["advantage"] for r in rows if r["trace"] == "log-7"]
        assert all(0 < (turn.value or 0) < 1 for turn in trace.turns)
        assert trace.task.hidden.keys() == {"report"}
        assert "report" not in json.dumps(dict(trace.task.params))
    assert main(["traces", "show", "desk", "log-7"]) == 0
    assert "advantage" in capsys.readouterr().out


def test_mistakes_are_one_line(logs, capsys):
    for arguments, words in (
        (["nowhere"], "no run of this name"),
        (["desk", "--method", "magic"], "Methods: sweet, outcome, step, q"),
        (["desk", "--hidden", "secret"], "fields that tasks have are report"),
        (["desk", "--method", "step", "--hidden", "report"], "--hidden is for --method sweet"),
        (["desk", "--judge", "nobody"], "at least 8 traces"),
        (["desk", "--model", "missing"], "there is no such folder"),
    ):
        assert main(["credit", *arguments]) == 2
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1
