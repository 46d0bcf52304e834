"""The small screen policy writes the grammar exactly, scores what it sampled, survives saving, and learns to see."""

import asyncio
import io
import random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from turnsmith.agents import aitw
from turnsmith.agents.base import Context
from turnsmith.agents.frames import Frames, frame_of
from turnsmith.agents.screen_policy import (
    cell_point,
    load_screen_policy,
    nearest,
    new_screen_policy,
    previous_decision,
    prompt_text,
)
from turnsmith.engine.sampling import Sampling
from turnsmith.errors import UserError
from turnsmith.learn.examples import Example, context_at, example_from_turn
from turnsmith.learn.optim import OptimConfig
from turnsmith.learn.sft import train
from turnsmith.trace.types import Action, Call, ImageRef, Observation, Task, Trace, Turn

torch.set_num_threads(1)

TEXTS = ["Tap the red square", "Tap the green square", "Go to shoply.com, search for 'voltro lamp'"] * 4
SMALL: dict[str, Any] = {
    "image_height": 95,
    "image_width": 45,
    "width": 48,
    "layers": 1,
    "vision_width": 32,
    "vision_layers": 2,
}


def picture(*squares: tuple[str, int, int]) -> ImageRef:
    """A screen of 90 × 190 with squares of 12 pixels at (x, y)."""
    image = Image.new("RGB", (90, 190), "white")
    for colour, x, y in squares:
        ImageDraw.Draw(image).rectangle((x, y, x + 12, y + 12), fill=colour)
    file = io.BytesIO()
    image.save(file, "PNG")
    return ImageRef.of(file.getvalue(), "image/png")


def context(image: ImageRef, goal: str = "Tap the red square", seed: int = 0, turns: tuple[Turn, ...] = ()) -> Context:
    return Context(Task("t", goal, "device"), Observation(images=(image,)), turns, seed)


@pytest.fixture(scope="module")
def policy():
    made = new_screen_policy(TEXTS, sampling=Sampling(max_new_tokens=8), **SMALL)
    with torch.no_grad():
        for parameter in made.model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return made


CALLS = [
    Call("tap", {"y": 0.1234, "x": 0.987}),
    Call("type", {"text": "voltro lamp, [5] für 3.50"}),
    Call("press", {"key": "back"}),
    Call("press", {"key": "enter"}),
    Call("status", {"state": "complete"}),
    Call("status", {"state": "impossible"}),
    Call("swipe", {"y": 0.7, "x": 0.4, "to_y": 0.1, "to_x": 0.5}),
    Call("swipe", {"y": 0.5, "x": 0.1, "to_y": 0.5, "to_x": 0.9}),
]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_the_grammar_comes_out_to_the_letter_in_few_tokens(policy, call):
    ids = policy.encode_response(aitw.render_aitw(call, ["DUAL_POINT", "TYPE"]))
    assert ids[-1] == 1
    text = policy.tokenizer.decode(ids, skip_special_tokens=True)
    assert text == aitw.render_aitw(nearest(call, policy.grid))
    assert aitw.parse_aitw(text) == nearest(call, policy.grid)
    assert len(ids) <= (2 if call.name in ("press", "status") else 3 if call.name != "type" else 40)


def test_a_demonstrated_tap_becomes_that_of_its_cell(policy):
    rows, columns = policy.grid
    for y, x in ((0.0, 0.0), (1.0, 1.0), (0.5, 0.25)):
        found = nearest(Call("tap", {"y": y, "x": x}), policy.grid).arguments
        assert abs(found["y"] - y) <= 0.5 / rows + 1e-4
        assert abs(found["x"] - x) <= 0.5 / columns + 1e-4
    assert cell_point(columns + 1, (rows, columns)) == (round(1.5 / rows, 4), round(1.5 / columns, 4))


def test_the_prompt_holds_one_previous_action_and_the_goal(policy):
    tap = Turn(Observation(), Action("", CALLS[0]))
    later = context(picture(), turns=(tap, Turn(Observation(), Action("", CALLS[1]))))
    assert prompt_text(later) == f"Previous Actions: {aitw.render_decision(CALLS[1])} Goal: Tap the red square</s>"
    assert prompt_text(context(picture())) == "Previous Actions:  Goal: Tap the red square</s>"
    assert previous_decision((tap, Turn(Observation(), Action("hm", None, "no")))) == ""
    ids, vision = policy.encode_prompt(later)
    assert ids.count(policy.model.config.image_token_id) == policy.model.image_tokens
    assert vision["pixel_values"].dtype == torch.uint8
    with pytest.raises(UserError, match="screenshot"):
        policy.encode_prompt(Context(Task("t", "x", "device"), Observation()))


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_a_demonstrated_action_is_read_as_the_same_action_of_its_own(policy, call):
    """Else a policy meets tokens in its prompts, once it acts, that no prompt of its training held."""
    demonstrated = Turn(Observation(), Action(aitw.render_aitw(call), call))
    own = nearest(call, policy.grid)
    acted = Turn(Observation(), Action(aitw.render_aitw(own), own))
    prompts = [policy.encode_prompt(context(picture(), turns=(turn,)))[0] for turn in (demonstrated, acted)]
    assert prompts[0] == prompts[1]
    if call.name == "tap":
        cell = policy.encode_response(aitw.render_aitw(call))[1]
        assert cell in prompts[0]


def test_a_very_long_typed_text_leaves_room_for_the_goal_and_an_action(policy):
    typed = Turn(Observation(), Action("", Call("type", {"text": "0.9079 zq" * 200})))
    ids, _ = policy.encode_prompt(context(picture(), turns=(typed,)))
    assert len(ids) + policy.sampling.max_new_tokens <= policy.model.config.max_position_embeddings
    assert policy.tokenizer.decode(ids).endswith("Goal: Tap the red square</s>")


def test_what_it_sampled_scores_the_same_alone_and_in_a_batch(policy):
    shots = [picture(("red", 10 * k, 20 * k)) for k in range(4)]
    contexts = [context(shot, "Tap the red square" if k else TEXTS[2], seed=k) for k, shot in enumerate(shots)]
    actions = asyncio.run(policy.act(contexts))
    scored = asyncio.run(policy.log_prob(list(zip(contexts, actions, strict=True))))
    for one, action, logprobs in zip(contexts, actions, scored, strict=True):
        np.testing.assert_allclose(action.logprobs, logprobs, atol=1e-4)
        alone = asyncio.run(policy.act([one]))[0]
        assert alone.token_ids == action.token_ids
    again = asyncio.run(policy.log_prob([(contexts[1], actions[0])]))[0]  # the same words on another screen
    assert np.abs(np.subtract(again, scored[0])).max() > 1e-4


def test_candidates_of_one_context_are_those_of_a_context_each(policy):
    one, other = (
        context(picture(("red", 40, 100))),
        context(picture(("blue", 60, 30)), "Open the very long settings page"),
    )
    seeds = list(range(7))
    together = policy.propose([one, one, other, one, other, one, one], seeds)
    wanted = [one, one, other, one, other, one, one]
    alone = [policy.propose([each], [seed])[0] for each, seed in zip(wanted, seeds, strict=True)]
    assert [action.token_ids for action in together] == [action.token_ids for action in alone]
    assert len({action.token_ids for action in together}) > 2
    for action, single in zip(together, alone, strict=True):
        assert action.logprobs == pytest.approx(single.logprobs, abs=1e-5)


def test_its_next_token_distribution_sums_to_one(policy):
    ids, vision = policy.encode_prompt(context(picture(("red", 5, 5))))
    with torch.no_grad():
        logits = policy.model(torch.tensor([ids]), **vision).logits
    torch.testing.assert_close(logits.exp().sum(-1), torch.ones(1, len(ids)), atol=1e-4, rtol=0)
    # The placeholder is never said: as a part of a response it would stand for a second screen.
    assert float(logits[..., policy.model.config.image_token_id].max()) < -1000


def test_saving_and_loading_changes_nothing(policy, tmp_path):
    policy.model.save_pretrained(tmp_path)
    policy.tokenizer.save_pretrained(tmp_path)
    again = load_screen_policy(tmp_path, sampling=policy.sampling)
    asked = [context(picture(("green", 40, 90)), seed=5)]
    before, after = (asyncio.run(p.act(asked))[0] for p in (policy, again))
    assert (before.text, before.token_ids) == (after.text, after.token_ids)
    np.testing.assert_allclose(before.logprobs, after.logprobs, atol=1e-5)
    assert again.encode_response(aitw.render_aitw(CALLS[1])) == policy.encode_response(aitw.render_aitw(CALLS[1]))


def test_a_screen_is_asked_for(policy):
    ids, _ = policy.encode_prompt(context(picture()))
    with pytest.raises(ValueError, match="pixel_values"):
        policy.model(torch.tensor([ids]))
    with pytest.raises(ValueError, match="image tokens"):
        policy.model(torch.tensor([[5, 6]]), pixel_values=torch.zeros(1, 3, 95, 45, dtype=torch.uint8))


def test_it_learns_where_to_tap_from_pixels_and_words():
    """Two squares at random places, the goal names one: held-out screens are tapped right after seconds of training."""
    policy = new_screen_policy(TEXTS, sampling=Sampling(temperature=0.0), seed=1, **SMALL)
    rng = random.Random(0)

    def riddle():
        places = [(6 * rng.randrange(12), 10 * rng.randrange(16)) for _ in range(2)]
        if max(abs(places[0][0] - places[1][0]), abs(places[0][1] - places[1][1])) < 20:
            return riddle()
        wanted = rng.randrange(2)
        shot = picture(("red", *places[0]), ("green", *places[1]))
        x, y = places[wanted]
        return context(shot, TEXTS[wanted]), ((y + 6) / 190, (x + 6) / 90)

    examples = []
    for _ in range(500):
        asked, (y, x) = riddle()
        action = Action(aitw.render_aitw(Call("tap", {"y": y, "x": x})))
        examples.append(example_from_turn(Turn(asked.observation, action), asked, policy))
    assert all(isinstance(example, Example) and example.vision for example in examples)
    train(
        policy.model,
        examples,
        OptimConfig(learning_rate=4e-3, batch_size=16, epochs=4, warmup_updates=10, pass_tokens=16384),
    )
    right = 0
    held_out = [riddle() for _ in range(40)]
    for (_, (y, x)), action in zip(held_out, asyncio.run(policy.act([asked for asked, _ in held_out])), strict=True):
        if action.call is not None and action.call.name == "tap":
            right += abs(action.call.arguments["y"] - y) < 0.05 and abs(action.call.arguments["x"] - x) < 0.1
    assert right >= 30


def test_frames_are_decoded_once_and_fetched_where_they_lie(tmp_path):
    shot = picture(("red", 0, 0))
    assert shot.data is not None
    bare = ImageRef(shot.digest, shot.media_type)
    asked = []

    def fetch(digest):
        asked.append(digest)
        return shot

    frames = Frames(fetch, limit=1)
    assert frames(bare) is frames(bare)
    assert asked == [shot.digest]
    assert frames(bare).shape == (3, 190, 90)
    torch.testing.assert_close(frames(bare), frame_of(shot.data))
    frames(picture())
    frames(bare)
    assert len(asked) == 2  # the limit pushed it out
    with pytest.raises(ValueError, match="no bytes"):
        Frames()(bare)


def test_a_sampled_turn_is_trained_on_as_it_was_sampled(policy):
    asked = context(picture(("red", 9, 9)), seed=3)
    action = asyncio.run(policy.act([asked]))[0]
    trace = Trace("x", asked.task, (Turn(asked.observation, action),))
    example = example_from_turn(trace.turns[0], context_at(trace, 0), policy)
    assert example.token_ids == action.token_ids
    assert example.prompt_ids == action.prompt_ids
