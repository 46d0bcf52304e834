"""A LLaVA-type model as the reader of actions: it learns the question, and what it was before is still there."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from turnsmith.agents.frames import Frames
from turnsmith.agents.llava_reader import LlavaReader, load_llava_reader, question
from turnsmith.critics.change import NO_ACTION, TYPES, Changes, CriticAction, to_critic_action
from turnsmith.critics.fitting import adam
from turnsmith.critics.llava_features import LlavaFeatures, answers, call_of, fit_question
from turnsmith.errors import UserError
from turnsmith.evaluate.ranking import auc
from turnsmith.trace.types import Call, ImageRef

torch.set_num_threads(1)

CALLS = [
    Call("tap", {"y": 0.25, "x": 0.5}),
    Call("swipe", {"y": 0.8, "x": 0.5, "to_y": 0.2, "to_x": 0.5}),
    Call("type", {"text": "lamp"}),
    Call("press", {"key": "back"}),
    Call("press", {"key": "enter"}),
    Call("status", {"state": "impossible"}),
]


def shot(colour: str) -> ImageRef:
    file = io.BytesIO()
    Image.new("RGB", (72, 152), colour).save(file, "PNG")
    return ImageRef.of(file.getvalue(), "image/png")


SHOTS = {image.digest: image for image in map(shot, ("red", "blue"))}


FRAMES = Frames(SHOTS.__getitem__)


@pytest.fixture
def reader(tiny_llava):
    made = LlavaReader(*tiny_llava([question(call) for call in CALLS]))
    with torch.no_grad():
        made.model.lm_head.weight.mul_(50)  # an untrained head says nothing loudly, and the adapter leaves it alone
    return made


def data() -> Changes:
    """Taps and keys on two screens: a tap changes the screen, a key does not. Images come without their bytes."""
    images = [replace(image, data=None) for image in SHOTS.values() for _ in range(2)]
    critic_actions = [to_critic_action(call) for call in (CALLS[0], CALLS[3])] * 2
    none = torch.zeros(3, 190, 90, dtype=torch.uint8)
    return Changes(images, [none] * 4, critic_actions, torch.tensor([1.0, 0.0] * 2), torch.zeros(4, 2, 8))


@pytest.mark.parametrize("call", CALLS)
def test_a_deed_is_asked_about_as_its_call(call):
    assert question(call_of(to_critic_action(call))) == question(call)


def test_what_did_not_parse_has_a_question_too():
    assert "no action" in question(call_of(NO_ACTION))
    assert to_critic_action(CALLS[1]).swipe
    assert call_of(CriticAction(TYPES.index("DUAL_POINT"), point=(0.1, 0.2))).name == "tap"


def test_the_adapter_learns_the_question_and_the_model_as_it_was_stays(reader, tmp_path):
    taken = data()
    reader.add_adapter(4)
    tuned, plain = (LlavaFeatures(reader, FRAMES, Path("model"), adapted) for adapted in (True, False))
    assert tuned.feature_size == 17
    first = plain(taken.images, taken.actions)
    torch.testing.assert_close(tuned(taken.images, taken.actions), first)  # a new adapter changes nothing
    name = tuned.weights
    ticks: list[int] = []
    losses = fit_question(reader, taken, FRAMES, adam(60, batch_size=4, learning_rate=2e-2), lambda: ticks.append(1))
    assert len(ticks) == 60
    assert losses[-1] < 0.5 * losses[0]
    assert auc(answers(reader, taken, FRAMES, 3), [True, False] * 2) == 1.0
    assert tuned.weights != name
    learned = LlavaFeatures(reader, FRAMES, Path("model"), batch_size=3)
    found = learned(taken.images, taken.actions)
    assert found[0, -1] > 2 > -2 > found[1, -1]  # a loud yes, a loud no
    torch.testing.assert_close(plain.fresh(taken.images, taken.actions), first)
    assert LlavaFeatures(reader, FRAMES, Path("model")).weights == learned.weights
    assert LlavaFeatures(reader, FRAMES, Path("model"), adapted=False).weights != learned.weights
    kept = reader.adapter()
    with torch.no_grad():
        for parameter in reader.model.parameters():
            if parameter.requires_grad:
                parameter.zero_()
    assert reader.adapter().keys() == kept.keys()
    reader.restore_adapter(kept)
    torch.testing.assert_close(learned.fresh(taken.images, taken.actions), found)


def test_a_reader_loads_from_a_folder_and_says_what_it_misses(reader, tmp_path):
    reader.model.save_pretrained(tmp_path / "llava")
    reader.processor.save_pretrained(tmp_path / "llava")
    again = load_llava_reader(tmp_path / "llava", "cpu")
    images = list(SHOTS.values())
    torch.testing.assert_close(again.features(images, CALLS[:2])[0], reader.features(images, CALLS[:2])[0])
    with pytest.raises(UserError, match="no such folder"):
        load_llava_reader(tmp_path / "nothing")
