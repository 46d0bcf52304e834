"""Horizons by iteration: each schedule against its formula, worked out by hand."""

import pytest

from turnsmith.errors import UserError
from turnsmith.tasks.horizon import AUTHORS_LIST, Horizons, needed_bin, training_horizons


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"schedule": "fixed", "shortest": 10}, [10] * 6),
        ({"schedule": "additive"}, [11, 12, 13, 14, 15, 16]),  # h_min + i, the paper's
        ({"schedule": "additive", "step": 7}, [17, 24, 30, 30, 30, 30]),
        ({"schedule": "multiplicative"}, [10, 20, 30, 30, 30, 30]),  # h_min · i: linear in i
        ({"schedule": "multiplicative", "shortest": 4, "longest": 22}, [4, 8, 12, 16, 20, 22]),
        ({"schedule": "geometric", "shortest": 3, "longest": 50}, [3, 6, 12, 24, 48, 50]),
        ({"schedule": "geometric", "shortest": 10, "factor": 1.5}, [10, 15, 22, 30, 30, 30]),
        ({"schedule": "list", "values": AUTHORS_LIST}, [10, 20, 20, 30, 30, 30]),
        ({"schedule": "multiplicative", "reverse": True}, [30, 30, 30, 30, 20, 10]),
    ],
)
def test_a_schedule_is_its_formula(settings, wanted):
    assert training_horizons(Horizons(**settings), 6) == wanted


def test_the_paper_is_the_default_and_long_runs_stay_finite():
    assert (Horizons().schedule, Horizons().shortest, Horizons().longest, Horizons().test) == (
        "multiplicative",
        10,
        30,
        30,
    )
    assert training_horizons(Horizons(schedule="geometric"), 5000)[-1] == 30
    assert training_horizons(Horizons(), 0) == []


@pytest.mark.parametrize(
    "settings",
    [
        {"shortest": 0},
        {"shortest": 31},
        {"test": 0},
        {"step": 0},
        {"factor": 0.5},
        {"schedule": "list"},
        {"schedule": "list", "values": (3, 0)},
        {"values": (3,)},
    ],
)
def test_settings_that_say_nothing_are_refused(settings):
    with pytest.raises(UserError, match="horizons: "):
        Horizons(**settings)


def test_bins_by_needed_steps():
    assert [needed_bin(steps) for steps in (1, 6, 7, 12, 13, 40)] == [
        "up to 6",
        "up to 6",
        "7 to 12",
        "7 to 12",
        "13 and more",
        "13 and more",
    ]
    assert needed_bin(9, (8, 12, 16)) == "9 to 12"
