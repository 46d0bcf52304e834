"""Tasks that combine tools: their answers are what their calls give."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnsmith.envs.tools.environment import ToolEnvironment
from turnsmith.envs.tools.replay import calls_of, play
from turnsmith.trace.types import Action, Call
from turnsmith.worlds.m3 import FAMILIES, grade_answer, make_task, world
from turnsmith.worlds.m3.tools import encode_morse


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_answer_is_found_by_the_calls_and_is_not_in_the_question(family):
    for seed in range(30):
        task = make_task(family, seed)
        _, outputs = play(world(family), calls_of(task.hidden["calls"]))
        assert not any(output.startswith("Error") for output in outputs)
        if family != "travel":
            assert outputs[-1] == task.hidden["answer"]
        assert task.hidden["answer"] not in task.instruction
        assert make_task(family, seed) == task
        assert make_task(family, seed, "test").instruction != task.instruction


@pytest.mark.parametrize(("text", "graded"), [("12.5", 1), ("12.50", 1), ("12.504", 1), ("12.52", 0), ("twelve", 0)])
def test_the_mended_grader_takes_numbers_as_numbers_and_says_what_the_official_one_says(text, graded):
    from dataclasses import replace

    task = make_task("trade", 1)
    task = replace(task, hidden={**task.hidden, "answer": "12.5"})
    environment = ToolEnvironment(world("trade"), lambda *_: None, grade_answer)

    async def play_one():
        async with environment.session() as session:
            observation = await session.reset(task, 0)
            assert observation.text == task.instruction
            step = await session.step(Action("", Call("answer", {"text": text})))
            assert step.done
            return await session.grade()

    verdict = asyncio.run(play_one())
    assert verdict is not None
    assert verdict.reward == graded
    assert ("right" in verdict.reason) == (text == "12.5")


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=20), st.integers(-60, 60))
def test_codes_can_be_decoded(text, by):
    toolbox = world("message").fresh()
    there = toolbox.call("shift_letters", {"text": text, "by": by})
    assert toolbox.call("shift_letters", {"text": there, "by": -by}) == text
    assert toolbox.call("decode_hex", {"text": text.encode().hex()}) == text
    assert toolbox.call("decode_morse", {"text": encode_morse(text)}) == text
    assert toolbox.call("decode_hex", {"text": "zz"}).startswith("Error")
