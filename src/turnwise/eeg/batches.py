"""From windows on disk or in memory to scaled batches on the device, one batch ahead of the model.

Notable: the order is a function of (seed, epoch) alone, so a run that resumes at step N sees the batches that it would
have seen; a thread reads, scales and turns the next batch while the model works on this one.
"""

import queue
import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Scaler:
    """Microvolts to what the model reads: each channel by its spread, extremes cut.

    Attributes:
        spread: microvolts per unit, (channels,).
        clip: largest magnitude afterwards; 0 cuts nothing.
    """

    spread: np.ndarray
    clip: float = 6.0

    def __call__(self, eeg: np.ndarray) -> np.ndarray:
        """(windows, samples, channels) microvolts to (windows, channels, samples), float32, contiguous."""
        scaled = np.ascontiguousarray(eeg.transpose(0, 2, 1), np.float32)
        scaled /= self.spread[None, :, None].astype(np.float32)
        return np.clip(scaled, -self.clip, self.clip, out=scaled) if self.clip else scaled


def fit_scaler(eeg: np.ndarray, rows: np.ndarray, clip: float = 6.0, most: int = 512) -> Scaler:
    """Robust spread of each channel over (at most so many of) these windows: 1.4826 x median absolute value."""
    chosen = rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(int)]
    spread = 1.4826 * np.median(np.abs(eeg[chosen, ::5]), axis=(0, 1))
    # A flat channel (the reference) has no spread of its own.
    return Scaler(np.maximum(spread, 0.1 * np.median(spread) + 1e-6), clip)


def no_scaling(channels: int) -> Scaler:
    """Microvolts as they are: what the released code feeds."""
    return Scaler(np.ones(channels), 0.0)


class Crops:
    """Windows cut from whole recordings when they are asked for; indexed by rows as an array of windows is.

    Args:
        recordings: microvolts, (samples, channels) each, of equal channels.
        samples: of a window.
        stride: samples between the starts of neighbouring windows.
    """

    def __init__(self, recordings: Sequence[np.ndarray], samples: int, stride: int) -> None:
        # Channels first: a window's copy is then long runs of memory, already as the scaler wants it.
        self._recordings = [np.ascontiguousarray(recording.T) for recording in recordings]
        self._places = [
            (number, start)
            for number, recording in enumerate(recordings)
            for start in range(0, len(recording) - samples + 1, stride)
        ]
        self._samples = samples

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """(rows, samples, channels), a copy."""
        places = [self._places[row] for row in rows]
        pieces = [self._recordings[number][:, start : start + self._samples] for number, start in places]
        return np.stack(pieces).transpose(0, 2, 1)


@dataclass(frozen=True, slots=True)
class Source:
    """Windows that can be drawn from.

    Attributes:
        eeg: microvolts, (windows, samples, channels); an array, a memory map, or crops of recordings.
        scaler: applied to every batch.
        targets: (windows, outputs), as the loss wants them; None for pretraining.
        device: where batches go.
        ready: all windows as batches want them, (windows, channels, samples), where they were scaled ahead.
    """

    eeg: np.ndarray | Crops
    scaler: Scaler
    targets: np.ndarray | None = None
    device: str = "cpu"
    ready: Tensor | None = None

    def scaled_ahead(self, piece: int = 256) -> "Source":
        """The same source with every window scaled once, for data that are small and read often."""
        parts = np.array_split(np.arange(len(self.eeg)), max(1, len(self.eeg) // piece))
        pieces = [self.scaler(np.asarray(self.eeg[rows])) for rows in parts]
        return replace(self, ready=torch.from_numpy(np.concatenate(pieces)))

    def batch(self, rows: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """Scaled windows (rows, channels, samples) and their targets."""
        if self.ready is not None:
            eeg = self.ready[torch.from_numpy(rows)]
        else:
            eeg = torch.from_numpy(self.scaler(np.asarray(self.eeg[rows])))
        targets = None if self.targets is None else torch.from_numpy(self.targets[rows].astype(np.float32))
        return eeg.to(self.device), None if targets is None else targets.to(self.device)


def steps_an_epoch(rows: int, batch: int) -> int:
    """How many batches hold all rows once; the last one may be smaller."""
    return -(-rows // batch)


def rows_of_step(rows: np.ndarray, batch: int, seed: int, step: int, shuffle: bool = True) -> np.ndarray:
    """The rows of batch `step`, counted from 0 over all epochs."""
    epoch, index = divmod(step, steps_an_epoch(len(rows), batch))
    order = np.random.default_rng([seed, epoch]).permutation(rows) if shuffle else rows
    return order[index * batch : (index + 1) * batch]


def stream(
    source: Source, rows: np.ndarray, batch: int, seed: int, first: int, last: int, shuffle: bool = True
) -> Generator[tuple[int, Tensor, Tensor | None], None, None]:
    """(step, windows, targets) for steps first..last-1, each read one ahead by a thread."""
    ready: queue.Queue = queue.Queue(maxsize=2)
    stop = threading.Event()

    def read() -> None:
        try:
            for step in range(first, last):
                item = (step, *source.batch(rows_of_step(rows, batch, seed, step, shuffle)))
                while not stop.is_set():
                    try:
                        ready.put(item, timeout=0.2)
                        break
                    except queue.Full:
                        continue
                if stop.is_set():
                    return
            ready.put(None)
        except Exception as error:  # handed to the reader of the stream
            ready.put(error)

    thread = threading.Thread(target=read, name="batches", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        stop.set()
        thread.join(timeout=5)
