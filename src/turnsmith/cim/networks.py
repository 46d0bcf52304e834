"""VGG-8 for CIFAR-10: the network of the paper and of NeuroSim, at full or smaller width.

Layers follow WAGE: no bias, no batch norm; with batch norm for training, `fold_batch_norm` makes weights and biases of
it afterwards. The shapes are also what the floorplanner and the cost model take.
"""

import copy
import math
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True, slots=True)
class LayerShape:
    """What a chip needs to know of a layer.

    Attributes:
        height, width: of the input.
        channels: of the input; K = channels · kernel².
        kernel: side of the kernel; 1 for a linear layer.
        outputs: output channels.
        pooled: whether a 2×2 max-pool follows.
        stride: of the convolution.
    """

    height: int
    width: int
    channels: int
    kernel: int
    outputs: int
    pooled: bool = False
    stride: int = 1

    @property
    def rows(self) -> int:
        """K, inputs of one output."""
        return self.channels * self.kernel**2

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image as NeuroSim counts them: height · width positions, whatever the stride."""
        return self.height * self.width * self.rows * self.outputs


def vgg8_shapes(width: float = 1.0) -> list[LayerShape]:
    """The eight layers of VGG-8; `width` scales the channels."""
    c = [round(width * channels) for channels in (128, 256, 512, 1024)]
    return [
        LayerShape(32, 32, 3, 3, c[0]),
        LayerShape(32, 32, c[0], 3, c[0], pooled=True),
        LayerShape(16, 16, c[0], 3, c[1]),
        LayerShape(16, 16, c[1], 3, c[1], pooled=True),
        LayerShape(8, 8, c[1], 3, c[2]),
        LayerShape(8, 8, c[2], 3, c[2], pooled=True),
        LayerShape(1, 1, 16 * c[2], 1, c[3]),
        LayerShape(1, 1, c[3], 1, 10),
    ]


def vgg8(width: float = 1.0, seed: int = 0, batch_norm: bool = False) -> nn.Sequential:
    """VGG-8 with 10 outputs for inputs (B, 3, 32, 32) in ±1.

    Args:
        width: 1 is the paper's network, 0.25 a sixteenth of its work.
        seed: of the initial weights.
        batch_norm: normalise after every layer but the last.
    """
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    shapes = vgg8_shapes(width)
    for index, shape in enumerate(shapes):
        if shape.kernel == 1 and shapes[index - 1].kernel > 1:
            layers.append(nn.Flatten())
        layer = (
            nn.Conv2d(shape.channels, shape.outputs, 3, padding=1, bias=False)
            if shape.kernel > 1
            else nn.Linear(shape.channels, shape.outputs, bias=False)
        )
        # He's uniform limit keeps activations within ±1; WAGE's power of two per layer is then the weights' scale.
        limit = math.sqrt(6 / shape.rows)
        nn.init.uniform_(layer.weight, -limit, limit, generator=generator)
        layers.append(layer)
        if batch_norm and index < len(shapes) - 1:
            layers.append(nn.BatchNorm2d(shape.outputs) if shape.kernel > 1 else nn.BatchNorm1d(shape.outputs))
        if shape.pooled:
            layers.append(nn.MaxPool2d(2))
        if index < len(shapes) - 1:
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)


@torch.no_grad()
def fold_batch_norm(network: nn.Sequential) -> nn.Sequential:
    """The same function in evaluation, with each batch norm made part of the layer before it.

    w' = w γ/√(v + ε),  b' = β + (b − m) γ/√(v + ε)

    Args:
        network: a chain in which every batch norm follows a convolution or a linear layer; left as it is.
    """
    folded: list[nn.Module] = []
    for module in copy.deepcopy(network).eval():
        if not isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            folded.append(module)
            continue
        layer, mean, variance = folded[-1], module.running_mean, module.running_var
        assert isinstance(layer, (nn.Conv2d, nn.Linear))
        assert mean is not None
        assert variance is not None
        scale = module.weight / (variance + module.eps).sqrt()
        bias = torch.zeros_like(mean) if layer.bias is None else layer.bias
        layer.weight.mul_(scale.view(-1, *[1] * (layer.weight.ndim - 1)))
        layer.bias = nn.Parameter(module.bias + (bias - mean) * scale)
    return nn.Sequential(*folded)
