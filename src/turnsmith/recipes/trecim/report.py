"""A run of TReCiM as one HTML page: claims, pictures, training curve. Self-contained."""

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from turnsmith.cim import pictures
from turnsmith.cim.cells import CELLS
from turnsmith.cim.chip import ChipSettings, chip_cost
from turnsmith.cim.networks import vgg8_shapes
from turnsmith.cim.study import ChipRow, IdealRow
from turnsmith.evaluate.claims import Claim
from turnsmith.evaluate.stats import wilson
from turnsmith.recipes.trecim.claims import headline

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "img{max-width:100%}table{border-collapse:collapse}td,th{padding:.3rem .7rem;border-bottom:1px solid #ddd;"
    "text-align:left;vertical-align:top}small{color:#555}"
)


def accuracy_curves(path: Path, ideal: IdealRow, rows: Sequence[ChipRow]) -> Path:
    """Accuracy against temperature with binomial intervals; one panel for each static error."""
    sigmas = sorted({row.arm.sigma_vt for row in rows})
    figure, axes = plt.subplots(1, len(sigmas), figsize=(3.6 * len(sigmas) + 1, 3.6), sharey=True, squeeze=False)
    for axis, sigma in zip(axes[0], sigmas, strict=True):
        axis.axhline(100 * ideal.correct / ideal.images, color="#444", ls="--", lw=1, label="ideal")
        for name, cell in CELLS.items():
            mine = headline(rows, name, sigma)
            if not mine:
                continue
            temps = sorted({row.celsius for row in mine})
            sums = [
                [sum(getattr(row, count) for row in mine if row.celsius == t) for count in ("correct", "images")]
                for t in temps
            ]
            shares = np.array([correct / images for correct, images in sums])
            bounds = np.array([wilson(correct, images) for correct, images in sums])
            errors = np.abs(bounds.T - shares) * 100
            axis.errorbar(
                temps, 100 * shares, errors, color=pictures.COLOURS[name], marker="o", ms=4, capsize=3, label=cell.name
            )
        axis.set_title(f"static V_T error {1e3 * sigma:g} mV", fontsize=10)
        axis.set_xlabel("°C")
        axis.set_ylim(0, 100)
        axis.grid(alpha=0.25)
    axes[0][0].set_ylabel("test accuracy, %")
    axes[0][-1].legend(fontsize=8, loc="lower left")
    return pictures.save(figure, path)


def _counts(rows: Sequence[ChipRow]) -> tuple[int, int]:
    return sum(row.correct for row in rows), sum(row.images for row in rows)


def draw_circuits_and_chips(folder: Path) -> dict[str, Path]:
    """The pictures that need no trained network, by caption."""
    settings = {
        "22 nm, 1 bit, 128 rows": ChipSettings(),
        "22 nm, 2 bits, 128 rows": ChipSettings(cell_bits=2),
        "22 nm SRAM, 128 rows": ChipSettings(cell="sram"),
        "22 nm, 2 bits, 8 rows, 3-bit ADC": ChipSettings(cell_bits=2, rows=8, adc_levels=8),
        "45 nm, 2 bits, 128 rows": ChipSettings(node=45, cell_bits=2),
        "45 nm, 2 bits, 8 rows, 3-bit ADC": ChipSettings(node=45, cell_bits=2, rows=8, adc_levels=8),
    }
    costs = {name: chip_cost(vgg8_shapes(), chosen) for name, chosen in settings.items()}
    plan = costs["22 nm, 2 bits, 128 rows"]
    return {
        "Cell output against temperature": pictures.cell_outputs(folder / "cells.png"),
        "MAC outputs of eight rows: ranges over temperature and patterns": pictures.mac_ranges(folder / "mac.png"),
        "Energy and area of VGG-8": pictures.breakdown(folder / "cost.png", costs),
        "Floorplan": pictures.floorplan(folder / "floorplan.png", plan, "VGG-8, 22 nm, 2 bits a cell"),
    }


def write_page(
    folder: Path,
    claims: Sequence[Claim],
    ideal: IdealRow,
    rows: Sequence[ChipRow],
    log: Sequence[dict[str, Any]],
) -> Path:
    """Write `report.html` and the pictures beside it.

    Args:
        folder: of the run.
        claims: what was measured.
        ideal, rows: of the comparison (see `study`).
        log: one row an epoch.
    """
    drawn = {
        "Accuracy against temperature": accuracy_curves(folder / "pictures" / "accuracy.png", ideal, rows),
        **draw_circuits_and_chips(folder / "pictures"),
    }
    lines = [f"<!doctype html><meta charset=utf-8><title>TReCiM: {html.escape(folder.name)}</title>"]
    lines += [f"<style>{_STYLE}</style><h1>TReCiM: {html.escape(folder.name)}</h1>", "<table>"]
    lines.append("<tr><th>claim<th>value<th>goal<th>paper</tr>")
    for claim in claims:
        interval = "" if claim.ci95 is None else f"<br><small>{claim.ci95[0]:g} to {claim.ci95[1]:g}</small>"
        met = {True: " ✓", False: " ✗", None: ""}[claim.holds]
        lines.append(
            f"<tr><td>{html.escape(claim.claim)}<br><small>{html.escape(claim.note)}</small>"
            f"<td>{claim.value}{interval}<td>{html.escape(claim.goal)}{met}<td>{html.escape(claim.paper)}</tr>"
        )
    lines.append("</table>")
    for caption, path in drawn.items():
        data = base64.b64encode(path.read_bytes()).decode()
        lines.append(f"<h2>{caption}</h2><img alt='{caption}' src='data:image/png;base64,{data}'>")
    lines.append("<h2>Training</h2><table><tr><th>stage<th>epoch<th>loss<th>validation</tr>")
    lines += [
        f"<tr><td>{r['phase']}<td>{r['epoch']}<td>{r['loss']:.3f}<td>{100 * r['validation']:.1f} %</tr>" for r in log
    ]
    lines.append("</table>")
    page = folder / "report.html"
    page.write_text("\n".join(lines), encoding="utf-8")
    return page
