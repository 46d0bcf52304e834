"""ColBench's files, and its scorer with and without its faults."""

import json

import pytest

from turnsmith.envs.sandbox import Sandbox
from turnsmith.errors import UserError
from turnsmith.worlds.programs.colbench import read_tasks, read_trajectories, split_reply
from turnsmith.worlds.programs.score import score_answer
from turnsmith.worlds.programs.spec import make_tasks

TASK = {
    "problem_description": "I need a function that adds.",
    "ground_truth": "def add(a, b):\n    return a + b",
    "test_cases": {f"test{i}": f"add({i}, 2)" for i in range(10)},
}


@pytest.fixture(scope="module")
def sandbox():
    try:
        with Sandbox(mode="server") as one:
            yield one
    except UserError as error:
        pytest.skip(str(error))


def test_right_and_wrong_answers(sandbox):
    good = score_answer(sandbox, "def add(a, b):\n    return b + a", TASK["ground_truth"], TASK["test_cases"])
    assert good.success
    assert good.official_success
    bad = score_answer(sandbox, "def add(a, b):\n    return a * b", TASK["ground_truth"], TASK["test_cases"])
    assert not bad.success
    assert [name for name, passed in bad.fixed.items() if passed] == ["test2"]  # 2 * 2 is 2 + 2
    broken = score_answer(sandbox, "def add(a, b:", TASK["ground_truth"], TASK["test_cases"])
    assert not any(broken.fixed.values())
    assert broken.detail


def test_where_the_official_scorer_is_wrong(sandbox):
    tests = {"one": "f(4)"}
    helper = "def g(x):\n    return x + 1\n\ndef f(x):\n    return g(x)"
    scores = score_answer(sandbox, helper, "def f(x):\n    return x + 1", tests)
    assert (scores.official_success, scores.success) == (False, True)  # a helper is an unknown name there
    scores = score_answer(sandbox, "def f(x):\n    return True", "def f(x):\n    return 1", tests)
    assert (scores.official_success, scores.success) == (True, False)  # 1 == True
    liar = "def f(x):\n    class A(int):\n        def __eq__(self, other): return True\n    return A(9)"
    assert not score_answer(sandbox, liar, "def f(x):\n    return 1", tests).success
    raising = "def f(x):\n    raise ValueError(x)"
    scores = score_answer(sandbox, raising, raising, tests)
    assert (scores.official_success, scores.success) == (False, True)


def test_references_of_the_local_family_pass_their_own_tests_in_the_sandbox(sandbox):
    for task in make_tasks("test", 5):
        hidden = task.hidden
        scores = score_answer(sandbox, hidden["ground_truth"], hidden["ground_truth"], hidden["test_cases"])
        assert scores.success


def test_official_files_become_tasks_and_traces(tmp_path):
    (tmp_path / "tasks.jsonl").write_text((json.dumps(TASK) + "\n") * 3)
    tasks = read_tasks(tmp_path / "tasks.jsonl", "test", limit=2)
    assert [task.id for task in tasks] == ["colbench-test-1", "colbench-test-2"]
    assert tasks[0].hidden["ground_truth"] == TASK["ground_truth"]
    assert "return" not in tasks[0].instruction
    history = [
        {"role": "user", "content": TASK["problem_description"]},
        {"role": "agent", "content": "Of what?", "input": "…", "output": "I should ask. OUTPUT: Of what?"},
        {"role": "user", "content": "Of numbers."},
        {
            "role": "agent",
            "content": "…",
            "output": "I WANT TO ANSWER:\n```python\ndef add(a, b):\n    return a + b\n```",
        },
    ]
    row = {"task": TASK, "dialogue_history": history, "answer": "def add…", "reward": 1}
    (tmp_path / "log.jsonl").write_text(json.dumps(row) + "\n")
    [trace] = read_trajectories(tmp_path / "log.jsonl")
    assert [turn.action.call.name for turn in trace.turns if turn.action.call] == ["say", "answer"]
    assert trace.turns[1].observation.text == "Of numbers."
    assert trace.answer == "def add(a, b):\n    return a + b"
    assert trace.reward() == 1.0
    assert split_reply("thoughts OUTPUT: Which?")[0] == "Which?"


def test_what_is_wrong_with_a_line_is_said_with_its_number(tmp_path):
    for change, words in (
        ({"ground_truth": None}, '"ground_truth" is missing'),
        ({"test_cases": []}, '"test_cases" must be an object'),
        ({"problem_description": 3}, '"problem_description" is missing'),
    ):
        (tmp_path / "t.jsonl").write_text(json.dumps(TASK) + "\n" + json.dumps({**TASK, **change}) + "\n")
        with pytest.raises(UserError, match="line 2") as error:
            read_tasks(tmp_path / "t.jsonl")
        assert words in str(error.value)
