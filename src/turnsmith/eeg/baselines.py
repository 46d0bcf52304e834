"""EEGEyeNet's five networks, from their published sizes: CNN, PyramidalCNN, EEGNet, InceptionTime, Xception.

All take (batch, n_chans, n_times) and give (batch, n_outputs); all keep the length of time to the end and read every
step of it with one linear layer, as the benchmark's torch code does. Constructors take braindecode's names.

braindecode is not a requirement: it needs torchaudio, and only its EEGNet is one of the five. Where it is installed,
`braindecode_model` makes any of its models by name.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from turnsmith.errors import UserError


def _same(kernel: int) -> tuple[int, int]:
    """Zeros before and after that keep the length, one more behind (the benchmark's choice for even kernels)."""
    return max(kernel // 2 - 1, 0) if kernel % 2 == 0 else kernel // 2, kernel // 2


class SameConv(nn.Module):
    """A 1-D convolution that keeps the length; `groups` as in torch."""

    def __init__(self, inputs: int, outputs: int, kernel: int, bias: bool = False, groups: int = 1) -> None:
        super().__init__()
        self.pad = _same(kernel)
        self.conv = nn.Conv1d(inputs, outputs, kernel, bias=bias, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(functional.pad(x, self.pad))


class _MaxPool(nn.Module):
    """Maximum of each step and the next."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.max_pool1d(functional.pad(x, (0, 1)), 2, 1)


class _Stack(nn.Module):
    """Modules in a row, a residual connection around each three where asked, mean of two steps, one linear layer."""

    def __init__(
        self, modules: list[nn.Module], widths: list[int], n_times: int, n_outputs: int, shortcut: int
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(modules)
        self.shortcuts = nn.ModuleList()
        if shortcut:
            for index in range(len(modules) // 3):
                path = nn.Sequential(
                    SameConv(widths[3 * index], widths[3 * index + 3], shortcut, bias=True),
                    nn.BatchNorm1d(widths[3 * index + 3]),
                )
                self.shortcuts.append(path)
        self.head = nn.Linear(widths[-1] * n_times, n_outputs)

    def forward(self, eeg: Tensor) -> Tensor:
        x = entry = eeg
        for index, block in enumerate(self.blocks):
            x = block(x)
            if self.shortcuts and index % 3 == 2:
                x = entry = functional.relu(x + self.shortcuts[index // 3](entry))
        x = functional.avg_pool1d(functional.pad(x, (0, 1)), 2, 1)
        return self.head(x.flatten(1))


class CNN(_Stack):
    """Twelve convolutions of 16 filters and kernel 64, residual each three."""

    def __init__(
        self,
        n_chans: int = 129,
        n_times: int = 500,
        n_outputs: int = 2,
        depth: int = 12,
        kernel: int = 64,
        filters: int = 16,
    ) -> None:
        widths = [n_chans] + [filters] * depth
        super().__init__([_conv_module(widths, d, kernel) for d in range(depth)], widths, n_times, n_outputs, kernel)


class PyramidalCNN(_Stack):
    """Six convolutions of kernel 16 whose filters grow by 16 with depth; no residuals."""

    def __init__(
        self,
        n_chans: int = 129,
        n_times: int = 500,
        n_outputs: int = 2,
        depth: int = 6,
        kernel: int = 16,
        filters: int = 16,
    ) -> None:
        widths = [n_chans] + [filters * (d + 1) for d in range(depth)]
        super().__init__([_conv_module(widths, d, kernel) for d in range(depth)], widths, n_times, n_outputs, 0)


def _conv_module(widths: list[int], index: int, kernel: int) -> nn.Module:
    width = widths[index + 1]
    return nn.Sequential(SameConv(widths[index], width, kernel), nn.BatchNorm1d(width), nn.ReLU(), _MaxPool())


class _Inception(nn.Module):
    """Bottleneck, three kernels side by side, and a pooled path; concatenated, normalised, rectified."""

    def __init__(self, inputs: int, filters: int, bottleneck: int, kernel: int) -> None:
        super().__init__()
        self.bottleneck = SameConv(inputs, bottleneck, kernel)
        self.paths = nn.ModuleList(SameConv(bottleneck, filters, kernel // 2**power) for power in range(3))
        self.pooled = nn.Conv1d(inputs, filters, 1, bias=False)
        self.norm = nn.BatchNorm1d(4 * filters)

    def forward(self, x: Tensor) -> Tensor:
        narrow = self.bottleneck(x)
        pooled = self.pooled(functional.max_pool1d(x, 3, 1, 1))
        return functional.relu(self.norm(torch.cat([path(narrow) for path in self.paths] + [pooled], 1)))


class InceptionTime(_Stack):
    """Twelve inception modules of kernels 64, 32 and 16 (4 x 16 filters, bottleneck 16), residual each three."""

    def __init__(
        self,
        n_chans: int = 129,
        n_times: int = 500,
        n_outputs: int = 2,
        depth: int = 12,
        kernel: int = 64,
        filters: int = 16,
        bottleneck: int = 16,
    ) -> None:
        widths = [n_chans] + [4 * filters] * depth
        modules: list[nn.Module] = [_Inception(widths[d], filters, bottleneck, kernel) for d in range(depth)]
        super().__init__(modules, widths, n_times, n_outputs, kernel)


class Xception(_Stack):
    """Eighteen separable convolutions of kernel 40 and 64 filters, residual each three."""

    def __init__(
        self,
        n_chans: int = 129,
        n_times: int = 500,
        n_outputs: int = 2,
        depth: int = 18,
        kernel: int = 40,
        filters: int = 64,
    ) -> None:
        widths = [n_chans] + [filters] * depth
        modules: list[nn.Module] = [
            nn.Sequential(
                SameConv(widths[d], widths[d], kernel, groups=widths[d]),
                nn.Conv1d(widths[d], filters, 1, bias=False),
                nn.BatchNorm1d(filters),
                nn.ReLU(),
            )
            for d in range(depth)
        ]
        super().__init__(modules, widths, n_times, n_outputs, kernel)


class EEGNet(nn.Module):
    """EEGNet (Lawhern et al. 2018) in the benchmark's sizes: F1 16, D 4, F2 256, kernel 256, dropout 0.5."""

    def __init__(
        self,
        n_chans: int = 129,
        n_times: int = 500,
        n_outputs: int = 2,
        F1: int = 16,
        D: int = 4,
        F2: int = 256,
        kernel: int = 256,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.temporal = nn.Conv2d(1, F1, (1, kernel), bias=False)
        self.norm1 = nn.BatchNorm2d(F1)
        self.spatial = nn.Conv2d(F1, F1 * D, (n_chans, 1), groups=F1, bias=False)
        self.norm2 = nn.BatchNorm2d(F1 * D)
        self.depthwise = nn.Conv2d(F1 * D, F2, (1, 64), groups=F1 * D, bias=False)
        self.pointwise = nn.Conv2d(F2, 4, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(4)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(4 * n_times, n_outputs)

    def forward(self, eeg: Tensor) -> Tensor:
        x = functional.pad(eeg[:, None], _same(self.temporal.kernel_size[1]))
        x = functional.elu(self.norm2(self.spatial(self.norm1(self.temporal(x)))))
        x = self.dropout(functional.avg_pool2d(functional.pad(x, _same(16)), (1, 16), 1))
        x = self.pointwise(self.depthwise(functional.pad(x, _same(64))))
        x = self.dropout(functional.avg_pool2d(functional.pad(functional.elu(self.norm3(x)), _same(8)), (1, 8), 1))
        return self.head(x.flatten(1))


BASELINES: dict[str, Callable[..., nn.Module]] = {
    "CNN": CNN,
    "PyramidalCNN": PyramidalCNN,
    "EEGNet": EEGNet,
    "InceptionTime": InceptionTime,
    "Xception": Xception,
}


def braindecode_model(name: str, n_chans: int, n_times: int, n_outputs: int, **settings: Any) -> nn.Module:
    """A model of braindecode by its class name, such as "EEGNet" or "BENDR".

    Raises:
        UserError: if braindecode is not installed or has no such model.
    """
    try:
        from braindecode import models  # type: ignore[import-not-found]
    except (ImportError, OSError) as error:  # OSError: torchaudio was built for another torch
        raise UserError(
            "braindecode is not installed, or torchaudio does not fit this torch. Type: pip install braindecode; the "
            f"five EEGEyeNet networks work without it ({', '.join(BASELINES)})."
        ) from error
    if not hasattr(models, name):
        raise UserError(f"braindecode has no model {name!r}. Its models: see braindecode.org.")
    return getattr(models, name)(n_chans=n_chans, n_times=n_times, n_outputs=n_outputs, **settings)
