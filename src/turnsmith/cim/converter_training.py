"""Training with the chip's converter in the forward pass.

A converter of few codes clips the row sums of 2-bit cells at every temperature. A network that was trained without it
loses accuracy to that, not to heat. Here each layer puts out what an array of perfect cells with the converter reads
from the current weights, the same table read as a converted network's; the gradient is the plain layer's at the same
inputs and weights (straight through). Temperature plays no part: the converter is all that training sees of the chip.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from turnsmith.cim.array import Hardware
from turnsmith.cim.conversion import ArrayLayer, layers_to_convert
from turnsmith.cim.quantization import QuantLayer
from turnsmith.errors import UserError


@contextmanager
def converter_in_the_loop(quantized: nn.Module, hardware: Hardware, exact: Collection[str] = ()) -> Iterator[nn.Module]:
    """Let a network's layers read as those of `convert(quantized, hardware, exact=exact)` would; undone at the end.

    Within, the network's output equals the converted network's bit by bit, whatever its weights have become, and its
    gradients are those of the plain layers. Its parameters and their names stay what they are.

    Args:
        quantized: from `quantize`; changed in place.
        hardware: with perfect cells (`cell=None`), whose tables do not depend on temperature.
        exact: names of layers that stay off the arrays, as in `convert`.

    Raises:
        UserError: if the hardware has cells that drift, or `exact` names no layer.
    """
    if hardware.cell is not None:
        raise UserError("training sees the converter only: give hardware with perfect cells (cell=None).")
    layers = layers_to_convert(quantized, exact)
    for name, layer in layers.items():
        layer.forward = partial(_forward, layer, None if name in exact else hardware)  # type: ignore[method-assign]
    try:
        yield quantized
    finally:
        for layer in layers.values():
            del layer.forward


def _forward(layer: QuantLayer, hardware: Hardware | None, x: Tensor) -> Tensor:
    """The array's output (exact integers without hardware); backwards, the plain layer."""
    with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        read = layer.exact(x) if hardware is None else ArrayLayer(layer, hardware, seed=0)(x.float())
    if not torch.is_grad_enabled():
        return read
    shown = _ReadInstead.apply(QuantLayer.forward(layer, x), read)
    assert isinstance(shown, Tensor)
    return shown


class _ReadInstead(torch.autograd.Function):
    """Forward the second argument, backward to the first."""

    @staticmethod
    def forward(ctx: Any, plain: Tensor, read: Tensor) -> Tensor:  # type: ignore[override]
        ctx.dtype = plain.dtype
        return read.view_as(read)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return grad.to(ctx.dtype), None
