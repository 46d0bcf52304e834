"""ColBench's dialogues from the command line, both sides behind an endpoint, and what may not happen."""

import asyncio
import json

import pytest
from chat_server import ChatServer, chat_server

from turnsmith.agents.base import Context
from turnsmith.cli import main
from turnsmith.envs.dialogue import DialogueEnvironment
from turnsmith.envs.sandbox import Tier, launch
from turnsmith.errors import InfraError, UserError
from turnsmith.trace.store import Store
from turnsmith.trace.types import Action, Observation, Task, Turn
from turnsmith.worlds.programs.backend import HUMAN, LAST_TURN, BackendDialogues, BackendManner

sandboxed = pytest.mark.skipif(
    launch.find_tier()[0] is Tier.PLAIN, reason=f"no sandbox on this machine: {launch.find_tier()[1]}"
)
SECRET = "x * 7 - 3"


def row(number: int) -> dict:
    """A task whose reference says what its description leaves out."""
    return {
        "problem_description": f"I need a function scale(x) for shelf {number}.",
        "ground_truth": f"def scale(x):\n    return {SECRET}",
        "test_cases": {f"test{i}": f"scale({i})" for i in range(10)},
    }


def agent(messages: list[dict]) -> str:
    """Asks once, then writes what it was told; of shelf 2 it never asks, of shelf 3 it never answers."""
    heard = [m["content"] for m in messages if m["role"] == "user"]
    if "shelf 3" in heard[0]:
        return "And then?"
    if "shelf 2" in heard[0]:
        return "I WANT TO ANSWER:\ndef scale(x):\n    return x"
    if len(heard) == 1:
        return "They want something scaled, I wonder how. OUTPUT: By how much?"
    return f"I WANT TO ANSWER:\n```python\ndef scale(x):\n    return {heard[-1].rpartition(': ')[2]}\n```"


def human(messages: list[dict]) -> str:
    """Says what the code says, whatever is asked, and more than anybody wants to hear."""
    code = messages[0]["content"].partition("return ")[2].splitlines()[0]
    return f"{'well ' * (0 if 'scaled' in str(messages) else 1)}it is: {code}" + " " * 10


def write_tasks(path, count=3):
    path.write_text("".join(json.dumps(row(n + 1)) + "\n" for n in range(count)))


@sandboxed
def test_a_file_of_tasks_is_played_and_scored_twice(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_tasks(tmp_path / "tasks.jsonl")
    with chat_server(coder=agent, person=human) as server:
        command = ["eval", "colbench", "tasks.jsonl", "--agent", server.spec("coder")]
        command += ["--simulator", server.spec("person"), "--name", "one", "--turns", "4"]
        assert main(command) == 0
        said = capsys.readouterr().out
        assert "success" in said
        assert "33.3 %" in said
        assert all(len(line) <= 80 for line in said.splitlines() if not line.startswith("report"))
        assert main([*command[:-3], "two", "--turns", "4", "--against", "one"]) == 0
        assert "wins 50.0 % of 3 tasks" in capsys.readouterr().out
        check_who_saw_what(server)
    report = json.loads((tmp_path / "runs/one/report.json").read_text())
    assert report["numbers"]["tests"] == pytest.approx(1 / 3)
    assert report["numbers"]["official_success"] == pytest.approx(1 / 3)
    with Store(tmp_path / "runs/one/run.db", read_only=True) as store:
        traces = sorted(store.traces(), key=lambda trace: trace.id)
    first, second, third = traces
    assert [turn.observation.info["from"] for turn in first.turns] == ["task", "user"]
    assert first.turns[0].info["from"] == "user"
    assert first.turns[1].info["success"]
    assert first.verdicts[0].reason == "10/10 tests passed, 10/10 by the official rule"
    assert second.reward() == 0
    assert len(third.turns) == 4  # the last words are the answer
    assert third.reward() == 0
    assert "tests" in third.turns[-1].info


def check_who_saw_what(server: ChatServer) -> None:
    """The reference is in every request to the person and in none to the agent; no thought leaves the agent's side."""
    for body in server.seen["person"]:
        assert SECRET in body["messages"][0]["content"]
        assert "I wonder" not in str(body)
        assert body["temperature"] == 0
    for body in server.seen["coder"]:
        before = [m["content"] for m in body["messages"] if m["role"] != "user"]
        assert SECRET not in "".join(before)
        assert "def scale" not in str(body)
        assert "test0" not in str(body)
    heard = [m["content"] for body in server.seen["coder"] for m in body["messages"][2:] if m["role"] == "user"]
    assert any(LAST_TURN in text for text in heard)


class Person:
    """Says what it is told to, in order."""

    def __init__(self, *said: str) -> None:
        self.said, self.heard = list(said), []

    async def chat(self, messages, sampling, seed):
        from turnsmith.engine.openai_reply import Completion
        from turnsmith.trace.types import StopReason

        self.heard.append([dict(m) for m in messages])
        return Completion(self.said.pop(0) if self.said else "", StopReason.EOS)


def task_of(number: int = 1) -> Task:
    one = row(number)
    hidden = {"ground_truth": one["ground_truth"], "test_cases": one["test_cases"]}
    return Task("t", one["problem_description"], "programs", hidden=hidden)


def act(text: str) -> Action:
    return Action(text, *BackendManner().parse(text))


@sandboxed
def test_replies_are_cut_and_a_person_who_says_nothing_is_an_infra_error():
    async def talk():
        person = Person("so " * 300, "", "yes")
        async with DialogueEnvironment(BackendDialogues(person)) as environment, environment.session() as session:
            assert (await session.reset(task_of(), 0)).text == ""
            step = await session.step(act("Of what? "))
            assert len(step.observation.text) == 400
            assert step.observation.info["cut"]
            assert (await session.step(act("And?"))).observation.text == "yes"  # asked again
            assert person.heard[-1][-3:] == [
                {"role": "user", "content": "Of what?"},
                {"role": "assistant", "content": ("so " * 300).strip()[:400]},
                {"role": "user", "content": "And?"},
            ]
            assert await session.grade() is None
            with pytest.raises(InfraError, match="no_reply"):
                await session.step(act("Hm?"))
            await session.reset(task_of(), 1)
            empty = await session.step(act(""))
            assert empty.observation.error == "the reply is empty"

    asyncio.run(talk())


@sandboxed
def test_hostile_answers_are_wrong_answers():
    async def grade(code: str):
        dialogues = BackendDialogues(Person(), sandboxes=1)
        async with DialogueEnvironment(dialogues) as environment, environment.session() as session:
            await session.reset(task_of(), 0)
            step = await session.step(act(f"I WANT TO ANSWER:\n{code}"))
            assert step.done
            return step, await session.grade()

    for code in ("import os\ndef scale(x): os._exit(0)", "while True: pass", "def scale(x", ""):
        step, verdict = asyncio.run(grade(code))
        assert verdict is not None
        assert verdict.reward == 0
        assert step.info["tests"] == 0
    _, verdict = asyncio.run(grade(f"def scale(x):\n    return {SECRET}"))
    assert verdict is not None
    assert verdict.reward == 1


def test_the_last_turn_is_announced_and_thoughts_are_forgotten():
    manner = BackendManner()
    said = Turn(Observation(info={"left": 2}), Action("secret plan OUTPUT: How many?"))
    context = Context(Task("t", "Help.", "programs"), Observation("Two.", info={"left": 1}), (said,))
    texts = [message["content"][0]["text"] for message in manner.messages(context)]
    assert texts[1:] == ["Help.", "How many?", f"Two.\n\n({LAST_TURN})"]
    assert "{" not in texts[0]
    assert HUMAN.count("{") == 2


@pytest.mark.parametrize(
    ("lines", "words"),
    [("", "no tasks"), ('{"problem_description": 3, "ground_truth": "x", "test_cases": {}}\n', "line 1"),
     ("nonsense\n", "line 1: not JSON")],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_said(tmp_path, capsys, lines, words):
    (tmp_path / "t.jsonl").write_text(lines)
    assert main(["eval", "colbench", str(tmp_path / "t.jsonl"), "--agent", "openai:a@http://127.0.0.1:9/v1",
                 "--simulator", "openai:a@http://127.0.0.1:9/v1"]) == 2  # fmt: skip
    assert words in capsys.readouterr().err


def test_a_task_without_truth_is_refused():
    with pytest.raises(UserError, match="hidden ground_truth"):
        BackendDialogues(Person()).open(Task("t", "x", "programs"), 0)
