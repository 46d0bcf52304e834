"""Judges of device episodes: declared errors are as declared, replies are read as written, agreement is counted."""

import asyncio
import io
import json

import httpx
import pytest
from PIL import Image

from turnsmith.engine.openai_client import Endpoint, OpenAIClient
from turnsmith.judges.base import agreement
from turnsmith.judges.screen import NoisyOracle, ScreenJudge
from turnsmith.judges.vision_endpoint import Example, VisionJudge, difference, parse_status
from turnsmith.trace.types import Action, ImageRef, Observation, Outcome, Task, Trace, Turn, Verdict

TASK = Task("t", "Go to shoply.com", "device")


def shot(colour: str) -> ImageRef:
    file = io.BytesIO()
    Image.new("RGB", (360, 760), colour).save(file, "PNG")
    return ImageRef.of(file.getvalue(), "image/png")


def so_far(truth: float, seed: int = 0, step: int = 1, images: tuple[ImageRef, ...] = ()) -> Trace:
    """A trace after so many steps, with these screens at its end."""
    before = [images[min(index, len(images) - 1)] for index in range(step)] if images else []
    turns = [Turn(Observation(images=(image,)), Action("")) for image in before] or [
        Turn(Observation(), Action(""))
    ] * step
    final = Observation(images=images[-1:])
    return Trace("x", TASK, tuple(turns), verdicts=(Verdict("oracle", truth, turn=step - 1),), seed=seed, final=final)


def test_the_noisy_oracle_errs_as_often_as_it_says():
    judge = NoisyOracle(0.1, 0.25, seed=3)

    async def rates():
        wrong = [(await judge.judge(so_far(0.0, seed, step))).reward for seed in range(400) for step in range(1, 6)]
        missed = [1 - (await judge.judge(so_far(1.0, seed))).reward for seed in range(2000)]
        return sum(wrong) / len(wrong), sum(missed) / len(missed)

    wrong, missed = asyncio.run(rates())
    assert wrong == pytest.approx(0.1, abs=0.03)
    assert missed == pytest.approx(0.25, abs=0.04)
    assert judge.name.startswith("oracle")  # nobody takes it for a model


def test_a_missed_success_is_missed_for_the_whole_episode():
    judge = NoisyOracle(0.0, 0.5)

    async def said(seed):
        return {(await judge.judge(so_far(1.0, seed, step))).reward for step in range(1, 9)}

    assert all(len(asyncio.run(said(seed))) == 1 for seed in range(20))


def test_errors_depend_on_the_seeds_and_the_step_alone():
    """The very draws of the runs that were recorded."""
    judge = NoisyOracle(0.3, 0.5, seed=7)

    async def said():
        steps = [(await judge.judge(so_far(0.0, seed, step))).reward for seed in range(3) for step in range(1, 6)]
        return steps, [(await judge.judge(so_far(1.0, seed))).reward for seed in range(10)]

    steps, blind = asyncio.run(said())
    assert steps == [1, 1, 0, 1, 0, 1, 0, 0, 0, 0, 1, 1, 0, 1, 0]
    assert blind == [1, 0, 1, 0, 1, 1, 0, 1, 1, 1]


def test_agreement_is_counted_by_episode():
    def trace(rewards, truths, outcome=Outcome.FAILURE):
        said = [Verdict("judge", r, turn=t) for t, r in enumerate(rewards)]
        true = [Verdict("oracle", r, turn=t) for t, r in enumerate(truths)]
        whole = [Verdict("oracle", 0.0), Verdict("judge", 0.0)]  # cut off: no success, but it was seen done
        return Trace(
            "x", TASK, tuple([Turn(Observation(), Action(""))] * len(rewards)), outcome, (*said, *true, *whole)
        )

    agreed = agreement(
        [
            trace([0, 1], [0, 1]),
            trace([0, 1], [0, 0]),
            trace([0, 0], [1, 0]),
            trace([0], [0]),
            trace([1], [1], Outcome.INFRA_ERROR),
            Trace("y", TASK, verdicts=(Verdict("judge", 1.0),)),  # the oracle says nothing of it
        ],
        "judge",
    )
    assert (agreed.true_positive, agreed.false_positive, agreed.false_negative, agreed.true_negative) == (1, 1, 1, 1)
    assert agreed.accuracy == 0.5


async def test_a_learned_judge_looks_at_the_last_two_screens():
    class Red:
        def probability(self, instruction, images):
            seen.append([image.digest for image in images])
            return 0.9 if images[-1].digest == shot("red").digest else 0.1

    seen: list[list[str]] = []
    judge = ScreenJudge(Red())
    red = (await judge.judge(so_far(0.0, step=2, images=(shot("white"), shot("blue"), shot("red"))))).reward
    assert (red, seen) == (1.0, [[shot("blue").digest, shot("red").digest]])
    assert (await judge.judge(so_far(0.0, images=(shot("white"), shot("blue"))))).reward == 0.0
    assert (await judge.judge(so_far(0.0, images=(shot("red"), shot("red"))))).reward == 0.0  # nothing changed


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("A: a shop.\nStatus: success", True),
        ("status: **Success**", True),
        ("Status: failure", False),
        ("Status: success is likely\nStatus: failure", False),
        ("It is done.", None),
    ],
)
def test_the_status_line_decides(text, status):
    assert parse_status(text) is status


def replies(*texts: str) -> tuple[VisionJudge, list[dict]]:
    """A judge before a real client whose endpoint gives these replies, and what it was asked."""
    asked: list[dict] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        text = texts[min(len(asked), len(texts)) - 1]
        return httpx.Response(200, json={"choices": [{"message": {"content": text}, "finish_reason": "stop"}]})

    endpoint = Endpoint("http://127.0.0.1:9/v1", "judge")
    client = OpenAIClient(endpoint)
    client._http = httpx.AsyncClient(base_url="http://127.0.0.1:9/v1/", transport=httpx.MockTransport(answer))
    example = Example(shot("green"), "Open Mail", "The inbox should be visible. It is.", True)
    return VisionJudge(endpoint, [example], client=client), asked


async def test_the_prompt_has_examples_then_the_task_and_a_quarter_size_picture():
    judge, asked = replies("A: the home page should be visible, and it is.\nStatus: success")
    verdict = await judge.judge(so_far(0.0, images=(shot("white"), shot("red"))))
    assert verdict.reward == 1.0
    parts = asked[0]["messages"][0]["content"]
    kinds = [part["type"] for part in parts]
    assert kinds == ["text", "image_url", "text", "image_url", "text"]
    assert "Status: success" in parts[2]["text"]
    assert "Go to shoply.com" in parts[4]["text"]
    import base64

    data = base64.b64decode(parts[3]["image_url"]["url"].partition(",")[2])
    assert Image.open(io.BytesIO(data)).size == (90, 190)
    await judge.close()


async def test_a_reply_without_a_status_is_asked_again_and_then_is_no_success():
    judge, asked = replies("hm", "Status: success")
    assert (await judge.judge(so_far(0.0, images=(shot("white"), shot("red"))))).reward == 1.0
    assert len(asked) == 2
    stubborn, asked = replies("hm")
    assert (await stubborn.judge(so_far(0.0, images=(shot("white"), shot("red"))))).reward == 0.0
    assert len(asked) == 5


async def test_an_unchanged_screen_is_not_asked_about():
    judge, asked = replies("Status: success")
    assert (await judge.judge(so_far(1.0, images=(shot("white"), shot("white"))))).reward == 0.0
    assert (await judge.judge(so_far(1.0, images=(shot("#ffffff"), shot("#fcfcfc"))))).reward == 0.0
    assert asked == []
    assert difference(shot("black"), shot("white")) == pytest.approx(255**2)
