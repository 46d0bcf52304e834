"""Does masked pretraining help on real EEG? Cue side and EOG proxy, each run left out in turn, three starts compared.

The starts: random; a masked autoencoder trained on the other runs' continuous EEG (no labels); one trained on simulated
recordings of the same montage. All three are then trained alike on the labels of the other runs. The six temple
channels that make the EOG proxy are hidden from every model.

Notable: 45 labelled trials of one person. Nothing is selected on held-out runs: the number of steps is fixed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from turnsmith.eeg import proxy
from turnsmith.eeg.anatomy import montage
from turnsmith.eeg.batches import Source, fit_scaler
from turnsmith.eeg.cue import MARKS
from turnsmith.eeg.files import SAMPLING_RATE
from turnsmith.eeg.fit import fit_windows, outputs, pretraining_loss, supervised
from turnsmith.eeg.mae import FixedMae
from turnsmith.eeg.metrics import r_squared
from turnsmith.eeg.recordings import LEFT_RIGHT_RUNS, Signal, filtered, read_recording, resampled, run_number, windows
from turnsmith.eeg.settings import TransferSettings
from turnsmith.eeg.simulate import record
from turnsmith.eeg.vit import EEGViT
from turnsmith.errors import UserError

STARTS = ("scratch", "mae_real", "mae_simulated")
BAND_HZ = (0.5, 40.0)


@dataclass(frozen=True, slots=True)
class _Run:
    """One run as the models see it: channels without the proxy's, filtered, and the proxy itself."""

    signal: Signal
    proxy: np.ndarray
    marks: tuple[tuple[float, int], ...]


def real_transfer(
    signals: Mapping[str, Signal],
    labelled: Sequence[str],
    settings: TransferSettings,
    seed: int,
    folder: Path,
    device: str = "cpu",
) -> dict[str, Any]:
    """Accuracy of cue side and R^2 of the proxy for each start, each labelled run held out in turn.

    Args:
        signals: run -> recording; those that are not in `labelled` serve pretraining only.
        labelled: the left/right runs.
        settings: sizes and schedules.
        seed: of weights, order and masks.
        folder: of checkpoints.
        device: where models run.

    Returns:
        {"cue": {start: {run: [right, trials]}}, "proxy": {start: {run: R^2}}, "seconds": {start: pretraining seconds}}.
    """
    runs = {name: _prepare(signal) for name, signal in signals.items()}
    starts = [start for start in STARTS if start != "mae_simulated" or settings.people]
    result: dict[str, Any] = {"cue": {s: {} for s in starts}, "proxy": {s: {} for s in starts}}
    result["seconds"] = dict.fromkeys(starts, 0.0)
    simulated = None
    if "mae_simulated" in starts:
        simulated, seconds = _pretrain_on_simulation(
            runs[labelled[0]].signal, settings, seed, folder / "simulated", device
        )
        result["seconds"]["mae_simulated"] = seconds
    for held in labelled:
        others = {name: run for name, run in runs.items() if name != held}
        for start in starts:
            encoder = _encoder(runs[held].signal, settings, 1, seed)
            if start == "mae_real":
                eeg = np.concatenate([_cut(run.signal, settings)[0] for run in others.values()])
                seconds = _pretrain(encoder, eeg, settings, seed, folder / held / "pretrain", device)
                result["seconds"][start] += seconds
            elif simulated is not None and start == "mae_simulated":
                encoder.load_state_dict(simulated)
            begin = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
            place = folder / held / start
            train = [run for name, run in others.items() if name in labelled]
            result["cue"][start][held] = _cue(encoder, train, runs[held], settings, seed, place / "cue", device)
            encoder.load_state_dict(begin)
            result["proxy"][start][held] = _proxy(encoder, train, runs[held], settings, seed, place / "proxy", device)
    return result


def transfer_folder(
    recordings: Mapping[str, Path], settings: TransferSettings, seed: int, folder: Path, device: str = "cpu"
) -> dict[str, Any]:
    """`real_transfer` of EEGMMIDB runs on disk, and each start's means over the held-out runs.

    Args:
        recordings: run -> file; the runs with left and right targets are the labelled ones.
        settings: sizes and schedules.
        seed: of weights, order and masks.
        folder: of checkpoints.
        device: where models run.

    Raises:
        UserError: if fewer than two left/right runs are there.
    """
    labelled = [name for name in recordings if run_number(name) in LEFT_RIGHT_RUNS]
    if len(labelled) < 2:
        raise UserError(
            f"leaving one run out needs two runs with left and right targets (R03, R04, R07, R08, R11 or R12); the "
            f"folder holds {len(labelled)}."
        )
    signals = {name: read_recording(path) for name, path in recordings.items()}
    result = real_transfer(signals, labelled, settings, seed, folder, device)
    for start, runs in result["cue"].items():
        right, trials = np.array(list(runs.values())).sum(0)
        result[f"cue_accuracy_{start}"] = float(right / trials)
        result[f"proxy_r2_{start}"] = float(np.mean(list(result["proxy"][start].values())))
    return result


def _prepare(signal: Signal) -> _Run:
    target, _, others = proxy.split_channels(filtered(signal, *proxy.BAND_HZ))
    clean = filtered(signal, *BAND_HZ).values[:, others]
    names = tuple(signal.channels[index] for index in others)
    marks = tuple((onset, MARKS.index(text)) for onset, text in signal.marks if text in MARKS)
    return _Run(Signal(clean, signal.rate, names, signal.marks, signal.name), target[:, 0], marks)


def _encoder(signal: Signal, settings: TransferSettings, n_outputs: int, seed: int) -> EEGViT:
    torch.manual_seed(seed)
    return EEGViT(
        len(signal.channels),
        round(settings.window_s * signal.rate),
        n_outputs,
        filters=settings.filters,
        width=settings.width,
        depth=settings.depth,
        heads=settings.heads,
        mlp=2 * settings.width,
        patch_chans=settings.patch_chans or len(signal.channels),
        kernel=settings.kernel,
        head=settings.width,
        pool="tokens",
        place_prior=True,
    )


def _cut(signal: Signal, settings: TransferSettings) -> tuple[np.ndarray, np.ndarray]:
    """Windows of continuous EEG and where they start, seconds."""
    starts = np.arange(0, len(signal.values) / signal.rate - settings.window_s, settings.stride_s)
    eeg, kept = windows(signal, starts, round(settings.window_s * signal.rate))
    return eeg.astype(np.float32), starts[kept]


def _pretrain(
    encoder: EEGViT, eeg: np.ndarray, settings: TransferSettings, seed: int, folder: Path, device: str
) -> float:
    rows = np.arange(len(eeg))
    mae = FixedMae(encoder, settings.ratio, width=settings.width, depth=1, heads=settings.heads).to(device)
    source = Source(eeg, fit_scaler(eeg, rows, keep_amplitudes=True), device=device).keep()
    return fit_windows(mae, pretraining_loss, source, rows, settings.pretrain, seed, folder).seconds


def _pretrain_on_simulation(
    like: Signal, settings: TransferSettings, seed: int, folder: Path, device: str
) -> tuple[dict[str, torch.Tensor], float]:
    """Weights of an encoder pretrained on simulated people who wear the recording's montage."""
    electrodes = np.stack(list(montage("colin27_1005", like.channels).values()))
    pieces = []
    for person in range(settings.people):
        made = record("dots", electrodes, np.random.default_rng([seed, 1000 + person]), settings.dots)
        signal = resampled(Signal(made.signal.astype(np.float64), SAMPLING_RATE, like.channels), like.rate)
        pieces.append(_cut(signal, settings)[0])
    encoder = _encoder(like, settings, 1, seed)
    seconds = _pretrain(encoder, np.concatenate(pieces), settings, seed, folder, device)
    return encoder.state_dict(), seconds


def _cue(
    encoder: EEGViT, train: Sequence[_Run], held: _Run, settings: TransferSettings, seed: int, folder: Path, device: str
) -> list[int]:
    """[trials decoded right, trials] of the held-out run."""
    samples = round(settings.window_s * held.signal.rate)
    shifts = settings.jitter_s * np.linspace(-1, 1, 11) if settings.jitter_s else np.zeros(1)
    pieces, labels = [], []
    for run in train:
        for shift in shifts:
            eeg, kept = windows(run.signal, [onset + shift for onset, _ in run.marks], samples)
            pieces.append(eeg)
            labels.append(np.array([label for _, label in run.marks])[kept])
    eeg, targets = np.concatenate(pieces).astype(np.float32), np.concatenate(labels)[:, None].astype(np.float64)
    rows = np.arange(len(eeg))
    source = Source(eeg, fit_scaler(eeg, rows, keep_amplitudes=True), targets, device)
    model = encoder.to(device)
    fit_windows(
        model, supervised(functional.binary_cross_entropy_with_logits), source, rows, settings.cue, seed, folder
    )
    test, kept = windows(held.signal, [onset for onset, _ in held.marks], samples)
    truth = np.array([label for _, label in held.marks])[kept]
    score = outputs(model, Source(test, source.scaler, device=device), np.arange(len(test)))[:, 0]
    return [int(((score > 0) == (truth == 1)).sum()), len(truth)]


def _proxy(
    encoder: EEGViT, train: Sequence[_Run], held: _Run, settings: TransferSettings, seed: int, folder: Path, device: str
) -> float:
    """R^2 of the proxy in the middle tenth of a second of each window of the held-out run."""
    pieces, targets = [], []
    for run in train:
        eeg, starts = _cut(run.signal, settings)
        few = max(1, round(settings.label_fraction * len(eeg)))
        pieces.append(eeg[:few])
        targets.append(_middle(run, starts[:few], settings))
    eeg, wanted = np.concatenate(pieces), np.concatenate(targets)[:, None]
    mean, spread = wanted.mean(), wanted.std()
    rows = np.arange(len(eeg))
    source = Source(eeg, fit_scaler(eeg, rows, keep_amplitudes=True), (wanted - mean) / spread, device)
    model = encoder.to(device)
    fit_windows(model, supervised(functional.mse_loss), source, rows, settings.proxy, seed, folder)
    test, starts = _cut(held.signal, settings)
    raw = outputs(model, Source(test, source.scaler, device=device), np.arange(len(test)))[:, 0]
    return r_squared(raw * spread + mean, _middle(held, starts, settings))


def _middle(run: _Run, starts: np.ndarray, settings: TransferSettings) -> np.ndarray:
    rate = run.signal.rate
    first = np.round((starts + settings.window_s / 2 - 0.05) * rate).astype(int)
    return run.proxy[first[:, None] + np.arange(round(0.1 * rate))].mean(1)
