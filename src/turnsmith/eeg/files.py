"""EEGEyeNet's npz files: their names, arrays and labels, exactly as the benchmark's preparation writes them.

A file holds two stored (not compressed) arrays: `EEG`, (windows, samples, channels) in microvolts at 500 Hz, and
`labels`, (windows, k), whose column 0 is the participant's number from 1. The raw variant has 500 samples of 129
channels; the Hilbert variant has one sample of 258 (phase and amplitude at the saccade or fixation onset).

Notable: the real position file is 11 GB of float64. `read` therefore maps `EEG` from inside the zip archive instead of
loading it, and `write` streams participant after participant.
"""

import re
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from turnsmith.arrays import refuse_bombs
from turnsmith.errors import UserError

SAMPLING_RATE = 500.0
N_CHANS, N_TIMES = 129, 500
PX_PER_MM = 2.0

# task -> the columns of `labels` after the participant.
LABELS: dict[str, tuple[str, ...]] = {
    "LR": ("right",),
    "Direction": ("amplitude_px", "angle_rad"),
    "Position": ("x_px", "y_px"),
}
DATASETS: dict[str, tuple[str, ...]] = {
    "LR": ("antisaccade",),
    "Direction": ("dots", "processing_speed"),
    "Position": ("dots",),
}

_NAME = re.compile(
    r"(?P<task>LR|Direction|Position)_task_with_(?P<dataset>antisaccade|dots|processing_speed)"
    r"_synchroni[sz]ed_(?P<cleaning>min|max)(?P<hilbert>_hilbert)?(?P<rest>.*)\.npz"
)


@dataclass(frozen=True, slots=True)
class FileName:
    """What the name of an EEGEyeNet file says.

    Attributes:
        task: "LR", "Direction" or "Position".
        dataset: "antisaccade", "dots" or "processing_speed".
        cleaning: "min" (filtered, bad channels repaired, eye signal kept) or "max" (cleaned with ICA).
        hilbert: whether the windows are Hilbert features of one sample instead of the signal.
    """

    task: str
    dataset: str
    cleaning: str = "min"
    hilbert: bool = False

    def __str__(self) -> str:
        return (
            f"{self.task}_task_with_{self.dataset}_synchronised_{self.cleaning}{'_hilbert' if self.hilbert else ''}.npz"
        )

    @classmethod
    def parse(cls, name: str) -> "FileName":
        """Read a file's name. Both spellings of "synchronised" and a suffix after the variant are accepted.

        Raises:
            UserError: if it is no such name, or the task was never prepared from that data set.
        """
        match = _NAME.fullmatch(name)
        if match is None:
            raise UserError(
                f"{name}: not the name of an EEGEyeNet file. It is TASK_task_with_DATASET_synchronised_min.npz, such "
                "as Position_task_with_dots_synchronised_min.npz; rename the file."
            )
        if match["dataset"] not in DATASETS[match["task"]]:
            raise UserError(
                f"{name}: the {match['task']} task is made from {' or '.join(DATASETS[match['task']])}, not from "
                f"{match['dataset']}. Check the name."
            )
        return cls(match["task"], match["dataset"], match["cleaning"], match["hilbert"] is not None)


@dataclass(frozen=True, slots=True)
class GazeData:
    """Labelled windows of one task.

    Attributes:
        name: task, data set and variant.
        eeg: microvolts, (windows, samples, channels), float32 or float64; perhaps a read-only memory map.
        labels: (windows, 1 + k); column 0 is the participant, the others are `LABELS[name.task]`.
    """

    name: FileName
    eeg: np.ndarray
    labels: np.ndarray

    @property
    def participants(self) -> np.ndarray:
        """The participant of each window, (windows,), integers."""
        return self.labels[:, 0].astype(np.int64)

    @property
    def targets(self) -> np.ndarray:
        """What is to be predicted, (windows, k), float64."""
        return np.asarray(self.labels[:, 1:], dtype=np.float64)


def read(path: str | Path, name: FileName | None = None) -> GazeData:
    """Open an EEGEyeNet file; `EEG` is mapped, not loaded, where it is stored uncompressed (as the originals are).

    Args:
        path: the npz file.
        name: what it holds, when its name does not say so.

    Raises:
        UserError: if the file, its name, its arrays or their shapes are not those of EEGEyeNet.
    """
    path = Path(path)
    name = name or FileName.parse(path.name)
    try:
        with zipfile.ZipFile(path) as archive:
            refuse_bombs(archive)
            members = set(archive.namelist())
            missing = {"EEG.npy", "labels.npy"} - members
            if missing:
                raise UserError(
                    f"{path}: the array {sorted(missing)[0][:-4]} is missing. An EEGEyeNet file holds EEG "
                    f"(windows, 500, 129) and labels; this one holds {sorted(members)}."
                )
            eeg, labels = _member(path, archive, "EEG.npy"), np.asarray(_member(path, archive, "labels.npy"))
    except UserError:
        raise
    except Exception as error:  # zipfile, zlib, struct and numpy each raise kinds of their own on damage
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: cannot be read as an npz file ({line}).") from error
    _check(path, name, eeg, labels)
    return GazeData(name, eeg, labels)


def _check(path: Path, name: FileName, eeg: np.ndarray, labels: np.ndarray) -> None:
    columns = 1 + len(LABELS[name.task])
    samples, channels = (1, 2 * N_CHANS) if name.hilbert else (N_TIMES, N_CHANS)
    if eeg.ndim != 3 or eeg.shape[1] != samples or eeg.dtype.kind != "f":
        raise UserError(
            f"{path}: EEG is {eeg.dtype} of shape {eeg.shape}; it must be floating point, (windows, {samples}, "
            f"{channels}): {SAMPLING_RATE:.0f} Hz windows of one second. Swap the axes or resample."
        )
    if eeg.shape[2] != channels:
        raise UserError(
            f"{path}: EEG has {eeg.shape[2]} channels; EEGEyeNet's net has {channels}. For another montage see "
            "docs/eeg.md, Your own recordings."
        )
    if labels.ndim != 2 or labels.shape != (len(eeg), columns):
        raise UserError(
            f"{path}: labels have shape {labels.shape}; the {name.task} task needs ({len(eeg)}, {columns}): "
            f"participant, {', '.join(LABELS[name.task])}."
        )
    if not np.isfinite(labels).all():
        raise UserError(
            f"{path}: {np.argwhere(~np.isfinite(labels))[0][0]} is the first window whose label is no number."
        )


def _member(path: Path, archive: zipfile.ZipFile, member: str) -> np.ndarray:
    """One array of the archive: a memory map where it is stored, else a decompressed copy."""
    info = archive.getinfo(member)
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = header(file)
        if dtype.hasobject:
            raise ValueError(f"{member} holds Python objects")
        header_bytes = file.tell()
        if info.compress_type != zipfile.ZIP_STORED:
            values = np.frombuffer(file.read(), dtype)
            return values.reshape(shape, order="F" if fortran else "C")
    with open(path, "rb") as raw:
        start = _data_offset(raw, info) + header_bytes
    return np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C")


def _data_offset(raw: BinaryIO, info: zipfile.ZipInfo) -> int:
    """Where a stored member's bytes begin: after the local header, whose extra field may differ from the index's."""
    raw.seek(info.header_offset)
    local = raw.read(30)
    return info.header_offset + 30 + int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")


def write(path: str | Path, parts: Iterable[tuple[np.ndarray, np.ndarray]], dtype: str = "float64") -> Path:
    """Write an EEGEyeNet file from (EEG, labels) parts, one a participant, without holding them all in memory.

    Args:
        path: the npz file to be made; it is replaced at the end, in one step.
        parts: arrays (windows, samples, channels) and (windows, k).
        dtype: of `EEG`. The originals hold float64; float32 halves the file and is read as well.

    Returns:
        The path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    labels: list[np.ndarray] = []
    shape: tuple[int, ...] = (0, 0)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".npz-") as folder:
        raw_path, made = Path(folder) / "eeg", Path(folder) / "made.npz"
        with open(raw_path, "wb") as raw:
            for eeg, rows in parts:
                if len(eeg) == 0:
                    continue
                shape = eeg.shape[1:]
                raw.write(np.ascontiguousarray(eeg, dtype=dtype).tobytes())
                labels.append(np.asarray(rows))
        all_labels = np.concatenate(labels) if labels else np.zeros((0, 1))
        with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
            with archive.open("EEG.npy", "w", force_zip64=True) as member, open(raw_path, "rb") as raw:
                header = {
                    "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
                    "fortran_order": False,
                    "shape": (len(all_labels), *shape),
                }
                np.lib.format.write_array_header_1_0(member, header)
                while block := raw.read(1 << 24):
                    member.write(block)
            with archive.open("labels.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, all_labels, allow_pickle=False)
        made.replace(path)
    return path
