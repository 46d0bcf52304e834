"""Training with the converter in the loop: forward the chip, backward the plain layer."""

import pytest
import torch
from torch import nn

from turnsmith.cim.array import Hardware
from turnsmith.cim.cells import CELLS
from turnsmith.cim.cifar import synthetic
from turnsmith.cim.conversion import convert, set_temperature
from turnsmith.cim.converter_training import converter_in_the_loop
from turnsmith.cim.networks import vgg8
from turnsmith.cim.quantization import QuantLayer, keep_above, quant_layers, quantize
from turnsmith.cim.settings import qat_optim
from turnsmith.cim.study import Reading, converter, perfect_2bit
from turnsmith.cim.training import train
from turnsmith.errors import UserError

IMAGES = synthetic(96, 0)


@pytest.mark.parametrize("reading", [Reading(), Reading(2.0), Reading(1.0, 40)])
def test_forward_is_the_converted_network_bit_by_bit(reading):
    q = quantize(vgg8(1 / 16))
    x = next(iter(IMAGES.batches(3)))[0]
    exact = (next(iter(quant_layers(q))),)
    keep_above(q, -reading.zero, exact)
    chip = convert(q, perfect_2bit(reading), exact=exact)(x)
    assert not torch.equal(chip, q(x))  # the converter clips
    with converter_in_the_loop(q, perfect_2bit(reading), exact):
        assert torch.equal(q(x), chip)
        with torch.no_grad():
            assert torch.equal(q(x), chip)
            next(iter(quant_layers(q).values())).weight.mul_(0.5)
        assert torch.equal(q(x), convert(q, perfect_2bit(reading), exact=exact)(x))  # tables follow the weights
    hardware = Hardware(cell=CELLS["r1-2bit"], adc=converter("r1-2bit", reading.step), stored_zero=reading.zero)
    drifting = convert(q, hardware, exact=exact)
    set_temperature(drifting, 27.0)
    assert torch.equal(drifting(x), convert(q, perfect_2bit(reading), exact=exact)(x))  # what training sees is the cell


@pytest.mark.parametrize(
    ("layer", "shape"), [(nn.Conv2d(16, 5, 3, padding=1), (2, 16, 6, 6)), (nn.Linear(24, 5), (3, 24))]
)
def test_gradients_are_those_of_the_plain_layer_at_the_same_inputs(layer, shape):
    torch.manual_seed(0)
    q = quantize(nn.Sequential(layer))
    plain = next(iter(quant_layers(q).values()))
    assert isinstance(plain, QuantLayer)
    found = []
    for hardware in (perfect_2bit(Reading()), None):
        x = torch.rand(shape, generator=torch.Generator().manual_seed(1)).requires_grad_()
        weights = torch.randn(q(x).shape, generator=torch.Generator().manual_seed(2))
        q.zero_grad()
        if hardware is None:
            (q(x) * weights).sum().backward()
        else:
            with converter_in_the_loop(q, hardware):
                (q(x) * weights).sum().backward()
        assert x.grad is not None
        assert plain.bias is not None
        found.append((x.grad, plain.weight.grad, plain.bias.grad))
    for chip, exact in zip(*found, strict=True):
        assert torch.equal(chip, exact)
        assert chip.abs().sum() > 0


def test_a_network_that_the_converter_ruins_gets_better_in_the_loop():
    torch.manual_seed(1)
    x = torch.rand(128, 32)
    labels = (x @ torch.randn(32, 4)).argmax(-1)
    net = nn.Sequential(nn.Linear(32, 24), nn.ReLU(), nn.Linear(24, 4))
    q = train(quantize(net), [(x, labels)], qat_optim(1, epochs=150, learning_rate=0.1))
    hardware = perfect_2bit(Reading())  # inputs are dense, so it clips much

    def chip_loss() -> float:
        return float(nn.functional.cross_entropy(convert(q, hardware)(x), labels).detach())

    before = chip_loss()
    assert before > 2 * float(nn.functional.cross_entropy(q(x), labels).detach())
    with converter_in_the_loop(q, hardware):
        train(q, [(x, labels)], qat_optim(1, epochs=40, learning_rate=0.02))
    assert chip_loss() < 0.9 * before


def test_layers_are_as_before_afterwards_and_cells_that_drift_are_refused():
    q = quantize(vgg8(1 / 32))
    x = next(iter(IMAGES.batches(2)))[0]
    before, names = q(x), list(q.state_dict())
    with converter_in_the_loop(q, perfect_2bit(Reading())):
        assert list(q.state_dict()) == names
    assert torch.equal(q(x), before)
    with pytest.raises(UserError, match="perfect cells"), converter_in_the_loop(q, Hardware()):
        pass
    with (
        pytest.raises(UserError, match="no quantised layer 'x'"),
        converter_in_the_loop(q, perfect_2bit(Reading()), ("x",)),
    ):
        pass
