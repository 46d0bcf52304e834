"""Arrays and converted networks against exact integers."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from turnsmith.cim.adc import FlashADC
from turnsmith.cim.array import CellArray, Hardware, direct_sums, pattern_tables, slice_levels, table_sums
from turnsmith.cim.cells import CELLS, TwoFeFETOneT
from turnsmith.cim.conversion import array_layers, code_error_rate, convert, set_temperature, sweep
from turnsmith.cim.networks import vgg8, vgg8_shapes
from turnsmith.cim.quantization import IntegerNetwork, digital_layers, keep_above, quant_layers, quantize
from turnsmith.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
IDEAL = Hardware(cell=None, adc=None)


def small_net() -> nn.Sequential:
    """Every geometry that patches must get right: odd channels, stride, dilation, same padding, bias."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 24, 3, stride=2, padding=(2, 1), dilation=(2, 1)), nn.ReLU(),
        nn.Conv2d(24, 8, (1, 4), padding="same", bias=False), nn.ReLU(),
        nn.Flatten(), nn.LazyLinear(13), nn.Tanh(), nn.Linear(13, 5),
    )  # fmt: skip


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(3, 3, 12, 12, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture(scope="module")
def quantized(images) -> nn.Module:
    net = small_net()
    net(images)
    return quantize(net, sample=images)


@pytest.mark.parametrize("rows", [1, 4, 8, 16])
def test_ideal_hardware_is_the_integer_network_bit_by_bit(quantized, images, rows):
    assert torch.equal(
        convert(quantized, Hardware(cell=None, adc=None, rows=rows))(images), IntegerNetwork(quantized)(images)
    )


def test_ideal_vgg8_is_the_integer_network_bit_by_bit():
    q = quantize(vgg8(1 / 16))
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(2)) * 2 - 1
    assert torch.equal(convert(q, IDEAL)(x), IntegerNetwork(q)(x))


def test_integer_network_is_the_float_network_but_for_rounding(quantized, images):
    assert torch.allclose(IntegerNetwork(quantized)(images), quantized(images), atol=1e-4)


@given(st.integers(1, 40), st.integers(1, 5), st.sampled_from([1, 2]), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_slices_recombine_to_the_weights(inputs, outputs, bits, seed):
    weight = torch.randint(-127, 128, (inputs, outputs), generator=torch.Generator().manual_seed(seed))
    hardware = Hardware(cell=TwoFeFETOneT(bits=bits))
    levels = slice_levels(weight, hardware)
    values = (levels.long() << (bits * torch.arange(8 // bits))).sum(-1).flatten(0, 1) - 128
    assert torch.equal(values[:inputs], weight)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("sigma", [0.0, 0.02])
def test_tables_equal_the_grouped_matmul(name, sigma):
    cell = CELLS[name].__class__(bits=CELLS[name].bits, sigma_vt=sigma)
    hardware = Hardware(cell=cell, adc=FlashADC(codes=9, offset_sigma=sigma / 20))
    generator = torch.Generator().manual_seed(3)
    weight = torch.randint(-127, 128, (40, 6), generator=generator)
    cells = CellArray(slice_levels(weight, hardware), hardware, seed=5)
    cells.set_temperature(60.0)
    bits = torch.randint(0, 2, (7, 8, 5, 8), generator=generator)
    patterns = (bits << torch.arange(8)).sum(-1) + 256 * torch.arange(5)
    assert torch.equal(table_sums(pattern_tables(cells), patterns).double(), direct_sums(cells, bits).double())


def test_nine_codes_read_eight_binary_rows_exactly_and_eight_codes_lose_the_last():
    q, x = quantize(vgg8(1 / 16)), torch.rand(1, 3, 32, 32)
    exact = IntegerNetwork(q)(x)
    nine = convert(q, Hardware(cell=CELLS["r1-1bit"], adc=FlashADC(codes=9)))
    set_temperature(nine, 27.0)
    assert torch.equal(nine(x), exact)
    eight = convert(q, Hardware(cell=CELLS["r1-1bit"], adc=FlashADC(codes=8)))
    set_temperature(eight, 27.0)
    assert not torch.equal(eight(x), exact)


def test_references_stay_where_t_ref_put_them(quantized, images):
    net = convert(quantized, Hardware(cell=CELLS["1fefet1r"], adc=FlashADC(codes=9, t_ref=27)))
    set_temperature(net, 27.0)
    assert code_error_rate(net, images) == 0
    set_temperature(net, 85.0)
    hot = code_error_rate(net, images)
    assert hot is not None
    assert hot > 0.3
    steady = convert(quantized, Hardware(cell=CELLS["r1-2bit"], adc=FlashADC(codes=9)))
    set_temperature(steady, 85.0)
    assert code_error_rate(steady, images) == 0


def test_static_errors_belong_to_the_chip_not_to_the_temperature(quantized, images):
    hardware = Hardware(cell=TwoFeFETOneT(bits=2, sigma_vt=0.03), adc=FlashADC(codes=9))
    chips = [convert(quantized, hardware, seed=seed) for seed in (0, 0, 1)]
    outputs = []
    for chip in chips:
        set_temperature(chip, 85.0)
        set_temperature(chip, 27.0)
        outputs.append(chip(images))
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


def test_interpolated_voltages_equal_solved_ones():
    cell = TwoFeFETOneT(bits=2, sigma_vt=0.05)
    hardware = Hardware(cell=cell)
    weight = torch.randint(-127, 128, (64, 4), generator=torch.Generator().manual_seed(4))
    cells = CellArray(slice_levels(weight, hardware), hardware, seed=6)
    cells.set_temperature(85.0)
    whole = slice(0, cells.levels.shape[0])
    errors = cells._errors(cells.levels, 0).numpy() * cell.sigma_vt
    shifts = torch.tensor(cell.level_shifts(), dtype=torch.float64)[cells.levels.long()].numpy()
    solved = torch.from_numpy(cell.output(shifts, 85.0, errors))
    assert (cells.products(whole) * cells.unit - solved).abs().max() < 5e-4


def test_sweep_reports_accuracy_with_its_interval(quantized, images):
    x, labels = images, IntegerNetwork(quantized)(images).argmax(-1)
    rows = sweep(convert(quantized, Hardware(cell=CELLS["r1-1bit"], adc=FlashADC(codes=9))), [(x, labels)], [0, 85])
    assert [(row.correct, row.images, row.code_errors) for row in rows] == [(3, 3, 0.0), (3, 3, 0.0)]
    assert rows[0].ci95[0] < 1.0


def test_what_an_array_cannot_run_stays_digital_and_is_listed():
    net = nn.Sequential(nn.Conv2d(4, 4, 3, groups=2), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    q = quantize(net, sample=torch.rand(2, 4, 3, 3))
    assert list(quant_layers(q)) == ["3"]
    assert digital_layers(q) == {"0": "grouped convolution", "1": "BatchNorm2d"}
    with pytest.raises(UserError, match="no Conv2d or Linear"):
        quantize(nn.ReLU())
    with pytest.raises(UserError, match="quantize first"):
        convert(net, IDEAL)


def test_vgg8_counts():
    shapes = vgg8_shapes()
    assert sum(shape.rows * shape.outputs for shape in shapes) == pytest.approx(12.97e6, rel=1e-3)
    assert sum(shape.macs for shape in shapes) == pytest.approx(616e6, rel=1e-3)


def test_a_low_zero_gives_the_same_integers_where_weights_fit_and_says_where_they_do_not(quantized, images):
    low = copy.deepcopy(quantized)
    keep_above(low, -40)
    hardware = Hardware(cell=None, adc=None, stored_zero=40)
    assert torch.equal(convert(low, hardware)(images), IntegerNetwork(low)(images))
    levels = array_layers(convert(low, hardware))["0"].cells.levels
    assert float(levels.float().mean((0, 1, 2))[-1]) < 1  # the most significant cells are nearly all empty
    with pytest.raises(UserError, match="cannot be stored where 0 is stored as 40"):
        convert(quantized, hardware)
    with pytest.raises(UserError, match="not 129"):
        Hardware(stored_zero=129)
