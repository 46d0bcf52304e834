"""Scenes are what they say: determined by their seed, labelled where the camera sees it, solvable by the truth."""

import numpy as np
import pytest

from turnsmith.errors import UserError
from turnsmith.worlds.tabletop import grasp as grasping
from turnsmith.worlds.tabletop import scenes, trial
from turnsmith.worlds.tabletop.camera import Camera
from turnsmith.worlds.tabletop.points import Key
from turnsmith.worlds.tabletop.tasks import HARD_SET, TableTask


@pytest.mark.parametrize("task", list(TableTask))
def test_a_seed_determines_the_scene_and_its_picture(task):
    first, again = (scenes.make_scene(task, 2, 5) for _ in range(2))
    assert np.array_equal(first.data.qpos, again.data.qpos)
    assert np.array_equal(first.keypoints_53, again.keypoints_53)
    assert np.array_equal(trial.observe(first).rgb_HW3, trial.observe(again).rgb_HW3)
    other = scenes.make_scene(task, 2, 6)
    assert not np.array_equal(first.keypoints_53, other.keypoints_53)


@pytest.mark.parametrize("task", list(TableTask))
def test_the_true_grasp_lies_on_its_part_in_the_picture_and_at_its_depth(task):
    scene = scenes.make_scene(task, 1, 3)
    seen = trial.observe(scene, label=True)
    column, row = scene.oracle()[Key.GRASP].astype(int)
    assert seen.parts_HW is not None
    assert seen.parts_HW[row - 1 : row + 2, column - 1 : column + 2].max() == 1  # the first part is the tool
    world = scenes.CAMERA.at_height(scene.oracle()[Key.GRASP], scene.keypoints_53[Key.GRASP, 2])
    assert world == pytest.approx(scene.keypoints_53[Key.GRASP], abs=1e-6)
    nearest = seen.depth_HW[row - 2 : row + 3, column - 2 : column + 3].min()
    assert scenes.CAMERA.height - nearest == pytest.approx(scene.keypoints_53[Key.GRASP, 2], abs=0.008)


def test_geometry_sets_have_their_own_shapes():
    shapes = set()
    for geometry in range(HARD_SET + 1):
        model = scenes.make_scene(TableTask.SWEEP, geometry, 0).model
        ids = [i for i in range(model.ngeom) if model.body(model.geom_bodyid[i]).name == "brush"]
        shapes.add(tuple(int(model.geom_type[i]) for i in ids))
    assert len(shapes) >= 4  # the T and the squeegee are both two boxes
    with pytest.raises(UserError, match="sets are 0 to 4"):
        scenes.make_scene(TableTask.SWEEP, 5, 0)


@pytest.mark.parametrize("geometry", [1, HARD_SET])
@pytest.mark.parametrize("task", list(TableTask))
def test_true_keypoints_succeed(task, geometry):
    scene = scenes.make_scene(task, geometry, 100)
    seen = trial.observe(scene)
    assert not scene.succeeded()
    result = trial.execute(scene, seen.depth_HW, scene.oracle())
    assert (result.success, result.failure) == (True, "")


def test_keypoints_in_the_wrong_place_fail_and_the_failure_has_a_name():
    scene = scenes.make_scene(TableTask.UNPLUG, 1, 100)
    seen = trial.observe(scene)
    result = trial.execute(scene, seen.depth_HW, np.full((5, 2), 40.0))
    assert not result.success
    assert result.failure == "grip"


def test_a_film_has_state_action_and_phase_of_every_frame():
    scene = scenes.make_scene(TableTask.UNPLUG, 1, 101)
    seen, film = trial.observe(scene), trial.Film()
    result = trial.execute(scene, seen.depth_HW, scene.oracle(), film=film)
    assert len(film.frames) == len(film.states) == len(film.actions) == len(film.phases) > 20
    assert film.phases[0] == "reach_pre_grasp"
    assert film.phases[-1] == result.phase == "retreat"
    assert np.abs(film.states[-1][:3] - film.actions[-1][:3]).max() < 0.01  # the gripper is where it was sent
    assert film.webp()[8:12] == b"WEBP"


def test_the_grasp_closes_across_a_handle_at_any_angle():
    camera = Camera(224)
    for angle in (-1.2, -0.4, 0.3, 1.0):
        rows, columns = np.mgrid[0:224, 0:224]
        places = camera.unproject(np.stack([columns + 0.5, rows + 0.5], -1).reshape(-1, 2), 1.1)[:, :2]
        along, across = places @ [np.cos(angle), np.sin(angle)], places @ [-np.sin(angle), np.cos(angle)]
        bar = (np.abs(along) < 0.06) & (np.abs(across) < 0.012)
        depth = np.where(bar, 1.1 - 0.025, 1.1).reshape(224, 224)
        grasp = grasping.plan_grasp(grasping.HeightMap(camera, depth), np.array([114.0, 110.0]))
        assert grasp.found
        assert abs((grasp.yaw - angle + np.pi / 2) % np.pi - np.pi / 2) < 0.1
        assert abs(grasp.at_3[:2] @ [-np.sin(angle), np.cos(angle)]) < 0.004
        assert grasp.width == pytest.approx(0.024, abs=0.008)


def test_fingers_do_not_come_down_on_a_neighbour():
    camera = Camera(224)
    depth = np.full((224, 224), 1.1)
    depth[106:118, 60:110] -= 0.025  # a bar from left to right
    depth[60:104, 80:140] -= 0.030  # a block just above its right end
    grasp = grasping.plan_grasp(grasping.HeightMap(camera, depth), np.array([100.0, 112.0]), radius=30.0)
    assert grasp.found
    pixel = camera.project(grasp.at_3[None])[0]
    assert pixel[0] < 80  # moved to where both fingers have room
