"""Networks, augmentation and the predictors."""

import numpy as np
import pytest
import torch

from turnsmith.errors import UserError
from turnsmith.robot.affordance import (
    NetPredictor,
    one_cycle,
    point_errors,
    squared_error,
    train_network,
)
from turnsmith.robot.augment import augment
from turnsmith.robot.network import HeatmapHead, KeypointNet, TextHead, word_ids
from turnsmith.robot.settings import NetSettings


@pytest.mark.parametrize("kind", ["standard", "strong_colour"])
def test_augmentation_moves_points_with_their_pixels(kind):
    generator = torch.Generator().manual_seed(0)
    images = torch.zeros(16, 3, 64, 64)
    points = 0.3 + 0.4 * torch.rand(16, 1, 2, generator=generator)
    rows, columns = torch.meshgrid((torch.arange(64) + 0.5) / 64, (torch.arange(64) + 0.5) / 64, indexing="ij")
    apart = (columns - points[:, :, :1, None][:, 0]) ** 2 + (rows - points[:, :, 1:, None][:, 0]) ** 2
    images += torch.exp(-apart / (2 * 0.04**2))[:, None]
    moved, places = augment(images, points, kind, generator)
    blob = (moved - moved.amin(dim=(1, 2, 3), keepdim=True)).sum(1) ** 2
    total = blob.sum(dim=(1, 2))
    found = torch.stack([(blob * columns).sum((1, 2)), (blob * rows).sum((1, 2))], 1) / total[:, None]
    assert (found - places[:, 0]).abs().max() < 0.012
    assert (places - points).abs().max() > 0.03


def test_no_augmentation_is_none_and_strong_colour_changes_hue_more_than_the_papers():
    images = torch.tensor([0.8, 0.2, 0.2])[None, :, None, None].expand(64, 3, 8, 8)
    points = torch.full((64, 5, 2), 0.5)
    same, _ = augment(images, points, "none", torch.Generator())
    assert same is images
    spread = {}
    for kind in ("standard", "strong_colour"):
        coloured, _ = augment(images, points, kind, torch.Generator().manual_seed(0))
        assert coloured.min() >= 0
        assert coloured.max() <= 1
        spread[kind] = float(coloured[:, :, 4, 4].std(dim=0).mean())
    assert spread["strong_colour"] > 1.3 * spread["standard"] > 0


def test_the_expectation_of_a_map_with_one_cell_is_that_cells_middle():
    logits = torch.full((1, 5, 32, 32), -50.0)
    logits[0, :, 3, 20] = 50.0
    found, _ = HeatmapHead.expectation(logits)
    assert found[0, 0].tolist() == pytest.approx([20.5 / 32, 3.5 / 32])


def test_coordinates_are_written_as_three_digits_and_read_back():
    points = torch.tensor([[[0.0, 0.999], [0.5, 0.1234], [1.2, -0.1], [0.007, 0.07], [0.7, 0.25]]])
    digits = TextHead.encode(points)
    assert digits[0, :12].tolist() == [0, 0, 0, 9, 9, 9, 5, 0, 0, 1, 2, 3]
    assert TextHead.decode(digits)[0, 2].tolist() == pytest.approx([0.999, 0.0])  # clipped
    assert (TextHead.decode(digits)[0, [0, 1, 3, 4]] - points[0, [0, 1, 3, 4]]).abs().max() <= 0.0006


def test_what_the_text_head_writes_next_does_not_depend_on_what_comes_after():
    net = KeypointNet("text", 32, seed=0).eval()
    levels = net.backbone(torch.rand(1, 3, 32, 32), torch.ones(1, 3, dtype=torch.long))
    digits = torch.randint(0, 10, (1, 30))
    other = digits.clone()
    other[:, 12:] = (other[:, 12:] + 3) % 10
    assert isinstance(net.head, TextHead)
    assert torch.allclose(net.head.logits(levels, digits)[:, :12], net.head.logits(levels, other)[:, :12], atol=1e-5)


def test_words_are_ids_that_last():
    assert word_ids("Close the open drawer.")[:4] == word_ids("close THE open drawer")[:4]
    assert len(set(word_ids("Close the open drawer.")[:4])) == 4
    assert word_ids("") == [0] * 24


def test_the_instruction_changes_what_is_predicted():
    net = KeypointNet("heatmap", 32, seed=0).eval()
    image = torch.rand(1, 3, 32, 32)
    said = [net(image, torch.tensor([word_ids(text)])) for text in ("Close the drawer.", "Sweep the trash.")]
    assert not torch.allclose(*said)


@pytest.mark.parametrize(("head", "limit"), [("heatmap", 0.25), ("regression", 0.25), ("text", 0.25)])
def test_every_head_learns_where_things_are(head, limit, samples):
    few = samples[:4]
    settings = NetSettings(head=head, size=48, updates=90, batch=4)
    images, truth = [one.rgb_HW3 for one in few], np.stack([one.points_52 for one in few])
    mean = float(squared_error(np.repeat(truth.mean(0)[None], len(truth), 0), truth, 96).mean())
    found = NetPredictor(train_network(few, "none", settings, seed=0)).predict(few[0].task, images)
    assert float(squared_error(found, truth, 96).mean()) < limit * mean


def test_the_same_seed_trains_the_same_network(samples):
    settings = NetSettings(size=32, updates=3, batch=4)
    first, again, other = (train_network(samples, "standard", settings, seed) for seed in (0, 0, 1))
    pairs = list(zip(first.state_dict().values(), again.state_dict().values(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), other.state_dict().values(), strict=True)
    )
    with pytest.raises(UserError, match="no labelled images"):
        train_network([], "none", settings, 0)


def test_the_metric_is_the_papers():
    found, truth = np.zeros((2, 5, 2)), np.zeros((2, 5, 2))
    found[0, 0] = (7, 0)  # 10 thousandths of 700 in x, at one of five points
    found[1] = np.nan
    assert squared_error(found, truth, 700).tolist() == pytest.approx([10**2 / 2 / 5, 1e6])
    assert point_errors(found[:1], truth[:1], 700)["Grasp Point"] == pytest.approx((7 * 224 / 700, 0))


def test_one_cycle_rises_to_its_peak_and_falls_to_nothing():
    rates = [one_cycle(update, 100, 1.0) for update in range(100)]
    assert rates[0] == pytest.approx(0.04)
    assert max(rates) == pytest.approx(1.0)
    assert int(np.argmax(rates)) == 30
    assert rates[-1] < 0.001
