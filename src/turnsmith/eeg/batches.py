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
        keep_amplitudes: then give the channels their strengths back, relative to each other (`gain`): near the eyes
            amplitudes are large, and a squared error that follows them asks first for what the eyes do.
    """

    spread: np.ndarray
    clip: float = 6.0
    keep_amplitudes: bool = False

    @property
    def gain(self) -> np.ndarray:
        """Factor of each channel after cutting, root mean square 1, (channels,)."""
        if not self.keep_amplitudes:
            return np.ones(len(self.spread))
        return self.spread / np.sqrt((self.spread**2).mean())

    def __call__(self, eeg: np.ndarray) -> np.ndarray:
        """(windows, samples, channels) microvolts to (windows, channels, samples), float32, contiguous."""
        scaled = np.ascontiguousarray(eeg.transpose(0, 2, 1), np.float32)
        scaled /= self.spread[None, :, None].astype(np.float32)
        if self.clip:
            np.clip(scaled, -self.clip, self.clip, out=scaled)
        if self.keep_amplitudes:
            scaled *= self.gain[None, :, None].astype(np.float32)
        return scaled


def fit_scaler(
    eeg: np.ndarray, rows: np.ndarray, clip: float = 6.0, keep_amplitudes: bool = False, most: int = 512
) -> Scaler:
    """Robust spread of each channel over (at most so many of) these windows: 1.4826 x median absolute value."""
    chosen = rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(int)]
    spread = 1.4826 * np.median(np.abs(eeg[chosen, ::5]), axis=(0, 1))
    # A flat channel (the reference) has no spread of its own.
    return Scaler(np.maximum(spread, 0.1 * np.median(spread) + 1e-6), clip, keep_amplitudes)


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
        self.recordings, self.samples = recordings, samples
        self.places = np.array(
            [
                (number, start)
                for number, recording in enumerate(recordings)
                for start in range(0, len(recording) - samples + 1, stride)
            ]
        ).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """(rows, samples, channels), a copy."""
        return np.stack([self.recordings[number][start : start + self.samples] for number, start in self.places[rows]])


@dataclass(frozen=True, slots=True)
class Kept:
    """Signals that were scaled (and averaged) once and stay on the device: a batch is cut there, without the host.

    Attributes:
        signal: (samples, channels).
        starts: first sample of each window, (windows,).
        length: samples of a window.
    """

    signal: Tensor
    starts: Tensor
    length: int

    def __getitem__(self, rows: Tensor) -> Tensor:
        """(rows, channels, length)."""
        offsets = torch.arange(self.length, device=self.signal.device)
        return self.signal[self.starts[rows][:, None] + offsets].transpose(1, 2)


@dataclass(frozen=True, slots=True)
class Source:
    """Windows that can be drawn from.

    Attributes:
        eeg: microvolts, (windows, samples, channels); an array, a memory map, or crops of recordings.
        scaler: applied to every batch.
        targets: (windows, outputs), as the loss wants them; None for pretraining.
        device: where batches go.
        kept: the windows on the device, after `keep`; None reads and scales them batch by batch.
    """

    eeg: np.ndarray | Crops
    scaler: Scaler
    targets: np.ndarray | None = None
    device: str = "cpu"
    kept: Kept | None = None

    def keep(self, average: int = 1) -> "Source":
        """The same source with everything scaled once and kept on the device.

        Args:
            average: so many neighbouring samples become their mean, after scaling; divides a window's samples and (of
                crops) the stride.

        Raises:
            ValueError: if it does not.
        """
        if isinstance(self.eeg, Crops):
            pieces, places, samples = self.eeg.recordings, self.eeg.places, self.eeg.samples
        else:
            # Windows that do not overlap, one after the other.
            windows, samples, channels = self.eeg.shape
            pieces = [self.eeg[start : start + 64].reshape(-1, channels) for start in range(0, windows, 64)]
            places = np.stack([np.arange(windows) // 64, np.arange(windows) % 64 * samples], 1)
        if samples % average or (places[:, 1] % average).any():
            raise ValueError(f"windows of {samples} samples, or their stride, cannot be averaged by {average}")
        lengths = np.array([len(piece) // average for piece in pieces])
        signal = np.empty((lengths.sum(), len(self.scaler.spread)), np.float32)
        firsts = np.cumsum(lengths) - lengths
        for piece, first, length in zip(pieces, firsts, lengths, strict=True):
            whole = self.scaler(np.asarray(piece[None, : length * average]))[0].T
            signal[first : first + length] = whole.reshape(length, average, -1).mean(1)
        starts = torch.from_numpy(firsts[places[:, 0]] + places[:, 1] // average).to(self.device)
        return replace(self, kept=Kept(torch.from_numpy(signal).to(self.device), starts, samples // average))

    def batch(self, rows: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """Scaled windows (rows, channels, samples) and their targets."""
        if self.kept is not None:
            eeg = self.kept[torch.from_numpy(rows).to(self.device)]
        else:
            eeg = torch.from_numpy(self.scaler(np.asarray(self.eeg[rows]))).to(self.device)
        targets = None if self.targets is None else torch.from_numpy(self.targets[rows].astype(np.float32))
        return eeg, None if targets is None else targets.to(self.device)


def steps_an_epoch(rows: int, batch: int) -> int:
    """How many batches hold all rows once; the last one may be smaller."""
    return -(-rows // batch)


def orders(
    rows: np.ndarray, batch: int, seed: int, first: int, last: int, shuffle: bool
) -> Generator[np.ndarray, None, None]:
    """The rows of steps first..last-1; an epoch's order is drawn once, for there may be very many rows."""
    an_epoch, drawn, order = steps_an_epoch(len(rows), batch), -1, rows
    for step in range(first, last):
        epoch, index = divmod(step, an_epoch)
        if shuffle and epoch != drawn:
            drawn, order = epoch, np.random.default_rng([seed, epoch]).permutation(rows)
        yield order[index * batch : (index + 1) * batch]


def stream(
    source: Source, rows: np.ndarray, batch: int, seed: int, first: int, last: int, shuffle: bool = True
) -> Generator[tuple[int, Tensor, Tensor | None], None, None]:
    """(step, windows, targets) for steps first..last-1, read one ahead by a thread where they are not kept."""
    chosen_rows = orders(rows, batch, seed, first, last, shuffle)
    if source.kept is not None:
        for step, chosen in zip(range(first, last), chosen_rows, strict=True):
            yield (step, *source.batch(chosen))
        return
    ready: queue.Queue = queue.Queue(maxsize=2)
    stop = threading.Event()

    def read() -> None:
        try:
            for step, chosen in zip(range(first, last), chosen_rows, strict=True):
                item = (step, *source.batch(chosen))
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
