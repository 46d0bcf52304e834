"""A quantised network on a chip: `convert` it, then `sweep` temperature.

A converted network has the call signature of the original. Each `ArrayLayer` turns its input into bit planes, reads its
array group by group (`array`), recombines, and goes on in floating point; pooling, activations and unsupported layers
stay digital.
"""

import copy
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from turnsmith.cim.array import (
    FLOAT32_SUM,
    TABLE_ROWS,
    CellArray,
    Hardware,
    blocks,
    direct_sums,
    pattern_codes,
    pattern_tables,
    recombine,
    slice_levels,
    table_sums,
)
from turnsmith.cim.quantization import QuantLayer, quant_layers, replace_everywhere
from turnsmith.errors import UserError
from turnsmith.evaluate.stats import wilson

_READS = 1 << 25
"""Output elements (vectors · bit planes · outputs) of one gather; keeps memory bounded."""


class ArrayLayer(nn.Module):
    """A quantised layer whose sums come from an array of cells.

    Attributes:
        quant: the layer that it stands for: integers, scales, bias, geometry.
        cells: its array.
    """

    def __init__(self, quant: QuantLayer, hardware: Hardware, seed: int) -> None:
        super().__init__()
        if hardware.weight_bits != quant.w_top.bit_length() + 1 or hardware.input_bits != quant.a_bits:
            raise UserError(
                f"the network has {quant.w_top.bit_length() + 1}-bit weights and {quant.a_bits}-bit activations, the "
                f"hardware {hardware.weight_bits} and {hardware.input_bits}: make them equal."
            )
        self.quant, self.hardware = quant, hardware
        weight = quant.weight_int()
        if quant.kernel is None:
            self.channels, positions, matrix = weight.shape[1], 1, weight.t()
        else:
            # Kernel position first, channels within it: a group of rows then lies in one pixel.
            self.channels, positions = weight.shape[1], quant.kernel[0] * quant.kernel[1]
            matrix = weight.flatten(2).permute(2, 1, 0).reshape(positions * self.channels, -1)
        self.positions = positions
        self.cells = CellArray(slice_levels(matrix, hardware), hardware, seed)
        self.table: Tensor | None = None
        if hardware.cell is None:
            self.set_temperature(27.0)

    def set_temperature(self, celsius: float) -> None:
        """Let the cells drift to a temperature and compute what follows from it."""
        self.cells.set_temperature(celsius)
        self.table = pattern_tables(self.cells) if self.hardware.rows <= TABLE_ROWS else None
        if self.table is not None and float(self.table.max()) * len(self.cells.levels) > FLOAT32_SUM:
            raise UserError(
                f"a layer of {len(self.cells.levels) * self.hardware.rows} inputs is too long for exact sums: split it."
            )

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output from array reads, float32; what depends on an input that is no number is none either."""
        unknown = x.isnan()
        any_unknown = bool(unknown.any())
        x_int = self.quant.input_int(x.masked_fill(unknown, 0.0) if any_unknown else x).to(torch.int32)
        sums = self.integer_sums(x_int)
        if self.quant.kernel is None:
            y = self.quant.output(sums.view(*x.shape[:-1], -1))
        else:
            height, width = self.output_size(x)
            y = self.quant.output(sums.view(x.shape[0], height, width, -1).permute(0, 3, 1, 2))
        if any_unknown:
            reached = self.quant.exact(torch.where(unknown, torch.nan, torch.zeros_like(x))).isnan()
            y = y.masked_fill(reached, torch.nan)
        return y

    def integer_sums(self, x_int: Tensor) -> Tensor:
        """Σ x_int w_int of every output position as the array reads it.

        Args:
            x_int: integer inputs, int32, in the layer's input shape.

        Returns:
            float64, shape (batch · positions out, outputs); integers where the converter's step is one.
        """
        if self.quant.kernel is None:
            return self._matmul(x_int.flatten(0, -2)[:, :, None, None])
        height, width = self.output_size(x_int)
        images = max(1, _READS // (height * width * self.hardware.input_bits * self.cells.levels.shape[2]))
        return torch.cat([self._matmul(part) for part in x_int.split(images)])

    def _matmul(self, x_BCHW: Tensor) -> Tensor:
        if self.hardware.rows <= TABLE_ROWS:
            assert self.table is not None, "set_temperature was not called"
            # After a ReLU the sign plane is empty, and an empty pattern reads as 0 from any cell.
            unsigned = int(x_BCHW.min()) >= 0 and self.hardware.empty_reads_zero
            planes = self.hardware.input_bits - unsigned
            sums = table_sums(self.table, self._table_rows(x_BCHW, planes))
        else:
            sums = direct_sums(self.cells, self.bit_rows(x_BCHW))
        return recombine(sums, self.input_totals(x_BCHW), self.hardware)

    def input_totals(self, x_BCHW: Tensor) -> Tensor:
        """Σ x_int over the inputs of each output position, shape (M,): what the dummy column counts."""
        return self._patches(x_BCHW.sum(1, keepdim=True)).sum((2, 3)).flatten()

    def _table_rows(self, x_BCHW: Tensor, planes: int) -> Tensor:
        """Row of the table that each group's input bits select, int32 of shape (M, bit planes, groups)."""
        rows, quant = self.hardware.rows, self.quant
        groups = torch.arange(self.cells.levels.shape[0], dtype=torch.int32, device=x_BCHW.device) << rows
        if self.channels % rows:
            return _pack(self._padded(x_BCHW), rows, planes)[:, :, 0, 0] + groups
        packed = _pack(x_BCHW, rows, planes)
        if quant.kernel is None:
            return packed[:, :, 0, 0] + groups
        # Rows of a group are channels of one pixel, so pixels are packed once; a window is then a view of them, and
        # its only copy is the sum with the groups' numbers.
        top, bottom, left, right = self._padding()
        packed = F.pad(packed, (0, 0, left, right, top, bottom))
        height, width = self.output_size(x_BCHW)
        batch, plane, row, column, group = packed.stride()
        windows = packed.as_strided(
            (len(packed), height, width, planes, *quant.kernel, packed.shape[-1]),
            (
                batch, row * quant.stride[0], column * quant.stride[1], plane,
                row * quant.dilation[0], column * quant.dilation[1], group,
            ),
        )  # fmt: skip
        index = torch.empty(windows.shape, dtype=torch.int32, device=packed.device)
        torch.add(windows, groups.view(*quant.kernel, -1), out=index)
        return index.view(-1, planes, len(groups))

    def bit_rows(self, x_BCHW: Tensor) -> Tensor:
        """Input bits in row order, 0 or 1, shape (M, bit planes, groups, rows)."""
        flat = self._padded(x_BCHW).squeeze(-1).squeeze(-1)
        shifts = torch.arange(self.hardware.input_bits, dtype=torch.int32, device=flat.device)
        bits = (flat[:, None, :] >> shifts[:, None]) & 1
        return bits.view(flat.shape[0], self.hardware.input_bits, -1, self.hardware.rows)

    def _padded(self, x_BCHW: Tensor) -> Tensor:
        """Patches in row order, zero up to whole groups: int32 of shape (M, groups · rows, 1, 1)."""
        flat = self._patches(x_BCHW).flatten(0, 1).flatten(1).to(torch.int32)
        return F.pad(flat, (0, -flat.shape[1] % self.hardware.rows))[:, :, None, None]

    def _patches(self, x_BCHW: Tensor) -> Tensor:
        """Patches, kernel position before channel: float32 of shape (B, positions out, kernel positions, channels)."""
        if self.quant.kernel is None:
            return x_BCHW.float()[:, None, None, :, 0, 0]
        flat = self._unfold(x_BCHW.float())
        return flat.view(len(flat), x_BCHW.shape[1], self.positions, -1).permute(0, 3, 2, 1)

    def _unfold(self, x_BCHW: Tensor) -> Tensor:
        """Patches as im2col gives them, shape (B, channels · kernel positions, positions out)."""
        assert self.quant.kernel is not None
        top, bottom, left, right = self._padding()
        padded = F.pad(x_BCHW, (left, right, top, bottom))
        return F.unfold(padded, self.quant.kernel, self.quant.dilation, 0, self.quant.stride)

    def _padding(self) -> tuple[int, int, int, int]:
        """Zeros above, below, left and right."""
        quant = self.quant
        assert quant.kernel is not None
        if quant.padding == "valid":
            return 0, 0, 0, 0
        if quant.padding == "same":
            spans = [d * (k - 1) for d, k in zip(quant.dilation, quant.kernel, strict=True)]
            return spans[0] // 2, spans[0] - spans[0] // 2, spans[1] // 2, spans[1] - spans[1] // 2
        vertical, horizontal = quant.padding
        return vertical, vertical, horizontal, horizontal

    def output_size(self, x: Tensor) -> tuple[int, int]:
        """Height and width of a convolution's output for an input of shape (B, C, H, W)."""
        quant, (top, bottom, left, right) = self.quant, self._padding()
        assert quant.kernel is not None
        height = (x.shape[2] + top + bottom - quant.dilation[0] * (quant.kernel[0] - 1) - 1) // quant.stride[0] + 1
        width = (x.shape[3] + left + right - quant.dilation[1] * (quant.kernel[1] - 1) - 1) // quant.stride[1] + 1
        return height, width

    def wrong_codes(self, x: Tensor) -> tuple[int, int]:
        """(converter readings that differ from those of perfect cells, all readings) for an input of the layer."""
        if self.hardware.rows > TABLE_ROWS:
            raise UserError(f"code errors are counted for groups of up to {TABLE_ROWS} rows.")
        cells, perfect = self.cells, CellArray(self.cells.levels, self.hardware, seed=0, perfect=True)
        groups, rows, outputs, slices = cells.levels.shape
        x_int = self.quant.input_int(x).to(torch.int32)
        x_BCHW = x_int.flatten(0, -2)[:, :, None, None] if self.quant.kernel is None else x_int
        index = self._table_rows(x_BCHW, self.hardware.input_bits)
        differing = torch.cat(
            [
                (pattern_codes(cells, span) != pattern_codes(perfect, span)).sum((2, 3)).flatten()
                for span in blocks(groups, 2**rows * outputs * slices)
            ]
        )
        return int(differing[index.long()].sum()), index.numel() * outputs * slices


def _pack(x_BCHW: Tensor, rows: int, planes: int) -> Tensor:
    """Bits of `rows` neighbouring channels as one number, int32 of shape (B, planes, H, W, groups)."""
    batch, channels, height, width = x_BCHW.shape
    grouped = x_BCHW.permute(0, 2, 3, 1).reshape(batch, height, width, channels // rows, rows)
    shifts = torch.arange(rows, dtype=torch.int32, device=x_BCHW.device)
    return torch.stack([(((grouped >> plane) & 1) << shifts).sum(-1, dtype=torch.int32) for plane in range(planes)], 1)


def convert(quantized: nn.Module, hardware: Hardware, seed: int = 0, exact: Collection[str] = ()) -> nn.Module:
    """A copy of a quantised network that runs on a chip.

    Args:
        quantized: from `quantize`.
        hardware: the chip.
        seed: draws every static threshold error; the same seed is the same chip.
        exact: names of layers that stay off the arrays and run in exact integers, such as a first convolution.

    Returns:
        A module with the same call signature; `set_temperature` before the first call, unless the hardware is ideal.

    Raises:
        UserError: if the model has no quantised layer, its widths are not those of the hardware, or `exact` names none.
    """
    network = copy.deepcopy(quantized).eval()
    for index, (name, layer) in enumerate(layers_to_convert(network, exact).items()):
        if name in exact:
            layer.forward = layer.exact  # type: ignore[method-assign]
            continue
        replace_everywhere(network, layer, ArrayLayer(layer, hardware, seed * 10_007 + index))
    return network


def layers_to_convert(quantized: nn.Module, exact: Collection[str] = ()) -> dict[str, QuantLayer]:
    """The quantised layers of a network by name, those in `exact` too.

    Raises:
        UserError: if there are none, or `exact` names another.
    """
    layers = quant_layers(quantized)
    if not layers:
        raise UserError("the model has no quantised layer. Call turnsmith.cim.quantize first.")
    unknown = set(exact) - set(layers)
    if unknown:
        raise UserError(f"no quantised layer {sorted(unknown)[0]!r}. Layers: {', '.join(layers)}.")
    return layers


def array_layers(network: nn.Module) -> dict[str, ArrayLayer]:
    """The layers that run on arrays, by name, in order."""
    return {name: module for name, module in network.named_modules() if isinstance(module, ArrayLayer)}


def set_temperature(network: nn.Module, celsius: float) -> None:
    """Bring a converted network to a temperature in °C."""
    for layer in array_layers(network).values():
        layer.set_temperature(celsius)


@dataclass(frozen=True, slots=True)
class SweepRow:
    """One temperature of a sweep.

    Attributes:
        celsius: the temperature.
        correct, images: of the loader.
        accuracy: correct / images.
        ci95: Wilson interval of the accuracy.
        code_errors: share of converter readings that differ from those of perfect cells, on the first batch; None
            where the network has no converter or groups of more rows than tables hold.
    """

    celsius: float
    correct: int
    images: int
    accuracy: float
    ci95: tuple[float, float]
    code_errors: float | None


@torch.no_grad()
def sweep(
    network: nn.Module, loader: Iterable[tuple[Tensor, Tensor]], temps: Sequence[float] = (0, 25, 55, 85)
) -> list[SweepRow]:
    """Accuracy and code errors against temperature.

    Args:
        network: from `convert`.
        loader: batches of inputs and class labels; gone through once a temperature.
        temps: °C.

    Returns:
        One row a temperature.
    """
    rows = []
    for celsius in temps:
        set_temperature(network, celsius)
        correct = images = 0
        errors: float | None = None
        for number, (x, labels) in enumerate(loader):
            if number == 0:
                errors = code_error_rate(network, x[:4])
            correct += int((network(x).argmax(-1) == labels).sum())
            images += len(labels)
        rows.append(SweepRow(celsius, correct, images, correct / images, wilson(correct, images), errors))
    return rows


@torch.no_grad()
def code_error_rate(network: nn.Module, x: Tensor) -> float | None:
    """Share of converter readings that differ from those of perfect cells, over all layers; None where not counted."""
    layers = array_layers(network)
    first = next(iter(layers.values())).hardware
    if first.cell is None or first.adc is None or first.rows > TABLE_ROWS:
        return None
    counted: list[tuple[int, int]] = []

    def count(layer: nn.Module, args: tuple[Tensor, ...]) -> None:
        assert isinstance(layer, ArrayLayer)
        counted.append(layer.wrong_codes(args[0]))

    hooks = [layer.register_forward_pre_hook(count) for layer in layers.values()]
    try:
        network(x)
    finally:
        for hook in hooks:
            hook.remove()
    return sum(wrong for wrong, _ in counted) / sum(total for _, total in counted)
