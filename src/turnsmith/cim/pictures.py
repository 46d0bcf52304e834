"""The pictures: cells against temperature, MAC ranges, area and energy, the floorplan.

Each function takes figures and a path, writes one PNG and returns the path.
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from turnsmith.cim.cells import CELLS, TEMPERATURES, Cell
from turnsmith.cim.chip import ChipCost

COLOURS = {"r1-2bit": "#1b6ca8", "r1-1bit": "#6fb1de", "2t1fefet": "#c77d1e", "1fefet1r": "#b23a48"}
_LAYERS = plt.get_cmap("tab10")


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG and close it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)
    return path


def cell_outputs(path: Path) -> Path:
    """V_o of every level from 0 to 85 °C, one panel a cell."""
    figure, axes = plt.subplots(1, len(CELLS), figsize=(12, 3.2), sharey=True)
    for axis, (name, cell) in zip(axes, CELLS.items(), strict=True):
        volts = cell.levels_at(TEMPERATURES) * 1e3
        for level in range(volts.shape[1]):
            axis.plot(TEMPERATURES, volts[:, level], color=COLOURS[name], lw=2)
            axis.annotate(f"level {level}", (42, volts[8, level] + 4), ha="center", fontsize=8, color="#444")
        axis.set_title(f"{cell.name}\nfluctuation {100 * cell.fluctuation():.1f} %", fontsize=10)
        axis.set_xlabel("°C")
        axis.grid(alpha=0.25)
    axes[0].set_ylabel("cell output, mV")
    return save(figure, path)


def mac_ranges(path: Path, rows: int = 8, cells: Sequence[Cell] | None = None) -> Path:
    """The range of the row sum for each MAC value over all temperatures and patterns; overlaps in red."""
    chosen = list(cells or CELLS.values())
    figure, axes = plt.subplots(1, len(chosen), figsize=(3 * len(chosen), 3.4))
    for axis, cell in zip(np.atleast_1d(axes), chosen, strict=True):
        ranges = cell.ranges(rows)
        thinnest = float(ranges.high[-1]) * 1e3 / 150  # still visible
        for value, (low, high) in enumerate(zip(ranges.low * 1e3, ranges.high * 1e3, strict=True)):
            clash = (value > 0 and ranges.high[value - 1] * 1e3 >= low) or (
                value + 1 < len(ranges.low) and ranges.low[value + 1] * 1e3 <= high
            )
            colour = "#b23a48" if clash else "#2f7d4f"
            axis.bar(value, max(high - low, thinnest), 0.8, low, color=colour)
        axis.set_title(f"{cell.name}, {rows} rows\nNMR {ranges.nmr_min:.2f}, {ranges.overlaps} overlaps", fontsize=10)
        axis.set_xlabel("MAC value")
        axis.grid(alpha=0.25)
    np.atleast_1d(axes)[0].set_ylabel("mean output, mV, 0 to 85 °C")
    return save(figure, path)


def breakdown(path: Path, costs: dict[str, ChipCost]) -> Path:
    """Energy by component and area by block, one bar a chip."""
    figure, (energy, area) = plt.subplots(1, 2, figsize=(11, 0.8 + 0.55 * len(costs) + 1.2), sharey=True)
    parts = ("converters", "accumulation", "arrays and control", "bus", "buffers", "leakage")
    colours = ("#1b6ca8", "#6fb1de", "#2f7d4f", "#c77d1e", "#e3c07b", "#999999")
    names = list(costs)
    left = np.zeros(len(names))
    for part, colour in zip(parts, colours, strict=True):
        values = np.array([_energy_parts(cost)[part] for cost in costs.values()])
        energy.barh(names, values, left=left, color=colour, label=part)
        left += values
    energy.set_xlabel("µJ an image")
    energy.legend(fontsize=8)
    energy.invert_yaxis()
    left = np.zeros(len(names))
    blocks = ("cells", "row drivers", "converters", "adders", "buffers", "empty")
    for block, colour in zip(blocks, ("#2f7d4f", "#b23a48", "#1b6ca8", "#6fb1de", "#e3c07b", "#dddddd"), strict=True):
        values = np.array([cost.area_parts_mm2[block] for cost in costs.values()])
        area.barh(names, values, left=left, color=colour, label=block)
        left += values
    area.set_xlabel("mm²")
    area.legend(fontsize=8)
    return save(figure, path)


def _energy_parts(cost: ChipCost) -> dict[str, float]:
    other = cost.total_uj("other_pj") - cost.total_uj("bus_pj") - cost.total_uj("buffer_pj")
    return {
        "converters": cost.total_uj("adc_pj"),
        "accumulation": cost.total_uj("accumulation_pj"),
        "arrays and control": other,
        "bus": cost.total_uj("bus_pj"),
        "buffers": cost.total_uj("buffer_pj"),
        "leakage": cost.total_uj("leakage_pj"),
    }


def floorplan(path: Path, cost: ChipCost, title: str) -> Path:
    """Tiles on their grid, coloured by layer; the filled part of a tile is what it uses."""
    rows, columns = cost.plan.grid
    figure, axis = plt.subplots(figsize=(0.55 * columns + 2.2, 0.55 * rows + 1))
    slot = 0
    for number, layer in enumerate(cost.plan.layers):
        colour = _LAYERS(number % 10)
        for _ in range(layer.tiles):
            x, y = slot % columns, rows - 1 - slot // columns
            axis.add_patch(Rectangle((x + 0.05, y + 0.05), 0.9, 0.9, fill=False, ec=colour, lw=1))
            axis.add_patch(Rectangle((x + 0.05, y + 0.05), 0.9, 0.9 * layer.utilisation, color=colour, alpha=0.75))
            slot += 1
        label = f"{number + 1}: {layer.tiles} tiles, ×{layer.speed_up}, {100 * layer.utilisation:.0f} %"
        axis.plot([], [], "s", color=colour, label=label)
    axis.set_xlim(0, columns)
    axis.set_ylim(0, rows)
    axis.set_aspect("equal")
    axis.axis("off")
    axis.set_title(title, fontsize=10)
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, title="layer")
    return save(figure, path)
