"""Tools by chat: users and agents behind a real endpoint, what each may see, and the airline's made-up tasks."""

import asyncio
import json
import random
import re

import pytest
from chat_server import chat_server

from turnsmith.agents.base import Context
from turnsmith.agents.human import ChatUser
from turnsmith.agents.tool_manner import ToolManner
from turnsmith.cli import main
from turnsmith.data import data_file
from turnsmith.envs.tools.replay import calls_of
from turnsmith.envs.tools.user import STOP
from turnsmith.errors import UserError
from turnsmith.rollout.collect import Limits, collect, evaluation_episodes
from turnsmith.trace.store import Store
from turnsmith.trace.types import Action, Call, Observation, Task, Turn
from turnsmith.worlds import airline
from turnsmith.worlds.airline.tasks import KINDS, random_task, user_of
from turnsmith.worlds.desks import NAMES, brief_of, official_tasks, place_of


class Gold:
    """Listens until nothing is left to ask for, then does what the task's truth says."""

    version = "gold"

    def __init__(self, tasks: list[Task], asks: int = 1) -> None:
        self._calls = {task.id: calls_of(task.hidden["actions"]) for task in tasks}
        self._asks = asks

    async def act(self, contexts):
        found = []
        for context in contexts:
            assert not context.task.hidden
            done = sum(turn.action.call is not None and turn.action.call.name != "respond" for turn in context.turns)
            calls = self._calls[context.task.id]
            if len(context.turns) < self._asks:
                found.append(Action("What can I do?", Call("respond", {"content": "What can I do?"})))
            elif done < len(calls):
                found.append(Action("", calls[done]))
            else:
                found.append(Action("Anything else?", Call("respond", {"content": "Anything else?"})))
        return found

    async def log_prob(self, steps):
        raise NotImplementedError


def test_every_kind_of_airline_task_is_solved_by_its_truth_and_not_by_idling():
    world = airline.synthetic_world(3, 60)
    place = place_of("tau_airline_synthetic", 3)
    rng = random.Random(0)
    tasks = [random_task(f"t{n}", world.base, rng, [kind]) for n, kind in enumerate(KINDS * 6)]
    environment = place.environment()

    def play(policy):
        return asyncio.run(collect(environment, policy, evaluation_episodes(tasks, 0), Limits(horizon=8)))

    environment.toolboxes = world
    assert all(trace.reward() == 1 for trace in play(Gold(tasks)))

    class Idle(Gold):
        async def act(self, contexts):
            return [Action("Hm.", Call("respond", {"content": "Anything else?"})) for _ in contexts]

    assert all(trace.reward() == 0 for trace in play(Idle(tasks)))
    assert {task.provenance["kinds"][0] for task in tasks} == set(KINDS)


def test_airline_tasks_depend_on_their_seed_and_payment_is_said_only_when_asked():
    place = place_of("tau_airline_synthetic")
    one, same, other = (place.tasks("test", 12, seed) for seed in (0, 0, 1))
    assert [task.hidden for task in one] == [task.hidden for task in same] != [task.hidden for task in other]
    assert [task.hidden for task in one] != [task.hidden for task in place.tasks("train", 12)]
    bags = next(task for task in one if task.hidden["wishes"][0]["details"].get("payment"))
    payment = bags.hidden["actions"][0]["kwargs"]["payment_id"]

    async def talk():
        user = user_of(bags)
        return (await user.opening()).text, (await user.reply("How can I help?")).text, (
            await user.reply("Which payment method?")).text  # fmt: skip

    hello, wish, answer = asyncio.run(talk())
    assert payment not in hello + wish
    assert payment in answer
    assert payment in brief_of(place, bags)


def test_what_a_chat_writes_is_a_call_an_answer_or_said_to_the_user():
    place = place_of("tau_airline_synthetic")
    desk, alone = (ToolManner(place.world.specs, "Be kind.", user) for user in (True, False))
    call = Call("get_user_details", {"user_id": "x"})
    said = 'Let me look. {"call": "get_user_details", "arguments": {"user_id": "x"}}'
    assert desk.parse(said) == (call, "")
    assert desk.parse("Hello!") == (Call("respond", {"content": "Hello!"}), "")
    assert alone.parse('{"answer": 3}') == (Call("answer", {"text": "3"}), "")
    assert alone.parse("It is 3.") == (Call("answer", {"text": "It is 3."}), "")
    for broken in ("", "   ", '{"call": "x", "arguments": [1]}'):
        assert desk.parse(broken)[0] is None
    turn = Turn(Observation("User: hi", info={"from": "user"}), Action(said, call))
    context = Context(Task("t", "Help.", "x"), Observation('{"a": 1}', info={"from": "get_user_details"}), (turn,))
    texts = [message["content"][0]["text"] for message in desk.messages(context)]
    assert texts[1:] == ["User: hi", said, 'get_user_details: {"a": 1}']
    assert "Be kind." in texts[0]
    assert all(f"- {spec.name}: " in texts[0] for spec in place.world.specs)


def passenger(messages: list[dict]) -> str:
    """Says the part of the brief that is asked for."""
    brief = messages[0]["content"]
    heard = messages[-1]["content"]
    if "user id" in heard or len(messages) == 2:
        return "My user id is " + re.search(r"user id is (\S+?)\.", brief)[1] + "."  # pyright: ignore
    if "want" in heard:
        return brief.partition("want:\n")[2].splitlines()[1]
    return STOP


def clerk(messages: list[dict]) -> str:
    """Cancels what it is told to cancel, in three turns; nothing else."""
    heard = [m["content"] for m in messages if m["role"] == "user"]
    if len(heard) == 1:
        return "What do you want?"
    if (found := re.search(r"cancel my reservation (\w+)", heard[1])) and len(heard) == 2:
        arguments = {"reservation_id": found[1]}
        return json.dumps({"call": "cancel_reservation", "arguments": arguments})
    return "That is all."


def test_tools_with_a_user_behind_an_endpoint_from_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with chat_server(clerk=clerk, passenger=passenger) as server:
        command = ["eval", "tools", "tau_airline_synthetic", "--agent", server.spec("clerk"), "--count", "8"]
        command += ["--attempts", "2", "--name", "desk"]
        assert main([*command, "--user", server.spec("passenger")]) == 0
        assert all(body["messages"][0]["content"].count("want:\n") == 0 for body in server.seen["clerk"])
        assert all("What you want" not in str(body) for body in server.seen["clerk"])
    said = capsys.readouterr().out
    assert "pass^2" in said
    assert "do nothing" in said
    with Store(tmp_path / "runs/desk/run.db", read_only=True) as store:
        traces = list(store.traces())
    assert len(traces) == 16
    cancels = [trace for trace in traces if trace.task.provenance["kinds"] == ["cancel"]]
    assert cancels
    assert all(trace.reward() == 1 for trace in cancels)
    assert all(trace.reward() == 0 for trace in traces if trace not in cancels)
    speakers = {(t.observation.info["from"], t.observation.info.get("by")) for trace in traces for t in trace.turns}
    assert speakers == {("user", "passenger"), ("cancel_reservation", None)}
    report = json.loads((tmp_path / "runs/desk/report.json").read_text())
    assert report["numbers"]["pass@2"] == report["numbers"]["pass^2"] == len(cancels) / 16
    assert report["numbers"]["inaction"] == 0


def solver(messages: list[dict]) -> str:
    """Adds tariffs by itself; right about every sum that it is asked for by the tool's own words."""
    return '{"answer": "7"}'


def test_small_tools_need_no_user(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with chat_server(solver=solver) as server:
        command = ["eval", "tools", "m3_trade", "--agent", server.spec("solver"), "--count", "3", "--attempts", "1"]
        assert main(command) == 0
    assert "m3_trade: 3 tasks" in capsys.readouterr().out


@pytest.mark.skipif(data_file("tools/tau_airline") is None, reason="tau-bench's data is not on this machine")
def test_official_tasks_are_whole_their_truth_earns_one_and_rules_cannot_play_their_users(capsys):
    tasks = official_tasks("tau_airline", "test")
    assert len(tasks) == 50
    assert len(official_tasks("tau_retail", "test")) == 115
    place = place_of("tau_airline")
    assert brief_of(place, tasks[0]).startswith("Your user id is mia_li_3668")
    with pytest.raises(UserError, match="free text"):
        place.environment().make_user(tasks[0], 0)

    class Polite:
        async def chat(self, messages, sampling, seed):
            from turnsmith.engine.openai_reply import Completion
            from turnsmith.trace.types import StopReason

            return Completion(STOP if "else" in messages[-1]["content"] else "Please go on.", StopReason.EOS)

    environment = place.environment(Polite(), "polite")
    assert isinstance(environment.make_user(tasks[0], 0), ChatUser)
    silent = [task for task in tasks if not task.hidden["outputs"] and task.hidden["actions"]][:6]
    episodes = evaluation_episodes(silent, 0)
    traces = asyncio.run(collect(environment, Gold(silent, 1), episodes, Limits(horizon=20)))
    assert all(trace.reward() == 1 for trace in traces)
    with pytest.raises(UserError, match="no train split"):
        official_tasks("tau_airline", "train")
    assert main(["eval", "tools", "tau_airline", "--agent", "openai:a@http://127.0.0.1:9/v1"]) == 2
    assert "--user" in capsys.readouterr().err


def test_an_unknown_world_is_refused():
    with pytest.raises(UserError, match=NAMES[0]):
        place_of("nowhere")
