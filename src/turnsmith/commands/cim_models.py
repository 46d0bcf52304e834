"""Which trained models `turnsmith cim deploy` knows: each loader makes a `Deployable` from what its recipe wrote.

To add one: a function (path, inputs, device) -> Deployable, and a line in `load_deployable`.
"""

from pathlib import Path

from turnsmith.cim.deploy import Deployable, same_argmax, within
from turnsmith.errors import UserError


def load_deployable(path: str | Path, inputs: int, device: str = "cpu") -> Deployable:
    """The model at a path, with inputs to judge it on.

    Args:
        path: an int8 VGG-8 checkpoint (a .safetensors file), or the folder of an EEG gaze model (card.json).
        inputs: how many inputs.
        device: where it runs.

    Raises:
        UserError: if nothing is known there.
    """
    path = Path(path)
    if path.is_file() and path.suffix == ".safetensors":
        return _vgg8(path, inputs, device)
    if (path / "card.json").is_file():
        return _eeg(path, inputs, device)
    raise UserError(
        f"{path}: no model that can be deployed. It is an int8 checkpoint (runs/NAME/vgg8-int8-plain.safetensors) "
        "or an EEG model's folder (runs/NAME/model)."
    )


def _vgg8(path: Path, inputs: int, device: str) -> Deployable:
    from turnsmith.cim.cifar import load_cifar10
    from turnsmith.cim.int8 import load_int8

    network, _ = load_int8(path)
    images = load_cifar10("test", inputs).to(device)
    x, labels = next(iter(images.batches(inputs)))
    return Deployable(
        path.name,
        network.to(device),
        x,
        same_argmax,
        lambda output: {"accuracy": float((output.argmax(-1) == labels).float().mean())},
    )


def _eeg(folder: Path, inputs: int, device: str) -> Deployable:
    """A gaze model on simulated windows of people that it was not trained on."""
    import numpy as np
    import torch

    from turnsmith.eeg.files import FileName
    from turnsmith.eeg.gaze import VIEWING_DISTANCE_PX
    from turnsmith.eeg.model_file import load_model
    from turnsmith.eeg.simulate import simulate_data

    model, card = load_model(folder, device)
    if card.outputs != ("x_px", "y_px"):
        raise UserError(f"{folder}: only gaze positions can be deployed; this model gives {', '.join(card.outputs)}.")
    data = simulate_data(FileName("Position", "dots"), participants=2, windows=inputs // 2 + 8, seed=90_001)
    eeg, labels = np.asarray(data.eeg), np.asarray(data.labels)[:, 1:]
    if eeg.shape[1:] != (card.samples, len(card.channels)):
        raise UserError(
            f"{folder}: reads {card.samples} samples of {len(card.channels)} channels; simulated windows have "
            f"{eeg.shape[1]} of {eeg.shape[2]}."
        )
    scaled = torch.from_numpy(card.scaler(eeg)).to(device)
    chosen, calibration = scaled[8 : 8 + inputs], scaled[:8]
    spread = torch.tensor(card.target_spread, device=device)
    truth = torch.from_numpy(labels[8 : 8 + inputs]).to(device)
    mean = torch.tensor(card.target_mean, device=device)
    degree = float(np.tan(np.radians(1.0)) * VIEWING_DISTANCE_PX)

    class Pixels(torch.nn.Module):
        """The model with its outputs in pixels."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.model(x) * spread + mean

    return Deployable(
        f"{card.kind} in {folder}",
        Pixels(),
        chosen,
        within(degree),
        lambda output: {"error_px": float((output - truth).norm(dim=-1).mean())},
        calibration,
    )
