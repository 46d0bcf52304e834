"""A trained network on a temperature-drifting FeFET compute-in-memory chip (TReCiM, arXiv 2501.01052).

From physics upwards: `device` (transistor, ferroelectric) → `netlist` (one solver) → `cells` (what a cell puts out) →
`nmr` (do row sums overlap?) → `array` (tables of what a group of rows reads) → `quantization`, `training` and
`conversion` (networks) → `floorplan`, `chip` and `network_cost` (area, energy and time).

The names of the paper's workflow are importable from here; the modules behind them load on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from turnsmith.cim import cells
    from turnsmith.cim.adc import FlashADC
    from turnsmith.cim.array import Hardware
    from turnsmith.cim.conversion import convert, sweep
    from turnsmith.cim.network_cost import report
    from turnsmith.cim.quantization import quantize
    from turnsmith.cim.training import train

_HOME = {
    "FlashADC": "adc",
    "Hardware": "array",
    "convert": "conversion",
    "quantize": "quantization",
    "report": "network_cost",
    "sweep": "conversion",
    "train": "training",
}

__all__ = ["FlashADC", "Hardware", "cells", "convert", "quantize", "report", "sweep", "train"]


def __getattr__(name: str) -> Any:
    if name == "cells":
        return importlib.import_module(f"{__name__}.cells")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
