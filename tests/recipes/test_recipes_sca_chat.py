"""Self-challenging with chat models: an endpoint writes and plays, a tiny random one is trained by every method."""

import asyncio
import json
from dataclasses import replace

import pytest
import torch
from chat_server import chat_server
from tiny_chat import tiny_chat_model

from turnsmith.agents.hf_policy import HFPolicy
from turnsmith.agents.load import load_local
from turnsmith.agents.tool_manner import ToolManner
from turnsmith.cli import main
from turnsmith.engine.sampling import Sampling
from turnsmith.envs.sandbox import Tier, launch
from turnsmith.recipes.sca.chat import ChatJudge, ChatStudy
from turnsmith.recipes.sca.chat_learning import Online, imitate, prefer
from turnsmith.recipes.sca.config import Chat, Config
from turnsmith.rollout.collect import Limits, collect, evaluation_episodes
from turnsmith.runs.config import to_json
from turnsmith.runs.run import Run
from turnsmith.tasks.challenger import SYSTEM
from turnsmith.trace.store import Store
from turnsmith.trace.types import Action, Observation, Outcome, Task, Trace, Turn, Verdict
from turnsmith.worlds.desks import place_of

sandboxed = pytest.mark.skipif(
    launch.find_tier()[0] is Tier.PLAIN, reason=f"no sandbox on this machine: {launch.find_tier()[1]}"
)
WORLD = "m3_trade"
SUM = "tools.total_cost(unit_price=5.0, pieces=3)"
TASK = {
    "instruction": "What are 3 pieces at 5.0 each? Answer with the number.",
    "verify": f"def verify(answer):\n    return answer is not None and float(answer) == {SUM}",
    "solution": f"answer = str({SUM})",
    "failures": ["answer = '5.0'", "answer = '16'", "answer = None"],
}


def model(messages: list[dict]) -> str:
    """A challenger that explores once, an executor that is right two times of three, or a person's judge."""
    system = messages[0]["content"]
    if system.startswith("You invent tasks for an agent that uses tools"):
        if len(messages) == 2:
            return '{"call": "total_cost", "arguments": {"unit_price": 5.0, "pieces": 3}}'
        if "Occasion 1000" in messages[1]["content"]:
            return json.dumps({"task": {**TASK, "failures": ["answer = '15'"] * 3}})
        if "Occasion 2000" in messages[1]["content"]:
            return "I would rather not."
        return json.dumps({"task": TASK})
    if "pieces at 5.0" in messages[1]["content"]:
        if len(messages) == 2:
            return '{"call": "total_cost", "arguments": {"unit_price": 5.0, "pieces": 3}}'
        return '{"answer": "15.0"}'
    return '{"answer": "I do not know"}'


@sandboxed
def test_an_endpoint_writes_tasks_plays_them_and_is_not_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["run", "sca", "--preset", "paper", "--name", "served", "--chat.tools", WORLD, "--tasks", "3"]
    command += ["--rollouts", "6", "--most-proposals", "5", "--test-tasks", "2", "--evaluation-rollouts", "2"]
    with chat_server(model=model) as server:
        assert main([*command, "--agent", server.spec("model")]) == 0
        asked = len(server.seen["model"])
        assert main([*command, "--agent", server.spec("model")]) == 0
        assert len(server.seen["model"]) == asked  # everything was kept
    said = capsys.readouterr().out
    assert "6 of 6 rollouts of its own 3 tasks succeeded" in said
    report = json.loads((tmp_path / "runs/served/report.json").read_text())
    assert report["ladder"]["occasions"] == 5
    assert report["ladder"]["unread"] == 1
    assert report["ladder"]["kept"]["solution"] == 4
    assert report["ladder"]["kept"]["full"] == 3
    assert set(report["rewards"]) == {"zero-shot"}
    with Store(tmp_path / "runs/served/run.db", read_only=True) as store:
        played = list(store.traces(phase="train-full-3"))
        assert all(trace.reward("code_task") == 1 for trace in played)
        assert all("verify" not in trace.task.instruction for trace in played)
        tests = [trace.task.instruction for trace in store.traces(phase="eval-zero-shot")]
    written = (tmp_path / "runs/served/made").rglob("*.json")
    assert not any(instruction in path.read_text() for path in written for instruction in tests)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = place_of(WORLD)
    texts = [SYSTEM, json.dumps(TASK), *(f"{spec.name} {spec.description}" for spec in place.world.specs)]
    return tiny_chat_model(tmp_path_factory.mktemp("sca") / "model", texts)


@sandboxed
def test_the_paper_preset_runs_with_a_chat_model_of_random_weights(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arms = ["rft-full-2", "rft-oracle-2", "dpo-oracle-2", "grpo-oracle-2", "ppo-oracle-2", "rft-pae-2",
            "distill-oracle-2"]  # fmt: skip
    with chat_server(model=model) as server:
        command = ["run", "sca", "--preset", "paper", "--name", "random", "--agent", str(folder), "--chat.tools", WORLD,
                   "--chat.max-new-tokens", "8", "--chat.task-tokens", "8", "--chat.teacher", server.spec("model"),
                   "--tasks", "2", "--rollouts", "4", "--most-proposals", "2", "--test-tasks", "1", "--horizon", "2",
                   "--evaluation-rollouts", "1", "--online-iterations", "2", "--update.max-updates", "1",
                   "--arms", *arms]  # fmt: skip
        assert main(command) == 0
    report = json.loads((tmp_path / "runs/random/report.json").read_text())
    assert set(report["rewards"]) == {"zero-shot", *arms}
    assert report["ladder"]["unread"] == 2  # random words are no task
    rows = [json.loads(line) for line in (tmp_path / "runs/random/metrics.jsonl").read_text().splitlines()]
    by_phase = {row["phase"]: row for row in rows}
    assert by_phase["distill-oracle-2"]["examples"] > 0
    assert by_phase["ppo-oracle-2"]["iteration"] == by_phase["grpo-oracle-2"]["iteration"] == 2
    assert by_phase["rft-oracle-2"]["episodes"] == 4
    assert main([*command[: -len(arms) - 1], "--chat.teacher", "", "--name", "b", "--arms", "distill-oracle-2"]) == 2
    assert "--chat.teacher" in capsys.readouterr().err


def episodes(policy: HFPolicy, count: int = 8) -> list[Trace]:
    """Random episodes of two tasks, every second of which pleases."""
    place = place_of(WORLD)
    tasks = place.tasks("train", 2)
    rows = [
        replace(one, id=f"{one.id}-{k}", seed=k) for k in range(count // 2) for one in evaluation_episodes(tasks, 0)
    ]

    class Coin:
        name = "coin"

        async def judge(self, trace):
            return Verdict("coin", float(trace.seed % 2))

    return asyncio.run(collect(place.environment(), policy, rows, Limits(horizon=2), judge=Coin()))


def test_every_method_changes_the_weights(folder):
    place = place_of(WORLD)
    manner = ToolManner(place.world.specs, "", False)

    def fresh() -> HFPolicy:
        return load_local(folder, sampling=Sampling(max_new_tokens=6), manner=manner)

    base = fresh()
    ended = [replace(trace, turns=tuple(replace(turn, action=replace(turn.action, stop="eos")) for turn in trace.turns))
             for trace in episodes(base)]  # fmt: skip
    config = Config.preset("smoke")

    def moved(policy: HFPolicy) -> bool:
        pairs = zip(policy.model.parameters(), base.model.parameters(), strict=True)
        return any(bool((a != b).any()) for a, b in pairs)

    one = fresh()
    assert imitate(one, ended, config)["examples"] >= 8
    assert moved(one)
    two = fresh()
    assert prefer(two, ended, "coin", config)["pairs"] == 4
    assert moved(two)
    for method in ("grpo", "ppo"):
        policy, learner = fresh(), Online(method, base, config)
        optimizer = torch.optim.AdamW(policy.model.parameters(), lr=1e-3)
        first = learner.credited(policy, ended, "coin")
        assert sum(one.advantage for one in first) == pytest.approx(0, abs=1e-4)  # ½ or the group's mean at first
        learner.update(policy, first, optimizer)
        assert moved(policy)

    told = [replace(one, verdicts=(Verdict("coin", float(one.task.id.endswith("0"))),)) for one in ended]
    learner = Online("ppo", base, config)  # of one task all succeed, of the other none: a critic can learn that
    sizes = [sum(abs(one.advantage) for one in learner.credited(base, told, "coin")) for _ in range(2)]
    assert sizes[1] < 0.8 * sizes[0]


def test_the_users_of_self_made_tasks_know_the_brief_and_the_executor_does_not(folder, tmp_path):
    config = replace(Config.preset("paper"), agent=str(folder), test_tasks=1)
    served = Chat(tools="tau_airline_synthetic", user="openai:x@http://127.0.0.1:9/v1")
    with Run(tmp_path / "a", to_json("sca", config)) as run:
        task = ChatStudy(replace(config, chat=served), run).executor_task("t", "Cancel X.", None)
    assert (task.hidden["brief"], "Cancel" in task.instruction) == ("Cancel X.", False)
    with Run(tmp_path / "b", to_json("sca", config)) as run:
        study = ChatStudy(replace(config, chat=Chat(tools="tau_airline_synthetic")), run)
    assert study.alone
    assert study.executor_task("t", "Cancel X.", None).instruction == "Cancel X."


def test_the_models_own_judge_reads_the_whole_episode():
    class Reader:
        def __init__(self):
            self.read = ""

        async def chat(self, messages, sampling, seed):
            from turnsmith.engine.openai_reply import Completion
            from turnsmith.trace.types import StopReason

            self.read = messages[1]["content"]
            return Completion("It is. Verdict: SUCCESS" if "done" in self.read else "hm", StopReason.EOS)

    reader = Reader()
    trace = Trace("t", Task("t", "Do it.", "x"), (Turn(Observation("seen"), Action("done")),), Outcome.FAILURE)
    assert asyncio.run(ChatJudge(reader).judge(trace)).reward == 1
    assert reader.read == "Task: Do it.\nSeen: seen\nDone: done"
    silent = replace(trace, turns=(Turn(Observation("x"), Action("y")),))
    assert asyncio.run(ChatJudge(reader).judge(silent)).reward == 0


def test_settings_that_came_later_leave_older_runs_as_they_were():
    for name in ("smoke", "laptop", "paper"):
        assert not {"agent", "chat"} & set(to_json("sca", Config.preset(name)))
