"""Accuracy against temperature for every cell: the arms of the comparison, run one by one, each kept as it ends.

All arms see the same test images, so drops are paired. How 2-bit cells are written and read (`Reading`) is chosen once,
on validation images with perfect cells, and then stays. The converter of 1-bit cells reads every sum rightly, so these
run the network as it was trained; 2-bit cells run the one that was trained with their converter.
"""

import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from turnsmith.cim.adc import FlashADC
from turnsmith.cim.array import Hardware
from turnsmith.cim.cells import CELLS, Cell, OneFeFETOneR, TwoFeFETOneT, TwoTOneFeFET
from turnsmith.cim.cifar import Images
from turnsmith.cim.conversion import array_layers, code_error_rate, convert, set_temperature
from turnsmith.cim.quantization import IntegerNetwork, keep_above

STEPS = (1.0, 2.0, 3.0)
"""Converter steps that are tried for 2-bit cells, in MAC units."""
ZEROS = (128, 96, 80, 64, 48, 32)
"""What a weight of 0 may be stored as in 2-bit cells; from the middle down."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One chip.

    Attributes:
        cell: name in `CELLS`.
        sigma_vt: static threshold error, volts.
        kappa_mismatch: κ mismatch of the clamp cell, V/K (0 for the others: they have nothing to match).
        seed: of the static errors.
        network: what it runs: "plain", or "converter", trained with the converter of 2-bit cells in the loop.
    """

    cell: str
    sigma_vt: float = 0.0
    kappa_mismatch: float = 0.0
    seed: int = 0
    network: str = "plain"

    @property
    def name(self) -> str:
        """What tells it apart from the others, as a file's name."""
        return f"{self.cell}, {self.network}, sigma={self.sigma_vt:g}, kappa={self.kappa_mismatch:g}, seed={self.seed}"

    def build(self) -> Cell:
        """The cell with its errors."""
        cell = CELLS[self.cell]
        if isinstance(cell, TwoFeFETOneT):
            return replace(cell, sigma_vt=self.sigma_vt, kappa_mismatch=self.kappa_mismatch)
        assert isinstance(cell, (OneFeFETOneR, TwoTOneFeFET))
        return replace(cell, sigma_vt=self.sigma_vt)


@dataclass(frozen=True, slots=True)
class IdealRow:
    """What a network gets right on ideal hardware.

    Attributes:
        network: its name ("plain", "converter").
        width: of the VGG-8.
        correct, images: counts.
        hits: which images, packed as hex.
    """

    network: str
    width: float
    correct: int
    images: int
    hits: str


@dataclass(frozen=True, slots=True)
class ChipRow:
    """One chip at one temperature.

    Attributes:
        arm: the chip.
        celsius: its temperature.
        correct, images: counts.
        hits: which images it got right, packed as hex.
        wrong_codes: share of wrong converter codes.
        tables: digest of what its tables compute.
    """

    arm: Arm
    celsius: float
    correct: int
    images: int
    hits: str
    wrong_codes: float | None = None
    tables: str = ""

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "ChipRow":
        """The inverse of `dataclasses.asdict`."""
        return cls(**{**row, "arm": Arm(**row["arm"])})


def converter(cell: str, step: float = 1.0, bits: int = 3) -> FlashADC:
    """2^bits + 1 codes as NeuroSim V1.5 counts them, references set at 27 °C; 1-bit cells need no other step than 1."""
    return FlashADC(bits=bits, codes=2**bits + 1, t_ref=27.0, step=step if CELLS[cell].bits == 2 else 1.0)


@torch.no_grad()
def hits(network: nn.Module, images: Images, batch: int, on_batch: Callable[[int], None] | None = None) -> np.ndarray:
    """Whether each image is classified rightly, bool of shape (N,)."""
    found = []
    for x, labels in images.batches(batch):
        found.append((network(x).argmax(-1) == labels).cpu().numpy())
        if on_batch is not None:
            on_batch(len(labels))
    return np.concatenate(found)


def ideal_hits(quantized: nn.Module, images: Images, batch: int) -> np.ndarray:
    """The integer network, which ideal hardware equals bit by bit."""
    return hits(IntegerNetwork(quantized), images, batch)


@dataclass(frozen=True, slots=True)
class Reading:
    """How 2-bit cells are written and read.

    Attributes:
        step: MAC units from one code of the converter to the next.
        zero: the number that is stored for a weight of 0.
    """

    step: float = 1.0
    zero: int = 128


def choose_reading(
    quantized: nn.Module, images: Images, batch: int, exact: Sequence[str]
) -> tuple[Reading, dict[str, float]]:
    """How a trained network reads best from perfect 2-bit cells on validation images: the zero first, then the step.

    Returns:
        The reading, and the accuracy of all that were tried.
    """
    found: dict[Reading, float] = {}

    def best(readings: Sequence[Reading]) -> Reading:
        for reading in readings:
            if reading not in found:
                network = copy.deepcopy(quantized)
                keep_above(network, -reading.zero, exact)
                chip = convert(network, perfect_2bit(reading), exact=exact)
                found[reading] = float(hits(chip, images, batch).mean())
        return max(readings, key=lambda reading: found[reading])

    zero = best([Reading(zero=zero) for zero in ZEROS]).zero
    chosen = best([Reading(step, zero) for step in STEPS])
    return chosen, {f"step {reading.step:g}, zero {reading.zero}": share for reading, share in found.items()}


def perfect_2bit(reading: Reading) -> Hardware:
    """Cells of two bits that multiply exactly, as the clamp cell does at 27 °C, under the converter of 2-bit cells."""
    return Hardware(cell=None, adc=converter("r1-2bit", reading.step), stored_zero=reading.zero)


def run_arm(
    quantized: nn.Module,
    arm: Arm,
    reading: Reading,
    temps: Sequence[float],
    images: Images,
    batch: int,
    exact: Sequence[str],
    known: dict[tuple[str, int], str],
    on_batch: Callable[[int], None] | None = None,
) -> Iterator[ChipRow]:
    """Rows of one arm, each as soon as it is there.

    Args:
        quantized: the network.
        arm: the chip.
        reading: of 2-bit cells that run the network made for them; all others store 0 as 128.
        temps: °C.
        images: test images.
        batch: images at a time.
        exact: layers that stay off the arrays.
        known: hits (packed) by digest of the chip's tables and number of images; read and added to. Cells whose
            readings did not change since another temperature, or that read as another cell does, are the same integer
            function, and it is not computed again.
        on_batch: called with the number of images just done.

    Yields:
        Temperature, correct, images, hits packed as hex, share of wrong converter codes, digest of the tables.
    """
    cell, adc = arm.build(), converter(arm.cell, reading.step)
    zero = reading.zero if arm.network == "converter" else None
    network = convert(quantized, Hardware(cell=cell, adc=adc, stored_zero=zero), arm.seed, exact)
    sample = next(iter(images.batches(2)))[0]
    for celsius in temps:
        set_temperature(network, celsius)
        key = table_digest(network), len(images)
        if key not in known:
            known[key] = pack(hits(network, images, batch, on_batch))
        elif on_batch is not None:
            on_batch(len(images))
        right = unpack(known[key], len(images))
        wrong = code_error_rate(network, sample)
        yield ChipRow(arm, celsius, int(right.sum()), len(right), known[key], wrong, key[0])


def table_digest(network: nn.Module) -> str:
    """What a chip computes at its temperature: a hash of all tables and of the steps that their integers stand for.

    Tables of a full network are gigabytes, so two sums of their entries, each entry times an odd number of its place
    (modulo 2^64), are taken where they lie and only these are hashed.
    """
    digest = hashlib.blake2b(digest_size=16)
    for layer in array_layers(network).values():
        assert layer.table is not None
        step = None if layer.hardware.adc is None else layer.hardware.adc.step
        digest.update(repr((step, layer.hardware.zero_point, tuple(layer.table.shape))).encode())
        for number, part in enumerate(layer.table.view(-1).split(1 << 24)):
            place = torch.arange(part.numel(), device=part.device) + (number << 24)
            for factor, offset in ((0x5851F42D4C957F2D, 0x14057B7EF767814F), (0x369DEA0F31A53F85, 0x2C9277B5)):
                mixed = (place * factor + offset) ^ (place * factor + offset >> 29)
                digest.update(repr(int(((mixed | 1) * part.long()).sum())).encode())
    return digest.hexdigest()


def pack(right: np.ndarray) -> str:
    """Booleans as hex."""
    return np.packbits(right).tobytes().hex()


def unpack(text: str, count: int) -> np.ndarray:
    """The booleans that `pack` was given."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8), count=count).astype(bool)
