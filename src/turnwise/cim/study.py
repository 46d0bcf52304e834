"""Accuracy against temperature for every cell: the arms of the comparison, run one by one, each kept as it ends.

All arms see the same test images, so drops are paired. The converter's step is chosen once, on validation images at the
reference temperature, and then stays.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from turnwise.cim.adc import FlashADC
from turnwise.cim.array import Hardware
from turnwise.cim.cells import CELLS, Cell, OneFeFETOneR, TwoFeFETOneT, TwoTOneFeFET
from turnwise.cim.cifar import Images
from turnwise.cim.conversion import array_layers, code_error_rate, convert, set_temperature
from turnwise.cim.quantization import IntegerNetwork

STEPS = (1.0, 2.0, 3.0)
"""Converter steps that are tried for 2-bit cells, in MAC units."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One chip.

    Attributes:
        cell: name in `CELLS`.
        sigma_vt: static threshold error, volts.
        kappa_mismatch: κ mismatch of the clamp cell, V/K (0 for the others: they have nothing to match).
        seed: of the static errors.
    """

    cell: str
    sigma_vt: float = 0.0
    kappa_mismatch: float = 0.0
    seed: int = 0

    @property
    def key(self) -> dict[str, Any]:
        """What identifies its rows in a run's metrics."""
        return {"cell": self.cell, "sigma_vt": self.sigma_vt, "kappa_mismatch": self.kappa_mismatch, "seed": self.seed}

    def build(self) -> Cell:
        """The cell with its errors."""
        cell = CELLS[self.cell]
        if isinstance(cell, TwoFeFETOneT):
            return replace(cell, sigma_vt=self.sigma_vt, kappa_mismatch=self.kappa_mismatch)
        assert isinstance(cell, (OneFeFETOneR, TwoTOneFeFET))
        return replace(cell, sigma_vt=self.sigma_vt)


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


def choose_step(quantized: nn.Module, images: Images, batch: int, exact: Sequence[str]) -> dict[float, float]:
    """Validation accuracy of the 2-bit clamp cell at the reference temperature for each converter step."""
    found = {}
    for step in STEPS:
        hardware = Hardware(cell=CELLS["r1-2bit"], adc=converter("r1-2bit", step))
        network = convert(quantized, hardware, exact=exact)
        set_temperature(network, 27.0)
        found[step] = float(hits(network, images, batch).mean())
    return found


def run_arm(
    quantized: nn.Module,
    arm: Arm,
    step: float,
    temps: Sequence[float],
    images: Images,
    batch: int,
    exact: Sequence[str],
    known: dict[tuple[str, int], str],
    on_batch: Callable[[int], None] | None = None,
) -> Iterator[dict[str, Any]]:
    """Rows of one arm, each as soon as it is there.

    Args:
        quantized: the network.
        arm: the chip.
        step: of the converter, for 2-bit cells.
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
    network = convert(quantized, Hardware(cell=arm.build(), adc=converter(arm.cell, step)), arm.seed, exact)
    sample = next(iter(images.batches(2)))[0]
    for celsius in temps:
        set_temperature(network, celsius)
        key = table_digest(network), len(images)
        if key not in known:
            known[key] = pack(hits(network, images, batch, on_batch))
        elif on_batch is not None:
            on_batch(len(images))
        right = unpack(known[key], len(images))
        yield {
            **arm.key,
            "celsius": celsius,
            "correct": int(right.sum()),
            "images": len(right),
            "hits": known[key],
            "wrong_codes": code_error_rate(network, sample),
            "tables": key[0],
        }


def table_digest(network: nn.Module) -> str:
    """What a chip computes at its temperature: a hash of all tables and of the steps that their integers stand for."""
    digest = hashlib.blake2b(digest_size=16)
    for layer in array_layers(network).values():
        assert layer.table is not None
        step = None if layer.hardware.adc is None else layer.hardware.adc.step
        digest.update(repr((step, layer.hardware.zero_point, tuple(layer.table.shape))).encode())
        digest.update(layer.table.cpu().numpy().tobytes())
    return digest.hexdigest()


def pack(right: np.ndarray) -> str:
    """Booleans as hex."""
    return np.packbits(right).tobytes().hex()


def unpack(text: str, count: int) -> np.ndarray:
    """The booleans that `pack` was given."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8), count=count).astype(bool)
