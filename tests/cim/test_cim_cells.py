"""The cells against the acceptance values of the specification, and the noise margins against enumeration."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from turnsmith.cim.cells import CELLS, TEMPERATURES, OneFeFETOneR, TwoFeFETOneT, TwoTOneFeFET
from turnsmith.cim.device import thermal_voltage
from turnsmith.cim.montecarlo import level_table, mac_table, read_error_rate
from turnsmith.cim.netlist import transient
from turnsmith.cim.nmr import mac_ranges
from turnsmith.errors import UserError

ACCEPTANCE_MV = {0: (0.64, 79.56, 159.98, 240.14), 25: (1.25, 80.00, 160.00, 240.00), 85: (3.96, 81.66, 160.08, 239.48)}
NMR = {
    "r1-2bit": (1.51, 0.26, -0.37, -0.69),
    "r1-1bit": (6.56, 2.78, 0.89, -0.06),
    "2t1fefet": (1.47, 0.15, -0.44, -0.73),
}


@pytest.mark.parametrize("celsius", ACCEPTANCE_MV)
def test_clamp_cell_meets_the_acceptance_table(celsius):
    # Threshold differences are given to 0.1 mV, so voltages agree to less than that.
    assert TwoFeFETOneT(bits=2).levels_at([celsius])[0] * 1e3 == pytest.approx(ACCEPTANCE_MV[celsius], abs=0.06)


@pytest.mark.parametrize(
    ("cell", "millivolts"),
    [(OneFeFETOneR(), (28.4, 42.9, 81.6)), (TwoTOneFeFET(), (128.5, 126.4, 121.5))],
)
def test_baselines_drift_as_published(cell, millivolts):
    assert cell.levels_at([0, 25, 85])[:, 1] * 1e3 == pytest.approx(millivolts, abs=0.05)


@pytest.mark.parametrize("name", NMR)
def test_noise_margins_equal_the_table(name):
    margins = [CELLS[name].nmr(rows) for rows in (8, 16, 32, 64)]
    assert margins == pytest.approx(NMR[name], abs=0.0101)


def test_a_cell_without_compensation_overlaps_at_eight_rows():
    assert CELLS["1fefet1r"].nmr(8) == pytest.approx(-0.92, abs=0.005)
    assert CELLS["1fefet1r"].ranges(8).overlaps > 0
    assert CELLS["r1-2bit"].ranges(8).overlaps == 0


def test_dynamic_programming_equals_enumeration_of_every_pattern():
    cell, rows = CELLS["r1-2bit"], 3
    levels = cell.levels_at([0, 40, 85])
    found: dict[int, list[float]] = {}
    for volts in levels:
        choices = [(0, 0.0)] + [(product, volts[product]) for product in cell.products]
        for pattern in itertools.product(choices, repeat=rows):
            found.setdefault(sum(p for p, _ in pattern), []).append(sum(v for _, v in pattern) / rows)
    ranges = mac_ranges(levels, cell.products, rows)
    assert ranges.low == pytest.approx([min(found[value]) for value in sorted(found)])
    assert ranges.high == pytest.approx([max(found[value]) for value in sorted(found)])


def test_output_follows_the_equation_of_two_equal_subthreshold_currents():
    cell = TwoFeFETOneT(bits=2, threshold=0.6)  # deeper below threshold than the default
    for celsius in (0.0, 85.0):
        ut, volts = float(thermal_voltage(celsius)), float(cell.output(0.2, celsius))
        law = 0.2 / 1.3 + ut * np.log((1 - np.exp(-(0.35 - volts) / ut)) / (1 - np.exp(-volts / ut)))
        assert volts == pytest.approx(law, abs=2e-4)


def test_sensitivity_to_either_threshold_is_about_three_quarters():
    cell = TwoFeFETOneT(bits=2)
    shift = cell.level_shifts()[2]
    for index, sign in ((0, -1), (1, 1)):
        errors = np.eye(2)[index] * 1e-3
        slope = (cell.output(shift, 27.0, errors) - cell.output(shift, 27.0, -errors)) / 2e-3
        assert 0.73 <= sign * float(slope) <= 0.775


def test_kappa_mismatch_moves_level_two_by_six_millivolt():
    cell = replace(TwoFeFETOneT(bits=2), kappa_mismatch=1e-4)
    assert np.ptp(cell.levels_at(TEMPERATURES)[:, 2]) * 1e3 == pytest.approx(6.4, abs=0.1)


def test_an_idle_cell_gives_nothing_and_a_high_level_settles_slowest():
    cell = TwoFeFETOneT(bits=2)
    assert float(cell.solve(0, 3, 27).volts) == 0
    times = [float(cell.solve(1, level, 27).seconds) for level in range(4)]
    assert times == sorted(times)
    assert float(cell.solve(1, 3, 27).amperes) == pytest.approx(1e-11, rel=0.2)


def test_transient_ends_at_the_operating_point():
    cell = TwoTOneFeFET()
    volts = transient(cell.reading_circuit(), np.logspace(-13, -3, 200), 27.0, {"F1": 0.36})["C"]
    assert volts[-1] == pytest.approx(float(cell.solve(1, 1, 27).volts), abs=1e-6)
    assert np.all(np.diff(volts) > -1e-9)


def test_one_call_solves_temperatures_levels_and_samples_together():
    cell = TwoFeFETOneT(bits=2)
    rng = np.random.default_rng(0)
    errors = 0.02 * rng.standard_normal((5, 1, 1, 2))
    together = cell.output(np.asarray(cell.level_shifts()), np.array([[0.0], [85.0]]), errors)
    assert together.shape == (5, 2, 4)
    alone = cell.solve(1, 3, 85.0, errors[4, 0, 0])
    assert together[4, 1, 3] == pytest.approx(float(alone.volts), abs=1e-9)


def test_wrong_settings_are_explained():
    with pytest.raises(UserError, match="1 bits"):
        OneFeFETOneR(bits=2)
    with pytest.raises(UserError, match="levels 0 to 3"):
        TwoFeFETOneT(bits=2).solve(1, 4, 27)


def test_row_sums_are_misread_when_cells_drift_or_differ():
    clamp, resistor = CELLS["r1-2bit"], CELLS["1fefet1r"]
    assert read_error_rate(clamp, 8, 0.0, 85.0, samples=500) == 0
    assert read_error_rate(resistor, 8, 0.0, 27.0, samples=500) == 0
    assert read_error_rate(resistor, 8, 0.0, 85.0, samples=500) > 0.8
    # 10 mV on both FeFETs is 0.133 of a level a cell: four active cells exceed half a level in 6 % of sums.
    assert read_error_rate(clamp, 8, 0.01, 27.0, samples=4000) == pytest.approx(0.04, abs=0.025)


def test_tables_hold_the_levels_and_the_linear_sum():
    cell = CELLS["r1-2bit"]
    levels = level_table(cell, 0.0, 27.0)
    assert levels.mean == pytest.approx([0, 1, 2, 3], abs=0.02)
    assert levels.std == pytest.approx(0, abs=1e-9)
    sums = mac_table(cell, 8, 0.01, 27.0, samples=2000)
    common = sums.value <= 12
    assert sums.mean[common] == pytest.approx(sums.value[common], abs=0.1)
    assert 0.1 < sums.std[sums.value == 6][0] < 0.5
