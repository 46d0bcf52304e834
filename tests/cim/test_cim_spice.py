"""ngspice as a second opinion: the same physics must agree, other physics must behave alike."""

import numpy as np
import pytest

from turnsmith.cim import spice
from turnsmith.cim.cells import CELLS
from turnsmith.cim.netlist import transient

pytestmark = pytest.mark.skipif(not spice.available(), reason="ngspice is not installed (Debian: apt install ngspice)")


@pytest.mark.parametrize("name", ["r1-2bit", "2t1fefet", "1fefet1r"])
def test_solver_and_ngspice_agree_on_the_same_physics(name):
    cell = CELLS[name]
    for celsius in (0, 25, 85):
        for level, volts in enumerate(cell.levels_at([celsius])[0]):
            assert spice.run_deck(spice.ekv_deck(cell, level, celsius))["a"] == pytest.approx(volts, abs=1e-5)


def test_transient_agrees_with_ngspice():
    cell, end = CELLS["r1-2bit"], 1e-7
    found = spice.run_deck(spice.ekv_deck(cell, 2, 27, end))["c"]
    ours = transient(cell.reading_circuit(), np.linspace(0, end, 2001)[1:], 27.0, {"F2": cell.level_shifts()[2]})["C"]
    assert ours[-1] == pytest.approx(found, abs=1e-4)


def test_clamp_cell_holds_still_with_bsim4_and_the_resistor_cell_does_not():
    def swing(delta: float | None) -> tuple[float, float]:
        volts = [spice.run_deck(spice.bsim4_deck(delta, celsius))["a"] for celsius in (0, 25, 85)]
        return max(abs(v / volts[1] - 1) for v in volts), volts[1]

    for delta, millivolts in ((0.1, 89.3), (0.2, 166.1), (0.3, 242.6)):
        fluctuation, nominal = swing(delta)
        assert nominal * 1e3 == pytest.approx(millivolts, abs=0.5)
        assert fluctuation * 3 <= swing(None)[0]
