"""Real recordings through MNE: EDF, EEGLAB .set and whatever else MNE reads, checked, in microvolts.

Notable: EDF files are checked before they are read (`edf_check`). Amplitudes that no scalp gives are refused with the
factor that would mend them, or with the channels that are unlike the others.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import resample_poly

from turnsmith.eeg.edf_check import check_edf
from turnsmith.errors import UserError, require

# PhysioNet's EEGMMIDB: in which runs targets appeared left and right, and in which at the top and bottom.
LEFT_RIGHT_RUNS = (3, 4, 7, 8, 11, 12)
TOP_BOTTOM_RUNS = (5, 6, 9, 10, 13, 14)

PLAUSIBLE_UV = (0.5, 1000.0)


@dataclass(frozen=True, slots=True)
class Signal:
    """A continuous recording.

    Attributes:
        values: microvolts, (samples, channels).
        rate: samples a second.
        channels: names, in the 10-05 spelling where they are of that system (FCz, not "Fcz.").
        marks: annotations as (onset in seconds, text).
        name: the file's name, for messages.
    """

    values: np.ndarray
    rate: float
    channels: tuple[str, ...]
    marks: tuple[tuple[float, str], ...] = ()
    name: str = ""


def read_recording(path: str | Path, judge_units: bool = True) -> Signal:
    """Read an EEG recording of any format that MNE knows by its ending.

    Args:
        path: the recording.
        judge_units: refuse amplitudes that are no EEG's; False leaves that to the caller.

    Raises:
        UserError: if MNE is missing, the file cannot be read, is damaged, or holds no EEG in plausible units.
    """
    require("mne", "eeg")
    import mne

    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such recording.")
    if path.suffix.lower() in (".edf", ".bdf"):
        check_edf(path)
    try:
        raw = mne.io.read_raw(path, preload=True, verbose="error")
    except Exception as error:  # MNE's readers raise anything
        raise UserError(f"{path}: MNE cannot read it ({error}). Is it an EEG recording?") from error
    signal = from_raw(raw, path.name)
    if judge_units:
        check_units(signal, str(path))
    return signal


def from_raw(raw: Any, name: str = "") -> Signal:
    """A `mne.io.Raw` as a `Signal`: its EEG channels (and EOG, where there is one), in microvolts.

    Channels that it calls bad are interpolated where their places are known.

    Raises:
        UserError: if bad channels have no places to be interpolated from.
    """
    picked = raw.copy().pick(["eeg", "eog"])
    if picked.info["bads"]:
        try:
            picked.interpolate_bads(reset_bads=True, verbose="error")
        except (RuntimeError, ValueError) as error:
            raise UserError(
                f"{name or 'the recording'}: channels {_named(picked.info['bads'])} are marked as bad, and cannot be "
                f"interpolated ({str(error).splitlines()[0]}). Set a montage, or drop these channels."
            ) from error
    # MNE counts onsets from the first sample that was ever recorded, whether a cropped recording has a date or not.
    marks = tuple((float(mark["onset"]) - float(raw.first_time), str(mark["description"])) for mark in raw.annotations)
    channels = tuple(standard_name(channel) for channel in picked.ch_names)
    return Signal(picked.get_data().T * 1e6, float(raw.info["sfreq"]), channels, marks, name)


def from_epochs(epochs: Any, targets: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """A `mne.Epochs` as windows: (EEG (windows, samples, channels) in microvolts, targets (windows, outputs)).

    Args:
        epochs: with EEG channels.
        targets: what is to be predicted, a row an epoch; None takes the event codes.

    Raises:
        UserError: if the number of targets is not the number of epochs.
    """
    eeg = epochs.get_data(picks="eeg").transpose(0, 2, 1) * 1e6
    rows = np.asarray(epochs.events[:, 2:] if targets is None else targets, np.float64)
    rows = rows[:, None] if rows.ndim == 1 else rows
    if len(rows) != len(eeg):
        raise UserError(
            f"{len(rows)} targets for {len(eeg)} epochs: epochs that MNE dropped must be dropped there too."
        )
    return eeg, rows


def standard_name(channel: str) -> str:
    """ "Fcz." or "FCZ" to "FCz"; names outside the 10-05 system stay as they are, without trailing dots."""
    bare = channel.strip().strip(".")
    match = re.fullmatch(r"(?i)(EEG )?(fp|af|ft|fc|f|t|c|tp|cp|p|po|o|i)(z|\d+)", bare)
    if match is None:
        return bare
    region = match[2].upper()
    return ("Fp" if region == "FP" else region) + match[3].lower()


def check_units(signal: Signal, where: str) -> None:
    """Refuse amplitudes that no scalp gives: of all channels, or of some that would spoil a common reference.

    Raises:
        UserError: naming the factor that would make them plausible, or the channels.
    """
    finite = np.asarray(np.isfinite(signal.values).all(0))
    broken = [name for name, sound in zip(signal.channels, finite, strict=True) if not sound]
    if broken:
        raise UserError(f"{where}: samples of {_named(broken)} are no numbers. Drop these channels or samples.")
    spreads = signal.values[:: max(1, len(signal.values) // 20000)].std(0)
    low, high = PLAUSIBLE_UV
    moving = spreads[spreads > 0]
    if not len(moving):
        return
    spread = float(np.median(moving))
    strange = [name for name, own in zip(signal.channels, spreads, strict=True) if own > high]
    quiet = [name for name, own in zip(signal.channels, spreads, strict=True) if 0 < own < low]
    factor = next((f for f in (1e6, 1e3, 1e-3, 1e-6) if (low <= moving * f).all() and (moving * f <= high).all()), None)
    if factor is not None and not (low <= spread <= high):
        raise UserError(
            f"{where}: amplitudes of {spread:.3g} uV are not an EEG's ({low:g} to {high:g} uV): wrong units? "
            f"--scale {factor:g} would make them {spread * factor:.3g} uV."
        )
    if low <= spread <= high and not strange:
        return
    others = strange if low <= spread else quiet
    raise UserError(
        f"{where}: amplitudes of {_named(others)} are not an EEG's ({low:g} to {high:g} uV), those of other channels "
        "are. Are their units others (mV, V, none), or had they no contact? Mend their units or drop them: they would "
        "spoil the common reference."
    )


def _named(channels: Sequence[str]) -> str:
    return ", ".join(channels[:6]) + (f" and {len(channels) - 6} more" if len(channels) > 6 else "")


def filtered(signal: Signal, low_hz: float, high_hz: float) -> Signal:
    """Zero-phase band-pass (MNE's FIR design); `high_hz` at or above half the sampling rate filters nothing there.

    Raises:
        UserError: if the recording is shorter than the filter.
    """
    import mne

    top = high_hz if high_hz < signal.rate / 2 else None
    low = low_hz if low_hz > 0 else None
    taps = len(mne.filter.create_filter(None, signal.rate, low, top, verbose="error"))
    if len(signal.values) < taps:
        raise UserError(
            f"{signal.name or 'the recording'}: is {len(signal.values) / signal.rate:.2f} s long; a filter from "
            f"{low_hz:g} Hz needs {taps / signal.rate:.2f} s. Use a longer recording."
        )
    values = mne.filter.filter_data(signal.values.T.copy(), signal.rate, low, top, verbose="error").T
    return Signal(values, signal.rate, signal.channels, signal.marks, signal.name)


def resampled(signal: Signal, rate: float) -> Signal:
    """The signal at another sampling rate (polyphase, anti-aliased)."""
    if rate == signal.rate:
        return signal
    ratio = Fraction(rate / signal.rate).limit_denominator(1000)
    values = resample_poly(signal.values, ratio.numerator, ratio.denominator, axis=0)
    return Signal(values, rate, signal.channels, signal.marks, signal.name)


def windows(signal: Signal, starts_s: Sequence[float] | np.ndarray, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows of so many samples from these times on: (EEG (windows, samples, channels), which starts fitted)."""
    first = np.round(np.asarray(starts_s) * signal.rate).astype(int)
    inside = (first >= 0) & (first + samples <= len(signal.values))
    index = first[inside, None] + np.arange(samples)
    return signal.values[index], np.flatnonzero(inside)


def run_number(name: str) -> int | None:
    """4 of "S001R04.edf"; None where the name has no run."""
    match = re.search(r"[Rr](\d{2})(?!\d)", Path(name).stem)
    return int(match[1]) if match else None
