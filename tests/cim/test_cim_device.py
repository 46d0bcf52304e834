"""The EKV transistor and the ferroelectric, against their own limits and definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnsmith.cim.device import Ekv, FerroelectricGate, Preisach, program_levels, thermal_voltage
from turnsmith.errors import UserError

FET = Ekv(0.45)


@pytest.mark.parametrize("celsius", [0.0, 27.0, 85.0])
def test_deep_subthreshold_current_is_the_exponential_law(celsius):
    ut = float(thermal_voltage(celsius))
    kelvin = celsius + 273.15
    threshold = 0.45 - 0.7e-3 * (kelvin - 300.15)
    gate, source, drain = 0.0, 0.01, 0.3
    beta = 300e-6 * (kelvin / 300.15) ** -1.5
    law = 2 * 1.3 * beta * ut**2 * np.exp((gate - threshold - 1.3 * source) / (1.3 * ut))
    law *= 1 - np.exp(-(drain - source) / ut)
    assert float(FET.current(drain, gate, source, celsius)[0]) == pytest.approx(law, rel=1e-3)


def test_subthreshold_swing_is_77_millivolt_a_decade_at_27_degrees():
    low, high = (float(FET.current(0.3, gate, 0.0, 27.0)[0]) for gate in (0.0, 0.05))
    assert 0.05 / np.log10(high / low) == pytest.approx(0.0774, abs=0.0003)


def test_strong_inversion_saturates_at_the_square_law():
    # n β/2 ((V_G − V_T)/n)²
    assert float(FET.current(1.5, 1.45, 0.0, 27.0)[0]) == pytest.approx(1.3 * 300e-6 / 2 * (1 / 1.3) ** 2, rel=0.01)


@given(st.floats(0, 0.6), st.floats(0, 0.6), st.floats(0, 0.6), st.floats(0, 85))
def test_derivatives_equal_finite_differences(drain, gate, source, celsius):
    step = 1e-6
    _, *slopes = FET.current(drain, gate, source, celsius)
    base = np.array([drain, gate, source])
    for index, slope in enumerate(slopes):
        move = step * np.eye(3)[index]
        up, down = (FET.current(point[0], point[1], point[2], celsius)[0] for point in (base + move, base - move))
        assert float(slope) == pytest.approx(float(up - down) / (2 * step), rel=1e-4, abs=1e-12)


def test_remanence_and_coercive_field_are_what_they_are_called():
    film = Preisach()
    assert film.polarisation == pytest.approx(-20.0)  # erased: −P_r
    assert film.apply(1.0) == pytest.approx(0.0, abs=1e-9)  # at +E_c the rising branch crosses zero
    film.apply(1e3)
    assert film.apply(0.0) == pytest.approx(20.0)


def test_minor_loops_close_and_stay_inside_the_last_two_reversals():
    film = Preisach()
    top = film.apply(1.2)
    bottom = film.apply(-0.3)
    inside = [film.apply(value) for value in (0.9, 0.1, 0.7, 0.2, 0.8)]
    assert all(bottom <= value <= top for value in inside)
    assert film.apply(1.2) == pytest.approx(top)  # the loop closed on its own reversal
    film.apply(2.0)
    straight = Preisach()
    assert film.polarisation == pytest.approx(straight.apply(2.0))  # and everything inside it was forgotten


def test_a_slow_film_sees_part_of_a_short_pulse():
    slow, fast = Preisach(lag=1e-7), Preisach()
    assert slow.pulse(1.5, 1e-8) < fast.pulse(1.5, 1e-8)
    assert Preisach(lag=1e-7).pulse(1.5, 1e-5) == pytest.approx(fast.polarisation, abs=1e-3)


def test_write_verify_reaches_four_levels_and_refuses_what_lies_outside_the_window():
    targets = [0.15, 0.5023, 0.608, 0.7125]
    pulses = program_levels(targets)
    assert [pulse.threshold for pulse in pulses] == pytest.approx(targets, abs=1e-3)
    assert [pulse.volts for pulse in pulses] == sorted((pulse.volts for pulse in pulses), reverse=True)
    with pytest.raises(UserError, match="window"):
        program_levels([1.2])
    with pytest.raises(UserError, match="2 E_c t_FE"):
        FerroelectricGate(window=2.0)
