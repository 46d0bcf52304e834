"""The data that a run's settings name: an EEGEyeNet file, raw recordings to be cut, or a simulation.

What had to be prepared or simulated is kept in the run's folder, so that a run that resumes does not do it again.
"""

import shutil
from pathlib import Path

import numpy as np

from turnsmith.eeg import files, prepare, splits
from turnsmith.eeg.files import FileName, GazeData
from turnsmith.eeg.simulate import simulate_into
from turnsmith.errors import UserError
from turnsmith.recipes.eeg_mae.config import Config


def open_data(config: Config, folder: Path) -> tuple[GazeData, dict[int, np.ndarray]]:
    """The labelled windows; of a simulation, each training person's whole recording, (samples, channels), by number.

    Args:
        config: names a file, a folder with one or with raw recordings, or (no data) a simulation.
        folder: of the run.

    Raises:
        UserError: if there is nothing usable.
    """
    if config.dataset not in files.DATASETS[config.task]:
        raise UserError(
            f"the {config.task} task is made from {' or '.join(files.DATASETS[config.task])}, not from "
            f"{config.dataset}: add --dataset {files.DATASETS[config.task][0]}."
        )
    name = FileName(config.task, config.dataset)
    if not config.data:
        return _simulated(config, name, folder / "simulated")
    path = Path(config.data)
    if path.is_file():
        return files.read(path), {}
    if not path.is_dir():
        raise UserError(f"{path}: no such file or folder. Name an EEGEyeNet npz file, or a folder with one.")
    if (path / str(name)).exists():
        return files.read(path / str(name)), {}
    made = folder / "data" / str(name)
    if not made.exists():
        files.write(made, prepare.participants(path, name))
    return files.read(made), {}


def _simulated(config: Config, name: FileName, folder: Path) -> tuple[GazeData, dict[int, np.ndarray]]:
    """Simulate once; what is returned is mapped from the disk, not loaded."""
    labelled = np.arange(1, config.participants + 1)
    training = labelled[splits.by_participant(labelled).train].tolist()
    if not folder.exists():
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        simulate_into(partial, name, labelled.tolist(), config.windows, config.seed, training, config.processes)
        labels = [np.load(partial / f"{number}-labels.npy") for number in labelled]
        np.save(partial / "labels.npy", np.concatenate(labels))
        shape = (sum(map(len, labels)), files.N_TIMES, files.N_CHANS)
        eeg, at = np.lib.format.open_memmap(partial / "eeg.npy", "w+", np.float32, shape), 0
        for number, rows in zip(labelled, labels, strict=True):
            eeg[at : at + len(rows)] = np.load(partial / f"{number}-eeg.npy")
            (partial / f"{number}-eeg.npy").unlink()
            at += len(rows)
        eeg.flush()
        partial.rename(folder)
    recordings = {number: np.load(folder / f"{number}-signal.npy", mmap_mode="r") for number in training}
    return GazeData(name, np.load(folder / "eeg.npy", mmap_mode="r"), np.load(folder / "labels.npy")), recordings


def forget_simulation(folder: Path) -> None:
    """Remove what a finished run kept of its simulation: gigabytes that the seed makes again."""
    shutil.rmtree(folder / "simulated", ignore_errors=True)
