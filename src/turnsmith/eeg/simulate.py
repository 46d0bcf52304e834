"""EEG with known gaze, from physics: recordings that EEGEyeNet's preparation can cut, for as many people as wanted.

Each eye is a dipole along the line of sight (the cornea is positive), so potentials turn with gaze. Lids, blinks and
the eye muscles' spike potential add to them; cortex gives 1/f background, alpha bursts and a response to each new
fixation; muscles, mains, sweat, popping electrodes and bad channels spoil it. People differ in eye places and strength,
in how the cap sits, in noise and in habits of looking. After band-pass 0.5 to 40 Hz the absolute gaze is only in the
echo of the last jumps, as in the real data.

Notable: nothing here is fitted to EEGEyeNet; strengths are textbook figures, fixed before any model was trained.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import hilbert

from turnsmith.eeg import files, gaze
from turnsmith.eeg.anatomy import HYDROCEL, Anatomy, make_anatomy, montage
from turnsmith.eeg.files import SAMPLING_RATE, FileName, GazeData
from turnsmith.eeg.gaze import Track
from turnsmith.eeg.prepare import cut

BAND_HZ = (0.5, 40.0)

# data set -> script steps to draw for each wanted window (not every one yields a window)
_STEPS = {"dots": 1.35, "antisaccade": 1.4, "processing_speed": 1.3}


@dataclass(frozen=True, slots=True)
class Noise:
    """Strength of what spoils the signal, as root mean squares in microvolts before filtering unless said otherwise.

    Attributes:
        background: 1/f activity of the cortex.
        alpha: occipital 8 to 12 Hz while it bursts.
        sensor: white noise of each channel.
        muscle: bursts of 20 Hz and more at the rim of the cap.
        mains: 50 Hz.
        drift: slow drifts of each channel's skin contact, per root second.
        pops: sudden offsets of single channels, events per channel and minute.
        bad_channels: mean number of channels that are noise throughout.
        repaired: share of bad channels that the preparation notices and interpolates.
    """

    background: float = 14.0
    alpha: float = 10.0
    sensor: float = 2.0
    muscle: float = 6.0
    mains: float = 5.0
    drift: float = 12.0
    pops: float = 0.5
    bad_channels: float = 5.0
    repaired: float = 0.7


@dataclass(frozen=True, slots=True)
class Recording:
    """One simulated participant's recording.

    Attributes:
        signal: microvolts after filtering and repair, (samples, channels), float32, 500 Hz.
        track: what the eyes did.
        anatomy: the head that was drawn.
    """

    signal: np.ndarray
    track: Track
    anatomy: Anatomy


def simulate(
    name: FileName, participants: int = 27, windows: int = 60, seed: int = 0, noise: Noise | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Windows of one task as `files.write` takes them: (EEG, labels) of each participant, numbered from 1.

    Args:
        name: the task and data set; "max" removes the eyes as an ideal ICA would.
        participants: how many people; the first ones do not change when more are asked for.
        windows: the most windows a participant.
        seed: of everything.
        noise: strengths; the default is a fair laboratory.
    """
    for number in range(1, participants + 1):
        _, eeg, labels = participant(name, number, windows, seed, noise)
        yield eeg, labels


def participant(
    name: FileName, number: int, windows: int = 60, seed: int = 0, noise: Noise | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One participant: the whole recording (samples, channels), and the windows and labels that are cut from it."""
    electrodes = np.stack(list(montage(HYDROCEL).values()))
    rng = np.random.default_rng([seed, number])
    recording = record(name.dataset, electrodes, rng, round(windows * _STEPS[name.dataset]) + 5, noise)
    signal = remove_eyes(recording) if name.cleaning == "max" else recording.signal
    if name.hilbert:
        signal = hilbert_features(signal)
    eeg, labels = cut(signal, recording.track.events, name, number)
    return signal, eeg[:windows], labels[:windows]


def simulate_data(
    name: FileName, participants: int = 27, windows: int = 60, seed: int = 0, noise: Noise | None = None
) -> GazeData:
    """The same as `GazeData` in memory, float32."""
    eeg, labels = zip(*simulate(name, participants, windows, seed, noise), strict=True)
    return GazeData(name, np.concatenate(eeg), np.concatenate(labels))


def simulate_into(
    folder: Path,
    name: FileName,
    numbers: Sequence[int],
    windows: int,
    seed: int,
    whole: Collection[int] = (),
    processes: int = 1,
) -> None:
    """Write participants into FOLDER: NUMBER-eeg.npy, NUMBER-labels.npy and, of some, NUMBER-signal.npy.

    Args:
        folder: exists.
        name: the task and data set.
        numbers: which participants; the same number is the same person, whoever else is asked for.
        windows: the most windows a participant.
        seed: of everything.
        whole: whose whole recordings, (samples, channels), are wanted.
        processes: how many work at once; the result does not depend on it.
    """
    jobs = [(folder, name, number, windows, seed, number in whole) for number in numbers]
    if processes <= 1 or len(jobs) == 1:
        for job in jobs:
            _write_participant(*job)
        return
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for done in [pool.submit(_write_participant, *job) for job in jobs]:
            done.result()


def _write_participant(folder: Path, name: FileName, number: int, windows: int, seed: int, whole: bool) -> None:
    signal, eeg, labels = participant(name, number, windows, seed)
    np.save(folder / f"{number}-eeg.npy", eeg)
    np.save(folder / f"{number}-labels.npy", labels)
    if whole:
        np.save(folder / f"{number}-signal.npy", signal)


def simulate_file(
    folder: Path, name: FileName, participants: int = 27, windows: int = 60, seed: int = 0, dtype: str = "float64"
) -> Path:
    """Write FOLDER/NAME.npz, of the originals' type unless `dtype` says float32."""
    return files.write(folder / str(name), simulate(name, participants, windows, seed), dtype)


def record(
    dataset: str, electrodes_m: np.ndarray, rng: np.random.Generator, steps: int, noise: Noise | None = None
) -> Recording:
    """Simulate one participant looking at one experiment.

    Args:
        dataset: "dots", "antisaccade" or "processing_speed".
        electrodes_m: the montage, (channels, 3), metres.
        rng: the participant.
        steps: how many dots, trials or symbols.
        noise: strengths.
    """
    noise = noise or Noise()
    anatomy = make_anatomy(electrodes_m, rng)
    track = gaze.SCRIPTS[dataset](rng, steps)
    samples = len(track.gaze_px)
    # Sources are gathered first and reach the channels in one product: an hour of EEG is a gigabyte, and every further
    # array of that size costs more than the arithmetic.
    sources = [_eyes(track, anatomy), _background(samples, anatomy, noise, rng), _lambda_waves(track, anatomy, rng)]
    signal = _electrodes(samples, anatomy, noise, rng)
    sources += [_muscles(samples, anatomy, noise, rng), _mains(samples, anatomy, noise, rng)]
    courses, fields = (np.concatenate(parts, 1) for parts in zip(*sources, strict=True))
    for start in range(0, samples, _PIECE):
        signal[start : start + _PIECE] += courses[start : start + _PIECE] @ fields.T
    signal = band_pass(signal, *BAND_HZ, SAMPLING_RATE)
    return Recording(_bad_channels(signal, anatomy, noise, rng), track, anatomy)


_PIECE = 8192
"""Samples that are worked on at a time."""

Sources = tuple[np.ndarray, np.ndarray]
"""Courses (samples, sources) and their fields at the channels (channels, sources)."""


def eye_potentials(track: Track, anatomy: Anatomy) -> np.ndarray:
    """Corneo-retinal potential, lids and spike potentials, microvolts, (samples, channels), unfiltered."""
    courses, fields = _eyes(track, anatomy)
    return courses @ fields.T


def _eyes(track: Track, anatomy: Anatomy) -> Sources:
    azimuth, elevation = np.radians(gaze.degrees(track.gaze_px)).T
    sight = np.stack([np.sin(azimuth) * np.cos(elevation), np.cos(azimuth) * np.cos(elevation), np.sin(elevation)], 1)
    # The upper lid follows the eye downwards more than upwards: a vertical signal that is not linear in gaze.
    follow = np.where(elevation < 0, 1.2, 0.5) * elevation
    spikes = np.zeros(len(sight))
    pulse = np.diff(np.exp(-(np.linspace(-2.5, 2.5, 13) ** 2)))
    for start, _, amplitude in track.saccades:
        begin = int(start) - 3
        if begin >= 0 and begin + len(pulse) < len(spikes):
            spikes[begin : begin + len(pulse)] += pulse * np.sqrt(amplitude)
    courses = np.column_stack([sight - [0.0, 1.0, 0.0], track.lid - follow, spikes])
    return courses, np.column_stack([anatomy.eyes, anatomy.lids, anatomy.spike])


def _background(samples: int, anatomy: Anatomy, noise: Noise, rng: np.random.Generator) -> Sources:
    slopes = rng.uniform(0.8, 1.4, anatomy.brain.shape[1])
    brain = np.stack([_coloured(samples, rng, lambda f, s=slope: f ** (-s / 2)) for slope in slopes], 1)
    peak = rng.uniform(9, 11)
    alpha = np.stack(
        [_coloured(samples, rng, lambda f: np.exp(-((f - peak) ** 2) / 0.8)) for _ in range(anatomy.alpha.shape[1])], 1
    )
    alpha *= np.exp(0.8 * _coloured(samples, rng, lambda f: np.exp(-f / 0.3)))[:, None]
    scales = [noise.background / _rms(brain, anatomy.brain), noise.alpha / 3 / _rms(alpha, anatomy.alpha)]
    fields = np.concatenate([anatomy.brain * scales[0], anatomy.alpha * scales[1]], 1)
    return np.concatenate([brain, alpha], 1), fields


def _lambda_waves(track: Track, anatomy: Anatomy, rng: np.random.Generator) -> Sources:
    samples = len(track.gaze_px)
    wave = np.zeros(samples)
    time = np.arange(150) / SAMPLING_RATE
    shape = np.exp(-(((time - 0.1) / 0.025) ** 2)) - 0.6 * np.exp(-(((time - 0.18) / 0.04) ** 2))
    for _, end, amplitude in track.saccades:
        begin = int(end)
        length = min(150, samples - begin)
        wave[begin : begin + length] += shape[:length] * min(1.0, amplitude / 8) * rng.normal(6, 1.5)
    return wave[:, None], anatomy.lambda_wave[:, None]


def _electrodes(samples: int, anatomy: Anatomy, noise: Noise, rng: np.random.Generator) -> np.ndarray:
    """What each channel adds on its own: sensor noise, drifts, pops; (samples, channels)."""
    channels = len(anatomy.positions)
    signal = np.empty((samples, channels))
    pieces = [slice(start, min(start + _PIECE, samples)) for start in range(0, samples, _PIECE)]
    for piece in pieces:
        signal[piece] = rng.normal(0, noise.sensor, (piece.stop - piece.start, channels))
    skin = np.exp(rng.normal(0, 0.5, channels))
    at = np.zeros(channels)
    for piece in pieces:
        walk = rng.normal(0, noise.drift / np.sqrt(SAMPLING_RATE), (piece.stop - piece.start, channels))
        walk[0] += at
        np.cumsum(walk, 0, out=walk)
        at = walk[-1].copy()
        signal[piece] += walk * skin

    minutes = samples / SAMPLING_RATE / 60
    for _ in range(rng.poisson(noise.pops * minutes * channels)):
        start, channel = int(rng.integers(samples)), int(rng.integers(channels))
        length = min(samples - start, int(SAMPLING_RATE * 3))
        decay = np.exp(-np.arange(length) / SAMPLING_RATE / rng.uniform(0.1, 0.8))
        signal[start : start + length, channel] += rng.choice([-1, 1]) * rng.lognormal(4.2, 0.7) * decay
    return signal


def _muscles(samples: int, anatomy: Anatomy, noise: Noise, rng: np.random.Generator) -> Sources:
    rim = np.flatnonzero(anatomy.positions[:, 2] < np.quantile(anatomy.positions[:, 2], 0.35))
    courses, fields = [], []
    for centre in rng.choice(rim, 6, replace=False):
        distance = np.linalg.norm(anatomy.positions - anatomy.positions[centre], axis=1)
        activity = _coloured(samples, rng, lambda f: (f > 15) * np.exp(-f / 120))
        courses.append(activity * np.exp(0.9 * _coloured(samples, rng, lambda f: np.exp(-f / 0.5))))
        fields.append(noise.muscle * np.exp(-((distance / 0.03) ** 2)))
    return np.stack(courses, 1), np.stack(fields, 1)


def _mains(samples: int, anatomy: Anatomy, noise: Noise, rng: np.random.Generator) -> Sources:
    phase = 2 * np.pi * (50 * np.arange(samples) / SAMPLING_RATE + rng.uniform())
    strength = noise.mains * 2**0.5 * (1 + 0.3 * rng.normal(size=len(anatomy.positions)))
    return np.sin(phase)[:, None], strength[:, None]


def _bad_channels(signal: np.ndarray, anatomy: Anatomy, noise: Noise, rng: np.random.Generator) -> np.ndarray:
    """Some channels are noise; those that the preparation notices become the mean of their neighbours."""
    samples, channels = signal.shape
    bad = rng.choice(channels, min(channels // 4, rng.poisson(noise.bad_channels)), replace=False)
    for channel in bad:
        loud = _coloured(samples, rng, lambda f: np.maximum(f, 0.5) ** -0.7 * (f < 40))
        signal[:, channel] = rng.uniform(0, 0.3) * signal[:, channel] + rng.lognormal(4.0, 0.5) * loud
    distance = np.linalg.norm(anatomy.positions[:, None] - anatomy.positions[None], axis=2)
    distance[:, bad] = np.inf
    for channel in bad:
        if rng.random() < noise.repaired:
            near = np.argsort(distance[channel])[:4]
            weight = 1 / distance[channel, near] ** 2
            signal[:, channel] = signal[:, near] @ (weight / weight.sum())
    return (signal - signal.mean(1, keepdims=True)).astype(np.float32)


def remove_eyes(recording: Recording) -> np.ndarray:
    """What "max" cleaning leaves when it works: the signal without the eyes', lids' and spikes' topographies."""
    ocular = np.column_stack([recording.anatomy.eyes, recording.anatomy.lids, recording.anatomy.spike])
    basis, _ = np.linalg.qr(ocular)
    return (recording.signal - recording.signal @ basis @ basis.T).astype(np.float32)


def hilbert_features(signal: np.ndarray) -> np.ndarray:
    """Phase and amplitude of each channel's analytic signal, (samples, 2 channels), as the Hilbert files hold them."""
    analytic = np.asarray(hilbert(signal, axis=0))
    return np.concatenate([np.angle(analytic), np.abs(analytic)], 1).astype(np.float32)


def band_pass(signal: np.ndarray, low_hz: float, high_hz: float, rate_hz: float) -> np.ndarray:
    """Zero-phase band-pass along axis 0: squared magnitude of a fourth-order Butterworth, ends reflected."""
    pad = min(len(signal) - 1, int(4 * rate_hz / max(low_hz, 0.1)))
    after = min(len(signal) - 1, _fast_length(len(signal) + 2 * pad) - len(signal) - pad)
    length = len(signal) + pad + after
    frequency = np.fft.rfftfreq(length, 1 / rate_hz)
    gain = 1 / (1 + (frequency / high_hz) ** 8)
    if low_hz > 0:
        gain *= 1 - 1 / (1 + (frequency / low_hz) ** 4)
    result = np.empty(signal.shape)
    for first in range(0, signal.shape[1], 4):  # a few channels at a time, each a run of memory
        some = np.ascontiguousarray(signal[:, first : first + 4].T)
        padded = np.pad(some, ((0, 0), (pad, after)), mode="reflect", reflect_type="odd")
        made = np.asarray(irfft(np.asarray(rfft(padded)) * gain, length))
        result[:, first : first + 4] = made[:, pad : pad + len(signal)].T
    return result


def _fast_length(samples: int) -> int:
    """The next length that the Fourier transform is fast at."""
    return int(next_fast_len(samples, real=True) or samples)


def _coloured(samples: int, rng: np.random.Generator, spectrum: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Gaussian noise of unit variance whose amplitude spectrum (as a function of Hz) is given, (samples,)."""
    length = _fast_length(samples)
    frequency = np.fft.rfftfreq(length, 1 / SAMPLING_RATE)
    shape = spectrum(np.maximum(frequency, frequency[1]))
    shape[0] = 0
    made = np.asarray(irfft(np.asarray(rfft(rng.normal(size=length))) * shape, length))[:samples]
    return made / made.std()


def _rms(courses: np.ndarray, fields: np.ndarray) -> float:
    """Root mean square over samples and channels of what the sources give together."""
    power = ((courses.T @ courses) * (fields.T @ fields)).sum()
    return float(np.sqrt(power / len(courses) / len(fields)))
