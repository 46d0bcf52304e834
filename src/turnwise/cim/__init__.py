"""A trained network on a temperature-drifting FeFET compute-in-memory chip (TReCiM, arXiv 2501.01052).

From physics upwards: `device` (transistor, ferroelectric) → `netlist` (one solver) → `cells` (what a cell puts out) →
`nmr` (do row sums overlap?) → `array` (tables of what a group of rows reads) → `quantize` and `convert` (networks) →
`floorplan` and `chip` (area, energy and time of a whole chip).

The names of the paper's workflow are importable from here; the modules behind them load on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from turnwise.cim.adc import FlashADC
    from turnwise.cim.array import Hardware
    from turnwise.cim.convert import convert, sweep
    from turnwise.cim.quantize import quantize

_HOME = {
    "FlashADC": "adc",
    "Hardware": "array",
    "convert": "convert",
    "quantize": "quantize",
    "sweep": "convert",
}

__all__ = ["FlashADC", "Hardware", "convert", "quantize", "sweep"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
