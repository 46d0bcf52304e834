"""Writing EDF, so that a simulated recording can be opened by anything that reads EEG.

The format is that of Kemp et al. 1992: ASCII headers, then records of one second of 16-bit samples, channel by channel.
"""

from datetime import datetime
from pathlib import Path

import numpy as np

from turnsmith.eeg.recordings import Signal

_DIGITAL = 32767


def write_edf(path: str | Path, signal: Signal, started: datetime | None = None) -> Path:
    """Write an EDF file; each channel uses the whole 16-bit range, and a last part of less than a second is left out.

    Args:
        path: to be made.
        signal: microvolts at a whole number of samples a second.
        started: the recording's date; 2000-01-01 by default, so that equal signals give equal files.

    Raises:
        ValueError: if the sampling rate is not a whole number, or the signal is shorter than a second.
    """
    rate, channels = int(signal.rate), len(signal.channels)
    records = len(signal.values) // max(rate, 1)
    if rate != signal.rate or records < 1:
        raise ValueError(
            f"EDF needs whole samples a second and one second; {signal.rate} Hz, {len(signal.values)} samples"
        )
    values = signal.values[: records * rate]
    limits = [_number(max(1.0, float(peak))) for peak in np.abs(values).max(0)]
    scale = np.array([_DIGITAL / float(limit) for limit in limits])
    samples = np.clip(np.rint(values * scale), -_DIGITAL, _DIGITAL).astype("<i2")
    date = started or datetime(2000, 1, 1)
    header = "".join(
        [
            _field("0", 8),
            _field("X X X X", 80),
            _field("Startdate X X X X", 80),
            date.strftime("%d.%m.%y%H.%M.%S"),
            _field(str(256 * (1 + channels)), 8),
            _field("", 44),
            _field(str(records), 8),
            _field("1", 8),
            _field(str(channels), 4),
            *(_field(name, 16) for name in signal.channels),
            *(_field("simulated", 80) for _ in limits),
            *(_field("uV", 8) for _ in limits),
            *(_field("-" + limit, 8) for limit in limits),
            *(_field(limit, 8) for limit in limits),
            *(_field(str(-_DIGITAL), 8) for _ in limits),
            *(_field(str(_DIGITAL), 8) for _ in limits),
            *(_field("", 80) for _ in limits),
            *(_field(str(rate), 8) for _ in limits),
            *(_field("", 32) for _ in limits),
        ]
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = samples.reshape(records, rate, channels).transpose(0, 2, 1)
    path.write_bytes(header.encode("ascii") + blocks.tobytes())
    return path


def _field(text: str, length: int) -> str:
    return text[:length].ljust(length)


def _number(value: float) -> str:
    """A number of at most seven characters (a minus sign must fit before it), not below `value`."""
    return str(int(np.ceil(value))) if value >= 1000 else f"{np.ceil(value * 1000) / 1000:.3f}"[:7]
