"""KALIE's predictor with a tiny random LLaVA: prompt, LoRA, training, greedy answers."""

import numpy as np
import pytest
import torch

from turnsmith.errors import UserError
from turnsmith.learn.optim import OptimConfig
from turnsmith.robot.kalie_files import target_text
from turnsmith.robot.vlm import VlmPredictor, load_vlm, prompt_of
from turnsmith.worlds.tabletop.points import NAMES
from turnsmith.worlds.tabletop.tasks import SPECS, TableTask


@pytest.fixture
def predictor(tiny_llava):
    texts = [prompt_of(task) for task in TableTask] + [target_text(np.full((5, 2), 40.0), 96, 96)]
    return VlmPredictor(*tiny_llava(texts), max_new_tokens=200)


def test_the_prompt_names_the_points_and_what_is_tied():
    text = prompt_of(TableTask.POUR)
    assert all(name in text for name in NAMES)
    assert SPECS[TableTask.POUR].instruction in text
    assert "The Pre-contact Point equals the Target Point." in text
    assert "equals" not in prompt_of(TableTask.SWEEP)


def test_only_the_adapter_learns_and_the_loss_falls(predictor, samples):
    before = {name: weight.clone() for name, weight in predictor.model.state_dict().items()}
    predictor.add_adapter(rank=4)
    optim = OptimConfig(learning_rate=5e-2, batch_size=2, epochs=16, warmup_updates=1, pass_tokens=100_000)
    losses = predictor.train(samples[:2], optim)
    assert losses[-1] < losses[0] - 0.04  # its output layer is fixed and random: the loss cannot fall far
    after = predictor.model.get_base_model().state_dict()
    kept = [name for name in before if name in after]
    assert len(kept) > 5
    assert all(torch.equal(before[name], after[name]) for name in kept)


def test_an_answer_that_cannot_be_read_is_counted_and_points_to_the_middle(predictor, sample):
    predictor.max_new_tokens = 5
    points = predictor.predict(sample.task, [sample.rgb_HW3, sample.rgb_HW3])
    assert predictor.unreadable == 2
    assert (points == 48).all()


def test_what_it_writes_is_read_as_points(predictor, sample, monkeypatch):
    text = target_text(sample.points_52, 96, 96)
    monkeypatch.setattr(predictor, "answers", lambda task, images: [f"Here: {text}"] * len(images))
    assert predictor.predict(sample.task, [sample.rgb_HW3])[0] == pytest.approx(sample.points_52, abs=0.05)


def test_a_folder_that_is_not_there_is_the_users_error(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        load_vlm(tmp_path / "none")
