"""Quantised training, its resume, the int8 file, deployment and reports."""

import math

import pytest
import torch
from torch import nn

from turnsmith.cim.adc import FlashADC
from turnsmith.cim.array import Hardware
from turnsmith.cim.cells import CELLS
from turnsmith.cim.chip import chip_cost
from turnsmith.cim.cifar import augmented, load_cifar10, synthetic
from turnsmith.cim.conversion import convert, set_temperature
from turnsmith.cim.deploy import Deployable, deploy, same_argmax, within
from turnsmith.cim.int8 import load_int8, save_int8
from turnsmith.cim.network_cost import report
from turnsmith.cim.networks import LayerShape, fold_batch_norm, vgg8
from turnsmith.cim.quantization import (
    IntegerNetwork,
    clip_weights,
    digital_layers,
    fake_quantize,
    quant_layers,
    quantize,
)
from turnsmith.cim.settings import qat_optim
from turnsmith.cim.study import Arm, Reading, ideal_hits, pack, run_arm
from turnsmith.cim.training import _native_bfloat16, train
from turnsmith.data import data_file
from turnsmith.errors import UserError

IMAGES = synthetic(96, 0)


def tiny() -> nn.Module:
    return quantize(vgg8(1 / 32))


def test_fake_quantisation_rounds_forward_and_passes_gradients_where_it_does_not_clip():
    x = torch.tensor([-2.0, -0.3, 0.26, 1.7], requires_grad=True)
    y = fake_quantize(x, 0.25, 4)
    assert y.tolist() == [-1.0, -0.25, 0.25, 1.0]
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 1.0, 1.0, 0.0]


def test_wage_scales_are_powers_of_two_with_room_to_grow():
    for layer in quant_layers(tiny()).values():
        scale = float(layer.weight_scale)
        assert 2.0 ** round(torch.log2(torch.tensor(scale)).item()) == scale
        assert scale * 128 >= 2 * float(layer.weight.detach().abs().max())
        assert float(layer.input_scale) == 1 / 128


def test_training_learns_and_a_stopped_run_ends_with_the_same_weights(tmp_path):
    def loader(epoch, start):
        return augmented(IMAGES[:48], 16, 3, epoch, start)

    steps = 3
    optim = qat_optim(steps, epochs=2, learning_rate=0.02)
    losses: list[float] = []
    straight = train(tiny(), loader, optim, steps, on_epoch=lambda _, loss: losses.append(loss))

    class Stop(Exception):
        pass

    count = 0

    def stop_at_five(_: torch.Tensor) -> None:
        nonlocal count
        count += 1
        if count == 5:
            raise Stop

    with pytest.raises(Stop):
        train(tiny(), loader, optim, steps, tmp_path, on_step=stop_at_five, checkpoint_seconds=0)
    resumed_losses: list[float] = []
    resumed = train(tiny(), loader, optim, steps, tmp_path, on_epoch=lambda _, loss: resumed_losses.append(loss))
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert resumed_losses == pytest.approx(losses[1:], rel=1e-5)


def test_the_one_training_loop_gives_the_weights_of_a_loop_written_out():
    """Bit by bit: warm-up and cosine, momentum, decay, weights clipped to their integers after each step."""
    steps, total = 3, 6
    fitted, plain = tiny(), tiny()
    optim = qat_optim(steps, epochs=2, learning_rate=0.02)
    train(fitted, lambda epoch, start: augmented(IMAGES[:48], 16, 3, epoch, start), optim, steps)
    plain.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(plain.parameters(), 0.02, momentum=0.9, weight_decay=1e-4)
    plain.train()
    for update in range(total):
        x, labels = next(augmented(IMAGES[:48], 16, 3, update // steps, update % steps))
        cosine = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * max(0, update - 1) / (total - 1)))
        optimizer.param_groups[0]["lr"] = 0.02 * cosine
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=_native_bfloat16()):
            logits = plain(x.contiguous(memory_format=torch.channels_last))
        nn.functional.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        clip_weights(plain)
    for name, value in plain.state_dict().items():
        assert torch.equal(value, fitted.state_dict()[name]), name


def test_gradients_reach_every_layer():
    q = tiny()
    x, labels = next(augmented(IMAGES, 8, 0, 0))
    nn.functional.cross_entropy(q(x), labels).backward()
    assert all(float(layer.weight.grad.abs().sum()) > 0 for layer in quant_layers(q).values())  # type: ignore[union-attr]


def test_augmentation_is_a_crop_and_a_flip_of_the_image():
    x, labels = next(augmented(IMAGES, 4, seed=1, epoch=0))
    again, _ = next(augmented(IMAGES, 4, seed=1, epoch=0))
    assert torch.equal(x, again)
    padded = nn.functional.pad(IMAGES.pixels.float() / 127.5 - 1, (4, 4, 4, 4))
    for image, label in zip(x, labels, strict=True):
        crops = [
            (padded[index, :, top : top + 32, left : left + 32])
            for index in (IMAGES.labels == label).nonzero().flatten().tolist()
            for top in range(9)
            for left in range(9)
        ]
        # Outside the image the crop is 0 in ±1 or black; compare the inside only.
        middle = slice(4, 28)
        assert any(
            torch.equal(image[:, middle, middle], crop[:, middle, middle])
            or torch.equal(image.flip(-1)[:, middle, middle], crop[:, middle, middle])
            for crop in crops
        )


def test_int8_file_gives_the_same_integers_back(tmp_path):
    q = tiny()
    digest = save_int8(tmp_path / "net.safetensors", q, 1 / 32, {"validation": 0.5})
    again, notes = load_int8(tmp_path / "net.safetensors")
    assert len(digest) == 64
    assert notes == {"validation": 0.5, "width": 1 / 32}
    x = next(iter(IMAGES.batches(4)))[0]
    assert torch.equal(IntegerNetwork(q)(x), IntegerNetwork(again)(x))
    (tmp_path / "other.safetensors").write_bytes(b"no")
    with pytest.raises(UserError, match="int8 checkpoint"):
        load_int8(tmp_path / "other.safetensors")


def test_folded_batch_norm_is_the_same_function_and_its_int8_file_keeps_the_biases(tmp_path):
    torch.manual_seed(0)
    network = vgg8(1 / 32, batch_norm=True)
    for module in network:
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for value in (module.weight, module.bias, module.running_mean, module.running_var):
                assert value is not None
                value.data.uniform_(0.5, 1.5)
    network.eval()
    x = next(iter(IMAGES.batches(4)))[0]
    folded = fold_batch_norm(network)
    assert torch.allclose(folded(x), network(x), rtol=1e-4, atol=1e-5)
    assert [type(module) for module in folded] == [type(module) for module in vgg8(1 / 32)]
    q = quantize(folded, sample=x)
    save_int8(tmp_path / "net.safetensors", q, 1 / 32)
    again, _ = load_int8(tmp_path / "net.safetensors")
    assert torch.equal(IntegerNetwork(q)(x), IntegerNetwork(again)(x))


def test_layers_left_exact_stay_off_the_array():
    q = tiny()
    first, *others = quant_layers(q)
    network = convert(q, Hardware(cell=CELLS["1fefet1r"], adc=FlashADC(codes=9)), exact=(first, *others))
    x = next(iter(IMAGES.batches(2)))[0]
    assert torch.equal(network(x), IntegerNetwork(q)(x))
    with pytest.raises(UserError, match="no quantised layer 'x'"):
        convert(q, Hardware(), exact=("x",))


def test_deployment_compares_with_the_model_as_it_was_given():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 24), nn.Tanh(), nn.Linear(24, 4), nn.PReLU())
    inputs = torch.randn(64, 12)
    target = Deployable("net", model, inputs, same_argmax, lambda out: {"mean": float(out.mean())}, calibration=inputs)
    steady = deploy(target, Hardware(cell=CELLS["r1-1bit"], adc=FlashADC(codes=9)), [0, 85])
    drifting = deploy(target, Hardware(cell=CELLS["1fefet1r"], adc=FlashADC(codes=9)), [0, 85])
    assert [row.where for row in steady.rows] == ["float", "int8", "2FeFET-1T 1-bit", "2FeFET-1T 1-bit"]
    assert steady.rows[1].agreement > 0.95
    assert steady.rows[3].agreement == steady.rows[1].agreement
    assert drifting.rows[3].agreement < 0.9
    assert steady.digital == {"3": "PReLU"}
    partly = deploy(target, Hardware(cell=CELLS["1fefet1r"], adc=FlashADC(codes=9)), [85], exact_first=True)
    assert partly.on_chip == ("2",)
    assert partly.digital == {"0": "first layer, kept exact", "3": "PReLU"}
    assert partly.rows[2].agreement != drifting.rows[3].agreement
    assert steady.microjoules > 0


def test_agreement_of_regressors_is_a_distance():
    first, second = torch.zeros(4, 2), torch.tensor([[0.0, 0.5], [3.0, 4.0], [0.6, 0.8], [0.0, 0.0]])
    assert within(1.0)(first, second) == 0.75


def test_report_counts_what_the_sample_does():
    q = tiny()
    network = convert(q, Hardware(cell=CELLS["r1-2bit"], adc=FlashADC(codes=9)))
    set_temperature(network, 27.0)
    x = next(iter(IMAGES.batches(2)))[0]
    found = report(network, x)
    assert len(found.names) == 8
    macs = [layer.macs for layer in found.cost.layers]
    assert macs[:2] == [32 * 32 * 27 * 4, 32 * 32 * 36 * 4]
    dark = report(network, torch.full_like(x, 0.0))
    assert dark.cost.layers[0].adc_pj < found.cost.layers[0].adc_pj
    assert found.as_dict()["layers"][0]["name"] == found.names[0]


def test_chips_that_read_alike_are_run_once_and_rows_come_one_by_one():
    q = tiny()
    known: dict[tuple[str, int], str] = {}
    ideal = pack(ideal_hits(q, IMAGES[:12], 6))
    counted: list[int] = []
    for cell in ("r1-1bit", "2t1fefet"):
        rows = run_arm(q, Arm(cell), Reading(), (0.0, 85.0), IMAGES[:12], 6, (), known, counted.append)
        assert [(row.celsius, row.hits, row.wrong_codes) for row in rows] == [
            (0.0, ideal, 0),
            (85.0, ideal, 0),
        ]
    assert len(known) == 1  # both read every row sum rightly at both temperatures: one integer function
    assert sum(counted) == 48
    cold, hot = run_arm(q, Arm("1fefet1r"), Reading(), (0.0, 85.0), IMAGES[:12], 6, (), known)
    assert cold.tables != hot.tables
    assert len(known) == 3


@pytest.mark.skipif(data_file("cifar10/test.parquet") is None, reason="CIFAR-10 is not on this machine")
def test_cifar_splits_do_not_overlap():
    test = load_cifar10("test", 50)
    assert test.pixels.shape == (50, 3, 32, 32)
    validation = load_cifar10("validation")
    assert len(validation) == 5000
    train_head = load_cifar10("train", 50)
    flat = {row.numpy().tobytes() for row in validation.pixels}
    assert not any(row.numpy().tobytes() in flat for row in train_head.pixels)


def test_the_workflow_of_the_documentation_is_importable_from_the_package():
    from turnsmith import cim

    q = cim.quantize(nn.Sequential(nn.Flatten(), nn.Linear(12, 4)))
    x, labels = torch.rand(8, 3, 2, 2), torch.arange(8) % 4
    cim.train(q, [(x, labels)], qat_optim(1, epochs=1))
    cell = cim.cells.TwoFeFETOneT(bits=2, v_read=0.35, sigma_vt=0.01)
    hardware = cim.Hardware(cell, rows=8, subarray=(128, 128), adc=cim.FlashADC(bits=3, codes=9, t_ref=27), node=45)
    network = cim.convert(q, hardware, seed=0)
    rows = cim.sweep(network, [(x, labels)], temps=[27])
    assert rows[0].images == 8
    assert cim.report(network, x).microjoules > 0


class Repeated(nn.Module):
    """One linear layer, used so many times, or under so many names."""

    def __init__(self, times: int, names: int = 1) -> None:
        super().__init__()
        torch.manual_seed(0)
        layer = nn.Linear(128, 128)
        self.layers = nn.ModuleList([layer] * names)
        self.times = times

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(self.times):
            for layer in self.layers:
                x = torch.relu(layer(x))
        return x


IDEAL = Hardware(cell=None, adc=None, rows=128)


def test_every_use_of_a_layer_is_on_the_chip_and_in_the_cost():
    x = torch.rand(8, 128)
    costs = [report(convert(quantize(Repeated(times).eval(), sample=x), IDEAL), x).as_dict() for times in (1, 4)]
    for count in ("true", "neurosim"):
        assert costs[1]["operations"][count] == 4 * costs[0]["operations"][count]
    assert costs[1]["energy_uj"]["dynamic"] == pytest.approx(4 * costs[0]["energy_uj"]["dynamic"], rel=0.3)
    shared = quantize(Repeated(1, names=4).eval(), sample=x)
    assert digital_layers(shared) == {}
    network = convert(shared, IDEAL)
    assert torch.equal(network(x), IntegerNetwork(shared)(x))
    assert report(network, x).as_dict()["operations"] == costs[1]["operations"]


def test_parts_of_modules_that_use_their_weights_without_calling_them_stay_digital():
    torch.manual_seed(0)
    encoder = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    x = torch.randn(4, 6, 16)
    with pytest.raises(UserError, match="no Conv2d or Linear layer that an array can run"):
        quantize(encoder, sample=x)
    model = nn.Sequential(encoder, nn.Linear(16, 3)).eval()
    made = deploy(Deployable("t", model, x, same_argmax, lambda _: {}, calibration=x), IDEAL, [27.0])
    assert made.on_chip == ("1",)
    assert {"0.linear1", "0.linear2", "0.self_attn.out_proj"} <= set(made.digital)


def test_a_subclass_that_computes_in_its_own_way_stays_digital():
    class Doubled(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(input)

    q = quantize(nn.Sequential(Doubled(4, 4), nn.Linear(4, 2)), sample=torch.rand(2, 4))
    assert list(quant_layers(q)) == ["1"]
    assert digital_layers(q) == {"0": "Doubled computes in its own way"}


@pytest.mark.parametrize("rows", [8, 128])
def test_what_is_no_number_stays_none_on_the_chip(rows):
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.Flatten(), nn.Linear(48, 4)).eval()
    q = quantize(layers, sample=torch.rand(2, 2, 4, 4))
    chip = convert(q, Hardware(cell=None, adc=None, rows=rows))
    x = torch.rand(2, 2, 4, 4)
    x[1, 0, 0, 0] = torch.nan
    assert torch.equal(chip(x)[0], IntegerNetwork(q)(x)[0])
    assert chip(x)[1].isnan().all()
    first, integer = chip[0](x), quant_layers(q)["0"].exact(x)  # type: ignore[index]
    assert torch.equal(first.isnan(), integer.isnan())
    assert torch.equal(first.nan_to_num(), integer.nan_to_num())


def test_equal_work_costs_the_same_whatever_the_order_of_its_strides():
    x = torch.rand(2, 8, 16, 16)
    made = {}
    for stride in ((1, 2), (2, 1)):
        conv = nn.Conv2d(8, 16, 3, stride=stride, padding=1)
        made[stride] = report(convert(quantize(nn.Sequential(conv).eval(), sample=x), IDEAL), x).as_dict()
    assert made[1, 2]["operations"] == made[2, 1]["operations"]
    assert made[1, 2]["tops_per_w"] == pytest.approx(made[2, 1]["tops_per_w"], rel=0.02)
    small = chip_cost([LayerShape(8, 8, 64, 3, 64), LayerShape(2, 2, 64, 3, 64)]).as_dict()["operations"]
    assert small["true"] == 2 * (36 + 4) * 9 * 64 * 64
