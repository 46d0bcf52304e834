"""SWEET-RL with the paper's settings: a tiny chat model on files of ColBench's shape, the person behind an endpoint."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from chat_server import chat_server
from tiny_chat import tiny_chat_model

from turnsmith.agents.load import load_local
from turnsmith.cli import main
from turnsmith.envs.sandbox import Tier, launch
from turnsmith.recipes.sweet.colbench import _Study
from turnsmith.recipes.sweet.config import ColBench, Config
from turnsmith.runs.config import to_json
from turnsmith.runs.run import Run
from turnsmith.trace.store import Store
from turnsmith.worlds.programs.backend import AGENT, HUMAN, BackendManner

sandboxed = pytest.mark.skipif(
    launch.find_tier()[0] is Tier.PLAIN, reason=f"no sandbox on this machine: {launch.find_tier()[1]}"
)
SECRET = "return x * 73"


def task(number: int) -> dict:
    return {
        "problem_description": f"I need a function scale(x) for shelf {number}.",
        "ground_truth": f"def scale(x):\n    {SECRET} + {number}",
        "test_cases": {f"test{i}": f"scale({i})" for i in range(10)},
    }


def attempt(number: int, good: bool) -> dict:
    """A dialogue of two turns; the second attempt at a task never asked."""
    asks = {"role": "agent", "content": "By how much?", "input": "…", "output": "I ask. OUTPUT: By how much?"}
    told = {"role": "human_collaborator", "content": f"By 73, plus {number}."}
    code = f"def scale(x):\n    {SECRET} + {number}" if good else "def scale(x):\n    return x"
    answer = {"role": "agent", "content": code, "output": f"I WANT TO ANSWER:\n{code}"}
    history = [asks, told, answer] if good else [answer]
    return {"task": task(number), "dialogue_history": history, "answer": code, "reward": float(good)}


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("colbench")
    write(folder / "log.jsonl", [attempt(n, good) for good in (True, False) for n in range(4)])
    write(folder / "test.jsonl", [task(n) for n in range(10, 12)])
    tiny_chat_model(folder / "model", [AGENT, HUMAN, json.dumps(attempt(1, True))])
    return folder


def person(messages: list[dict]) -> str:
    return "By 73, plus something."


PAPER = ["run", "sweet", "--preset", "paper", "--name", "paper"]
SMALL = ["--candidates", "4", "--contexts", "6", "--best-of", "2", "--colbench.max-new-tokens", "12"]
SMALL += [word for stage in ("critic", "actor", "mtdpo", "rft") for word in (f"--{stage}.max-updates", "1")]


@sandboxed
def test_the_paper_preset_trains_and_tests_a_chat_model(files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with chat_server(person=person) as server:
        command = [*PAPER, *SMALL, "--model", str(files / "model"), "--colbench.log", str(files / "log.jsonl"),
                   "--colbench.test", str(files / "test.jsonl"), "--colbench.simulator", server.spec("person"),
                   "--colbench.turns", "2"]  # fmt: skip
        assert main(command) == 0
        asked = len(server.seen["person"])
        assert asked
        assert main(command) == 0  # everything is done
        assert len(server.seen["person"]) == asked
    report = json.loads((tmp_path / "runs/paper/report.json").read_text())
    arms = ("zero_shot", "rft", "mtdpo", "sweet", "no_hidden", "no_norm", "regression")
    assert set(report["rewards"]) == set(arms)
    assert all(len(rows) == 2 for rows in report["rewards"].values())
    logged = [json.loads(line)["phase"] for line in (tmp_path / "runs/paper/metrics.jsonl").read_text().splitlines()]
    assert "eval-best-of-2" in logged
    tokenizer = load_local(files / "model", manner=BackendManner()).tokenizer
    with Store(tmp_path / "runs/paper/run.db", read_only=True) as store:
        for trace in store.traces():
            for turn in trace.turns:
                assert SECRET not in tokenizer.decode(list(turn.action.prompt_ids))


def study(files: Path, tmp_path: Path, **more) -> _Study:
    settings = replace(
        Config.preset("paper"), model=str(files / "model"), colbench=ColBench(log=str(files / "log.jsonl"), **more)
    )
    return _Study(settings, Run(tmp_path / "run", to_json("sweet", settings)))


def test_only_critics_read_the_reference_and_pairs_are_of_one_task(files, tmp_path):
    made = study(files, tmp_path)
    log = made.offline()
    assert len({trace.task.id for trace in log}) == 4  # two blocks of the same tasks
    turns = [made.turns_of(trace) for trace in log]
    decode = made.policy.tokenizer.decode
    for each, trace in zip(turns, log, strict=True):
        for one in each:
            before = decode(one.prompt)
            assert SECRET not in before
            assert trace.task.hidden["ground_truth"] in decode(one.hidden_prompt)
            assert decode(one.hidden_prompt).endswith(before.partition(AGENT[:40])[2])
    assert [len(each) for each in turns] == [2] * 4 + [1] * 4
    assert decode(turns[0][0].reply).startswith("I ask. OUTPUT: By how much?")
    pairs = made.pairs(log, turns, hidden=True)
    assert len(pairs) == 4
    for one in pairs:
        better, worse = one.sides
        assert (len(better), len(worse)) == (2, 1)  # an example a turn
        assert all(all(each.mask) for each in better)
    plain = made.pairs(log, turns, hidden=False)
    assert all(SECRET not in decode(side.prompt_ids) for one in plain for side in one.sides[0])


def test_an_adapter_learns_alone(files, tmp_path):
    made = study(files, tmp_path, lora_rank=2)
    model = made.fresh()
    learns = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert learns
    assert all("lora" in name for name in learns)


def test_what_is_missing_is_said(files, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log, model = ["--colbench.log", str(files / "log.jsonl")], ["--model", str(files / "model")]
    for words, command in (
        ("--model FOLDER", log),
        ("--colbench.simulator", [*model, *log, "--colbench.test", str(files / "test.jsonl")]),
        ("leave oracle out", [*model, *log, "--arms", "oracle"]),
        ("--colbench.log FILE", model),
    ):
        assert main([*PAPER, *command]) == 2
        assert words in capsys.readouterr().err


def test_settings_that_came_later_leave_older_runs_as_they_were():
    for name in ("laptop", "paper", "smoke"):
        settings = to_json("sweet", Config.preset(name))
        assert "colbench" not in settings
        assert "sweep" not in settings
    changed = to_json("sweet", replace(Config.preset("paper"), sweep=(5,)))
    assert tuple(changed["sweep"]) == (5,)


def test_a_sweep_is_a_run_a_size_and_a_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["run", "sweet", "--preset", "smoke", "--sweep", "6", "9", "--arms", "zero_shot", "rft"]
    command += ["--base.dialogues", "32", "--test-tasks", "2", "--attempts", "1"]
    assert main(command) == 0
    assert "success by tasks" in capsys.readouterr().out
    report = json.loads((tmp_path / "runs/sweet-smoke/report.json").read_text())
    assert set(report["levels"]) == {"6", "9"}
    assert set(report["levels"]["6"]) == {"zero_shot", "rft"}
    assert json.loads((tmp_path / "runs/sweet-smoke-tasks-9/config.json").read_text())["tasks"] == 9
