"""`turnsmith run sweet --from RUN`: a policy from logs, small or a Hugging Face model; what it may read."""

import json
import random
from pathlib import Path

import pytest
from tiny_chat import tiny_chat_model

from turnsmith.agents.load import load_local
from turnsmith.cli import main
from turnsmith.recipes.sweet.offline import _places
from turnsmith.trace.store import Store

FLOORS = ("first", "second", "third", "fourth")


def dialogue(number: int) -> dict:
    """A help desk: who asks for the floor first solves it; a report that the agent never sees knows it."""
    rng = random.Random(number)
    floor, asks = rng.choice(FLOORS), number % 2 == 0
    first = "Which floor is it on?" if asks else "Have you tried to restart it?"
    reply = f"It is on the {floor} floor." if asks else "Yes, that did not help."
    messages = [
        {"role": "user", "content": f"The printer of room {number} does not print."},
        {"role": "assistant", "content": first},
        {"role": "user", "content": reply},
        {"role": "assistant", "content": f"I send somebody to the {floor if asks else rng.choice(FLOORS)} floor."},
    ]
    return {"messages": messages, "reward": float(asks), "hidden": {"report": f"cartridge zq{number} {floor}"}}


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logs.jsonl").write_text("".join(json.dumps(dialogue(n)) + "\n" for n in range(24)))
    assert main(["traces", "import", "logs.jsonl", "desk"]) == 0
    return tmp_path


SMALL = ["run", "sweet", "--preset", "smoke", "--from", "desk", "--candidates", "3", "--contexts", "4"]


def test_a_small_policy_is_learned_from_a_log_and_never_reads_the_report(desk, capsys):
    assert main([*SMALL, "--base.optim.max-updates", "3"]) == 0
    assert "no episode was played with it" in " ".join(capsys.readouterr().out.split())
    rows = [json.loads(line) for line in (desk / "runs/sweet-smoke/metrics.jsonl").read_text().splitlines()]
    [offline] = [row for row in rows if row["phase"] == "offline"]
    assert offline["episodes"] == 24
    assert {"critic_score_before", "critic_score_after", "explained"} <= set(offline)
    policy = load_local(desk / "runs/sweet-smoke/policy")
    with Store(desk / "runs/desk/run.db", read_only=True) as store:
        traces = list(store.traces())
    places = _places(policy.tokenizer, traces, 1)
    assert len(places) == 48  # two turns each
    for one in places:
        assert "zq" not in policy.tokenizer.decode(list(one.prompt))


def test_a_hugging_face_model_learns_from_a_log(desk):
    folder = tiny_chat_model(desk / "model", [json.dumps(dialogue(n)) for n in range(24)])
    assert main([*SMALL, "--model", str(folder), "--name", "tuned"]) == 0
    tuned = load_local(desk / "runs/tuned/policy")
    before = load_local(folder)
    assert tuned.model.config.model_type == "llama"
    pairs = zip(tuned.model.parameters(), before.model.parameters(), strict=True)
    assert any(bool((a != b).any()) for a, b in pairs)


def test_a_source_that_is_none_is_refused(desk, capsys):
    assert main([*SMALL[:5], "nowhere"]) == 2
    assert "no run of this name" in capsys.readouterr().err
