"""One read of one group of rows: how long it takes and where its energy goes.

This is the figure that papers on cells quote (operations = N products + 1 accumulation); a chip spends most of its
energy elsewhere, see `chip`.
"""

from dataclasses import dataclass

import numpy as np

from turnsmith.cim.array import Hardware
from turnsmith.cim.cells import CellReading
from turnsmith.cim.technology import technology
from turnsmith.errors import UserError

_COMPARATOR_INVERTERS = 12
"""A clocked comparator's switching in minimum inverters."""
_SHARE_SECONDS, _CONVERT_SECONDS = 1e-9, 1e-9


@dataclass(frozen=True, slots=True)
class GroupRead:
    """Joules and seconds of one read.

    Attributes:
        charge: of the cell capacitors from the read line.
        static: what flows through the cells until the slowest level has settled.
        share: the accumulation capacitor.
        converter: all comparators.
        word_line: the input gates.
        seconds: settling of the slowest level, charge sharing, conversion.
        operations: N + 1.
    """

    charge: float
    static: float
    share: float
    converter: float
    word_line: float
    seconds: float
    operations: int

    @property
    def joules(self) -> float:
        """All of it."""
        return self.charge + self.static + self.share + self.converter + self.word_line

    @property
    def tops_per_watt(self) -> float:
        """Operations per joule, in 10^12."""
        return self.operations / self.joules * 1e-12


def group_read(hardware: Hardware, celsius: float = 27.0, activity: float = 0.18) -> GroupRead:
    """Energy and time of one group read, averaged over levels.

    Args:
        hardware: with a cell and a converter.
        celsius: temperature.
        activity: share of input bits that are 1.

    Raises:
        UserError: for ideal hardware.
    """
    cell, adc = hardware.cell, hardware.adc
    if cell is None or adc is None:
        raise UserError("ideal hardware has no energy: choose a cell and a converter.")
    tech = technology(hardware.node)
    readings: list[CellReading] = [cell.solve(1, level, celsius) for level in cell.products]
    volts = float(np.mean([reading.volts for reading in readings]))
    amperes = float(np.mean([reading.amperes for reading in readings]))
    settle = max(float(reading.seconds) for reading in readings)
    active = hardware.rows * activity
    shared = active * cell.capacitor * volts / (cell.capacitor * (hardware.rows + hardware.accumulator_ratio))
    return GroupRead(
        charge=active * cell.capacitor * cell.v_read * volts,
        static=active * amperes * cell.v_read * settle,
        share=hardware.accumulator_ratio * cell.capacitor * shared**2,
        converter=(2**adc.bits - 1) * _COMPARATOR_INVERTERS * tech.inverter_energy,
        word_line=active * tech.inverter_energy,
        seconds=settle + _SHARE_SECONDS + _CONVERT_SECONDS,
        operations=hardware.rows + 1,
    )
