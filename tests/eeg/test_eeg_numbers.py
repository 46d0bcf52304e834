"""Splits, metrics, linear models and curves against figures worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnsmith.eeg import curves, linear, metrics, splits
from turnsmith.eeg.fit import Point
from turnsmith.errors import UserError


def test_the_split_of_27_participants_is_eegeyenet_s():
    people = np.repeat(np.arange(1, 28), 3)
    split = splits.by_participant(people)
    assert set(people[split.train]) == set(range(1, 18))
    assert set(people[split.validation]) == set(range(18, 23))
    assert set(people[split.test]) == set(range(23, 28))


@settings(deadline=None)  # no assertion about time
@given(st.lists(st.integers(1, 60), min_size=3, max_size=200).filter(lambda rows: len(set(rows)) > 2))
def test_no_participant_is_in_two_parts_and_no_window_is_lost(rows):
    people = np.array(rows)
    split = splits.by_participant(people)
    parts = [set(people[part].tolist()) for part in (split.train, split.validation, split.test)]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]
    assert sorted(np.concatenate([split.train, split.validation, split.test])) == list(range(len(rows)))


def test_two_participants_cannot_be_split():
    with pytest.raises(UserError, match="leave-one-run-out"):
        splits.by_participant(np.array([1, 2, 2]))


def test_label_fractions_are_nested_and_spare_no_participant():
    people = np.repeat(np.arange(5), 20)
    train = np.arange(80)
    few, more, all_ = (set(splits.label_fraction(train, people, f, 3)) for f in (0.1, 0.3, 1.0))
    assert few < more < all_ == set(train)
    assert [sum(people[row] == person for row in few) for person in range(5)] == [2, 2, 2, 2, 0]


def test_both_position_metrics_on_a_3_4_5_triangle():
    error = metrics.position_error(np.array([[30.0, 40.0], [0.0, 0.0]]), np.zeros((2, 2)))
    assert error.euclidean_px == 25
    assert error.euclidean_mm == 12.5
    assert error.rmse_px == pytest.approx(np.sqrt(2500 / 4))
    assert error.rmse_mm == pytest.approx(error.rmse_px / 2)


@settings(deadline=None)  # no assertion about time
@given(st.lists(st.tuples(st.floats(-800, 800), st.floats(-800, 800)), min_size=1, max_size=30))
def test_per_coordinate_rmse_is_at_least_the_mean_distance_over_root_two(rows):
    error = metrics.position_error(np.array(rows), np.zeros((len(rows), 2)))
    assert error.rmse_px >= error.euclidean_px / np.sqrt(2) - 1e-6


def test_the_angle_error_wraps():
    assert metrics.angle_error(np.array([3.1]), np.array([-3.1])) == pytest.approx(2 * np.pi - 6.2)


@pytest.mark.parametrize("columns", [5, 60])
def test_ridge_solves_its_normal_equations_wide_and_narrow(columns):
    rng = np.random.default_rng(0)
    x, y = rng.normal(2, 3, (40, columns)), rng.normal(size=(40, 2))
    fit = linear.fit_ridge(x, y, 0.3)
    z = (x - x.mean(0)) / x.std(0)
    weight = fit.weight * x.std(0)[:, None]
    residual = y - fit.predict(x)
    np.testing.assert_allclose(z.T @ residual, 0.3 * 40 * weight, atol=1e-8)
    np.testing.assert_allclose(residual.mean(0), 0, atol=1e-10)


def test_the_discriminant_is_the_inverse_covariance_times_the_mean_difference():
    """Against the formula written out, on both sides of features = trials."""
    rng = np.random.default_rng(1)
    labels = np.arange(40) % 2
    for columns in (6, 90):
        x = rng.normal(size=(40, columns)) @ rng.normal(size=(columns, columns)) + labels[:, None]
        found = linear.fit_discriminant(x, labels)
        means = np.stack([x[labels == c].mean(0) for c in (0, 1)])
        within = x - means[labels]
        scale = within.std(0)
        z = within / scale
        s = z.T @ z / 40
        mu = np.trace(s) / columns
        d2 = ((s - mu * np.eye(columns)) ** 2).sum()
        b2 = np.mean([((np.outer(row, row) - s) ** 2).sum() for row in z]) / 40
        shrinkage = min(1, b2 / d2)
        assert found.shrinkage == pytest.approx(shrinkage)
        covariance = (1 - shrinkage) * s + shrinkage * mu * np.eye(columns)
        weight = np.linalg.solve(covariance, (means[1] - means[0]) / scale) / scale
        np.testing.assert_allclose(found.weight, weight, rtol=1e-5)
        assert found.score(means.mean(0)[None])[0] == pytest.approx(0, abs=1e-8)


def _curve(*errors):
    return [Point(10 * (i + 1), i + 1.0, 2.0 * (i + 1), 4.0 * (i + 1), 0.0, e) for i, e in enumerate(errors)]


def test_comparing_two_curves():
    scratch, mae = _curve(100, 90, 80, 70, 75), _curve(85, 69, 60, 66, 65)
    found = curves.compare(scratch, mae)
    assert found["match_ratio"] == 20 / 40
    assert found["half_time_ratio"] == 69 / 70  # the best within 20 updates
    # best so far: 100 until 10 and up to 20, 90, 80, 70, 70 / 85, 69, 60, ...
    assert found["area_scratch"] == pytest.approx((100 * 20 + 90 * 10 + 80 * 10 + 70 * 10) / 50)
    assert found["area_pretrained"] == pytest.approx((85 * 20 + 69 * 10 + 60 * 20) / 50)
    assert curves.compare(mae, scratch)["match_ratio"] is None
    assert curves.time_to_threshold(scratch, 80, "seconds") == 6
