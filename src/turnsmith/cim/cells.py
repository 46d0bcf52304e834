"""The compute cells: what a 2FeFET-1T, a 1FeFET-1R and a 2T-1FeFET put on their capacitor, by level and temperature.

The netlists are data (`Netlist`), so the paper's own topology can replace ours: the body of arXiv 2501.01052 was not
available, and `TwoFeFETOneT` is a reconstruction that has the published behaviour (two FETs clamp the output, their
negative feedback cancels the drift), not the published schematic.

Every cell answers the same three questions: `levels_at` (volts of each level at each temperature), `solve` (one bias
point: volts, static current, settling time) and `nmr` (do MAC outputs of neighbouring values overlap?).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from turnsmith.cim.device import Array, Ekv, Volts
from turnsmith.cim.netlist import GROUND, Capacitor, Fet, Netlist, Resistor, element_current, operating_point, transient
from turnsmith.cim.nmr import MacRanges, mac_ranges
from turnsmith.errors import UserError

TEMPERATURES: tuple[int, ...] = tuple(range(0, 86, 5))
"""0 to 85 °C in steps of 5: where worst cases are looked for."""
_OPEN_GATE = 1.2
"""Gate of the pass transistor when the input bit is 1, volts."""


@dataclass(frozen=True, slots=True)
class CellReading:
    """What one cell does when its input bit is 1 (with 0 its capacitor stays at 0 V and no current flows).

    Attributes:
        volts: V_o, the voltage that the capacitor settles at.
        amperes: static current from the read line.
        seconds: time until the capacitor is within 1 mV of V_o, from 0 V through the pass transistor.
    """

    volts: Array
    amperes: Array
    seconds: Array


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Common part of the cells: a read line, a stored threshold, a capacitor.

    Attributes:
        bits: per cell, 1 or 2. A 1-bit cell uses the lowest and the highest level.
        v_read: V_R of the read line, volts.
        sigma_vt: standard deviation of each FeFET's static threshold error, volts.
        capacitor: C_o in farads.
    """

    bits: int = 2
    v_read: float = 0.35
    sigma_vt: float = 0.0
    capacitor: float = 1e-15

    def __post_init__(self) -> None:
        if self.bits not in self.supported_bits:
            raise UserError(
                f"{self.name} stores {' or '.join(map(str, self.supported_bits))} bits a cell, not {self.bits}."
            )

    @property
    def name(self) -> str:
        """The cell's name in tables."""
        return type(self).__name__

    @property
    def supported_bits(self) -> tuple[int, ...]:
        """Bits a cell can store."""
        return (1, 2)

    @property
    def products(self) -> tuple[int, ...]:
        """What each level contributes to a MAC when the input bit is 1: 0, 1 or 0, 1, 2, 3."""
        return tuple(range(2**self.bits))

    @property
    def fefets(self) -> tuple[str, ...]:
        """Names of the transistors that carry a static threshold error."""
        raise NotImplementedError

    def netlist(self) -> Netlist:
        """The circuit while the input bit is 1 and the capacitor has settled."""
        raise NotImplementedError

    def level_shifts(self) -> Sequence[float]:
        """Shift of the stored threshold for each level, volts, lowest product first."""
        raise NotImplementedError

    @property
    def stored(self) -> str:
        """Name of the transistor whose threshold holds the level."""
        raise NotImplementedError

    @property
    def supply(self) -> str:
        """Name of the element through which the read line delivers the static current."""
        return "F1"

    def _shifts(self, levels: Volts, errors: Volts | None) -> dict[str, Volts]:
        """Threshold shift of each FeFET: the stored level and, in the last axis of `errors`, the static errors."""
        shifts: dict[str, Volts] = {self.stored: levels}
        if errors is not None:
            for index, name in enumerate(self.fefets):
                shifts[name] = shifts.get(name, 0.0) + np.asarray(errors)[..., index]
        return shifts

    def output(self, shift: Volts, celsius: Volts, errors: Volts | None = None) -> Array:
        """V_o in volts for a stored threshold shift.

        Args:
            shift: shift of the stored threshold, volts.
            celsius: °C.
            errors: static threshold errors in volts, last axis one a FeFET in the order of `fefets`.

        Returns:
            Volts, in the broadcast shape of shift, celsius and errors (less its last axis).
        """
        circuit = self.netlist()
        return operating_point(circuit, celsius, self._shifts(shift, errors))[circuit.output]

    def levels_at(self, temps: Sequence[float] | Array, errors: Volts | None = None) -> Array:
        """V_o of each level at each temperature, shape (temps, levels); `errors` as for `output`, scalar shape (F,)."""
        return self.output(np.asarray(self.level_shifts())[None, :], np.asarray(temps, dtype=float)[:, None], errors)

    def solve(self, x: int, level: int, temp: float, dvt: Sequence[float] | None = None) -> CellReading:
        """One bias point.

        Args:
            x: the input bit.
            level: 0 to 2^bits − 1.
            temp: °C.
            dvt: static threshold error of each FeFET in volts, in the order of `fefets`.

        Returns:
            Volts, amperes and seconds.

        Raises:
            UserError: if the level does not exist.
        """
        if level not in self.products:
            raise UserError(f"level {level}: a {self.bits}-bit cell has levels 0 to {self.products[-1]}.")
        zero = np.zeros(())
        if not x:
            return CellReading(zero, zero, zero)
        errors = None if dvt is None else np.asarray(dvt, dtype=float)
        shifts = self._shifts(self.level_shifts()[level], errors)
        circuit = self.netlist()
        volts = operating_point(circuit, temp, shifts)
        amperes = element_current(circuit, self.supply, volts, temp, shifts)
        return CellReading(volts[circuit.output], amperes, self._settling(temp, shifts, float(volts[circuit.output])))

    def reading_circuit(self) -> Netlist:
        """The circuit with the pass transistor and the capacitor: what `transient` and ngspice run."""
        circuit = self.netlist()
        pass_transistor = Fet("MP", circuit.output, "x", "C", Ekv(threshold=0.35, beta=300e-6))
        return Netlist(
            elements=(*circuit.elements, pass_transistor, Capacitor("Co", "C", GROUND, self.capacitor)),
            drives={**circuit.drives, "x": _OPEN_GATE},
            output="C",
        )

    def _settling(self, temp: float, shifts: dict[str, Volts], final: float, within: float = 1e-3) -> Array:
        times = np.logspace(-13, -2, 331)
        trace = transient(self.reading_circuit(), times, temp, shifts)["C"]
        outside = np.nonzero(np.abs(trace - final) > within)[0]
        return np.asarray(0.0 if not len(outside) else times[min(outside[-1] + 1, len(times) - 1)])

    def fluctuation(self, temps: Sequence[float] = TEMPERATURES, levels: Sequence[int] | None = None) -> float:
        """F = max over temperatures of |V(T)/V(25 °C) − 1|, the worst of the given levels (default: all but 0)."""
        chosen = list(self.products[1:] if levels is None else levels)
        volts, reference = self.levels_at(temps), self.levels_at([25.0])
        return float(np.abs(volts / reference - 1)[:, chosen].max())

    def ranges(self, rows: int, temps: Sequence[float] = TEMPERATURES) -> MacRanges:
        """The range of the summed output of each MAC value over all temperatures and all patterns that give it."""
        return mac_ranges(self.levels_at(temps), self.products, rows)

    def nmr(self, rows: int = 8, temps: Sequence[float] = TEMPERATURES) -> float:
        """NMR_min, the smallest noise margin rate; positive when no two MAC values overlap."""
        return self.ranges(rows, temps).nmr_min

    def with_bits(self, bits: int) -> "Cell":
        """The same cell with another number of bits."""
        return replace(self, bits=bits)


def _pick(levels: Sequence[float], bits: int) -> list[float]:
    """All four levels, or the lowest and the highest."""
    return list(levels) if bits == 2 else [levels[0], levels[-1]]


@dataclass(frozen=True, kw_only=True)
class TwoFeFETOneT(Cell):
    """R1, the reference 2FeFET-1T: F1 feeds node A from the read line, F2 pulls it down, M1 passes A to the capacitor.

    With equal subthreshold currents V_A = (V_T2 − V_T1)/n + U_T ln(β1/β2) + …: threshold drift and mobility cancel, and
    F1's source gives the negative feedback. The level is the threshold difference of the two FeFETs.

    Attributes:
        threshold: V_T1, volts.
        differences: V_T2 − V_T1 for levels 0 to 3, volts.
        kappa_mismatch: κ of F2 less κ of F1, V/K. Zero is the ideal that no chip has.
        beta_ratio: β1/β2.
    """

    threshold: float = 0.40
    differences: tuple[float, ...] = (-0.25, 0.1023, 0.2080, 0.3125)
    kappa_mismatch: float = 0.0
    beta_ratio: float = 1.0

    @property
    def name(self) -> str:
        return f"2FeFET-1T {self.bits}-bit"

    @property
    def fefets(self) -> tuple[str, ...]:
        return ("F1", "F2")

    @property
    def stored(self) -> str:
        return "F2"

    def level_shifts(self) -> Sequence[float]:
        return _pick(self.differences, self.bits)

    def netlist(self) -> Netlist:
        upper = Ekv(self.threshold, beta=300e-6 * self.beta_ratio)
        lower = Ekv(self.threshold, kappa=upper.kappa + self.kappa_mismatch)
        return Netlist(
            elements=(Fet("F1", "read", "read", "A", upper), Fet("F2", "A", "read", GROUND, lower)),
            drives={"read": self.v_read},
            output="A",
        )


@dataclass(frozen=True, kw_only=True)
class OneFeFETOneR(Cell):
    """B1, the baseline 1FeFET-1R: a FeFET over a resistor. Nothing cancels its drift.

    Attributes:
        ohms: the resistor.
        thresholds: V_T of F1 for the levels, lowest product first; with 1 bit the first and the last are used.
    """

    bits: int = 1
    ohms: float = 10e6
    thresholds: tuple[float, ...] = (0.90, 0.45)

    @property
    def name(self) -> str:
        return "1FeFET-1R"

    @property
    def supported_bits(self) -> tuple[int, ...]:
        return (1,)

    @property
    def fefets(self) -> tuple[str, ...]:
        return ("F1",)

    @property
    def stored(self) -> str:
        return "F1"

    def level_shifts(self) -> Sequence[float]:
        return list(self.thresholds)

    def netlist(self) -> Netlist:
        return Netlist(
            elements=(Fet("F1", "read", "read", "A", Ekv(0.0)), Resistor("R1", "A", GROUND, self.ohms)),
            drives={"read": self.v_read},
            output="A",
        )


@dataclass(frozen=True, kw_only=True)
class TwoTOneFeFET(Cell):
    """B2, a reconstruction of the 2T-1FeFET of arXiv 2312.17442: F1 over the diode-connected M1, read through a pass
    transistor. M1's drift offsets that of F1 in part.

    Attributes:
        thresholds: V_T1 for the levels 0 and 1, volts.
        diode: the transistor M1.
    """

    bits: int = 1
    thresholds: tuple[float, ...] = (0.90, 0.36)
    diode: Ekv = field(default_factory=lambda: Ekv(0.30, kappa=0.9e-3))

    @property
    def name(self) -> str:
        return "2T-1FeFET"

    @property
    def supported_bits(self) -> tuple[int, ...]:
        return (1,)

    @property
    def fefets(self) -> tuple[str, ...]:
        return ("F1",)

    @property
    def stored(self) -> str:
        return "F1"

    def level_shifts(self) -> Sequence[float]:
        return list(self.thresholds)

    def netlist(self) -> Netlist:
        return Netlist(
            elements=(Fet("F1", "read", "read", "A", Ekv(0.0)), Fet("M1", "A", "A", GROUND, self.diode)),
            drives={"read": self.v_read},
            output="A",
        )


CELLS: dict[str, Cell] = {
    "r1-2bit": TwoFeFETOneT(bits=2),
    "r1-1bit": TwoFeFETOneT(bits=1),
    "2t1fefet": TwoTOneFeFET(),
    "1fefet1r": OneFeFETOneR(),
}
"""The cells of the comparison, by the name that the command line uses."""
