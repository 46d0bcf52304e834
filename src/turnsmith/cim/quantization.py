"""Eight-bit networks: straight-through training in the manner of WAGE, and the integer layer that a chip must equal.

`quantize` swaps each supported Conv2d and Linear of a model for a `QuantLayer`, which trains with rounded weights and
activations. Its integers (`weight_int`, `input_int`) define the network: `y = (Σ x_int w_int) · s_x s_w + bias`, and a
converted network on ideal hardware gives exactly these sums.

Left out of WAGE (1802.04680): gradients and errors stay in floating point. The chip infers; it does not train.
"""

import copy
import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from turnsmith.errors import UserError


class QuantLayer(nn.Module):
    """A Conv2d or Linear whose weights and inputs are rounded to signed integers of a few bits.

    Attributes:
        weight, bias: trained in floating point; bias stays digital and unrounded.
        w_bottom, w_top: the least and the largest integer weight.
        weight_scale, input_scale: value of one integer step, s_w and s_x. They stay on the processor wherever the layer
            goes: read on a GPU at every step they would make each step wait for the one before.
        kernel, stride, padding, dilation: geometry of a convolution; None for a linear layer.
    """

    weight_scale: Tensor
    input_scale: Tensor

    def __init__(self, layer: nn.Conv2d | nn.Linear, w_bits: int, a_bits: int, w_scale: float, x_scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(layer.weight.detach().clone())
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.detach().clone())
        self.w_top, self.a_top = 2 ** (w_bits - 1) - 1, 2 ** (a_bits - 1) - 1
        self.w_bottom = -self.w_top
        self.a_bits = a_bits
        self.register_buffer("weight_scale", torch.tensor(w_scale, dtype=torch.float64))
        self.register_buffer("input_scale", torch.tensor(x_scale, dtype=torch.float64))
        self.kernel: tuple[int, int] | None = None
        if isinstance(layer, nn.Conv2d):
            self.kernel = (layer.kernel_size[0], layer.kernel_size[1])
            self.stride, self.dilation = layer.stride, layer.dilation
            self.padding: Any = layer.padding

    def _apply(self, fn: Any, recurse: bool = True) -> "QuantLayer":
        scales = self.weight_scale, self.input_scale
        super()._apply(fn, recurse)
        self.weight_scale, self.input_scale = scales
        return self

    def weight_int(self) -> Tensor:
        """Integer weights as float64, in the layout of `weight`."""
        return (self.weight.detach().double() / self.weight_scale).round().clamp(self.w_bottom, self.w_top)

    def input_int(self, x: Tensor) -> Tensor:
        """Integer activations as float64, in the shape of x."""
        return (x.double() / self.input_scale).round().clamp(-self.a_top, self.a_top)

    def output(self, sums: Tensor) -> Tensor:
        """Layer output from integer sums whose channel axis is 1 (convolution) or last (linear), float32."""
        y = sums * (self.weight_scale * self.input_scale)
        if self.bias is not None:
            y = y + (self.bias.double()[:, None, None] if self.kernel is not None else self.bias.double())
        return y.float()

    def forward(self, x: Tensor) -> Tensor:
        """Rounded forward pass; gradients go straight through the rounding and stop where it clips."""
        weight = fake_quantize(self.weight, float(self.weight_scale), self.w_top)
        x = fake_quantize(x, float(self.input_scale), self.a_top)
        if self.kernel is None:
            return F.linear(x, weight, self.bias)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation)

    def exact(self, x: Tensor) -> Tensor:
        """The layer in exact integer arithmetic: what ideal hardware must equal bit by bit."""
        x_int, weight = self.input_int(x), self.weight_int()
        if self.kernel is None:
            return self.output(F.linear(x_int, weight))
        # float64 holds these sums exactly, in any order. Without cuDNN a GPU multiplies matrices, as a processor does.
        with torch.backends.cudnn.flags(enabled=False):
            return self.output(F.conv2d(x_int, weight, None, self.stride, self.padding, self.dilation))


def fake_quantize(value: Tensor, scale: float, top: int) -> Tensor:
    """Round to `scale` times an integer in ±top, with a straight-through gradient that is 0 where it clips."""
    rounded = _Round.apply(value, scale, top)
    assert isinstance(rounded, Tensor)
    return rounded


class _Round(torch.autograd.Function):
    """Four passes over one new tensor forward and one backward; in bfloat16 as exact as in float32 (8-bit integers)."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, scale: float, top: int) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(value)
        ctx.reach = (top + 0.5) * scale  # what rounds to the outermost integer is not yet clipped
        return torch.div(value, scale).round_().clamp_(-top, top).mul_(scale)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        (value,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(grad, value, -ctx.reach, ctx.reach), None, None


class IntegerNetwork(nn.Module):
    """A quantised model whose layers run in exact integer arithmetic; same call signature."""

    def __init__(self, quantized: nn.Module) -> None:
        super().__init__()
        self.model = copy.deepcopy(quantized).eval()
        for layer in quant_layers(self.model).values():
            layer.forward = layer.exact  # type: ignore[method-assign]

    @torch.no_grad()
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.model(*args, **kwargs)


def unsupported(module: nn.Module) -> str | None:
    """Why an array cannot run a layer with weights; None if it can or if it has no weights."""
    kind = type(module)
    if isinstance(module, (nn.Conv2d, nn.Linear)) and kind.forward not in (nn.Conv2d.forward, nn.Linear.forward):
        return f"{kind.__name__} computes in its own way"
    if isinstance(module, nn.Conv2d):
        if module.groups != 1:
            return "grouped convolution"
        if module.padding_mode != "zeros":
            return f"padding mode {module.padding_mode}"
        return None
    if isinstance(module, (nn.Linear, QuantLayer)) or not list(module.parameters(recurse=False)):
        return None
    return type(module).__name__


def quantize(
    model: nn.Module, w_bits: int = 8, a_bits: int = 8, sample: Iterable[Tensor] | Tensor | None = None
) -> nn.Module:
    """A copy of a model with quantised Conv2d and Linear layers.

    Args:
        model: any module; layers that an array cannot run stay as they are and are listed in `digital_layers`.
        w_bits, a_bits: of weights and activations.
        sample: inputs of the model. When given, scales are taken from weights and activations (post-training
            quantisation). When not, scales are powers of two in the manner of WAGE: activations in ±1, weights with
            twice the range that they have now, so that they can grow in training.

    Returns:
        The quantised copy. `digital_layers(it)` names what stays digital.

    Raises:
        UserError: if the model has no layer that an array can run.
    """
    fused = _fused(model)
    chosen = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear)) and unsupported(module) is None and module not in fused
    }
    if not chosen:
        raise UserError(f"{type(model).__name__} has no Conv2d or Linear layer that an array can run.")
    if sample is not None:
        ranges = _input_ranges(model, chosen, sample)
        # A layer whose weights are used without calling it would not notice that it was swapped.
        chosen = {name: module for name, module in chosen.items() if name in ranges}
    else:
        ranges = {}
    w_top, a_top = 2 ** (w_bits - 1) - 1, 2 ** (a_bits - 1) - 1
    quantized = copy.deepcopy(model)
    if "" in chosen:  # the model is one layer
        return quantize(nn.Sequential(quantized), w_bits, a_bits, sample)
    for name, module in chosen.items():
        largest = max(float(module.weight.detach().abs().max()), 1e-12)
        if sample is None:
            w_scale = 2.0 ** (math.ceil(math.log2(largest)) + 1) / (w_top + 1)
            x_scale = 1.0 / (a_top + 1)
        else:
            w_scale, x_scale = largest / w_top, max(ranges[name], 1e-12) / a_top
        layer = quantized.get_submodule(name)
        replace_everywhere(quantized, layer, QuantLayer(module, w_bits, a_bits, w_scale, x_scale))
    return quantized


def quant_layers(model: nn.Module) -> dict[str, QuantLayer]:
    """The quantised layers of a model by name, in order."""
    return {name: module for name, module in model.named_modules() if isinstance(module, QuantLayer)}


@torch.no_grad()
def clip_weights(quantized: nn.Module) -> None:
    """Clip weights to what their integers can hold, as WAGE does: one outside would get no gradient back."""
    for layer in quant_layers(quantized).values():
        scale = float(layer.weight_scale)
        layer.weight.clamp_(layer.w_bottom * scale, layer.w_top * scale)


def keep_above(quantized: nn.Module, lowest: int, exact: Iterable[str] = ()) -> None:
    """Give up integer weights below `lowest`, now and in training, in all layers but those named in `exact`."""
    for name, layer in quant_layers(quantized).items():
        if name not in exact:
            layer.w_bottom = max(lowest, -layer.w_top)
    clip_weights(quantized)


def digital_layers(model: nn.Module) -> dict[str, str]:
    """Layers with weights that stay off the arrays: name to reason."""
    reasons = {}
    for name, module in model.named_modules():
        reason = unsupported(module)
        if reason is None and isinstance(module, (nn.Conv2d, nn.Linear)):
            reason = "its weights are used without calling it"
        if reason is not None:
            reasons[name] = reason
    return reasons


def _fused(model: nn.Module) -> set[nn.Module]:
    """Layers within modules of torch that, where they can, use the weights of their parts without calling them."""
    whole = (nn.TransformerEncoderLayer, nn.TransformerEncoder, nn.MultiheadAttention)
    return {part for module in model.modules() if isinstance(module, whole) for part in module.modules()}


def _input_ranges(
    model: nn.Module, layers: Mapping[str, nn.Module], sample: Iterable[Tensor] | Tensor
) -> dict[str, float]:
    """Largest input magnitude of each layer that is called."""
    ranges: dict[str, float] = {}

    def watch(name: str) -> Any:
        def hook(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            ranges[name] = max(ranges.get(name, 0.0), float(args[0].detach().abs().max()))

        return hook

    hooks = [module.register_forward_pre_hook(watch(name)) for name, module in layers.items()]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for batch in [sample] if isinstance(sample, Tensor) else sample:
                model(batch)
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return ranges


def replace_everywhere(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put a layer in the place of another under every name that it has: one that is shared stays shared."""
    names = [name for name, module in model.named_modules(remove_duplicate=False) if module is old]
    for name in names:
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, new)
