"""From raw recordings with event tables to EEGEyeNet windows: the benchmark's selection rules, one function a task.

An event table is what EEGLAB holds after eye tracker and EEG were synchronised: cues with numeric types and the
tracker's `L_saccade`, `L_fixation`, `L_blink` (or `R_…`) in order of time. A window is cut where a run of consecutive
events matches a task's pattern and its filters hold.

Notable, as in the authors' preparation:
- latencies count samples from 1, durations are samples;
- only the first event of a pattern must lie inside an "on" block, and a table that begins before any block marker
  begins inside;
- windows that would begin before or end after the recording are left out here (the authors' code has no rule for them).
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat

from turnsmith.eeg import files
from turnsmith.eeg.files import FileName
from turnsmith.errors import UserError, require

FIXATION = frozenset({"L_fixation", "R_fixation"})
SACCADE = frozenset({"L_saccade", "R_saccade"})
LEFT_RIGHT_CUE = frozenset({"10", "11"})
DOT_CUE = frozenset(str(number) for start in (1, 101) for number in range(start, start + 27))
DOT_END = frozenset({"41"})

# The dots' places in pixels of an 800 x 600 screen, in order of cue 1..27 (cues 101..127 are the same places).
DOT_PLACES_PX = np.array(
    [
        *[(400, 300), (650, 500), (400, 100), (100, 450), (700, 450), (100, 500), (200, 350), (300, 400), (100, 150)],
        *[(150, 500), (150, 100), (700, 100), (300, 200), (100, 100), (700, 500), (500, 400), (600, 250), (650, 100)],
        *[(400, 300), (200, 250), (400, 500), (700, 150), (500, 200), (100, 300), (700, 300), (600, 350), (400, 300)],
    ],
    dtype=np.float64,
)

# data set -> the names of its recordings inside a participant's folder
RECORDINGS: dict[str, str] = {
    "antisaccade": r"[go]ip_..._AS_EEG\.mat",
    "dots": r"(ep|EP).._DOTS._EEG\.mat",
    "processing_speed": r"..._WI2_EEG\.mat",
}


@dataclass(frozen=True, slots=True)
class EventTable:
    """Events of one recording in order of time; each attribute has shape (events,).

    Attributes:
        type: cue numbers as text, or "L_saccade", "L_fixation", "L_blink", "R_…".
        latency: first sample, counted from 1.
        duration: samples.
        amplitude: degrees of visual angle (saccades; NaN elsewhere).
        start_x, start_y, end_x, end_y: pixels (saccades).
        avgpos_x, avgpos_y: mean position in pixels (fixations).
    """

    type: np.ndarray
    latency: np.ndarray
    duration: np.ndarray
    amplitude: np.ndarray
    start_x: np.ndarray
    start_y: np.ndarray
    end_x: np.ndarray
    end_y: np.ndarray
    avgpos_x: np.ndarray
    avgpos_y: np.ndarray

    def __len__(self) -> int:
        return len(self.type)

    def select(self, keep: np.ndarray) -> "EventTable":
        """The events where `keep` is true, or at these indices."""
        return EventTable(*(getattr(self, field.name)[keep] for field in fields(self)))


@dataclass(frozen=True, slots=True)
class Windows:
    """Where to cut: `start` counts from 0, `end` is where reflection begins (-1: none); each of shape (windows,)."""

    start: np.ndarray
    end: np.ndarray
    labels: np.ndarray


Rule = Callable[[EventTable, bool], Windows]


def in_blocks(events: EventTable, on: frozenset[str], off: frozenset[str]) -> np.ndarray:
    """Whether each event lies between an `on` and the next `off` marker; events before any marker count as inside."""
    inside, state = np.empty(len(events), bool), True
    for index, kind in enumerate(events.type):
        state = True if kind in on else False if kind in off else state
        inside[index] = state
    return inside


def matches(events: EventTable, pattern: Sequence[frozenset[str]]) -> np.ndarray:
    """Indices of the events at which the consecutive pattern begins."""
    starts = np.arange(max(0, len(events) - len(pattern) + 1))
    for step, kinds in enumerate(pattern):
        fits = np.array([kind in kinds for kind in events.type], bool)
        starts = starts[fits[starts + step]]
    return starts


def left_right(events: EventTable, hilbert: bool = False) -> Windows:
    """LR from antisaccade data: the pro-saccade blocks (20 to 30), cue, saccade towards the cued side, fixation.

    Windows begin at the cue (Hilbert features: at the saccade). Label: 0 left (cue 10), 1 right (cue 11).
    """
    first = matches(events, (LEFT_RIGHT_CUE, SACCADE, FIXATION))
    cue, saccade = events.select(first), events.select(first + 1)
    inside = in_blocks(events, frozenset({"20"}), frozenset({"30"}))[first]
    right = cue.type == "11"
    towards = np.where(right, saccade.end_x > 400, saccade.end_x < 400)
    keep = inside & towards & (saccade.latency - cue.latency > 50) & (saccade.amplitude > 2)
    return _windows((saccade if hilbert else cue).latency[keep], right[keep, None].astype(np.int64))


def direction_dots(events: EventTable, hilbert: bool = False) -> Windows:
    """Direction from dots: fixation, 41, cue, saccade, fixation; half a second around the saccade's onset.

    Labels: the saccade's amplitude in pixels and its angle in radians (y grows downwards).
    """
    small = np.array([kind in SACCADE for kind in events.type]) & (events.amplitude < 2)
    brief = np.array([kind in FIXATION for kind in events.type]) & (events.duration < 150)
    events = events.select(~(small | brief))
    first = matches(events, (FIXATION, DOT_END, DOT_CUE, SACCADE, FIXATION))
    cue, saccade = events.select(first + 2), events.select(first + 3)
    keep = in_blocks(events, frozenset({"55"}), frozenset({"56"}))[first] & (saccade.latency - cue.latency > 50)
    saccade = saccade.select(keep)
    return _windows(saccade.latency - (0 if hilbert else 250), _amplitude_and_angle(saccade))


def direction_processing_speed(events: EventTable, hilbert: bool = False) -> Windows:
    """Direction from visual search: fixation, saccade, fixation; from the first fixation's onset.

    What comes after the second fixation is replaced by reflection: windows end at the event that follows the pattern.
    """
    first = matches(events, (FIXATION, SACCADE, FIXATION))
    first = first[first + 3 < len(events)]
    before, saccade, after = events.select(first), events.select(first + 1), events.select(first + 2)
    keep = (before.duration > 50) & (saccade.amplitude > 0.5) & (after.duration > 50)
    labels = _amplitude_and_angle(saccade.select(keep))
    if hilbert:
        return _windows(saccade.latency[keep], labels)
    return _windows(before.latency[keep], labels, end=events.latency[first[keep] + 3])


def position(events: EventTable, hilbert: bool = False) -> Windows:
    """Position from dots: fixations of a second or more; from their onset. Labels: mean x and y in pixels."""
    first = matches(events, (FIXATION,))
    inside = in_blocks(events, frozenset({"55"}), frozenset({"56"}))[first]
    fixation = events.select(first[inside & (events.duration[first] >= 500)])
    return _windows(fixation.latency, np.stack([fixation.avgpos_x, fixation.avgpos_y], 1))


RULES: dict[tuple[str, str], Rule] = {
    ("LR", "antisaccade"): left_right,
    ("Direction", "dots"): direction_dots,
    ("Direction", "processing_speed"): direction_processing_speed,
    ("Position", "dots"): position,
}


def _amplitude_and_angle(saccade: EventTable) -> np.ndarray:
    dx, dy = saccade.end_x - saccade.start_x, saccade.end_y - saccade.start_y
    return np.stack([np.hypot(dx, dy), np.arctan2(dy, dx)], 1)


def _windows(latency: np.ndarray, labels: np.ndarray, end: np.ndarray | None = None) -> Windows:
    start = latency.astype(np.int64) - 1
    return Windows(start, np.full(len(start), -1) if end is None else end.astype(np.int64) - 1, labels)


def cut(signal: np.ndarray, events: EventTable, name: FileName, participant: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut the windows of one recording.

    Args:
        signal: microvolts, (samples, channels).
        events: its event table.
        name: which task, from which data set; raw signal or Hilbert features.
        participant: the number for column 0 of the labels.

    Returns:
        EEG (windows, 500 or 1, channels) and labels (windows, 1 + k).
    """
    windows = RULES[name.task, name.dataset](events, name.hilbert)
    length = 1 if name.hilbert else files.N_TIMES
    eeg, kept = [], []
    for index, (start, end) in enumerate(zip(windows.start, windows.end, strict=True)):
        padded = 0 <= end < start + length
        stop = end if padded else start + length
        if start < 0 or stop > len(signal) or stop <= start:
            continue
        piece = signal[start:stop]
        if padded:
            piece = np.pad(piece, ((0, length - len(piece)), (0, 0)), mode="reflect")
        eeg.append(piece)
        kept.append(index)
    labels = windows.labels[kept]
    who = np.full((len(kept), 1), participant, labels.dtype)
    shape = (0, length, signal.shape[1])
    return np.stack(eeg) if eeg else np.empty(shape, signal.dtype), np.concatenate([who, labels], 1)


def participants(folder: str | Path, name: FileName) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Windows of every recording below FOLDER/PARTICIPANT/, participants numbered from 1 in sorted order.

    Raises:
        UserError: if no recording of that data set is there, or one cannot be read.
    """
    folder, pattern = Path(folder), re.compile(RECORDINGS[name.dataset])
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder. Name the one that holds a folder a participant.")
    channels, found = (2 if name.hilbert else 1) * files.N_CHANS, 0
    people = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    for number, person in enumerate(people, start=1):
        for path in sorted(path for path in person.iterdir() if pattern.match(path.name)):
            signal, events = read_mat(path)
            if signal.shape[1] < channels:
                raise UserError(f"{path}: {signal.shape[1]} channels; the {name} file is cut from {channels}.")
            found += 1
            yield cut(signal[:, :channels], events, name, number)
    if not found:
        raise UserError(
            f"{folder}: holds no recordings named like {pattern.pattern} inside participants' folders. Unpack the "
            f"synchronised {name.dataset} recordings there."
        )


_COLUMNS = {
    "latency": "latency",
    "duration": "duration",
    "amplitude": "sac_amplitude",
    "start_x": "sac_startpos_x",
    "start_y": "sac_startpos_y",
    "end_x": "sac_endpos_x",
    "end_y": "sac_endpos_y",
    "avgpos_x": "fix_avgpos_x",
    "avgpos_y": "fix_avgpos_y",
}


def read_mat(path: Path) -> tuple[np.ndarray, EventTable]:
    """Signal (samples, channels) and events of one synchronised EEGLAB structure (MATLAB 5 or 7.3).

    Raises:
        UserError: if it is no such file; for version 7.3, also where h5py is missing.
    """
    try:
        with open(path, "rb") as file:
            version_73 = b"MATLAB 7.3" in file.read(128)
        return _read_mat_73(path) if version_73 else _read_mat_5(path)
    except (OSError, ValueError, KeyError, IndexError, TypeError, NotImplementedError) as error:
        raise UserError(
            f"{path}: cannot be read as a synchronised EEGLAB recording ({type(error).__name__}: {error}). It needs a "
            "structure (EEG or sEEG) with the fields data and event."
        ) from error


def _read_mat_5(path: Path) -> tuple[np.ndarray, EventTable]:
    content = loadmat(path)
    structure = next(value for key, value in content.items() if not key.startswith("__"))[0, 0]
    rows = structure["event"].ravel()

    def numbers(column: str) -> np.ndarray:
        return np.array([np.asarray(cell).ravel()[0] if np.size(cell) else np.nan for cell in rows[column]], np.float64)

    kinds = np.array([str(np.asarray(cell).ravel()[0]).strip() for cell in rows["type"]], dtype=object)
    table = EventTable(kinds, **{name: numbers(column) for name, column in _COLUMNS.items()})
    return np.asarray(structure["data"], np.float64).T, table


def _read_mat_73(path: Path) -> tuple[np.ndarray, EventTable]:
    require("h5py", "eeg")
    import h5py

    with h5py.File(path, "r") as file:
        structure: Any = file[next(key for key in map(str, file) if not key.startswith("#"))]
        events = structure["event"]

        def cells(column: str) -> list[np.ndarray]:
            return [np.asarray(file[reference]) for reference in np.asarray(events[column]).ravel()]

        def numbers(column: str) -> np.ndarray:
            # MATLAB stores an empty cell as its shape (a uint64 pair), which h5py cannot tell from two numbers.
            values = [
                np.nan if cell.dtype == np.uint64 and cell.size == 2 else cell.ravel()[0] for cell in cells(column)
            ]
            return np.array(values, np.float64)

        kinds = np.array(["".join(map(chr, cell.ravel())).strip() for cell in cells("type")], dtype=object)
        table = EventTable(kinds, **{name: numbers(column) for name, column in _COLUMNS.items()})
        return np.asarray(structure["data"], np.float64), table
