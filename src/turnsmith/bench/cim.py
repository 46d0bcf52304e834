"""`turnsmith bench cim`: how fast a chip is simulated, alone and beside aihwkit's inference tiles.

Images a second: VGG-8, of quarter width by default (2-bit 2FeFET-1T with static errors, 8-row groups, 9-code
converters) at one temperature, 8-bit inputs bit by bit; weights are random, which changes nothing in the work. Building
the tables of a temperature is timed apart.

Beside a peer, layer by layer, on the same integers: aihwkit (1.2.0) with tiles of 8 rows, all slices of a weight as
columns of one tile, all bit planes in one batch, inputs of one bit, a uniform converter with the same step and clip, no
noise. That is the arrangement of aihwkit that does the same work in the fewest calls; both its torch tile and its C++
tile are timed, and the faster one counts. Its sums are checked against ours before anything is timed.
"""

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import torch
import tyro
from torch import Tensor

from turnsmith.cim.adc import FlashADC
from turnsmith.cim.array import Hardware, plane_weights
from turnsmith.cim.cells import TwoFeFETOneT
from turnsmith.cim.conversion import ArrayLayer, array_layers, convert, set_temperature
from turnsmith.cim.networks import vgg8
from turnsmith.cim.quantization import quantize
from turnsmith.errors import UserError
from turnsmith.evaluate.claims import Claim, record
from turnsmith.options import parse_options

if TYPE_CHECKING:
    from torch import Tensor

    from turnsmith.cim.conversion import ArrayLayer

_TOP = 8
"""The highest code of the converter, in both."""
_GOALS = {0.25: ">= 3", 1.0: f">= {10_000 / 300:.1f}"}
"""By width; of the full network 10,000 images within 5 minutes, meant for a GPU."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is measured.

    Attributes:
        images: of the throughput measurement.
        width: of VGG-8.
        threads: of the processor.
        device: "cpu" or "cuda".
        repeats: timings of each layer; the median counts.
        results: the folder for results/bench_cim.json.
    """

    images: int = 100
    width: float = 0.25
    threads: int = 2
    device: str = "cpu"
    repeats: int = 5
    results: Annotated[Path, tyro.conf.arg(help="the folder of results")] = Path("results")


def main(argv: list[str]) -> int:
    """Measure, print and record."""
    options = parse_options(Options, argv, prog="turnsmith bench cim", description=__doc__)

    if options.device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("no CUDA device is there. Add --device cpu.")
    torch.set_num_threads(options.threads)
    claims = [_throughput(options)]
    if options.device == "cpu":
        claims.append(_peer(options))
    for claim in claims:
        print(f"{claim.id}: {claim.value} (goal {claim.goal}) {claim.note}")
    print(f"recorded in {record('bench_cim', claims, _command(options), options.results)}")
    return 0


def _command(options: Options) -> str:
    """The command with what differs from its defaults."""
    changed = [
        f"--{name} {getattr(options, name)}"
        for name in ("images", "width", "threads", "device", "repeats")
        if getattr(options, name) != getattr(Options(), name)
    ]
    return " ".join(["turnsmith bench cim", *changed])


def _throughput(options: Options) -> Claim:
    hardware = Hardware(cell=TwoFeFETOneT(bits=2, sigma_vt=0.01), adc=FlashADC(codes=_TOP + 1))
    network = convert(quantize(vgg8(options.width)).to(options.device), hardware)
    images = torch.rand(options.images, 3, 32, 32, device=options.device) * 2 - 1
    size = 25 if options.device == "cpu" else 250
    started = time.perf_counter()
    set_temperature(network, 55.0)
    _wait(options.device)
    building = time.perf_counter() - started
    network(images[:2])
    _wait(options.device)
    started, used = time.perf_counter(), time.process_time()
    for batch in images.split(size):
        network(batch)
    _wait(options.device)
    wall, processor = time.perf_counter() - started, time.process_time() - used
    rate = options.images / wall
    return Claim(
        id="images_per_s" if options.width != 1 else "images_per_s_full",
        claim=f"Images a second of VGG-8 at width {options.width:g} on a 2-bit 2FeFET-1T chip at one temperature.",
        value=round(rate, 2),
        goal=_GOALS.get(options.width, ""),
        note=f"{options.images} images, {options.device}, {options.threads} threads, {processor:.1f} s of processor "
        f"time in {wall:.1f} s, load {os.getloadavg()[0]:.0f}; tables of a temperature took {building:.1f} s more.",
    )


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize()


def _peer(options: Options) -> Claim:
    """Slowest ratio over the layers of VGG-8: the peer's time for one image over ours."""
    claim = "Time of aihwkit's inference tile over ours for the same layer, the layer where we gain least."
    if find_spec("aihwkit") is None:
        return Claim(
            "vs_peer_tile", claim, None, ">= 3", note="aihwkit is not installed here (benchmarks/cim/README.md)."
        )
    lines, ratios = [], []
    for name, layer, x_int in _layers(options):
        ours = _median(lambda layer=layer, x_int=x_int: layer.integer_sums(x_int), options.repeats)
        times = {}
        for kind in ("torch", "C++"):
            run = _aihwkit(layer, x_int, kind)
            # The peer adds in float32: large sums may be rounded to a neighbour.
            wrong = float(((run() - layer.integer_sums(x_int)).abs() > 1).double().mean())
            if wrong > 0:
                raise UserError(f"layer {name}: aihwkit's {kind} tile gives other sums ({100 * wrong:.1f} % differ).")
            times[kind] = _median(run, options.repeats)
        ratios.append(min(times.values()) / ours)
        lines.append(
            f"layer {name}: ours {1e3 * ours:.2f} ms, aihwkit torch {1e3 * times['torch']:.1f} ms, "
            f"C++ {1e3 * times['C++']:.1f} ms"
        )
        print(lines[-1], flush=True)
    note = f"One image, 8-row tiles, 4 slices as columns, 8 bit planes as batch, {options.threads} threads. "
    return Claim("vs_peer_tile", claim, round(min(ratios), 1), ">= 3", note=note + "; ".join(lines))


def _layers(options: Options) -> "list[tuple[str, ArrayLayer, Tensor]]":
    """Array layers of VGG-8 with the integer inputs that one random image gives them."""
    hardware = Hardware(cell=TwoFeFETOneT(bits=2), adc=FlashADC(codes=_TOP + 1))
    network = convert(quantize(vgg8(options.width)), hardware)
    set_temperature(network, 27.0)
    seen: list[tuple[str, ArrayLayer, Tensor]] = []

    def watch(name: str) -> Callable[[torch.nn.Module, tuple[Tensor, ...]], None]:
        def hook(module: torch.nn.Module, args: tuple[Tensor, ...]) -> None:
            assert isinstance(module, ArrayLayer)
            seen.append((name, module, module.quant.input_int(args[0]).to(torch.int32)))

        return hook

    for name, layer in array_layers(network).items():
        layer.register_forward_pre_hook(watch(name))
    network(torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    return seen


def _aihwkit(layer: "ArrayLayer", x_int: "Tensor", kind: str) -> "Callable[[], Tensor]":
    """The same layer on aihwkit: a function that gives its integer sums, weights written beforehand."""
    from aihwkit.nn import AnalogLinearMapped  # type: ignore[import-not-found]
    from aihwkit.simulator.configs import InferenceRPUConfig, TorchInferenceRPUConfig  # type: ignore[import-not-found]
    from aihwkit.simulator.parameters import (  # type: ignore[import-not-found]
        BoundManagementType,
        IOParameters,
        MappingParameter,
        NoiseManagementType,
    )

    levels = layer.cells.levels.float()
    groups, rows, outputs, slices = levels.shape
    unit = 1 / 3  # the highest of four levels is the largest weight of a tile
    forward = IOParameters(
        inp_res=-1, inp_noise=0.0, out_noise=0.0, w_noise=0.0, out_bound=_TOP * unit, out_res=1 / (2 * _TOP),
        noise_management=NoiseManagementType.NONE, bound_management=BoundManagementType.NONE,
    )  # fmt: skip
    config = (TorchInferenceRPUConfig if kind == "torch" else InferenceRPUConfig)(
        forward=forward,
        mapping=MappingParameter(max_input_size=rows, max_output_size=0, weight_scaling_omega=0.0),
    )
    tile = AnalogLinearMapped(groups * rows, outputs * slices, bias=False, rpu_config=config)
    tile.set_weights((levels * unit).permute(2, 3, 0, 1).reshape(outputs * slices, groups * rows))
    tile.eval()
    significance = 4.0 ** torch.arange(slices)
    planes = torch.tensor(plane_weights(layer.hardware.input_bits))

    @torch.no_grad()
    def run() -> "Tensor":
        x = x_int if x_int.ndim == 4 else x_int.flatten(0, -2)[:, :, None, None]
        bits = layer.bit_rows(x).float()
        vectors, count = bits.shape[:2]
        sums = tile(bits.reshape(vectors * count, -1)).view(vectors, count, outputs, slices) / unit
        stored = torch.einsum("mbos,s,b->mo", sums, significance, planes).round()
        total = layer.input_totals(x)
        return stored.double() - layer.hardware.zero_point * total.double()[:, None]

    return run


def _median(run: "Callable[[], object]", repeats: int) -> float:
    run()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times)
