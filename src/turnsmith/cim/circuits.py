"""One subarray and what stands beside it: energy, area and leakage from counts of gates, wires and conversions.

Every figure is a count times a physical unit of the technology (inverter energy, wire capacitance, F², leakage per
width). The counts that no schematic fixes are in `GateCounts`; they are calibrated once, on one reference run
(`reference` says which, and how well the others are then predicted).
"""

import math
from dataclasses import dataclass

import numpy as np

from turnsmith.cim.device import Array
from turnsmith.cim.technology import ArrayCell, Technology

COLUMNS_PER_ADC = 8
"""Columns that share a converter."""
BIAS_OHMS = (5e3, 6e5)
"""Below the first a comparator's bias current no longer grows, above the second it vanishes; in between it falls with
the logarithm of the resistance that it reads, as that of a current mirror which leaves strong inversion does."""
_SAMPLES = 4096


@dataclass(frozen=True, slots=True)
class GateCounts:
    """Calibrated counts, in minimum-inverter transitions, F² or F of leaking width.

    Attributes:
        adder_bit: energy of one full-adder bit, activity included.
        register_bit: energy of one register access, clock and activity included.
        control: energy of decoders, column multiplexers and switch matrices of a subarray for one bit plane.
        comparator: energy of one comparator that switches, its latch and its way to the encoder.
        bias_watts: bias power of one comparator for each e-fold of resistance below `BIAS_OHMS`[1]; it flows in the
            column and in the reference for as long as sensing takes.
        gate_area: F² of an adder bit or a register bit.
        comparator_area: F² of one comparator.
        row_area: F² of the read driver of a row.
        wire_factor: energy of a routed wire over that of a bare one along half a tile's side.
        chip_distance: mean way from global buffer to tile, as a share of the chip's side.
        leak_width: leaking width of a subarray's periphery in F.
        wire_leak_width: leaking width of a tile's repeaters per metre of its side, in metres.
    """

    adder_bit: float = 5.376
    register_bit: float = 11.45
    control: float = 25_160.0
    comparator: float = 10.15
    bias_watts: float = 0.2002e-6
    gate_area: float = 2_182.0
    comparator_area: float = 1_000.0
    row_area: float = 5_000.0
    wire_factor: float = 0.8084
    chip_distance: float = 0.388
    leak_width: float = 342_300.0
    wire_leak_width: float = 291.9


COUNTS = GateCounts()


@dataclass(frozen=True, slots=True)
class Subarray:
    """One subarray of a chip.

    Attributes:
        tech, cell: technology and memory cell.
        side: rows and columns.
        read_rows: rows read at once.
        levels: levels of the converter.
        cell_bits, weight_bits, input_bits: widths.
        counts: calibrated counts.
    """

    tech: Technology
    cell: ArrayCell
    side: int
    read_rows: int
    levels: int
    cell_bits: int
    weight_bits: int
    input_bits: int
    counts: GateCounts = COUNTS

    @property
    def passes(self) -> int:
        """A: reads until all rows of a vector have been read."""
        return math.ceil(self.side / self.read_rows)

    @property
    def cells_per_weight(self) -> int:
        """c: columns of one weight."""
        return math.ceil(self.weight_bits / self.cell_bits)

    @property
    def code_bits(self) -> int:
        """Width of a converter code after the row passes are summed."""
        return math.ceil(math.log2(self.levels)) + math.ceil(math.log2(self.passes))

    @property
    def weight_sum_bits(self) -> int:
        """Width once the cells of a weight are recombined."""
        return self.code_bits + (self.cells_per_weight - 1) * self.cell_bits

    @property
    def partial_sum_bits(self) -> int:
        """Width of a subarray's result, after all input bits."""
        return self.weight_sum_bits + self.input_bits + 1

    def row_energy(self, active_rows: float) -> float:
        """Joules to raise the word lines of a bit plane with so many active rows."""
        wire = self.side * self.cell.width * self.tech.feature * self.tech.wire_capacitance
        gates = self.side * self.cell.gate_farads_per_feature * self.tech.feature
        volts = self.cell.read_volts or self.tech.vdd
        return active_rows * (wire + gates) * volts**2

    def control_energy(self) -> float:
        """Joules of decoders, multiplexers and switch matrices for one bit plane."""
        return self.counts.control * self.tech.inverter_energy

    @property
    def finest_ohms(self) -> float:
        """The reference with the least current: two levels above none, of a range up to all rows on."""
        return self.levels / (2 * self.read_rows * self.cell.on_siemens)

    @property
    def sense_seconds(self) -> float:
        """Time of the slowest current-mode read, the column's selection included."""
        spread = self.cell.on_siemens * (1 + 1 / self.cell.on_off) / 2  # siemens of a mean cell
        select = self.tech.select_floor + self.tech.select_drive * self.read_rows * spread
        return select + self._settling

    @property
    def _settling(self) -> float:
        return self.tech.sense_floor + self.tech.sense_capacitance * self.finest_ohms

    def conversion_energy(self, conductance: float | Array) -> float | Array:
        """Joules of one conversion of a column of so many siemens: every comparator weighs it against its reference."""
        references = self.finest_ohms * 2 / np.arange(2, self.levels)
        mean = float(np.mean(_bias(references))) if self.levels > 2 else 0.0
        with np.errstate(divide="ignore"):
            column = _bias(1 / np.asarray(conductance))
        watts = self.counts.bias_watts * self.tech.bias_scale * (column + mean)
        switched = self.counts.comparator * self.tech.inverter_energy
        return (self.levels - 1) * (watts * self._settling + switched) + self._clocked_columns()

    def _clocked_columns(self) -> float:
        """Joules of a conversion to precharge a bit line and to drive the reference cells that comparators share."""
        if not self.cell.clocked_columns:
            return 0.0
        bit_line = self.side * self.cell.height * self.tech.wire_capacitance + self.side * self.tech.gate_capacitance
        reference = self.side * self.cell.width * self.tech.wire_capacitance
        shared = (self.levels - 1) / self.levels
        return (bit_line + shared * reference) * self.tech.feature * self.tech.vdd**2

    def plane_conversion_energy(self, rows: int, activity: float, level_shares: tuple[float, ...]) -> float:
        """Mean joules that all passes of one column take for one bit plane.

        Args:
            rows: rows of the subarray that hold weights.
            activity: share of input bits that are 1.
            level_shares: how often each stored level occurs, lowest first.

        Returns:
            Joules, averaged over inputs and weights drawn independently (a fixed sample of them).
        """
        total, left = 0.0, rows
        for _ in range(self.passes):
            present = min(self.read_rows, max(left, 0))
            left -= present
            total += float(np.mean(self.conversion_energy(self._conductances(present, activity, level_shares))))
        return total

    def _conductances(self, rows: int, activity: float, level_shares: tuple[float, ...]) -> Array:
        rng = np.random.default_rng(0)
        low, high = self.cell.on_siemens / self.cell.on_off, self.cell.on_siemens
        siemens = low + (high - low) * np.arange(len(level_shares)) / (len(level_shares) - 1)
        active = rng.binomial(rows, activity, size=_SAMPLES)
        shares = np.asarray(level_shares) / sum(level_shares)
        return rng.multinomial(active, shares) @ siemens

    def word_line_energy(self, active_rows: float) -> float:
        """Joules of the word lines of a bit plane: raised for each of the columns that share a converter."""
        wire = self.side * self.cell.width * self.tech.feature * self.tech.wire_capacitance
        return COLUMNS_PER_ADC * active_rows * wire * self.tech.vdd**2

    def accumulate_energy(self, outputs: int) -> float:
        """Joules to sum passes, cells of a weight and the bit plane for so many outputs, in all their columns."""
        columns = outputs * self.cells_per_weight
        added = (self.passes - 1) * columns * self.code_bits
        # Each pass writes the running sum, the first one too, in a register as wide as the adder with its carry.
        stored = self.passes * columns * (self.code_bits + 1) if self.passes > 1 else 0
        both = outputs * (self.cells_per_weight - 1) * self.weight_sum_bits + outputs * self.partial_sum_bits
        transitions = (added + both) * self.counts.adder_bit + (stored + both) * self.counts.register_bit
        return transitions * self.tech.inverter_energy

    def tree_add_energy(self, bits: int) -> float:
        """Joules of one addition between subarrays."""
        return bits * self.counts.adder_bit * self.tech.inverter_energy

    def register_energy(self) -> float:
        """Joules of one write and one read of a buffer bit."""
        return 2 * self.counts.register_bit * self.tech.inverter_energy

    def areas(self) -> dict[str, float]:
        """m² of cells, row drivers, converters, and adders, and what their bounding box leaves empty.

        Drivers stand to the left of the cells and are as high as they, converters and adders below and as wide.
        """
        wide, high = self.side * self.cell.width, self.side * self.cell.height
        drivers = self.side * (self.counts.row_area + self.cell.write_driver)
        shared = self.side // COLUMNS_PER_ADC
        outputs = self.side // self.cells_per_weight
        converters = shared * (self.levels - 1) * self.counts.comparator_area
        # Adders belong to a converter; every output has its own accumulator register.
        bits = shared * (2 * self.weight_sum_bits + self.partial_sum_bits) + outputs * self.partial_sum_bits
        if self.passes > 1:  # the running sum of passes: an adder and a register a converter
            bits += shared * (2 * self.code_bits + 1)
        adders = bits * self.counts.gate_area
        box = (wide + drivers / high) * (high + (converters + adders) / wide)
        parts = {"cells": wide * high, "row drivers": drivers, "converters": converters, "adders": adders}
        parts["empty"] = box - sum(parts.values())
        return {name: area * self.tech.square for name, area in parts.items()}

    def share_of_pe_area(self, pe_side: int) -> float:
        """m² of a PE's buffers and adder tree that fall to one subarray."""
        subarrays = (pe_side // self.side) ** 2
        inputs = pe_side * self.input_bits
        # Copies may fill the PE, so the output buffer holds a result for every row of subarrays.
        results = (pe_side // self.cells_per_weight) * (pe_side // self.side) * self.partial_sum_bits
        return (inputs + 2 * results) * self.counts.gate_area * self.tech.square / subarrays

    def leakage(self) -> float:
        """Watts of the periphery."""
        return self.counts.leak_width * self.tech.feature * self.tech.off_current * self.tech.vdd

    def cell_leakage(self) -> float:
        """Watts of the cells, which cannot be switched off while they hold weights."""
        return self.side**2 * self.cell.leak_widths * self.tech.feature * self.tech.off_current * self.tech.vdd


def _bias(ohms: Array) -> Array:
    """Bias current of a comparator that reads so many ohms, in e-folds (see `BIAS_OHMS`)."""
    least, most = BIAS_OHMS
    return np.log(most / np.clip(ohms, least, most))
