"""The flash converter under each group of rows, with references that never move.

Thresholds sit at the mid-points between codes as they are at `t_ref`; neither a batch nor a temperature re-fits them.
That is what makes a temperature sweep honest: drift of the cells shows as wrong codes.
"""

from dataclasses import dataclass

from turnsmith.errors import UserError


@dataclass(frozen=True, slots=True)
class FlashADC:
    """A flash converter.

    Attributes:
        bits: b; 2^b − 1 comparators are counted in energy and area.
        t_ref: temperature at which the references were set, °C.
        codes: how many codes there are: 2^b, or 2^b + 1 to tell all nine values of eight 1-bit rows apart (NeuroSim
            V1.5 clamps to 2^b inclusive, i.e. nine). None is 2^b.
        step: MAC units from one code to the next. 1 resolves every value and clips at codes − 1 (bit planes after a
            ReLU are sparse, so few sums are larger); rows · top level / (codes − 1) covers the whole range, lossily.
        offset_sigma: standard deviation of each comparator's static offset, volts at the converter's input.
    """

    bits: int = 3
    t_ref: float = 27.0
    codes: int | None = None
    step: float = 1.0
    offset_sigma: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 10:
            raise UserError(f"a flash ADC has 1 to 10 bits, not {self.bits}.")
        if self.codes is not None and self.codes not in (2**self.bits, 2**self.bits + 1):
            raise UserError(f"a {self.bits}-bit ADC has {2**self.bits} or {2**self.bits + 1} codes, not {self.codes}.")
        if self.step <= 0:
            raise UserError(f"the ADC step must be above 0 MAC units, got {self.step:g}.")

    @property
    def top(self) -> int:
        """The highest code."""
        return (self.codes or 2**self.bits) - 1
