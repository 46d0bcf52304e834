"""A label never parts from its pixel: points and images go through one map."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from turnsmith.robot.warp import Warp, random_warp


@settings(max_examples=60, deadline=None)
@given(
    x=st.floats(38, 62), y=st.floats(38, 62), cx=st.floats(30, 70), cy=st.floats(30, 70),
    sx=st.floats(0.8, 1.25), sy=st.floats(0.8, 1.25), angle=st.floats(-0.6, 0.6),
    tx=st.floats(-10, 10), ty=st.floats(-10, 10),
)  # fmt: skip
def test_a_blob_is_where_its_warped_point_is(x, y, cx, cy, sx, sy, angle, tx, ty):
    rows, columns = np.mgrid[0:100, 0:100] + 0.5
    blob = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 3.0**2))
    warp = Warp((cx, cy), (sx, sy), angle, (tx, ty))
    moved = warp.image(blob)
    centre = np.array([(moved * columns).sum(), (moved * rows).sum()]) / moved.sum()
    assert centre == pytest.approx(warp.points(np.array([[x, y]]))[0], abs=0.15)


def test_known_warps():
    quarter = Warp((10.0, 10.0), (1, 1), np.pi / 2)
    assert quarter.points(np.array([[15.0, 10.0]]))[0] == pytest.approx([10, 15])  # x turns towards y
    assert Warp((10.0, 10.0), (2, 1), 0, (1, 2)).points(np.array([[12.0, 13.0]]))[0] == pytest.approx([15, 15])
    image = np.random.default_rng(0).random((12, 12, 3))
    assert Warp.identity().image(image) == pytest.approx(image, abs=1e-6)


def test_random_warps_stay_in_the_papers_ranges_and_scale_with_the_image():
    mask = np.zeros((350, 350), bool)
    mask[100:140, 50:150] = True
    rng = np.random.default_rng(0)
    warps = [random_warp(rng, mask) for _ in range(300)]
    assert all(warp.centre == (100.0, 120.0) for warp in warps)
    scales = np.array([warp.scale for warp in warps])
    shifts = np.array([warp.shift for warp in warps])
    angles = np.rad2deg([warp.angle for warp in warps])
    assert 0.8 <= scales.min() < 0.82
    assert 1.18 < scales.max() <= 1.2
    assert 9.5 < np.abs(shifts).max() <= 10  # 20 of 700 pixels
    assert 19 < np.abs(angles).max() <= 20
    still = random_warp(rng, mask, spread=0.0)
    assert np.array_equal(still.points(np.array([[3.0, 4.0]])), [[3.0, 4.0]])
    assert random_warp(rng, np.zeros((4, 4), bool)) == Warp.identity()


def test_a_warped_mask_has_the_area_that_the_scale_says():
    mask = np.zeros((100, 100))
    mask[40:60, 30:70] = 1
    warp = Warp((50.0, 50.0), (1.2, 0.8), 0.3, (3, -2))
    assert warp.image(mask).sum() == pytest.approx(mask.sum() * 1.2 * 0.8, rel=0.02)
    assert ndimage.center_of_mass(warp.image(mask)) == pytest.approx((47.5, 52.5), abs=0.2)
