"""Mark selection in MOKA's manner."""

import numpy as np
import pytest

from turnsmith.errors import ParseError
from turnsmith.robot.marks import CANDIDATES, Marks, make_marks, random_candidates, read_choice, select_marks
from turnsmith.worlds.tabletop.camera import Camera
from turnsmith.worlds.tabletop.points import Key
from turnsmith.worlds.tabletop.tasks import TableTask

ANSWER = {
    "grasp_keypoint": "P[2]",
    "function_keypoint": "P1",
    "target_keypoint": "Q1",
    "pre_contact_tile": "a1",
    "post_contact_tile": "e5",
}


def test_marks_lie_on_what_is_raised_the_larger_object_first(sample):
    marks = make_marks(sample.depth_HW, Camera(96))
    assert [len(one) for one in marks.objects] == [CANDIDATES, CANDIDATES]
    for index, one in enumerate(marks.objects):
        for x, y in one.astype(int):
            assert sample.parts_HW[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].max() == index + 1
    assert marks.named()["Q1"] == pytest.approx(sample.points_52[Key.TARGET], abs=1.5)


def test_an_answer_becomes_points_and_tiles(sample):
    marks = make_marks(sample.depth_HW, Camera(96))
    points = read_choice(TableTask.SWEEP, ANSWER, marks)
    assert points[Key.GRASP] == pytest.approx(marks.objects[0][1])
    assert points[Key.TARGET] == pytest.approx(marks.objects[1][0])
    assert points[Key.PRE] == pytest.approx([9.6, 9.6])
    assert points[Key.POST] == pytest.approx([86.4, 86.4])


@pytest.mark.parametrize("change", [{"grasp_keypoint": "P9"}, {"pre_contact_tile": "f1"}, {"target_keypoint": "R1"}])
def test_an_answer_that_names_what_is_not_there_is_no_answer(sample, change):
    with pytest.raises(ParseError):
        read_choice(TableTask.SWEEP, ANSWER | change, make_marks(sample.depth_HW, Camera(96)))


def test_the_rule_sweeps_from_the_brush_to_the_right(sample):
    points = select_marks(TableTask.SWEEP, sample.rgb_HW3, sample.depth_HW, Camera(96))
    assert np.linalg.norm(points[Key.TARGET] - sample.points_52[Key.TARGET]) < 3
    assert points[Key.PRE][0] < points[Key.TARGET][0] < points[Key.POST][0]


def test_an_empty_table_gives_the_middle_and_chance_is_seeded(sample):
    flat = np.full((96, 96), 1.1)
    assert (select_marks(TableTask.SWEEP, sample.rgb_HW3, flat, Camera(96)) == 48).all()
    assert make_marks(flat, Camera(96)) == Marks((), 96)
    first, again, other = (
        random_candidates(TableTask.POUR, sample.depth_HW, Camera(96), np.random.default_rng(seed))
        for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(first[Key.PRE], first[Key.TARGET])
