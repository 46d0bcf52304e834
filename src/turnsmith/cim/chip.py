"""What a whole chip costs: area, clock, period, energy by component, TOPS/W.

The hierarchy is NeuroSim's (chip, tile, PE, subarray), re-derived: inputs travel from a global buffer to the tiles of a
layer and are broadcast to PEs and subarrays; every subarray reads its rows in one pass or several, a bit plane at a
time; partial sums are added within the PE, over PEs, and travel back. Energies add up; the clock is the slowest sensing
plus margin; the pipeline's period is its slowest layer.

Two operation counts are reported. NeuroSim counts 2 · H · W · K · Cout a layer, while its simulation takes only the
(H − k + 1)² positions that need no padding; `positions` says which of the two a cost is for.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from turnsmith.cim.circuits import COLUMNS_PER_ADC, COUNTS, GateCounts, Subarray
from turnsmith.cim.floorplan import Floorplan, LayerPlan, plan_chip
from turnsmith.cim.networks import LayerShape
from turnsmith.cim.technology import array_cell, technology
from turnsmith.errors import UserError

SENSE_MARGIN = 1.4
"""Clock over the slowest sensing."""
POST_LAYOUT = 1.22
"""Measured energy over simulated energy; divides TOPS/W."""
_PORT_IN, _PORT_OUT, _BUS = 64, 16, 90
"""Bits a cycle into a tile's buffer, out of it, and over a tile's bus."""
_NOVEL_OUT, _NOVEL_HOP = 256, 135
"""Bits a cycle out of a novel tile, and cycles of a hop over its bus."""
_WIRE_DELAY = 1e-6
"""Seconds per metre of a repeated wire in low-power logic (1 ns/mm)."""
_INPUT_TOGGLE, _OUTPUT_TOGGLE = 0.18, 0.5


@dataclass(frozen=True, kw_only=True)
class ChipSettings:
    """One chip.

    Attributes:
        cell: "sram" or "fefet".
        node: nm.
        cell_bits, weight_bits, input_bits: widths.
        rows: rows read at once.
        adc_levels: levels of the converter.
        subarray: side in cells.
    """

    cell: str = "fefet"
    node: int = 22
    cell_bits: int = 1
    weight_bits: int = 8
    input_bits: int = 8
    rows: int = 128
    adc_levels: int = 32
    subarray: int = 128

    def __post_init__(self) -> None:
        if self.cell == "sram" and self.cell_bits != 1:
            raise UserError("an SRAM cell stores 1 bit. Use --cell fefet for 2 bits a cell.")
        if not 1 <= self.rows <= self.subarray:
            raise UserError(f"{self.rows} rows cannot be read at once: a subarray has {self.subarray}.")
        if self.adc_levels < 2:
            raise UserError(f"a converter needs at least 2 levels, got {self.adc_levels}.")


@dataclass(frozen=True, slots=True)
class LayerTraffic:
    """What one layer does for one image.

    Attributes:
        positions: output positions that are computed.
        activity: share of input bits that are 1.
        level_shares: how often each stored level occurs.
        uses: how often the layer is used: calls of a convolution, rows of a linear layer (NeuroSim counts one).
    """

    positions: int
    activity: float = 0.18
    level_shares: tuple[float, ...] = ()
    uses: int = 1


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One layer for one image: picojoules, nanoseconds, microwatts.

    Attributes:
        adc_pj, accumulation_pj, other_pj: dynamic energy; other includes buffer and bus.
        buffer_pj, bus_pj: parts of other.
        adc_ns, accumulation_ns, other_ns: latency; other includes buffer and bus.
        buffer_ns, bus_ns: parts of other.
        leakage_uw: while idle.
        leakage_pj: over one period.
        macs: multiply-accumulates of the computed positions.
        neurosim_macs: of all H · W positions.
    """

    adc_pj: float
    accumulation_pj: float
    other_pj: float
    buffer_pj: float
    bus_pj: float
    adc_ns: float
    accumulation_ns: float
    other_ns: float
    buffer_ns: float
    bus_ns: float
    leakage_uw: float
    leakage_pj: float
    macs: int
    neurosim_macs: int

    @property
    def dynamic_pj(self) -> float:
        """All dynamic energy."""
        return self.adc_pj + self.accumulation_pj + self.other_pj

    @property
    def latency_ns(self) -> float:
        """Time of the layer for one image."""
        return self.adc_ns + self.accumulation_ns + self.other_ns


@dataclass(frozen=True, slots=True)
class ChipCost:
    """The cost of a chip; `as_dict` gives the documented JSON."""

    settings: ChipSettings
    plan: Floorplan
    layers: tuple[LayerCost, ...]
    area_parts_mm2: dict[str, float]
    clock_ns: float
    period_us: float

    @property
    def area_mm2(self) -> float:
        """The chip's bounding box, empty corners included."""
        return sum(self.area_parts_mm2.values())

    def total_uj(self, part: str) -> float:
        """Sum of a picojoule field over layers, in microjoules."""
        return sum(getattr(layer, part) for layer in self.layers) * 1e-6

    @property
    def energy_uj(self) -> float:
        """Dynamic and leakage energy of one image."""
        return self.total_uj("dynamic_pj") + self.total_uj("leakage_pj")

    @property
    def tops_per_watt(self) -> float:
        """With NeuroSim's operation count, 2 · H · W · K · Cout."""
        return self._efficiency("neurosim_macs")

    @property
    def tops_per_watt_true(self) -> float:
        """With the operations of the positions that were computed."""
        return self._efficiency("macs")

    def _efficiency(self, count: str) -> float:
        operations = 2 * sum(getattr(layer, count) for layer in self.layers)
        return operations / (self.energy_uj * 1e-6) / POST_LAYOUT * 1e-12

    def as_dict(self) -> dict[str, Any]:
        """The JSON of `turnsmith cim cost --json`; docs/trecim.md lists the keys."""
        energy = {
            "adc": self.total_uj("adc_pj"),
            "accumulation": self.total_uj("accumulation_pj"),
            "other": self.total_uj("other_pj"),
            "buffer": self.total_uj("buffer_pj"),
            "bus": self.total_uj("bus_pj"),
            "dynamic": self.total_uj("dynamic_pj"),
            "leakage": self.total_uj("leakage_pj"),
        }
        return {
            "settings": asdict(self.settings),
            "area_mm2": self.area_mm2,
            "area_parts_mm2": self.area_parts_mm2,
            "clock_ns": self.clock_ns,
            "period_us": self.period_us,
            "energy_uj": energy,
            "tops_per_w": self.tops_per_watt,
            "tops_per_w_true_ops": self.tops_per_watt_true,
            "operations": {
                "neurosim": 2 * sum(layer.neurosim_macs for layer in self.layers),
                "true": 2 * sum(layer.macs for layer in self.layers),
            },
            "floorplan": {
                "tile": self.plan.tile,
                "pe": self.plan.pe,
                "novel_pe": self.plan.novel_pe,
                "tiles": [layer.tiles for layer in self.plan.layers],
                "speed_up": [layer.speed_up for layer in self.plan.layers],
                "utilisation": [layer.utilisation for layer in self.plan.layers],
            },
            "layers": [
                {**asdict(layer), "dynamic_pj": layer.dynamic_pj, "latency_ns": layer.latency_ns}
                for layer in self.layers
            ],
        }


def unpadded_positions(shape: LayerShape) -> int:
    """The positions that need no padding, which the reference runs simulate: (H − k + 1)(W − k + 1) at stride 1.

    A map smaller than the kernel has none: then every position counts, since all that is computed is padded.
    """
    sides = [(side - shape.kernel) // shape.stride + 1 for side in (shape.height, shape.width)]
    if min(sides) < 1:
        sides = [-(-side // shape.stride) for side in (shape.height, shape.width)]
    return sides[0] * sides[1]


def chip_cost(
    shapes: Sequence[LayerShape],
    settings: ChipSettings | None = None,
    traffic: Sequence[LayerTraffic] | None = None,
    counts: GateCounts = COUNTS,
) -> ChipCost:
    """Cost of running one image of a network.

    Args:
        shapes: its layers.
        settings: the chip.
        traffic: what each layer sees; the default is that of the reference runs: unpadded positions, 18 % of input bits
            set, all levels equally often.
        counts: calibrated counts; only calibration passes others.

    Returns:
        The cost.

    Raises:
        UserError: if the settings name no technology or cell, or traffic and shapes differ in length.
    """
    settings = settings or ChipSettings()
    sub = Subarray(
        technology(settings.node), array_cell(settings.cell), settings.subarray, settings.rows, settings.adc_levels,
        settings.cell_bits, settings.weight_bits, settings.input_bits, counts,
    )  # fmt: skip
    if traffic is None:
        traffic = [LayerTraffic(unpadded_positions(shape)) for shape in shapes]
    if len(traffic) != len(shapes):
        raise UserError(f"{len(traffic)} traffic records for {len(shapes)} layers.")
    plan = plan_chip(shapes, sub.cells_per_weight, settings.subarray)
    geometry = _Geometry.of(sub, plan)
    clock = sub.sense_seconds * SENSE_MARGIN
    timings = [_timing(sub, layer, seen, geometry, clock) for layer, seen in zip(plan.layers, traffic, strict=True)]
    period = max(sum(timing.values()) for timing in timings)
    layers = tuple(
        _layer_cost(sub, layer, seen, geometry, timing, period)
        for layer, seen, timing in zip(plan.layers, traffic, timings, strict=True)
    )
    areas = {name: area * 1e6 for name, area in geometry.area_parts.items()}
    return ChipCost(settings, plan, layers, areas, clock * 1e9, period * 1e6)


@dataclass(frozen=True, slots=True)
class _Geometry:
    """Sides in metres, areas in m²."""

    novel_tile: float
    conventional_tile: float
    chip_area: float
    area_parts: dict[str, float]
    plan: Floorplan

    @classmethod
    def of(cls, sub: Subarray, plan: Floorplan) -> "_Geometry":
        parts = sub.areas()
        box = sum(parts.values())
        buffers = sub.share_of_pe_area(plan.novel_pe), sub.share_of_pe_area(plan.pe)
        kinds = plan.novel_subarrays, plan.conventional_subarrays
        tiles = [count * (box + buffer) for count, buffer in zip(kinds, buffers, strict=True)]
        rows, columns = plan.grid
        # Every slot of the grid is as large as the larger kind of tile.
        whole = rows * columns * max(tiles)
        per_kind = [sum(layer.tiles for layer in plan.layers if layer.novel is novel) for novel in (True, False)]
        subarrays = sum(count * kind for count, kind in zip(per_kind, kinds, strict=True))
        used = {name: area * subarrays for name, area in parts.items()}
        used["buffers"] = sum(n * kind * area for n, kind, area in zip(per_kind, kinds, buffers, strict=True))
        used["empty"] += whole - sum(used.values())
        return cls(math.sqrt(tiles[0]), math.sqrt(tiles[1]), whole, used, plan)


def _timing(sub: Subarray, layer: LayerPlan, seen: LayerTraffic, geometry: _Geometry, clock: float) -> dict[str, float]:
    """Seconds of buffer, bus, converter, accumulation and control for one image."""
    rounds = seen.positions / layer.speed_up
    in_bits, out_bits = layer.shape.rows * sub.input_bits, layer.shape.outputs * sub.input_bits
    if layer.novel:
        hops = math.ceil(geometry.novel_tile * _WIRE_DELAY / clock)
        fill = geometry.plan.novel_pe * sub.input_bits / _PORT_IN
        buffer = layer.tile_copies * (fill + out_bits * layer.copies_in_tile / _NOVEL_OUT)
        bus = _NOVEL_HOP * hops
    else:
        # The tile's port serves its copies one after the other.
        tile_in, tile_out = in_bits / layer.tile_rows, out_bits / layer.tile_columns
        buffer = layer.speed_up * (tile_in / _PORT_IN + tile_out / _PORT_OUT)
        bus = layer.speed_up * (tile_in + tile_out) / _BUS
    outputs_per_converter = max(1, COLUMNS_PER_ADC // sub.cells_per_weight)
    adds = layer.tile_copies * (2 * layer.copies_in_tile + outputs_per_converter)
    cycles = {
        "buffer": buffer,
        "bus": bus,
        "adc": sub.input_bits * COLUMNS_PER_ADC * sub.passes,
        "accumulation": adds if layer.novel else 3 + outputs_per_converter,
        "control": 1,
    }
    return {name: count * rounds * clock for name, count in cycles.items()}


def _layer_cost(
    sub: Subarray, layer: LayerPlan, seen: LayerTraffic, geometry: _Geometry, timing: dict[str, float], period: float
) -> LayerCost:
    shape = layer.shape
    planes = seen.positions * sub.input_bits
    kernel = shape.kernel**2 if layer.novel else 1
    rows = shape.rows // kernel
    row_blocks = math.ceil(rows / sub.side)
    blocks = kernel * row_blocks  # subarrays one above the other whose results are added
    column_blocks = math.ceil(layer.columns / sub.side)
    shares = seen.level_shares or (1.0,) * 2**sub.cell_bits
    full, last = divmod(rows, sub.side)
    column = full * sub.plane_conversion_energy(sub.side, seen.activity, shares)
    column += sub.plane_conversion_energy(last, seen.activity, shares) if last else 0.0
    # Word lines are raised for the converters' sake and counted with them, as the reference does.
    lines = column_blocks * sub.word_line_energy(rows * seen.activity)
    adc = planes * kernel * (column * layer.columns + lines)
    # Shift-adders of a subarray run whole: unused columns are not skipped.
    outputs = column_blocks * (sub.side // sub.cells_per_weight)
    accumulation = planes * blocks * sub.accumulate_energy(outputs)
    tree_bits = sub.partial_sum_bits + math.ceil(math.log2(max(2, blocks))) // 2
    accumulation += seen.positions * shape.outputs * (blocks - 1) * sub.tree_add_energy(tree_bits)
    array = (
        column_blocks * kernel * sub.row_energy(rows * seen.activity) + blocks * column_blocks * sub.control_energy()
    )
    bits = _bits_moved(sub, layer, geometry.plan)
    buffer = seen.positions * (bits["buffer_in"] + bits["buffer_out"]) * sub.register_energy()
    bus = seen.positions * _bus_energy(sub, bits, layer, geometry)
    leak_periphery, leak_cells = _leakage(sub, layer, geometry)
    busy = sum(timing.values())
    leakage = leak_periphery * (1 - busy / period) + leak_cells
    other = planes * array + buffer + bus
    other_time = timing["buffer"] + timing["bus"] + timing["control"]
    return LayerCost(
        adc * 1e12, accumulation * 1e12, other * 1e12, buffer * 1e12, bus * 1e12,
        timing["adc"] * 1e9, timing["accumulation"] * 1e9, other_time * 1e9,
        timing["buffer"] * 1e9, timing["bus"] * 1e9, leakage * 1e6, leakage * period * 1e12,
        seen.positions * shape.rows * shape.outputs, shape.macs * seen.uses,
    )  # fmt: skip


def _bits_moved(sub: Subarray, layer: LayerPlan, plan: Floorplan) -> dict[str, float]:
    """Bits of one output position: through buffers, over tile buses, over the chip."""
    shape = layer.shape
    side = plan.novel_pe if layer.novel else plan.pe
    kernel = shape.kernel**2 if layer.novel else 1
    pe_rows = kernel * math.ceil(shape.rows / kernel / side)
    inputs = shape.rows * sub.input_bits * layer.tile_columns
    results = shape.outputs * sub.partial_sum_bits
    if layer.novel:
        # Inputs slide: of each window only the new pixels leave the global buffer.
        chip_in, buffer_in, buffer_out = shape.channels * sub.input_bits, inputs, pe_rows * results
    else:
        # Tile and PE both buffer.
        chip_in, buffer_in = shape.rows * sub.input_bits, 2 * inputs
        buffer_out = (pe_rows + layer.tile_rows) * results
    return {
        "buffer_in": buffer_in,
        "buffer_out": buffer_out,
        "tile_in": inputs,
        "tile_out": pe_rows * results,
        "chip_in": chip_in,
        "chip_out": shape.outputs * sub.input_bits,
    }


def _bus_energy(sub: Subarray, bits: dict[str, float], layer: LayerPlan, geometry: _Geometry) -> float:
    """Joules on wires for one output position."""
    per_metre = sub.counts.wire_factor * sub.tech.wire_capacitance * sub.tech.vdd**2
    # Half a tile to the PE, half a PE to the subarray.
    plan = geometry.plan
    within = geometry.novel_tile if layer.novel else geometry.conventional_tile
    within *= 0.5 + 0.5 / (math.sqrt(plan.kernel) if layer.novel else plan.tile / plan.pe)
    across = math.sqrt(geometry.chip_area) * sub.counts.chip_distance
    tile = bits["tile_in"] * _INPUT_TOGGLE + bits["tile_out"] * _OUTPUT_TOGGLE
    chip = bits["chip_in"] * _INPUT_TOGGLE + bits["chip_out"] * _OUTPUT_TOGGLE
    return per_metre * (tile * within + chip * across)


def _leakage(sub: Subarray, layer: LayerPlan, geometry: _Geometry) -> tuple[float, float]:
    """Watts of a layer's tiles: periphery and wires, which are switched off while it works ahead, and cells."""
    subarrays = geometry.plan.novel_subarrays if layer.novel else geometry.plan.conventional_subarrays
    repeaters = sub.counts.wire_leak_width * geometry.novel_tile if layer.novel else 0.0
    wires = repeaters * sub.tech.off_current * sub.tech.vdd
    return layer.tiles * (subarrays * sub.leakage() + wires), layer.tiles * subarrays * sub.cell_leakage()
