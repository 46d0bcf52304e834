"""Methods at equal cost: straight lines between what was measured, and nothing beyond it."""

import pytest

from turnsmith.evaluate.budget import Point, at_equal_cost, success_at

CHECKS = [Point(100, 0.2), Point(200, 0.4), Point(300, 0.3)]
DRAWS = [Point(150, 0.2), Point(450, 0.5)]


def test_a_curve_is_straight_between_its_points_and_unknown_outside():
    assert success_at(CHECKS, 150) == pytest.approx(0.3)
    assert success_at(CHECKS, 200) == 0.4
    assert success_at(CHECKS, 275) == pytest.approx(0.325)
    assert success_at(CHECKS, 99) is None
    assert success_at(CHECKS, 301) is None
    assert success_at([Point(5, 0.1), Point(5, 0.3)], 5) == 0.3


def test_methods_are_compared_only_where_all_were_measured():
    rows = at_equal_cost({"checks": CHECKS, "draws": DRAWS}, 3)
    assert [cost for cost, _ in rows] == [150, 225, 300]
    assert rows[0][1] == pytest.approx({"checks": 0.3, "draws": 0.2})
    assert rows[2][1] == pytest.approx({"checks": 0.3, "draws": 0.35})
    assert at_equal_cost({"a": [Point(1, 0.0)], "b": [Point(2, 1.0)]}) == []
    assert at_equal_cost({"a": [Point(1, 0.5)], "b": [Point(1, 1.0)]}) == [(1, {"a": 0.5, "b": 1.0})]
    for bad in ({}, {"a": []}):
        with pytest.raises(ValueError, match="at least one"):
            at_equal_cost(bad)
