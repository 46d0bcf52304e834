"""Code-as-Task: what each filter lets through, whoever wrote it."""

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from turnsmith.commands import tasks as command
from turnsmith.engine.openai_reply import Completion
from turnsmith.envs.sandbox import Sandbox, Tier, launch
from turnsmith.envs.tools.code_task import CodeTask, from_json
from turnsmith.envs.tools.functions import load_toolboxes
from turnsmith.errors import ParseError, UserError
from turnsmith.tasks.challenge import Filter, audit, check, precision, try_calls, yields
from turnsmith.tasks.challenger import write_task
from turnsmith.text import first_object
from turnsmith.trace.types import Call, StopReason

pytestmark = pytest.mark.skipif(
    launch.find_tier()[0] is Tier.PLAIN, reason=f"no sandbox on this machine: {launch.find_tier()[1]}"
)
LAMP = str(Path(__file__).parents[1] / "envs" / "tools" / "lamp_tools.py")
GOOD = CodeTask(
    "lamp",
    "Switch the lamp on at level 7.",
    "def verify(answer):\n    lamp = tools.get_lamp()\n    return lamp['lamp'] == 'on' and lamp['level'] == 7\n",
    "tools.switch(to='on')\ntools.dim(level=7)\n",
    ("tools.switch(to='on')\n", "tools.dim(level=7)\n", "tools.switch(to='on')\ntools.dim(level=6)\n"),
)


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox("server") as made:
        yield made


@pytest.fixture(scope="module")
def lamp():
    return load_toolboxes(LAMP)


def passed(task: CodeTask, lamp, sandbox) -> tuple[Filter, str]:
    found = check(task, lamp, sandbox)
    return found.passed, found.reason


def test_a_good_task_passes_everything(lamp, sandbox):
    assert passed(GOOD, lamp, sandbox) == (Filter.FULL, "")


@pytest.mark.parametrize(
    ("change", "stage", "reason"),
    [
        ({"verify": "def verify(answer:"}, Filter.NONE, "the untouched world does not run: syntax"),
        ({"verify": "def verify(answer): return 1"}, Filter.NONE, "verify gave int, not a bool"),
        ({"verify": "def verify(answer): return True"}, Filter.NONE, "the untouched world passes"),
        ({"verify": "def verify(answer):\n    tools.switch(to='on')\n    return False"}, Filter.NONE, "does not run"),
        ({"verify": "def verify(answer):\n    while True: pass"}, Filter.NONE, "timeout"),
        ({"solution": "tools.switch(to='blue')\n"}, Filter.RUNS, "the solution fails"),
        ({"solution": "1/0\n"}, Filter.RUNS, "the solution does not run: raised: ZeroDivisionError"),
        ({"failures": (GOOD.solution, "pass", "pass")}, Filter.SOLUTION, "failure case 1 passes"),
        ({"failures": ("pass", "oops(", "pass")}, Filter.SOLUTION, "failure case 2 does not run"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_task_is_found_at_its_stage(change, stage, reason, lamp, sandbox):
    found = check(replace(GOOD, **change), lamp, sandbox)
    assert found.passed is stage
    assert reason in found.reason


def test_every_attempt_starts_from_a_fresh_world(lamp, sandbox):
    counting = replace(GOOD, verify="def verify(answer): return tools.get_lamp()['level'] == 1\n",
                       solution="tools.dim(level=tools.get_lamp()['level'] + 1)\n", failures=("pass",) * 3)  # fmt: skip
    assert passed(counting, lamp, sandbox) == (Filter.FULL, "")


def test_a_task_whose_verdicts_differ_is_dropped(lamp, sandbox):
    class Moody:
        """Every second world begins with the lamp on."""

        name, specs, policy, made = lamp.name, lamp.specs, "", 0

        def fresh(self):
            toolbox = lamp.fresh()
            if self.made % 2:
                toolbox.call("switch", {"to": "on"})
            self.made += 1
            return toolbox

    task = replace(GOOD, verify="def verify(answer): return tools.get_lamp()['lamp'] == 'on'\n")
    assert passed(task, Moody(), sandbox) == (Filter.NONE, "the untouched world has another verdict the second time")


def test_a_verifier_sees_the_answer_and_the_calls_of_an_executor(lamp, sandbox):
    task = replace(GOOD, verify="def verify(answer): return answer == 7 and tools.get_lamp()['lamp'] == 'on'\n")
    on = [Call("switch", {"to": "on"})]
    assert try_calls(task, on, lamp, sandbox, 7).verdict is True
    assert try_calls(task, on, lamp, sandbox, 8).verdict is False
    assert try_calls(task, [], lamp, sandbox, 7).verdict is False


def test_the_audit_tells_infeasible_strict_and_lenient_apart(lamp, sandbox):
    right = [Call("switch", {"to": "on"}), Call("dim", {"level": 7})]
    wrong = [[Call("switch", {"to": "on"})], [Call("dim", {"level": 7})]]
    lenient = replace(GOOD, verify="def verify(answer): return tools.get_lamp()['lamp'] == 'on'\n")
    strict = replace(GOOD, verify="def verify(answer): return False\n")
    rows = [audit(task, lambda _: (right, wrong), lamp, sandbox) for task in (GOOD, lenient, strict)]
    rows.append(audit(GOOD, lambda _: (None, []), lamp, sandbox))
    assert [row.right for row in rows] == [True, False, False, False]
    assert [row.false_positives for row in rows] == [0, 1, 0, 0]
    assert [row.false_negatives for row in rows] == [0, 0, 1, 1]
    assert precision(rows) == (1, 4)


def test_yields_count_what_each_filter_keeps(lamp, sandbox):
    checks = [check(task, lamp, sandbox) for task in (GOOD, replace(GOOD, solution="pass"))]
    assert yields(checks)["kept"] == {"none": 2, "runs": 2, "solution": 1, "full": 1}


def test_a_task_survives_json_and_a_bad_line_says_what_is_missing():
    assert from_json(json.loads(json.dumps(GOOD.to_json()))) == GOOD
    with pytest.raises(ValueError, match='"verify" is missing'):
        from_json({"instruction": "x"})
    with pytest.raises(ValueError, match="list of 3"):
        from_json({**GOOD.to_json(), "failures": ["pass"]})


class Scripted:
    """A model that explores once and then writes the good task."""

    def __init__(self, *replies: str) -> None:
        self.replies, self.heard = list(replies), []

    async def chat(self, messages, sampling, seed):
        self.heard.append(messages[-1]["content"])
        return Completion(self.replies.pop(0), stop=StopReason.EOS)


def test_a_model_explores_and_writes(lamp):
    row = {"task": {k: v for k, v in GOOD.to_json().items() if k in ("instruction", "verify", "solution", "failures")}}
    model = Scripted('I look first. {"call": "get_lamp", "arguments": {}}', f"```json\n{json.dumps(row)}\n```")
    task = asyncio.run(write_task(model, lamp, "t1", 0))
    assert (task.verify, task.solution) == (GOOD.verify, GOOD.solution)
    assert task.explored == (("get_lamp", {}, '{"lamp": "off", "level": 0}'),)
    assert model.heard[1] == '{"lamp": "off", "level": 0}'
    with pytest.raises(ParseError, match="no JSON"):
        asyncio.run(write_task(Scripted("no idea"), lamp, "t2", 0))
    assert first_object('x {bad} {"a": {"b": 1}} y') == {"a": {"b": 1}}


def test_the_command_writes_what_it_keeps_and_the_audit(tmp_path, capsys):
    proposals = tmp_path / "proposals.jsonl"
    bad = replace(GOOD, id="bad", solution="pass")
    proposals.write_text("\n".join(json.dumps(task.to_json()) for task in (GOOD, bad)))
    out = tmp_path / "kept.jsonl"
    arguments = ["challenge", "--tools", LAMP, "--proposals", str(proposals), "--out", str(out)]
    assert command.main(arguments) == 0
    assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == ["lamp"]
    audited = json.loads((tmp_path / "kept.audit.json").read_text())
    assert audited["kept"]["full"] == 1
    assert audited["tasks"][1]["reason"] == "the solution fails"
    assert "1 of 2 tasks kept" in capsys.readouterr().out
    with pytest.raises(UserError, match="either --challenger"):
        command.main(["challenge", "--tools", LAMP])
    with pytest.raises(UserError, match="no such file"):
        command.main(["challenge", "--tools", "nowhere.py", "--proposals", str(proposals)])
    proposals.write_text('{"instruction": 3}')
    with pytest.raises(UserError, match='line 1: "instruction" is missing'):
        command.main(arguments)


def test_mcp_tools_can_be_challenged_too(sandbox):
    pytest.importorskip("mcp", reason="mcp is not installed (turnsmith[mcp])")
    toolboxes = load_toolboxes(f"mcp:{sys.executable} {LAMP}")
    assert check(GOOD, toolboxes, sandbox, Filter.RUNS).passed is Filter.RUNS
