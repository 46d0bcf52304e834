"""Monte-Carlo over static errors: how often a row sum is misread, and the tables that system simulators take."""

from dataclasses import dataclass

import numpy as np

from turnsmith.cim.cells import Cell
from turnsmith.cim.device import Array


@dataclass(frozen=True, slots=True)
class MacTable:
    """Mean and spread of a group's output for each MAC value that was seen, in MAC units of 27 °C.

    Attributes:
        value: the MAC value, shape (values,).
        mean, std: of what the converter sees, shape (values,).
    """

    value: Array
    mean: Array
    std: Array


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
    true, seen = _draw(cell, rows, sigma_vt, celsius, samples, activity, seed)
    read = np.clip(np.floor(seen + 0.5), 0, rows * cell.products[-1])
    return float((read != true).mean())


def mac_table(
    cell: Cell, rows: int, sigma_vt: float, celsius: float, samples: int = 20_000, activity: float = 0.5, seed: int = 0
) -> MacTable:
    """Mean and standard deviation by MAC value: the shape of NeuroSim V1.5's output-noise tables.

    Args:
        cell, rows, sigma_vt, celsius, samples, activity, seed: as for `read_error_rate`.
    """
    true, seen = _draw(cell, rows, sigma_vt, celsius, samples, activity, seed)
    values = np.unique(true)
    return MacTable(
        values.astype(float),
        np.array([seen[true == value].mean() for value in values]),
        np.array([seen[true == value].std() for value in values]),
    )


def level_table(cell: Cell, sigma_vt: float, celsius: float, samples: int = 4000, seed: int = 0) -> MacTable:
    """Mean and standard deviation of one cell by stored level: the shape of NeuroSim V1.5's memory-state tables."""
    rng = np.random.default_rng(seed)
    errors = sigma_vt * rng.standard_normal((samples, 1, len(cell.fefets)))
    volts = cell.output(np.asarray(cell.level_shifts()), celsius, errors) / _unit(cell)
    return MacTable(np.asarray(cell.products, dtype=float), volts.mean(0), volts.std(0))


def _unit(cell: Cell) -> float:
    """Volts of one MAC unit where the references were set."""
    return float(cell.levels_at([27.0])[0, -1]) / cell.products[-1]


def _draw(
    cell: Cell, rows: int, sigma_vt: float, celsius: float, samples: int, activity: float, seed: int
) -> tuple[Array, Array]:
    """True MAC values, and what the group puts out, in MAC units."""
    rng = np.random.default_rng(seed)
    inputs = rng.random((samples, rows)) < activity
    levels = rng.integers(0, len(cell.products), (samples, rows))
    errors = sigma_vt * rng.standard_normal((samples, rows, len(cell.fefets)))
    volts = np.where(inputs, cell.output(np.asarray(cell.level_shifts())[levels], celsius, errors), 0.0)
    return (inputs * np.asarray(cell.products)[levels]).sum(1), volts.sum(1) / _unit(cell)
