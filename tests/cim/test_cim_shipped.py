"""The shipped quarter-width VGG-8s on 200 real test images: what heat does to each cell, within binomial error."""

from pathlib import Path

import pytest

import turnsmith.cim
from turnsmith.cim.cells import CELLS
from turnsmith.cim.cifar import load_cifar10
from turnsmith.cim.conversion import convert, set_temperature
from turnsmith.cim.int8 import load_int8
from turnsmith.cim.quantization import quant_layers
from turnsmith.cim.study import Arm, Hardware, converter, hits, ideal_hits
from turnsmith.data import data_file
from turnsmith.evaluate.stats import wilson

ASSETS = Path(turnsmith.cim.__file__).parent / "assets"
pytestmark = [
    pytest.mark.skipif(not (ASSETS / "vgg8-quarter.safetensors").exists(), reason="this checkout has no checkpoint"),
    pytest.mark.skipif(data_file("cifar10/test.parquet") is None, reason="CIFAR-10 is not on this machine"),
]


def test_clamp_cell_keeps_its_accuracy_when_hot_and_the_resistor_cell_loses_it():
    plain, notes = load_int8(ASSETS / "vgg8-quarter.safetensors")
    tuned, tuned_notes = load_int8(ASSETS / "vgg8-quarter-converter.safetensors")
    images = load_cifar10("test", 200)
    ideal = ideal_hits(plain, images, 50)
    low, high = wilson(int(ideal.sum()), len(ideal), z=3.0)
    assert low < notes["log"][-1]["validation"] < high
    first = (next(iter(quant_layers(plain))),)

    def hot(name: str, network, zero: int | None = None) -> int:
        cell = Arm(name, kappa_mismatch=1e-4 if name.startswith("r1") else 0.0).build()
        chip = convert(network, Hardware(cell=cell, adc=converter(name), stored_zero=zero), exact=first)
        set_temperature(chip, 85.0)
        return int(hits(chip, images, 50).sum())

    assert hot("r1-1bit", plain) >= ideal.sum() - 2  # one point
    assert hot("2t1fefet", plain) >= ideal.sum() - 4
    assert hot("1fefet1r", plain) < 0.5 * ideal.sum()
    assert set(CELLS) == {"r1-1bit", "2t1fefet", "1fefet1r", "r1-2bit"}
    # Two bits a cell: the network that was trained with their converter loses little, the other much.
    made_for_it = hot("r1-2bit", tuned, tuned_notes["reading"]["zero"])
    assert made_for_it >= ideal.sum() - 10
    assert made_for_it > hot("r1-2bit", plain)
