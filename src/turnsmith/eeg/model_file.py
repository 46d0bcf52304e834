"""A trained gaze model on disk: weights, and a card that says what it reads and what its outputs mean.

MODEL/card.json, model.safetensors
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from turnsmith.eeg.baselines import BASELINES
from turnsmith.eeg.batches import Scaler
from turnsmith.eeg.vit import EEGViT
from turnsmith.errors import UserError
from turnsmith.jsonl import read_json


@dataclass(frozen=True, slots=True)
class Card:
    """What a model is and wants.

    Attributes:
        kind: "EEGViT" or one of the baselines.
        arguments: of its constructor.
        channels: names, in order.
        rate: samples a second.
        samples: in a window.
        band_hz: of the filter that its training data went through.
        spread, clip, keep_amplitudes: the scaler (see `batches.Scaler`).
        outputs: what each output is, such as "x_px".
        target_mean, target_spread: outputs x spread + mean are in the units of `outputs`.
        note: what it was trained on.
    """

    kind: str
    arguments: dict[str, Any]
    channels: tuple[str, ...]
    rate: float
    samples: int
    band_hz: tuple[float, float]
    spread: tuple[float, ...]
    clip: float
    outputs: tuple[str, ...]
    target_mean: tuple[float, ...]
    target_spread: tuple[float, ...]
    note: str = ""
    keep_amplitudes: bool = False
    version: int = field(default=1)

    @property
    def scaler(self) -> Scaler:
        """The scaler of its inputs."""
        return Scaler(np.array(self.spread), self.clip, self.keep_amplitudes)

    def predictions(self, raw: np.ndarray) -> np.ndarray:
        """The model's outputs in the units of `outputs`, (windows, outputs)."""
        return raw * np.array(self.target_spread) + np.array(self.target_mean)


def build(kind: str, arguments: dict[str, Any]) -> nn.Module:
    """A model by its kind, with random weights.

    Raises:
        UserError: if there is no such kind, or the arguments are not its own.
    """
    makers: dict[str, Any] = {"EEGViT": EEGViT, **BASELINES}
    if kind not in makers:
        raise UserError(f"unknown EEG model {kind!r}. Models: {', '.join(makers)}.")
    try:
        return makers[kind](**arguments)
    except TypeError as error:
        raise UserError(f"{kind} cannot be made with {arguments}: {error}.") from error


def save_model(folder: str | Path, model: nn.Module, card: Card) -> Path:
    """Write the model's folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors")
    (folder / "card.json").write_text(json.dumps(asdict(card), indent=1) + "\n", encoding="utf-8")
    return folder


def load_model(folder: str | Path, device: str = "cpu") -> tuple[nn.Module, Card]:
    """Read a model's folder; the model is in evaluation mode.

    Raises:
        UserError: if it is not one, or its weights do not fit its card.
    """
    folder = Path(folder)
    try:
        row = read_json(folder / "card.json")
        values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
        card = Card(**values)
        weights = load_file(folder / "model.safetensors")
    except Exception as error:  # safetensors raises its own kind
        raise UserError(
            f"{folder}: not an EEG model ({type(error).__name__}: {error}). It is a folder with card.json and "
            "model.safetensors, such as runs/NAME/model; train one: turnsmith run eeg_mae."
        ) from error
    try:
        model = build(card.kind, card.arguments)
        model.load_state_dict(weights)
    except (RuntimeError, TypeError, ValueError, KeyError, ZeroDivisionError) as error:
        raise UserError(f"{folder}: its weights do not fit its card ({str(error).splitlines()[0]}).") from error
    return model.to(torch.device(device)).eval(), card
