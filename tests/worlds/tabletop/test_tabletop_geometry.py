"""Camera, depth and grasps, without any scene."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnsmith.errors import UserError
from turnsmith.worlds.tabletop.camera import Camera, smooth_depth
from turnsmith.worlds.tabletop.points import Key, from_thousandths, tie, to_thousandths
from turnsmith.worlds.tabletop.tasks import SPECS, TableTask, table_task

place = st.floats(-0.35, 0.35)


@given(x=place, y=place, z=st.floats(-0.5, 0.3), size=st.sampled_from([64, 128, 224, 700]))
def test_unprojecting_a_projected_point_gives_it_back(x, y, z, size):
    camera = Camera(size)
    pixel = camera.project(np.array([[x, y, z]]))
    assert camera.unproject(pixel, camera.height - z)[0] == pytest.approx([x, y, z], abs=1e-9)
    assert camera.at_height(pixel[0], z) == pytest.approx([x, y, z], abs=1e-9)


def test_the_camera_sees_forty_degrees_with_x_to_the_right_and_y_up():
    camera = Camera(200, height=1.0, fovy=40.0)
    edge = np.tan(np.deg2rad(20))
    assert camera.project(np.array([[edge, 0, 0], [0, edge, 0]])) == pytest.approx(np.array([[200, 100], [100, 0]]))


@given(st.lists(st.tuples(st.floats(0, 223.7), st.floats(0, 223.7)), min_size=5, max_size=5))
def test_thousandths_lose_at_most_half_a_thousandth_of_the_image(points):
    array = np.array(points)
    back = from_thousandths(to_thousandths(array, 224, 224), 224, 224)
    assert np.abs(back - array).max() <= 0.5 * 224 / 1000 + 0.224  # the last thousandth is clipped to 999


def test_tied_points_are_equal():
    points = np.arange(10.0).reshape(5, 2)
    for spec in SPECS.values():
        tied = tie(points, spec.ties)
        for key, same in spec.ties.items():
            assert (tied[key] == tied[same]).all()
    assert (tie(points, {Key.PRE: Key.TARGET})[Key.POST] == points[Key.POST]).all()


def test_holes_in_depth_are_filled_from_around_them():
    depth = np.full((20, 20), 1.1)
    depth[8:11, 8:11] = 0
    assert smooth_depth(depth) == pytest.approx(np.full((20, 20), 1.1))


def test_an_unknown_task_is_an_error_that_names_the_tasks():
    with pytest.raises(UserError, match="pouring"):
        table_task("pour")
    assert table_task("pouring") is TableTask.POUR
