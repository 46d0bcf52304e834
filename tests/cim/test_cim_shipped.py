"""The shipped quarter-width VGG-8 on 200 real test images: what heat does to each cell, within binomial error."""

from pathlib import Path

import pytest

import turnwise.cim
from turnwise.cim.cells import CELLS
from turnwise.cim.cifar import load_cifar10
from turnwise.cim.conversion import convert, set_temperature
from turnwise.cim.int8 import load_int8
from turnwise.cim.quantization import quant_layers
from turnwise.cim.study import Arm, Hardware, converter, hits, ideal_hits
from turnwise.data import data_file
from turnwise.evaluate.stats import wilson

CHECKPOINT = Path(turnwise.cim.__file__).parent / "assets" / "vgg8-quarter.safetensors"
pytestmark = [
    pytest.mark.skipif(not CHECKPOINT.exists(), reason="the quarter-width checkpoint is not in this checkout"),
    pytest.mark.skipif(data_file("cifar10/test.parquet") is None, reason="CIFAR-10 is not on this machine"),
]


def test_clamp_cell_keeps_its_accuracy_when_hot_and_the_resistor_cell_loses_it():
    network, notes = load_int8(CHECKPOINT)
    images = load_cifar10("test", 200)
    ideal = ideal_hits(network, images, 50)
    low, high = wilson(int(ideal.sum()), len(ideal), z=3.0)
    assert low < notes["log"][-1]["validation"] < high
    first = (next(iter(quant_layers(network))),)
    found = {}
    for name in CELLS:
        mismatch = 1e-4 if name.startswith("r1") else 0.0
        hardware = Hardware(cell=Arm(name, kappa_mismatch=mismatch).build(), adc=converter(name))
        chip = convert(network, hardware, exact=first)
        set_temperature(chip, 85.0)
        found[name] = int(hits(chip, images, 50).sum())
    assert found["r1-1bit"] >= ideal.sum() - 2  # one point
    assert found["2t1fefet"] >= ideal.sum() - 4
    assert found["1fefet1r"] < 0.5 * ideal.sum()
    assert found["r1-2bit"] > 0.5 * ideal.sum()
