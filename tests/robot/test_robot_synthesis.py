"""Synthesis: labels move with their objects, variants remember their parent, contexts keep what they promise."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from turnsmith.robot.composite import Composite
from turnsmith.robot.contexts import CONTEXTS, canny, context_map, soft_edges
from turnsmith.robot.labelled import LabelledFormat, resized, split_by_parent
from turnsmith.robot.settings import SynthesisSettings
from turnsmith.robot.synthesis import moved_with, synthesize
from turnsmith.worlds.tabletop.points import Key


class Recorder:
    """A generator that changes nothing and keeps what it was asked for."""

    name = "recorder"

    def __init__(self):
        self.requests = []

    def draw(self, request):
        self.requests.append(request)
        return request.rgb_HW3


def test_keypoints_of_variants_lie_on_their_warped_objects(sample):
    for variant in synthesize([sample], SynthesisSettings(variants=12), Composite(), seed=1):
        brush = ndimage.binary_dilation(variant.parts_HW == 1, iterations=3)
        trash = ndimage.center_of_mass(variant.parts_HW == 2)
        for key in (Key.GRASP, Key.FUNCTION):
            column, row = variant.points_52[key].astype(int)
            assert brush[row, column]
        assert variant.points_52[Key.TARGET] == pytest.approx(np.array(trash)[::-1] + 0.5, abs=1.0)


def test_waypoints_go_with_the_target_and_grasps_with_the_tool(sample):
    brush, trash = sample.parts_HW == 1, sample.parts_HW == 2
    assert moved_with(sample.points_52, brush, False) == {Key.GRASP, Key.FUNCTION}
    assert moved_with(sample.points_52, trash, False) == {Key.TARGET, Key.PRE, Key.POST}
    free = sample.points_52.copy()
    free[Key.TARGET] = (3, 3)
    assert moved_with(free, brush, True) == set(Key)
    assert moved_with(free, trash, True) == set()


def test_labels_stay_where_that_is_asked_for(sample):
    (variant,) = synthesize([sample], SynthesisSettings(variants=1, move_labels=False), Composite(), 0)
    assert np.array_equal(variant.points_52, sample.points_52)


def test_objects_are_done_in_turn_each_on_the_result_of_the_one_before(sample):
    class Painter(Recorder):
        def draw(self, request):
            super().draw(request)
            return np.full_like(request.rgb_HW3, len(self.requests))

    painter = Painter()
    (variant,) = synthesize([sample], SynthesisSettings(variants=1), painter, 0)
    first, second = painter.requests
    assert first.first
    assert not second.first
    assert (second.rgb_HW3 == 1).all()
    assert (variant.rgb_HW3 == 2).all()
    assert "brush" in first.description
    assert "trash" in second.description


def test_variants_depend_on_their_own_original_and_the_seed(samples):
    settings = SynthesisSettings(variants=2)
    alone = synthesize(samples[3:4], settings, Composite(), 7)
    among = [one for one in synthesize(samples[:5], settings, Composite(), 7) if one.parent == samples[3].id]
    assert all(np.array_equal(a.rgb_HW3, b.rgb_HW3) for a, b in zip(alone, among, strict=True))
    other = synthesize(samples[3:4], settings, Composite(), 8)
    assert not np.array_equal(alone[0].rgb_HW3, other[0].rgb_HW3)


def test_a_split_keeps_variants_with_their_parent(samples):
    everything = samples + synthesize(samples, SynthesisSettings(variants=3), Recorder(), 0)
    first, second = split_by_parent(everything, 0.25)
    assert not {one.family for one in first} & {one.family for one in second}
    assert len({one.family for one in second}) == 6
    assert len(first) + len(second) == len(everything) == 24 * 4


def test_no_spread_changes_looks_and_nothing_else(sample):
    (variant,) = synthesize([sample], SynthesisSettings(variants=1, spread=0.0), Composite(), 3)
    assert np.array_equal(variant.parts_HW, sample.parts_HW)
    assert np.allclose(variant.points_52, sample.points_52)
    assert np.abs(variant.rgb_HW3.astype(int) - sample.rgb_HW3).mean() > 5


def test_edges_are_at_the_border_and_a_flat_image_has_none(sample):
    brush = sample.parts_HW == 1
    border = brush & ~np.asarray(ndimage.binary_erosion(brush), bool)
    inside = np.asarray(ndimage.binary_erosion(brush, iterations=3), bool)
    for edges in (soft_edges(sample.rgb_HW3), canny(sample.rgb_HW3)):
        assert edges[border].mean() > 0.4
        assert edges[inside].mean() < 0.1
    flat = np.full((32, 32, 3), 90, np.uint8)
    assert soft_edges(flat).max() == canny(flat).max() == 0


@pytest.mark.parametrize("kind", CONTEXTS)
def test_every_context_is_a_map_of_the_image_in_0_to_1_and_can_be_painted(kind, sample):
    found = context_map(kind, sample.rgb_HW3, sample.depth_HW, sample.parts_HW)
    assert found.shape == (96, 96)
    assert 0 <= found.min() < found.max() <= 1
    settings = SynthesisSettings(variants=1, context=kind)
    (variant,) = synthesize([sample], settings, Composite(keep=0.0, surfaces=0.0), 0)
    changed = np.abs(variant.rgb_HW3.astype(int) - sample.rgb_HW3).sum(2) > 20
    assert changed[variant.parts_HW > 0].mean() > 0.5
    assert changed[:5].mean() < 0.05  # far from every object nothing happens


def test_nothing_of_an_object_is_left_where_it_was(sample):
    far = replace(sample, parts_HW=np.where(sample.parts_HW == 1, 1, 0).astype(np.uint8))
    (variant,) = synthesize([far], SynthesisSettings(variants=1, spread=3.0), Composite(surfaces=0.0, keep=0.0), 12)
    left = (far.parts_HW == 1) & ~np.asarray(ndimage.binary_dilation(variant.parts_HW == 1, iterations=4), bool)
    assert left.any()
    redness = variant.rgb_HW3[left].astype(int)
    assert (redness[:, 0] < 120).all()


def test_samples_are_read_back_as_they_were_and_shrink_with_their_labels(samples, tmp_path):
    LabelledFormat().write(samples[:3], tmp_path)
    for before, after in zip(samples[:3], LabelledFormat().read(tmp_path), strict=True):
        assert (before.id, before.task, before.parent) == (after.id, after.task, after.parent)
        assert np.array_equal(before.rgb_HW3, after.rgb_HW3)
        assert np.array_equal(before.points_52, after.points_52)
    small = resized(samples[0], 48)
    assert small.points_52 == pytest.approx(samples[0].points_52 / 2)
    column, row = small.points_52[Key.GRASP].astype(int)
    assert small.parts_HW[row, column] == 1
