"""Technology tables: what a transistor, a wire and a cell are at 22, 32 and 45 nm, low standby power.

Gate and junction capacitances are the ITRS low-standby-power values as CACTI tabulates them, overlap and fringe 0.20
fF/µm a side as in the predictive models, wires 0.2 fF/µm at any node, leakage the ITRS target of 30 pA/µm. Supplies are
those of the reference runs. Everything digital scales with these by C V². The current-mode converter does not: a
comparator needs a time that grows with the resistance it must tell from its neighbour, at a rate that is the bit line's
(`sense_capacitance`), and before it senses, the column multiplexer must have switched (`select_floor`, `select_drive`).
Floors, drive and bias of 22 and 45 nm were fitted on one run of each node (its clock fixes the sum of both floors, not
either). No run is at 32 nm: its floors lie between the neighbours' by feature size, its drive and bias are assumed.
"""

import math
from dataclasses import dataclass

from turnsmith.errors import UserError


@dataclass(frozen=True, slots=True)
class Technology:
    """One node.

    Attributes:
        feature: F in metres.
        vdd: supply in volts.
        gate_capacitance: total per gate width, F/m: ideal gate + overlap and fringe of both sides + junction.
        sense_floor: time of a current-mode read of no resistance, seconds.
        select_floor, select_drive: time to switch the multiplexer, seconds, and second-ohms of its load: its pass gates
            are as wide as a column's resistance asks for.
        bias_scale: bias current of a comparator against 22 nm.
        wire_capacitance: F/m.
        off_current: leakage per gate width, A/m.
    """

    feature: float
    vdd: float
    gate_capacitance: float
    sense_floor: float
    select_floor: float
    select_drive: float
    bias_scale: float
    wire_capacitance: float = 0.2e-9
    off_current: float = 30e-6

    @property
    def inverter_energy(self) -> float:
        """Joules of one transition of a minimum inverter (n 2F, p 4F wide) that drives its like."""
        return self.gate_capacitance * 6 * self.feature * self.vdd**2

    @property
    def sense_capacitance(self) -> float:
        """Seconds of a current-mode read for each ohm of its last reference: the wire of a bit line of 128 cells, 4F
        each, settled to one part in 32."""
        return math.log(32) * 128 * 4 * self.feature * self.wire_capacitance

    @property
    def square(self) -> float:
        """F² in m²."""
        return self.feature**2


TECHNOLOGIES: dict[int, Technology] = {
    22: Technology(22e-9, 0.85, (0.322 + 0.40 + 0.066) * 1e-9, 0.85e-9, 0.25e-9, 2.5e-8, 1.0),
    32: Technology(32e-9, 0.90, (0.458 + 0.40 + 0.096) * 1e-9, 1.18e-9, 0.36e-9, 3.3e-6, 0.76),
    45: Technology(45e-9, 1.00, (0.518 + 0.40 + 0.135) * 1e-9, 1.60e-9, 0.51e-9, 4.82e-6, 0.58),
}


@dataclass(frozen=True, slots=True)
class ArrayCell:
    """The memory cell as the chip sees it.

    Attributes:
        height, width: in F.
        on_siemens: conductance of the highest level.
        on_off: highest over lowest conductance.
        gate_farads_per_feature: load of one cell on its word line, F per metre of feature size.
        read_volts: swing of the word line; None is the supply.
        write_driver: area of one row's high-voltage driver in F²; 0 for cells written at the supply.
        leak_widths: leaking gate width of one cell in F; 0 for cells that hold no charge.
        clocked_columns: whether bit lines are precharged and reference columns driven for each conversion, as those of
            SRAM are; columns of cells that conduct by themselves rest.
    """

    height: float
    width: float
    on_siemens: float
    on_off: float
    gate_farads_per_feature: float
    read_volts: float | None
    write_driver: float
    leak_widths: float
    clocked_columns: bool


ARRAY_CELLS: dict[str, ArrayCell] = {
    # Two access gates of 2F a row; conductance of a minimum-size access transistor.
    "sram": ArrayCell(10, 28, 1 / 86e3, 1e3, 4 * 0.482e-9, None, 0.0, 6.0, True),
    # 100 kΩ and on/off 17 as in the reference runs; the gate is read with about 1 V at any node.
    "fefet": ArrayCell(4, 12, 1 / 100e3, 17.0, 11.9e-9, 1.0, 63_500.0, 0.0, False),
}


def technology(node: int) -> Technology:
    """The table of a node.

    Raises:
        UserError: if there is none.
    """
    if node not in TECHNOLOGIES:
        raise UserError(f"no technology table for {node} nm. There are: {', '.join(map(str, TECHNOLOGIES))}.")
    return TECHNOLOGIES[node]


def array_cell(name: str) -> ArrayCell:
    """The cell of a name, "sram" or "fefet".

    Raises:
        UserError: if there is none.
    """
    if name not in ARRAY_CELLS:
        raise UserError(f"no memory cell {name!r}. There are: {', '.join(ARRAY_CELLS)}.")
    return ARRAY_CELLS[name]
