"""Gaze from a recording with a trained model: a row for each moment, and a picture.

The recording must be what the model was trained on: its channels, its sampling rate, microvolts. What does not fit is
refused with the fix, never guessed.
"""

import csv
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from turnsmith.eeg.batches import Source
from turnsmith.eeg.fit import outputs
from turnsmith.eeg.model_file import Card, load_model
from turnsmith.eeg.recordings import Signal, check_units, filtered, read_recording, resampled, windows
from turnsmith.errors import UserError

# Names that mean the HydroCel net's reference.
_ALIASES = {"e129": "cz", "vref": "cz", "129": "cz"}


@dataclass(frozen=True, slots=True)
class GazeEstimates:
    """Predictions along a recording.

    Attributes:
        start_s: where each window begins, (windows,).
        values: predictions in the units of `outputs`, (windows, outputs).
        outputs: their names.
        window_s: length of a window.
    """

    start_s: np.ndarray
    values: np.ndarray
    outputs: tuple[str, ...]
    window_s: float


def predict_recording(
    model_folder: str | Path,
    recording: str | Path,
    step_s: float = 0.1,
    resample: bool = False,
    scale: float = 1.0,
    device: str = "cpu",
) -> GazeEstimates:
    """Predict for windows that begin every `step_s` seconds.

    Args:
        model_folder: made by `turnsmith run eeg_mae`.
        recording: any format that MNE reads.
        step_s: seconds between windows.
        resample: allow another sampling rate and convert it.
        scale: factor on the amplitudes, for files whose units are not what they say.
        device: where the model runs.

    Raises:
        UserError: if the recording does not fit the model.
    """
    model, card = load_model(model_folder, device)
    signal = fitting_signal(read_recording_scaled(recording, scale), card, resample)
    last = len(signal.values) / signal.rate - card.samples / card.rate
    if last < 0:
        raise UserError(
            f"{recording}: is {len(signal.values) / signal.rate:.2f} s long; the model reads windows of "
            f"{card.samples / card.rate:.2f} s."
        )
    starts = np.arange(0, last + 1e-9, step_s)
    eeg, kept = windows(signal, starts, card.samples)
    source = Source(eeg, card.scaler, device=device)
    with torch.no_grad():
        raw = outputs(model, source, np.arange(len(eeg)))
    return GazeEstimates(starts[kept], card.predictions(raw), card.outputs, card.samples / card.rate)


def read_recording_scaled(path: str | Path, scale: float) -> Signal:
    """Read a recording whose amplitudes are to be multiplied by `scale` before they are judged."""
    if scale == 1.0:
        return read_recording(path)
    signal = read_recording(path, judge_units=False)
    signal = replace(signal, values=signal.values * scale)
    check_units(signal, str(path))
    return signal


def fitting_signal(signal: Signal, card: Card, resample: bool = False) -> Signal:
    """The recording as the model wants it: its channels in its order, average reference, its band, its rate.

    Raises:
        UserError: if channels are missing, or the sampling rate differs and `resample` is off.
    """
    where = signal.name or "the recording"
    order = _channel_order(signal.channels, card, where)
    if signal.rate != card.rate and not resample:
        raise UserError(
            f"{where}: sampled at {signal.rate:g} Hz; the model was trained at {card.rate:g} Hz. Add --resample to "
            "convert it."
        )
    values = signal.values[:, order]
    values = values - values.mean(1, keepdims=True)
    fitted = Signal(values, signal.rate, card.channels, signal.marks, signal.name)
    return resampled(filtered(fitted, *card.band_hz), card.rate)


def _channel_order(channels: tuple[str, ...], card: Card, where: str) -> list[int]:
    def key(name: str) -> str:
        return _ALIASES.get(name.lower(), name.lower())

    have = {key(name): index for index, name in enumerate(channels)}
    missing = [name for name in card.channels if key(name) not in have]
    if missing:
        shown = ", ".join(missing[:4]) + (" …" if len(missing) > 4 else "")
        raise UserError(
            f"{where}: has {len(channels)} channels, the model reads {len(card.channels)}; missing: {shown}. Use a "
            "recording of the same montage, rename the channels, or train a model on yours (docs/eeg.md)."
        )
    return [have[key(name)] for name in card.channels]


def write_csv(path: str | Path, estimates: GazeEstimates) -> Path:
    """Columns start_s, end_s and the outputs; a row a window."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["start_s", "end_s", *estimates.outputs])
        for start, row in zip(estimates.start_s, estimates.values, strict=True):
            writer.writerow([f"{start:.3f}", f"{start + estimates.window_s:.3f}", *(f"{value:.2f}" for value in row)])
    return path
