"""Judges by name: what each rewards, which of them a task asks for by itself, and what users are told."""

import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from turnsmith.cli import main
from turnsmith.errors import InfraError, UserError
from turnsmith.judges.base import Judge
from turnsmith.judges.named import closed, judge_named
from turnsmith.judges.rules import differing
from turnsmith.trace.store import Store
from turnsmith.trace.types import ORACLE, Action, Call, Observation, Outcome, Task, Trace, Turn, Verdict


def ended(answer: str | None, hidden: Mapping[str, Any], name: str = "t", url: str = "") -> Trace:
    """An episode of one turn that ends with an answer."""
    task = Task(name, "Find out.", "browser", {}, hidden=dict(hidden))
    call = Call("answer", {"text": answer}) if answer is not None else Call("click", {"mark": 1})
    seen = Observation(text="a page", info={"url": url} if url else {})
    return Trace(name, task, (Turn(seen, Action("said", call)),), Outcome.UNJUDGED)


def named(name: str, trace: Trace) -> Judge:
    """A judge that is not the oracle."""
    judge = judge_named(name, [trace.task])
    assert judge is not None
    return judge


@pytest.mark.parametrize(
    ("judge", "hidden", "answer", "reward"),
    [
        ("exact", {"answer": "Nine o'clock"}, "nine o'clock.", 1),
        ("exact", {"answer": "9"}, "at 9", 0),
        ("contains", {"answer": "9"}, "at 9", 1),
        ("contains", {"reference": "5"}, "$15 and 5.50", 1),  # the 5 of 5.50 is a word of its own
        ("contains", {"reference": "5"}, "$15", 0),
        ("contains", {"reference": ["nine", "five"]}, "From nine to FIVE", 1),
        ("contains", {"reference": ["nine", "six"]}, "From nine to five", 0),
        ("regex", {"pattern": r"(?i)^from \w+ to five"}, "From nine to five", 1),
        ("regex", {"reference": r"^\d+$"}, "12 g", 0),
        ("exact", {"answer": "x"}, None, 0),
        ("contains", {"answer": "x"}, None, 0),
        ("regex", {"pattern": ""}, None, 0),
    ],
)
async def test_what_an_answer_is_worth(judge: str, hidden: dict[str, Any], answer: str | None, reward: float):
    trace = ended(answer, hidden)
    verdict = await named(judge, trace).judge(trace)
    assert (verdict.judge, verdict.reward) == (judge, reward)


async def test_where_an_episode_ended():
    here = ended(
        "done", {"url": ["http://shop.test/cart", "http://shop.test/basket"]}, url="http://shop.test/basket?a=1"
    )
    there = ended("done", {"url": "http://shop.test/cart"}, url="http://shop.test/")
    nowhere = ended("done", {"url": "http://shop.test/cart"})
    rewards = [(await named("url", trace).judge(trace)).reward for trace in (here, there, nowhere)]
    assert rewards == [1, 0, 0]


async def test_a_pattern_without_end_and_one_that_is_none_are_one_line_each():
    endless = ended("a" * 60 + "!", {"pattern": r"^(a|a?)+$"})
    assert (await named("regex", endless).judge(replace(endless, turns=ended("aaa", {}).turns))).reward == 1
    with pytest.raises(UserError, match="its pattern is none"):
        await named("regex", ended("a", {"pattern": "("})).judge(ended("a", {"pattern": "("}))
    with pytest.raises(UserError, match="no pattern to judge by"):
        await named("regex", ended("a", {})).judge(ended("a", {}))


class _State(BaseHTTPRequestHandler):
    body: bytes = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


async def test_the_state_that_a_server_is_left_in():
    server = HTTPServer(("127.0.0.1", 0), _State)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    trace = ended("done", {"state": {"cart": [{"item": "Kettle", "count": 2}], "paid": True}})
    judge = named(f"state:http://127.0.0.1:{server.server_port}/state", trace)
    said = []
    for state in (
        {"cart": [{"item": "Kettle", "count": 2}], "paid": True, "visits": 7},
        {"cart": [{"item": "Kettle", "count": 2}], "paid": 1},
        {"cart": []},
    ):
        _State.body = json.dumps(state).encode()
        said.append(await judge.judge(trace))
    assert [verdict.reward for verdict in said] == [1, 0, 0]
    assert said[2].reason.startswith("state.cart is '[]'")
    for body in (b"not json", b"[" * 100_000):
        _State.body = body
        with pytest.raises(InfraError):
            await judge.judge(trace)
    server.shutdown()
    assert differing({"a": {"b": 1}}, {"a": {}}) == "state.a.b is missing"


async def test_a_check_of_ones_own_runs_in_the_sandbox(tmp_path: Path):
    path = tmp_path / "check.py"
    path.write_text("def check(answer, hidden):\n    return 0.5 if answer is None else answer == hidden['right'][0]\n")
    trace = ended("yes", {"right": ["yes"]})
    judge = named(f"unit:{path}", trace)
    rewards = [(await judge.judge(ended(answer, {"right": ["yes"]}))).reward for answer in ("yes", "no", None)]
    await closed(judge)
    assert rewards == [1, 0, 0.5]
    path.write_text("def check(answer, hidden):\n    return open('/etc/shadow').read()\n")
    judge = named(f"unit:{path}", trace)
    with pytest.raises(UserError, match="has to return True, False or 0 to 1"):
        await judge.judge(trace)
    await closed(judge)


async def test_a_judge_of_ones_own_is_found_by_module_and_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "my_judges.py").write_text(
        "from turnsmith.trace.types import Verdict\n"
        "class Polite:\n"
        "    name = 'polite'\n"
        "    async def judge(self, trace):\n"
        "        return Verdict(self.name, float('please' in (trace.answer or '')))\n"
        "class Nothing: pass\n"
    )
    monkeypatch.chdir(tmp_path)
    trace = ended("yes please", {})
    verdict = await named("my_judges:Polite", trace).judge(trace)
    assert (verdict.judge, verdict.reward) == ("polite", 1)
    wrongs = {
        "my_judges:Nothing": "a judge has a `name`",
        "my_judges:None_": "cannot be made",
        "no_module:X": "cannot be",
    }
    for wrong, said in wrongs.items():
        with pytest.raises(UserError, match=said):
            judge_named(wrong)


@pytest.mark.parametrize("name", ["", "gpt", "state:", "state:file:///etc/passwd", "unit:", "os.path", "a b:C"])
def test_a_name_that_is_none_lists_those_there_are(name: str):
    with pytest.raises(UserError, match=r"there is no such judge\..*llm:MODEL@URL"):
        judge_named(name)


async def test_by_itself_the_tasks_say_which_judge_they_want():
    answer, reference, neither = (ended("a", hidden) for hidden in ({"answer": "a"}, {"reference": "b"}, {}))
    assert named("auto", answer).name == "exact"
    assert judge_named("auto", [neither.task]) is None
    assert judge_named("auto", [ended("a", {"eval": {}, "answer": "a"}).task]) is None  # its oracle knows
    mixed = judge_named("auto", [answer.task, reference.task])
    assert mixed is not None
    assert [(await mixed.judge(trace)).reward for trace in (answer, reference)] == [1, 0]
    judged = replace(neither, verdicts=(Verdict(ORACLE, 1.0, "so it is"),))
    assert (await mixed.judge(judged)) == Verdict("auto", 1.0, "so it is")
    with pytest.raises(UserError, match="can be judged by nothing"):
        await mixed.judge(neither)
    assert judge_named("oracle") is None
    assert named("llm:m@http://127.0.0.1:9/v1", answer).name == named("openai:m@http://127.0.0.1:9/v1", answer).name


def test_a_run_is_judged_afterwards_and_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with Store(tmp_path / "run.db") as store:
        for number in range(6):
            answer = "9" if number % 3 else "8"
            trace = ended(answer, {"answer": "9"}, f"t{number}")
            store.append(replace(trace, verdicts=(Verdict(ORACLE, float(number % 2)),), outcome=Outcome.FAILURE))
    assert main(["traces", "judge", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "Success by exact" in said
    assert "66.7 %" in said
    assert "against the oracle: precision 50.0 %" in said
    assert main(["traces", "judge", str(tmp_path), "--judge", "exact"]) == 0  # nothing is left to judge
    with Store(tmp_path / "run.db", read_only=True) as store:
        assert [len(trace.verdicts) for trace in store.traces()] == [2] * 6
    assert main(["traces", "judge", str(tmp_path), "--judge", "exact", "--again"]) == 0
    with Store(tmp_path / "run.db", read_only=True) as store:
        assert [len(trace.verdicts) for trace in store.traces()] == [3] * 6
    for name in ("oracle", "state:http://127.0.0.1:9"):
        assert main(["traces", "judge", str(tmp_path), "--judge", name]) == 2
    assert "only while an episode is played" in capsys.readouterr().err
