"""EEGEyeNet's files: written as the benchmark writes them, read as it reads them."""

import numpy as np
import pytest

from turnsmith.eeg import files
from turnsmith.eeg.files import FileName
from turnsmith.errors import UserError

NAMES = [
    "LR_task_with_antisaccade_synchronised_min.npz",
    "Direction_task_with_dots_synchronised_max.npz",
    "Direction_task_with_processing_speed_synchronised_min.npz",
    "Position_task_with_dots_synchronised_min_hilbert.npz",
]


def _parts(name, dtype):
    """Two participants of 3 and 2 windows, shaped like the originals."""
    rng = np.random.default_rng(0)
    shape = (1, 258) if name.hilbert else (500, 129)
    for person, count in ((1, 3), (2, 2)):
        labels = rng.normal(size=(count, 1 + len(files.LABELS[name.task])))
        labels[:, 0] = person
        yield rng.normal(size=(count, *shape)).astype(dtype), labels


@pytest.mark.parametrize("text", NAMES)
def test_a_file_name_says_what_it_holds_and_is_written_back(text):
    assert str(FileName.parse(text)) == text


def test_the_released_code_s_suffix_and_american_spelling_are_read():
    assert FileName.parse("Position_task_with_dots_synchronised_min_88.npz") == FileName("Position", "dots")
    assert FileName.parse("Position_task_with_dots_synchronized_min.npz") == FileName("Position", "dots")


@pytest.mark.parametrize("text", ["data.npz", "LR_task_with_dots_synchronised_min.npz"])
def test_other_names_are_refused(text):
    with pytest.raises(UserError):
        FileName.parse(text)


@pytest.mark.parametrize("text", NAMES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_numpy_reads_what_is_written_and_we_read_what_numpy_writes(tmp_path, text, dtype):
    name = FileName.parse(text)
    eeg, labels = (np.concatenate(side) for side in zip(*_parts(name, dtype), strict=True))
    ours = files.write(tmp_path / "ours" / text, _parts(name, dtype), dtype)
    with np.load(ours, allow_pickle=False) as stored:
        assert set(stored.files) == {"EEG", "labels"}
        assert stored["EEG"].dtype == dtype
        np.testing.assert_array_equal(stored["EEG"], eeg)
        np.testing.assert_array_equal(stored["labels"], labels)
    np.savez(tmp_path / text, EEG=eeg, labels=labels)
    for path in (ours, tmp_path / text):
        data = files.read(path)
        assert isinstance(data.eeg, np.memmap)  # 11 GB must not be loaded to be opened
        np.testing.assert_array_equal(data.eeg, eeg)
        np.testing.assert_array_equal(data.participants, labels[:, 0])
        np.testing.assert_array_equal(data.targets, labels[:, 1:])


def test_a_compressed_file_is_read_too(tmp_path):
    name = FileName("Position", "dots")
    eeg, labels = next(iter(_parts(name, "float64")))
    np.savez_compressed(tmp_path / str(name), EEG=eeg, labels=labels)
    np.testing.assert_array_equal(files.read(tmp_path / str(name)).eeg, eeg)


@pytest.mark.parametrize(
    ("eeg", "labels", "says"),
    [
        (np.zeros((2, 500, 64)), np.ones((2, 3)), "64 channels"),
        (np.zeros((2, 250, 129)), np.ones((2, 3)), "500 Hz"),
        (np.zeros((2, 129, 500)), np.ones((2, 3)), "Swap the axes"),
        (np.zeros((2, 500, 129)), np.ones((2, 2)), "participant, x_px, y_px"),
        (np.zeros((2, 500, 129)), np.full((2, 3), np.nan), "no number"),
    ],
)
def test_what_is_no_eegeyenet_array_is_refused_with_the_fix(tmp_path, eeg, labels, says):
    path = tmp_path / str(FileName("Position", "dots"))
    np.savez(path, EEG=eeg, labels=labels)
    with pytest.raises(UserError, match=says):
        files.read(path)


def test_a_missing_array_and_a_file_that_is_no_archive_are_refused(tmp_path):
    path = tmp_path / str(FileName("Position", "dots"))
    np.savez(path, EEG=np.zeros((1, 500, 129)))
    with pytest.raises(UserError, match="labels is missing"):
        files.read(path)
    path.write_bytes(b"not a zip")
    with pytest.raises(UserError, match="cannot be read"):
        files.read(path)


def test_arrays_of_objects_are_never_unpickled(tmp_path):
    path = tmp_path / str(FileName("Position", "dots"))
    np.savez(path, EEG=np.array([{"a": 1}], dtype=object), labels=np.ones((1, 3)))
    with pytest.raises(UserError, match="Python objects"):
        files.read(path)
