"""The reference runs of compiled DNN+NeuroSim V1.4, and how far our cost model is from each of them.

Only figures are used; the program is not. `sram22` is what `GateCounts` were calibrated on; `fe45_2b_p128` gave the
what no 22 nm SRAM run can hold (`select_drive` and `bias_scale` of 45 nm, word-line load and high-voltage driver of a
FeFET row); `fefet22_1b` was kept apart and is a pure prediction, and so are all digital and
wire figures of `fe45_2b_p128`. `fe45_1b_p8` reads eight rows at a time: seen after the model was made, it showed that
the running sum of passes has a register that every pass writes; no count was fitted to it.
"""

import csv
from dataclasses import dataclass

from turnsmith.cim.chip import ChipCost, ChipSettings, chip_cost
from turnsmith.cim.circuits import COUNTS, GateCounts
from turnsmith.cim.networks import vgg8_shapes
from turnsmith.data import data_file
from turnsmith.errors import UserError


@dataclass(frozen=True, slots=True)
class ReferenceRun:
    """Chip totals of one run: mm², ns, µs, TOPS/W."""

    settings: ChipSettings
    area_mm2: float
    clock_ns: float
    period_us: float
    tops_per_watt: float


RUNS: dict[str, ReferenceRun] = {
    "sram22": ReferenceRun(ChipSettings(cell="sram"), 80.06, 1.697, 132.97, 27.91),
    "fefet22_1b": ReferenceRun(ChipSettings(), 357.96, 1.663, 130.31, 29.52),
    "fe45_2b_p128": ReferenceRun(ChipSettings(node=45, cell_bits=2), 878.63, 7.799, 603.61, 19.71),
    "fe45_1b_p8": ReferenceRun(ChipSettings(node=45, rows=8, adc_levels=8), 1667.05, 4.411, 584.79, 3.19),
}
PREDICTED = "fefet22_1b"
"""The run that nothing was calibrated on."""

# field of LayerCost -> column of the figures
COLUMNS: dict[str, str] = {
    "adc_pj": "adc_pJ",
    "accumulation_pj": "accum_pJ",
    "other_pj": "other_pJ",
    "buffer_pj": "buf_pJ",
    "bus_pj": "bus_pJ",
    "dynamic_pj": "dyn_pJ",
    "leakage_pj": "leak_pJ",
}


@dataclass(frozen=True, slots=True)
class CostError:
    """One figure of one run: ours, the reference, and (ours / reference − 1)."""

    run: str
    figure: str
    model: float
    reference: float

    @property
    def error(self) -> float:
        """Relative error, signed."""
        return self.model / self.reference - 1


def reference_layers(run: str) -> list[dict[str, float]]:
    """Per-layer figures of a run, one dict a layer.

    Raises:
        UserError: if the figures are not on this machine.
    """
    path = data_file("cim/neurosim_reference.csv")
    if path is None:
        raise UserError("the reference figures are not here: set TURNSMITH_DATA to the data folder (docs/trecim.md).")
    with path.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row.pop("run") == run]
    return [{name: float(value) for name, value in row.items()} for row in rows]


def cost_errors(run: str, counts: GateCounts = COUNTS) -> list[CostError]:
    """Every chip figure of a run against the model."""
    reference, layers = RUNS[run], reference_layers(run)
    cost: ChipCost = chip_cost(vgg8_shapes(), reference.settings, counts=counts)
    found = [
        CostError(run, "area_mm2", cost.area_mm2, reference.area_mm2),
        CostError(run, "clock_ns", cost.clock_ns, reference.clock_ns),
        CostError(run, "period_us", cost.period_us, reference.period_us),
        CostError(run, "tops_per_w", cost.tops_per_watt, reference.tops_per_watt),
    ]
    for part, column in COLUMNS.items():
        total = sum(layer[column] for layer in layers) * 1e-6
        found.append(CostError(run, part.replace("_pj", "_uj"), cost.total_uj(part), total))
    return found
