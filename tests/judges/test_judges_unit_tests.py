"""The judge by unit tests: it says what the oracle says, rewards shares where asked, and runs nothing in here."""

import asyncio
import json
from dataclasses import replace

import pytest

from turnsmith.cli import main
from turnsmith.envs.sandbox import Sandbox
from turnsmith.errors import UserError
from turnsmith.judges.base import agreement
from turnsmith.judges.unit_tests import UnitTests
from turnsmith.trace.types import Action, Call, Observation, Outcome, Task, Trace, Turn
from turnsmith.worlds.programs.dialogue import spec_of
from turnsmith.worlds.programs.play import scripted
from turnsmith.worlds.programs.spec import make_tasks, python_of

HIDDEN = {"ground_truth": "def add(a, b):\n    return a + b", "test_cases": {f"t{n}": f"add({n}, 2)" for n in range(4)}}
TASK = Task("t", "I need a function that adds.", "programs", hidden=HIDDEN)


@pytest.fixture(scope="module")
def sandbox():
    try:
        with Sandbox(mode="server") as sandbox:
            yield sandbox
    except UserError as error:
        pytest.skip(str(error))


def answered(text: str | None, task: Task = TASK) -> Trace:
    call = Call("say", {"text": "Of what?"}) if text is None else Call("answer", {"text": text})
    return Trace("x", task, (Turn(Observation(), Action("…", call)),), Outcome.FAILURE)


def verdict(judge: UnitTests, trace: Trace):
    return asyncio.run(judge.judge(trace))


@pytest.mark.parametrize(
    ("answer", "reward", "share", "reason"),
    [
        ("def add(a, b):\n    return b + a", 1, 1, "4 of 4 tests"),
        ("```python\ndef add(a, b):\n    return b + a\n```", 1, 1, "4 of 4 tests"),  # as models write it
        ("def add(a, b):\n    return a * b", 0, 0.25, "1 of 4 tests"),  # 2 * 2 is 2 + 2
        ("def add(a, b:", 0, 0, "0 of 4 tests; "),
        ("while True: pass", 0, 0, "0 of 4 tests; "),
        ("import os\nos._exit(0)", 0, 0, "0 of 4 tests; "),
        (None, 0, 0, "no answer was given"),
    ],
)
def test_an_answer_is_worth_the_tests_that_it_passes(sandbox, answer, reward, share, reason):
    found = verdict(UnitTests(sandbox), answered(answer))
    assert (found.judge, found.reward) == ("unit_tests", reward)
    assert found.reason.startswith(reason)
    assert verdict(UnitTests(sandbox, partial=True), answered(answer)).reward == share


def test_the_official_rule_has_a_name_of_its_own(sandbox):
    helped = answered("def more(a):\n    return a\n\ndef add(a, b):\n    return more(a) + b")
    assert verdict(UnitTests(sandbox), helped).reward == 1
    found = verdict(UnitTests(sandbox, "official"), helped)
    assert (found.judge, found.reward) == ("unit_tests_official", 0)  # a helper is an unknown name there


def test_it_says_of_dialogues_what_the_oracle_says(sandbox):
    """Answers of the local family are eight words; what they mean runs as Python, and the oracle interprets them."""
    judge = UnitTests(sandbox, source_of=lambda answer: python_of(spec_of(answer)))
    traces = [scripted(task, seed, 0.9) for seed, task in enumerate(make_tasks("test", 12))]
    judged = [replace(trace, verdicts=(*trace.verdicts, verdict(judge, trace))) for trace in traces]
    assert {trace.reward() for trace in traces} == {0.0, 1.0}
    assert [trace.reward("unit_tests") for trace in judged] == [trace.reward() for trace in traces]
    assert agreement(judged, "unit_tests").accuracy == 1


@pytest.mark.parametrize("hidden", [{}, {"ground_truth": "x = 1"}, {**HIDDEN, "test_cases": {}}])
def test_a_task_without_tests_is_refused(sandbox, hidden):
    with pytest.raises(UserError, match="the task t has no tests"):
        verdict(UnitTests(sandbox), answered("x = 1", replace(TASK, hidden=hidden)))


def test_lines_of_colbench_are_graded_from_the_command_line(sandbox, tmp_path, capsys):
    def line(code: str) -> str:
        said = [{"role": "agent", "content": "", "output": f"I WANT TO ANSWER: {code}"}]
        task = {"problem_description": TASK.instruction, **HIDDEN}
        return json.dumps({"task": task, "dialogue_history": said, "reward": 1})

    file = tmp_path / "log.jsonl"
    file.write_text(line("def add(a, b):\n    return a + b") + "\n" + line("def add(a, b):\n    return 3") + "\n")
    assert main(["verify", "colbench", str(file)]) == 0
    right, wrong = map(json.loads, capsys.readouterr().out.splitlines())
    assert right == {"valid": True, "reason": "4 of 4 tests", "official": True}
    assert wrong == {"valid": False, "reason": "1 of 4 tests", "official": False}
    file.write_text('{"task": {}}\n')
    assert main(["verify", "colbench", str(file)]) == 2
    said = capsys.readouterr().err
    assert "log.jsonl, line 1: " in said
    assert said.count("\n") == 1
