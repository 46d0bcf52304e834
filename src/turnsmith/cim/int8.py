"""The int8 checkpoint: integer weights and scales in one safetensors file, and the hash that names it.

VGG8.safetensors   NAME.weight int8, NAME.bias float32 where there is one; metadata: architecture, scales, accuracy and
                   training log as JSON
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from turnsmith.cim.networks import vgg8
from turnsmith.cim.quantization import quant_layers, quantize
from turnsmith.errors import UserError
from turnsmith.jsonl import parse_json

_FORMAT = "turnsmith-cim-int8-1"
# Files from before the project was renamed say this; the shipped networks do, since results name them by their hash.
_FORMATS = (_FORMAT, "turnwise-cim-int8-1")


def save_int8(path: str | Path, quantized: nn.Module, width: float, notes: dict[str, Any] | None = None) -> str:
    """Write a quantised VGG-8.

    Args:
        path: the file; its folder is made.
        quantized: from `quantize(vgg8(width))`.
        width: of the network.
        notes: JSON kept beside the weights: accuracy, settings, training log.

    Returns:
        The SHA-256 of the file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    layers = quant_layers(quantized)
    tensors = {f"{name}.weight": layer.weight_int().to(torch.int8).cpu().contiguous() for name, layer in layers.items()}
    tensors |= {
        f"{name}.bias": layer.bias.detach().float().cpu().contiguous()
        for name, layer in layers.items()
        if layer.bias is not None
    }
    scales = {name: [float(layer.weight_scale), float(layer.input_scale)] for name, layer in layers.items()}
    metadata = {
        "format": _FORMAT,
        "architecture": json.dumps({"kind": "vgg8", "width": width}),
        "scales": json.dumps(scales),
        "notes": json.dumps(notes or {}),
    }
    save_file(tensors, path, metadata)
    return sha256(path)


def load_int8(path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """Read a quantised VGG-8.

    Returns:
        The quantised network in evaluation mode, and its notes (with "width").

    Raises:
        UserError: if the file is not one of ours.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if metadata.get("format") not in _FORMATS:
            raise ValueError("another format")
        architecture, scales = parse_json(metadata["architecture"]), parse_json(metadata["scales"])
        notes = parse_json(metadata["notes"])
        network = quantize(vgg8(architecture["width"]))
        for name, layer in quant_layers(network).items():
            w_scale, x_scale = scales[name]
            layer.weight_scale.fill_(w_scale)
            layer.input_scale.fill_(x_scale)
            layer.weight.data = (tensors[f"{name}.weight"].double() * w_scale).float()
            if f"{name}.bias" in tensors:
                layer.bias = nn.Parameter(tensors[f"{name}.bias"])
        return network.eval(), {**notes, "width": architecture["width"]}
    except Exception as error:  # safetensors, and layers that do not fit, raise their own kinds
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: not an int8 checkpoint of turnsmith cim ({line}).") from error


def sha256(path: str | Path) -> str:
    """Hash of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
