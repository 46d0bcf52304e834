"""Eight rows share their charge: the array as tables, and the one gather that evaluates it.

Weights are sliced over cells (two bits a cell: four cells), inputs come bit by bit, groups of `rows` cells share charge
and a flash ADC reads each column. For a group of 8 rows an input bit plane is one of 256 patterns, and everything that
follows it (cell voltages with their static errors, charge sharing, thresholds, recombination of the slices) is a fixed
function of that pattern. `pattern_tables` computes that function once a temperature; reading an array is then one
gather-and-sum a bit plane (`embedding_bag`). It is exact, not an approximation: `direct_codes`, the grouped matmul with
its converter that more rows need, gives the same integers.

Codes are integers, and sums are kept below 2^24 before they leave float32, so results are exact on CPU and GPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from turnsmith.cim.adc import FlashADC
from turnsmith.cim.cells import Cell, TwoFeFETOneT
from turnsmith.errors import UserError

TABLE_ROWS = 8
"""Up to this many rows a group is read through its table of 2^rows patterns."""
FLOAT32_SUM = 2**24 // 3
"""Up to here sums of a bit plane are exact in float32, and twice one plus another still is (`recombine`)."""
_BLOCK = 1 << 24
"""Elements of the largest temporary."""


@dataclass(frozen=True)
class Hardware:
    """A compute-in-memory chip.

    Attributes:
        cell: what stores a slice; None is ideal hardware (exact products).
        rows: rows that share charge and are read at once, N.
        subarray: rows and columns of one array.
        adc: the converter; None reads every sum exactly.
        node: technology in nm, for cost.
        weight_bits, input_bits: of one weight and of one activation.
        accumulator_ratio: C_acc/C_o; it scales signal and references alike.
        stored_zero: the number that is stored for a weight of 0; None is the middle, 2^(weight_bits − 1). A lower one
            leaves no room for weights below it and puts lower levels into the most significant cells of the others.
    """

    cell: Cell | None = field(default_factory=TwoFeFETOneT)
    rows: int = 8
    subarray: tuple[int, int] = (128, 128)
    adc: FlashADC | None = field(default_factory=FlashADC)
    node: int = 22
    weight_bits: int = 8
    input_bits: int = 8
    accumulator_ratio: float = 1.0
    stored_zero: int | None = None

    def __post_init__(self) -> None:
        if self.rows < 1 or self.subarray[0] % self.rows:
            raise UserError(f"{self.rows} rows a group do not divide a subarray of {self.subarray[0]} rows.")
        if self.weight_bits % self.cell_bits:
            raise UserError(f"{self.weight_bits}-bit weights cannot be sliced over {self.cell_bits}-bit cells.")
        if self.cell is None and self.adc is not None and self.adc.offset_sigma:
            raise UserError("comparator offsets are volts: ideal hardware has none.")
        if not 0 <= self.zero_point <= 2 ** (self.weight_bits - 1):
            raise UserError(f"a weight of 0 is stored as 0 to {2 ** (self.weight_bits - 1)}, not {self.zero_point}.")

    @property
    def cell_bits(self) -> int:
        """Bits a cell."""
        return 2 if self.cell is None else self.cell.bits

    @property
    def slices(self) -> int:
        """Cells (columns) a weight."""
        return self.weight_bits // self.cell_bits

    @property
    def zero_point(self) -> int:
        """Offset binary: the stored number is w + zero_point. 128 rather than 127.5 keeps integer weights exact."""
        return 2 ** (self.weight_bits - 1) if self.stored_zero is None else self.stored_zero

    @property
    def empty_reads_zero(self) -> bool:
        """Whether a group without a set input is read as 0 for certain: unless comparators have offsets."""
        return self.adc is None or self.adc.offset_sigma == 0

    @property
    def largest_sum(self) -> int:
        """The largest MAC value of a group."""
        return self.rows * (2**self.cell_bits - 1)


def slice_levels(weight_KO: Tensor, hardware: Hardware) -> Tensor:
    """Levels of the cells that store an integer weight matrix.

    Args:
        weight_KO: integers in ±(2^(weight_bits−1) − 1), shape (inputs, outputs).
        hardware: says how wide a slice and how high a group is.

    Returns:
        uint8 levels, shape (groups, rows, outputs, slices), least significant slice first. Rows past the last input
        hold level 0 and their inputs are always 0.

    Raises:
        UserError: if a weight is below what the zero point leaves room for.
    """
    inputs, outputs = weight_KO.shape
    if hardware.stored_zero is not None and float(weight_KO.min()) < -hardware.stored_zero:
        raise UserError(
            f"a weight of {float(weight_KO.min()):g} cannot be stored where 0 is stored as {hardware.stored_zero}: "
            "restrict the network's weights first (quantization.keep_above)."
        )
    groups = -(-inputs // hardware.rows)
    stored = torch.zeros(groups * hardware.rows, outputs, dtype=torch.int32, device=weight_KO.device)
    stored[:inputs] = weight_KO.to(torch.int32) + hardware.zero_point
    mask = 2**hardware.cell_bits - 1
    slices = [(stored >> (hardware.cell_bits * s)) & mask for s in range(hardware.slices)]
    return torch.stack(slices, dim=-1).to(torch.uint8).view(groups, hardware.rows, outputs, hardware.slices)


class CellArray:
    """The cells of one layer at one temperature: levels, static errors, and the voltages that follow.

    Attributes:
        levels: uint8, shape (groups, rows, outputs, slices).
        perfect: whether cells multiply exactly whatever the temperature; the converter stays what it is.
    """

    def __init__(self, levels: Tensor, hardware: Hardware, seed: int, perfect: bool = False) -> None:
        self.levels, self.hardware, self.seed = levels, hardware, seed
        self.perfect = perfect or hardware.cell is None
        self._lut: _VoltageLut | None = None
        self._drawn: Tensor | None = None
        self.unit = 1.0
        if hardware.cell is not None and not perfect:
            reference = hardware.adc.t_ref if hardware.adc is not None else 27.0
            # Volts of one MAC unit where the references were set.
            self.unit = float(hardware.cell.levels_at([reference])[0, -1]) / hardware.cell.products[-1]

    def set_temperature(self, celsius: float) -> None:
        """Take the cell voltages at a temperature; the references stay where they are."""
        if self.hardware.cell is not None and not self.perfect:
            self._lut = _VoltageLut(self.hardware.cell, celsius, self.levels.device)

    def products(self, groups: slice) -> Tensor:
        """Output of each cell with input 1 in MAC units of the reference temperature, float32 (groups, rows, O, S)."""
        levels = self.levels[groups]
        cell = self.hardware.cell
        if cell is None or self.perfect:
            return levels.float()
        if self._lut is None:
            raise RuntimeError("set_temperature was not called")
        if cell.sigma_vt == 0:
            return self._lut.nominal[levels.long()] / self.unit
        return self._lut.interpolate(levels, self._errors(levels, groups.start or 0)) / self.unit

    def _errors(self, levels: Tensor, start: int) -> Tensor:
        """Standard-normal threshold errors, one a FeFET: the chip's own, so they are drawn once and kept."""
        assert self.hardware.cell is not None
        if self._drawn is None:
            shape = (*self.levels.shape[1:], len(self.hardware.cell.fefets))
            drawn = np.empty((len(self.levels), *shape), np.float32)
            for group, errors in enumerate(drawn):
                np.random.default_rng((self.seed, group)).standard_normal(dtype=np.float32, out=errors)
            self._drawn = torch.from_numpy(drawn).to(levels.device)
        return self._drawn[start : start + len(levels)]

    def codes(self, sums: Tensor, groups: slice) -> Tensor:
        """What the ADC makes of group sums: integers as float32, in units of `adc.step`.

        Args:
            sums: MAC units, shape (groups, any, outputs, slices); overwritten.
            groups: which groups these are; each group has its own comparators where they have offsets.
        """
        adc = self.hardware.adc
        if adc is None:
            return sums
        if adc.offset_sigma == 0 or self.perfect:
            return sums.div_(adc.step).add_(0.5).floor_().clamp_(0, adc.top)
        # Converter input is the shared charge: a MAC unit is unit · C_o / (N C_o + C_acc) volts there.
        volts_per_unit = self.unit / (self.hardware.rows + self.hardware.accumulator_ratio)
        columns = sums.shape[2] * sums.shape[3]
        rng = np.random.default_rng((self.seed, 1 << 32))
        offsets = rng.standard_normal((columns, adc.top), dtype=np.float32) * adc.offset_sigma / volts_per_unit
        thresholds = (torch.arange(adc.top, dtype=torch.float32) + 0.5) * adc.step
        table = (thresholds + torch.from_numpy(offsets)).to(sums.device).view(*sums.shape[2:], adc.top)
        found = torch.zeros_like(sums)
        for index in range(adc.top):
            found += sums >= table[..., index]
        return found


class _VoltageLut:
    """V_o by level and static error at one temperature: solved on a grid, multilinear between its points."""

    def __init__(self, cell: Cell, celsius: float, device: torch.device, points: int = 33, reach: float = 5.0) -> None:
        shifts = np.asarray(cell.level_shifts())
        self.nominal = torch.from_numpy(cell.output(shifts, celsius)).float().to(device)
        self.reach, self.points, self.count = reach, points, len(cell.fefets)
        if cell.sigma_vt == 0:
            return
        axis = np.linspace(-reach, reach, points) * cell.sigma_vt
        grid = np.stack(np.meshgrid(*[axis] * self.count, indexing="ij"), axis=-1)
        volts = cell.output(shifts.reshape(-1, *[1] * self.count), celsius, grid[None])
        self.table = torch.from_numpy(volts.reshape(-1)).float().to(device)

    def interpolate(self, levels: Tensor, errors: Tensor) -> Tensor:
        """Volts for levels and standard-normal errors, shape of levels."""
        place = ((errors.clamp(-self.reach, self.reach) / self.reach + 1) * (self.points - 1) / 2).clamp(
            max=self.points - 1.001
        )
        below = place.floor()
        part = place - below
        base = levels.long()
        for axis in range(self.count):
            base = base * self.points + below[..., axis].long()
        strides = [self.points ** (self.count - 1 - axis) for axis in range(self.count)]
        result = torch.zeros_like(part[..., 0])
        for corner in range(2**self.count):
            weight, offset = torch.ones_like(result), 0
            for axis in range(self.count):
                upper = corner >> axis & 1
                weight = weight * (part[..., axis] if upper else 1 - part[..., axis])
                offset += upper * strides[axis]
            result += weight * self.table[base + offset]
        return result


def pattern_tables(cells: CellArray) -> Tensor:
    """What a group adds to each output for each pattern of its input bits: slices recombined, in units of the step.

    Returns:
        float32 integers, shape (groups · 2^rows, outputs): row `group · 2^rows + pattern`, bit r of the pattern is the
        input of row r of the group.
    """
    groups, rows, outputs, slices = cells.levels.shape
    significance = _significance(cells.hardware, cells.levels.device)
    table = torch.empty(groups, 2**rows, outputs, device=cells.levels.device)
    for span in blocks(groups, 2**rows * outputs * slices):
        table[span] = pattern_codes(cells, span) @ significance
    return table.view(groups * 2**rows, outputs)


def pattern_codes(cells: CellArray, span: slice) -> Tensor:
    """ADC codes of some groups for every input pattern, float32 of shape (groups, 2^rows, outputs, slices)."""
    rows = cells.levels.shape[1]
    bits = torch.arange(2**rows, device=cells.levels.device)[:, None] >> torch.arange(rows, device=cells.levels.device)
    volts = cells.products(span)
    sums = (bits & 1).float() @ volts.flatten(2)
    return cells.codes(sums.view(volts.shape[0], 2**rows, *volts.shape[2:]), span)


def table_sums(table: Tensor, index_MBG: Tensor) -> Tensor:
    """Gather-and-sum: Σ over groups of the table row that each group's pattern selects.

    Args:
        table: from `pattern_tables`.
        index_MBG: row of the table for each vector, bit plane and group, int32 or int64.

    Returns:
        float32 integers of shape (M, B, outputs); exact while groups · largest entry stays below `FLOAT32_SUM`.
    """
    vectors, planes, groups = index_MBG.shape
    flat = F.embedding_bag(index_MBG.reshape(vectors * planes, groups), table, mode="sum")
    return flat.view(vectors, planes, -1)


def direct_sums(cells: CellArray, bits_MBGR: Tensor) -> Tensor:
    """The same sums by one grouped matmul a bit plane and the converter: for any number of rows a group.

    Args:
        cells: the array.
        bits_MBGR: 0 or 1 for each vector, bit plane, group and row.

    Returns:
        float32 integers of shape (M, B, outputs), in units of the step.
    """
    groups, _, outputs, slices = cells.levels.shape
    vectors, planes = bits_MBGR.shape[:2]
    significance = _significance(cells.hardware, cells.levels.device)
    total = torch.zeros(vectors * planes, outputs, dtype=torch.float64, device=cells.levels.device)
    by_group = bits_MBGR.permute(2, 0, 1, 3).reshape(groups, vectors * planes, -1).float()
    for span in blocks(groups, vectors * planes * outputs * slices):
        volts = cells.products(span)
        sums = torch.bmm(by_group[span], volts.flatten(2)).view(volts.shape[0], -1, outputs, slices)
        total += (cells.codes(sums, span) @ significance).sum(0, dtype=torch.float64)
    return total.view(vectors, planes, outputs)


def recombine(sums_MBO: Tensor, input_sum_M: Tensor, hardware: Hardware) -> Tensor:
    """Shift-and-add over input bits, and the zero point taken off.

    Args:
        sums_MBO: per bit plane, in units of the step; the planes past these are 0 (the sign's, after a ReLU).
        input_sum_M: Σ x of each vector, the dummy column.
        hardware: step and zero point.

    Returns:
        Σ_k x_k w_k as float64, shape (M, outputs); exact where the codes are.
    """
    planes = sums_MBO.shape[1]
    step = 1.0 if hardware.adc is None else hardware.adc.step
    weights = plane_weights(hardware.input_bits)
    stored = torch.zeros(sums_MBO.shape[::2], dtype=torch.float64, device=sums_MBO.device)
    # Two planes at a time before they become float64: half the traffic, and a third of float32's integers is enough.
    for plane in range(0, planes - 1, 2):
        pair = torch.add(sums_MBO[:, plane], sums_MBO[:, plane + 1], alpha=weights[plane + 1] / weights[plane])
        stored.add_(pair, alpha=weights[plane] * step)
    if planes % 2:
        stored.add_(sums_MBO[:, -1], alpha=weights[planes - 1] * step)
    return stored.sub_(hardware.zero_point * input_sum_M.double()[:, None])


def plane_weights(planes: int) -> list[float]:
    """Two's complement: 1, 2, 4, …, and minus the last."""
    return [2.0**plane for plane in range(planes - 1)] + [-(2.0 ** (planes - 1))]


def _significance(hardware: Hardware, device: torch.device) -> Tensor:
    powers: Sequence[float] = [2.0 ** (hardware.cell_bits * s) for s in range(hardware.slices)]
    return torch.tensor(powers, device=device)


def blocks(count: int, size: int) -> list[slice]:
    """Slices of `count` things of `size` elements each that keep temporaries small."""
    stride = max(1, _BLOCK // max(size, 1))
    return [slice(start, min(start + stride, count)) for start in range(0, count, stride)]
