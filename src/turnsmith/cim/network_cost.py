"""What a converted network costs on its chip, from the bits that a sample really puts on its word lines."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from turnsmith.cim.array import Hardware
from turnsmith.cim.chip import POST_LAYOUT, ChipCost, ChipSettings, LayerTraffic, chip_cost
from turnsmith.cim.conversion import ArrayLayer, array_layers
from turnsmith.cim.networks import LayerShape
from turnsmith.cim.quantization import digital_layers
from turnsmith.errors import UserError


@dataclass(frozen=True, slots=True)
class NetworkReport:
    """Cost of one decision of a converted network.

    Attributes:
        names: the layers on arrays, in order of use.
        cost: the chip; its layers are in the order of `names`.
        digital: layers that are not on arrays, and why; their cost is not counted.
    """

    names: tuple[str, ...]
    cost: ChipCost
    digital: dict[str, str]

    @property
    def microjoules(self) -> float:
        """Energy of one decision, with the post-layout factor."""
        return self.cost.energy_uj * POST_LAYOUT

    def as_dict(self) -> dict[str, Any]:
        """JSON: the chip's figures, layers by name, energy of a decision."""
        report = self.cost.as_dict()
        for name, layer in zip(self.names, report["layers"], strict=True):
            layer["name"] = name
        return {**report, "digital_layers": self.digital, "microjoules_per_decision": self.microjoules}


def report(network: nn.Module, sample: Tensor) -> NetworkReport:
    """Run a sample and cost what it did.

    Args:
        network: from `convert`, at any temperature.
        sample: inputs of the network, batch first.

    Returns:
        Area, energy split, latency and TOPS/W (both operation counts), per layer and in all; every use counts.

    Raises:
        UserError: if no layer on an array was called.
    """
    layers = array_layers(network)
    seen: dict[str, list[tuple[LayerShape, LayerTraffic]]] = {}

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            assert isinstance(module, ArrayLayer)
            seen.setdefault(name, []).append(layer_traffic(module, args[0], len(sample)))

        return hook

    hooks = [layer.register_forward_pre_hook(watch(name)) for name, layer in layers.items()]
    try:
        with torch.no_grad():
            network(sample)
    finally:
        for hook in hooks:
            hook.remove()
    hardware = next(iter(layers.values())).hardware
    if not seen:
        raise UserError("no layer on an array was called: the network's output does not depend on the chip.")
    shapes, traffic = zip(*(_all_uses(uses) for uses in seen.values()), strict=True)
    cost = chip_cost(shapes, chip_settings(hardware), traffic)
    return NetworkReport(tuple(seen), cost, digital_layers(network))


def _all_uses(uses: Sequence[tuple[LayerShape, LayerTraffic]]) -> tuple[LayerShape, LayerTraffic]:
    """A layer that was called several times: the array of its largest call, and the work of all."""
    shape = max((shape for shape, _ in uses), key=lambda shape: shape.macs)
    traffic = [traffic for _, traffic in uses]
    positions = sum(each.positions for each in traffic)
    activity = sum(each.activity * each.positions for each in traffic) / max(1, positions)
    return shape, LayerTraffic(positions, activity, traffic[0].level_shares, sum(each.uses for each in traffic))


def chip_settings(hardware: Hardware) -> ChipSettings:
    """The chip of a `Hardware`: FeFET cells, levels of its converter (32 where it has none)."""
    return ChipSettings(
        cell="fefet",
        node=hardware.node,
        cell_bits=hardware.cell_bits,
        weight_bits=hardware.weight_bits,
        input_bits=hardware.input_bits,
        rows=hardware.rows,
        adc_levels=32 if hardware.adc is None else hardware.adc.top + 1,
        subarray=hardware.subarray[0],
    )


def layer_traffic(layer: ArrayLayer, x: Tensor, decisions: int) -> tuple[LayerShape, LayerTraffic]:
    """Shape of a layer, and its positions, input activity and stored levels per decision."""
    quant, hardware = layer.quant, layer.hardware
    bits = quant.input_int(x).to(torch.int32)
    shifts = torch.arange(hardware.input_bits, dtype=torch.int32, device=bits.device)
    activity = float(((bits[..., None] >> shifts) & 1).float().mean())
    counts = torch.bincount(layer.cells.levels.flatten().long(), minlength=2**hardware.cell_bits)
    outputs = layer.cells.levels.shape[2]
    if quant.kernel is None:
        positions = math.ceil(x[..., 0].numel() / decisions)
        shape = LayerShape(1, 1, layer.channels, 1, outputs)
    else:
        height, width = layer.output_size(x)
        positions = height * width
        side = math.isqrt(quant.kernel[0] * quant.kernel[1])
        if side**2 == quant.kernel[0] * quant.kernel[1]:
            shape = LayerShape(x.shape[2], x.shape[3], layer.channels, side, outputs, stride=quant.stride[0])
        else:  # no square: as one matrix
            shape = LayerShape(height, width, layer.channels * quant.kernel[0] * quant.kernel[1], 1, outputs)
    uses = positions if quant.kernel is None else 1
    return shape, LayerTraffic(positions, activity, tuple((counts / counts.sum()).tolist()), uses)
