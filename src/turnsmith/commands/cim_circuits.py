"""The verbs of `turnsmith cim` that are about cells and row sums; `commands.cim` parses their options."""

import argparse
import csv
import json
import sys
from collections.abc import Callable
from typing import Any

from turnsmith.errors import UserError, require


def numbers(text: str, option: str, kind: Callable[[str], Any] = float) -> list[Any]:
    """The numbers of a comma-separated option.

    Raises:
        UserError: if they are not numbers.
    """
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"{option} takes numbers with commas between them, not {text!r}.") from None


def cells(options: argparse.Namespace) -> int:
    """Output, fluctuation and one read of every cell."""
    require("torch", "cim")
    from turnsmith.cim.array import Hardware
    from turnsmith.cim.cells import CELLS
    from turnsmith.cim.group_read import group_read

    temps = numbers(options.temps, "--temps")
    found = {}
    for name, cell in CELLS.items():
        read = group_read(Hardware(cell=cell))
        found[name] = {
            "celsius": temps,
            "millivolts": (cell.levels_at(temps) * 1e3).tolist(),
            "fluctuation": cell.fluctuation(),
            "nmr_min_8_rows": cell.nmr(8),
            "read_seconds": read.seconds,
            "read_femtojoules": read.joules * 1e15,
            "read_tops_per_w": read.tops_per_watt,
        }
    if options.json:
        print(json.dumps(found, indent=1))
        return 0
    for name, row in found.items():
        print(f"{name} ({CELLS[name].name})")
        for celsius, volts in zip(row["celsius"], row["millivolts"], strict=True):
            print(f"  {celsius:5g} °C  " + "  ".join(f"{value:8.2f} mV" for value in volts))
        print(f"  fluctuation {100 * row['fluctuation']:.1f} %, NMR at 8 rows {row['nmr_min_8_rows']:.2f}")
        print(
            f"  one 8-row read at 27 °C: {row['read_seconds'] * 1e9:.3g} ns, {row['read_femtojoules']:.3g} fJ, "
            f"{row['read_tops_per_w']:.0f} TOPS/W (static current until the slowest level has settled included)"
        )
    return 0


def nmr(options: argparse.Namespace) -> int:
    """Noise margins of row sums."""
    from dataclasses import replace

    from turnsmith.cim.cells import CELLS, TwoFeFETOneT

    rows = numbers(options.rows, "--rows", int)
    if min(rows) < 1:
        raise UserError("--rows counts cells: 1 or more.")
    found = {}
    for name, cell in CELLS.items():
        if isinstance(cell, TwoFeFETOneT):
            cell = replace(cell, kappa_mismatch=options.kappa_mismatch * 1e-3)
        found[name] = {count: cell.nmr(count) for count in rows}
    if options.json:
        print(json.dumps(found, indent=1))
        return 0
    print("smallest noise margin rate, 0 to 85 °C; above 0: no two MAC values overlap")
    print(f"{'rows':10}" + "".join(f"{count:>8}" for count in rows))
    for name, margins in found.items():
        print(f"{name:10}" + "".join(f"{margin:8.2f}" for margin in margins.values()))
    return 0


def errors(options: argparse.Namespace) -> int:
    """How often a row sum is misread."""
    from dataclasses import replace

    from turnsmith.cim.cells import CELLS, TwoFeFETOneT
    from turnsmith.cim.montecarlo import read_error_rate

    rows, temps = numbers(options.rows, "--rows", int), numbers(options.temps, "--temps")
    found = []
    for name, cell in CELLS.items():
        if isinstance(cell, TwoFeFETOneT):
            cell = replace(cell, kappa_mismatch=options.kappa_mismatch * 1e-3)
        for count in rows:
            for sigma in numbers(options.sigmas, "--sigmas"):
                rates = [read_error_rate(cell, count, sigma * 1e-3, celsius) for celsius in temps]
                found.append({"cell": name, "rows": count, "sigma_mv": sigma, "celsius": temps, "wrong": rates})
    if options.json:
        print(json.dumps(found, indent=1))
        return 0
    print("row sums read as another value, %, half of the inputs set, references fixed at 27 °C")
    print(f"{'cell':10}{'rows':>6}{'σ mV':>7}" + "".join(f"{celsius:>7g} °C" for celsius in temps))
    for row in found:
        shares = "".join(f"{100 * rate:10.2f}" for rate in row["wrong"])
        print(f"{row['cell']:10}{row['rows']:6}{row['sigma_mv']:7g}{shares}")
    return 0


def tables(options: argparse.Namespace) -> int:
    """Mean and spread by level and by MAC value, as CSV."""
    from turnsmith.cim.cells import CELLS
    from turnsmith.cim.montecarlo import level_table, mac_table

    cell, sigma = CELLS[options.cell], options.sigma * 1e-3
    writer = csv.writer(sys.stdout)
    writer.writerow(("table", "value", "mean", "std"))
    for name, table in (
        ("level", level_table(cell, sigma, options.temp)),
        ("mac", mac_table(cell, options.rows, sigma, options.temp)),
    ):
        for value, mean, std in zip(table.value, table.mean, table.std, strict=True):
            writer.writerow((name, int(value), f"{mean:.6f}", f"{std:.6f}"))
    return 0


def spice(options: argparse.Namespace) -> int:
    """A deck, or what ngspice makes of it."""
    from turnsmith.cim.cells import CELLS
    from turnsmith.cim.spice import ekv_deck, run_deck

    cell = CELLS[options.cell]
    if options.level not in cell.products:
        raise UserError(f"--level: {options.cell} has levels 0 to {cell.products[-1]}.")
    deck = ekv_deck(cell, options.level, options.temp)
    if not options.execute:
        print(deck, end="")
        return 0
    ours = float(cell.levels_at([options.temp])[0, options.level])
    for node, volts in run_deck(deck).items():
        print(f"ngspice v({node}) = {volts * 1e3:.6f} mV; ours {ours * 1e3:.6f} mV")
    return 0
