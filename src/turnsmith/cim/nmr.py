"""Noise margins of a row sum, exact: dynamic programming over rows, no sampling.

For a MAC value i the summed output takes some range over all temperatures and all patterns of inputs and weights that
give i. The margin rate NMR_i = (LB_{i+1} − UB_i) / (UB_i − LB_i) compares the gap to the next value with the width of
the range itself; positive means that the two never overlap. (The definition is ours: the papers' body was not
available.)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from turnsmith.cim.device import Array


@dataclass(frozen=True, slots=True)
class MacRanges:
    """Bounds of the mean cell voltage for each MAC value 0 … rows · largest product, volts, shape (values,)."""

    low: Array
    high: Array

    @property
    def nmr(self) -> Array:
        """NMR_i for each value but the last, shape (values − 1,)."""
        return (self.low[1:] - self.high[:-1]) / (self.high[:-1] - self.low[:-1])

    @property
    def nmr_min(self) -> float:
        """The smallest NMR_i."""
        return float(self.nmr.min())

    @property
    def overlaps(self) -> int:
        """How many neighbouring values overlap."""
        return int((self.low[1:] <= self.high[:-1]).sum())


def mac_ranges(levels: Array, products: Sequence[int], rows: int) -> MacRanges:
    """Bounds of the mean output of `rows` cells for each MAC value.

    Each cell either has input 0 (0 V, product 0) or input 1 and any level; all cells share one temperature.

    Args:
        levels: volts of each level, shape (temperatures, levels).
        products: what each level contributes with input 1, shape (levels,); 0 must be among them.
        rows: cells that share their charge.

    Returns:
        Bounds over temperatures and patterns, in volts of the mean (the sum divided by rows).
    """
    largest = max(products)
    # One cell: the least and the greatest output for each product, with the idle cell (0 V) among product 0.
    least = np.full((levels.shape[0], largest + 1), np.inf)
    greatest = np.full((levels.shape[0], largest + 1), -np.inf)
    least[:, 0] = greatest[:, 0] = 0.0
    for index, product in enumerate(products):
        least[:, product] = np.minimum(least[:, product], levels[:, index])
        greatest[:, product] = np.maximum(greatest[:, product], levels[:, index])
    low = np.zeros((levels.shape[0], 1))
    high = np.zeros((levels.shape[0], 1))
    for row in range(1, rows + 1):
        next_low = np.full((levels.shape[0], row * largest + 1), np.inf)
        next_high = np.full((levels.shape[0], row * largest + 1), -np.inf)
        for product in range(largest + 1):
            span = slice(product, product + low.shape[1])
            next_low[:, span] = np.minimum(next_low[:, span], low + least[:, product : product + 1])
            next_high[:, span] = np.maximum(next_high[:, span], high + greatest[:, product : product + 1])
        low, high = next_low, next_high
    return MacRanges(low.min(axis=0) / rows, high.max(axis=0) / rows)
