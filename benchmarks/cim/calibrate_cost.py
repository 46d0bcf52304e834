"""Calibrate the gate counts of the chip cost model on one reference run, and show the error on every run.

    python benchmarks/cim/calibrate_cost.py

Prints the counts to put into `turnsmith.cim.circuits.GateCounts` (fitted on `sram22` alone) and the errors of all runs.
What `turnsmith.cim.technology` holds of 45 nm and of FeFET rows was set by hand so that converter, array drivers and
area of `fe45_2b_p128` are met. `fefet22_1b` is never fitted.
"""

from dataclasses import replace

import numpy as np
from scipy.optimize import least_squares

from turnsmith.cim.chip import chip_cost
from turnsmith.cim.circuits import COUNTS, GateCounts
from turnsmith.cim.networks import vgg8_shapes
from turnsmith.cim.reference import COLUMNS, RUNS, cost_errors, reference_layers

FITTED = (
    "adder_bit", "register_bit", "control", "comparator", "bias_watts", "gate_area", "wire_factor",
    "chip_distance", "leak_width", "wire_leak_width",
)  # fmt: skip
# How strongly each figure pulls: accumulation tells adders from registers, leakage is a hundredth of the energy.
WEIGHTS = {"accumulation_pj": 3.0, "leakage_pj": 0.3}


def fit(run: str = "sram22") -> GateCounts:
    """Least squares in logarithms over per-layer energies (weighted by their share), totals and area."""
    reference, layers = RUNS[run], reference_layers(run)
    start = np.array([getattr(COUNTS, name) for name in FITTED])

    def counts(moves: np.ndarray) -> GateCounts:
        return replace(COUNTS, **dict(zip(FITTED, (start * np.exp(moves)).tolist(), strict=True)))

    def residual(moves: np.ndarray) -> np.ndarray:
        cost = chip_cost(vgg8_shapes(), reference.settings, counts=counts(moves))
        off = [20 * np.log(cost.area_mm2 / reference.area_mm2)]
        for part, column in COLUMNS.items():
            if part == "dynamic_pj":
                continue
            weight = WEIGHTS.get(part, 1.0)
            model = np.array([getattr(layer, part) for layer in cost.layers])
            true = np.array([layer[column] for layer in layers])
            off += list(3 * weight * np.log(model / true) * np.sqrt(true / true.sum()))
            off.append(5 * weight * np.log(model.sum() / true.sum()))
        return np.array([*off, *(0.05 * moves)])  # a weak pull to the physical starting values

    return counts(least_squares(residual, np.zeros(len(FITTED))).x)


def main() -> None:
    """Print counts and errors."""
    counts = fit()
    for name in FITTED:
        print(f"    {name}: float = {getattr(counts, name):.4g}")
    for label, used in (("as fitted now", counts), ("as shipped", COUNTS)):
        print(f"\nerrors, counts {label}")
        for run in RUNS:
            row = "  ".join(f"{error.figure} {error.error:+.1%}" for error in cost_errors(run, used))
            print(f"  {run:13} {row}")


if __name__ == "__main__":
    main()
