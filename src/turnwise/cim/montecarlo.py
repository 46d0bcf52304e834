"""How often a row sum is read as another value: Monte-Carlo over inputs, levels and static errors."""

from dataclasses import replace

import numpy as np

from turnwise.cim.cells import Cell


def read_error_rate(
    cell: Cell, rows: int, sigma_vt: float, celsius: float, samples: int = 4000, activity: float = 0.5, seed: int = 0
) -> float:
    """Share of row sums that a converter which resolves every MAC value, with references set at 27 °C, reads wrongly.

    Args:
        cell: what is read; its own `sigma_vt` is not used.
        rows: cells that share their charge.
        sigma_vt: static threshold error of each FeFET, volts.
        celsius: temperature.
        samples: row sums drawn: input bits, levels (uniform) and errors.
        activity: chance of an input bit to be 1.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    inputs = rng.random((samples, rows)) < activity
    levels = rng.integers(0, len(cell.products), (samples, rows))
    cell = replace(cell, sigma_vt=sigma_vt)
    errors = sigma_vt * rng.standard_normal((samples, rows, len(cell.fefets)))
    volts = np.where(inputs, cell.output(np.asarray(cell.level_shifts())[levels], celsius, errors), 0.0)
    unit = float(cell.levels_at([27.0])[0, -1]) / cell.products[-1]
    read = np.clip(np.floor(volts.sum(1) / unit + 0.5), 0, rows * cell.products[-1])
    true = (inputs * np.asarray(cell.products)[levels]).sum(1)
    return float((read != true).mean())
