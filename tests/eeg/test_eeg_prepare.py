"""Windows from event tables: each rule on a table written by hand, where what is kept can be counted."""

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from turnsmith.eeg import files, prepare
from turnsmith.eeg.files import FileName
from turnsmith.eeg.prepare import EventTable
from turnsmith.errors import UserError

SIGNAL = np.arange(6000.0)[:, None] + 10_000 * np.arange(129)[None]  # a sample's value is its index


def events(*rows):
    """Rows (type, latency, duration, {other columns})."""
    columns = ("amplitude", "start_x", "start_y", "end_x", "end_y", "avgpos_x", "avgpos_y")
    types = np.array([row[0] for row in rows], object)
    extra = [row[3] if len(row) > 3 else {} for row in rows]
    numbers = {name: np.array([e.get(name, np.nan) for e in extra], float) for name in columns}
    return EventTable(types, np.array([r[1] for r in rows], float), np.array([r[2] for r in rows], float), **numbers)


def saccade(latency, end_x, amplitude=5.0, **more):
    return ("L_saccade", latency, 20, {"end_x": end_x, "amplitude": amplitude, **more})


def test_left_right_takes_saccades_towards_the_cue_in_pro_saccade_blocks():
    table = events(
        ("20", 1, 0),
        ("10", 101, 0), saccade(201, 100), ("L_fixation", 221, 300),  # left: kept
        ("11", 1001, 0), saccade(1101, 700), ("R_fixation", 1121, 300),  # right: kept
        ("11", 1501, 0), saccade(1601, 100), ("L_fixation", 1621, 300),  # wrong way
        ("10", 2001, 0), saccade(2051, 100), ("L_fixation", 2071, 300),  # 50 samples: too soon
        ("10", 2501, 0), saccade(2601, 100, 2.0), ("L_fixation", 2621, 300),  # too small
        ("30", 3001, 0),
        ("10", 3101, 0), saccade(3201, 100), ("L_fixation", 3221, 300),  # anti-saccade block
    )  # fmt: skip
    eeg, labels = prepare.cut(SIGNAL, table, FileName("LR", "antisaccade"), 7)
    assert labels.tolist() == [[7, 0], [7, 1]]
    assert eeg.shape == (2, 500, 129)
    assert eeg[:, 0, 0].tolist() == [100, 1000]  # latencies count from 1
    hilbert = prepare.cut(np.tile(SIGNAL, 2), table, FileName("LR", "antisaccade", hilbert=True), 7)[0]
    assert hilbert.shape == (2, 1, 258)
    assert hilbert[:, 0, 0].tolist() == [200, 1100]  # at the saccade


def test_direction_from_dots_looks_past_small_saccades_and_brief_fixations():
    jump = {"start_x": 100, "start_y": 100, "end_y": 500}
    table = events(
        ("55", 1, 0),
        ("L_fixation", 101, 400),
        saccade(150, 101, amplitude=1.0),
        ("41", 501, 0),
        ("L_fixation", 505, 100),
        ("3", 511, 0),
        ("L_saccade", 601, 20, {"end_x": 400, "amplitude": 9.0, **jump}),
        ("L_fixation", 621, 400),
        ("56", 1101, 0),
    )
    eeg, labels = prepare.cut(SIGNAL, table, FileName("Direction", "dots"), 1)
    np.testing.assert_allclose(labels, [[1, 500.0, np.arctan2(400, 300)]])
    assert eeg[0, [0, -1], 0].tolist() == [350, 849]  # 250 samples either side of the onset at index 600


def test_processing_speed_windows_are_reflected_at_the_end_of_the_pattern():
    jump = {"start_x": 0, "start_y": 0, "end_y": 0}
    table = events(
        ("L_fixation", 101, 100),
        ("L_saccade", 201, 10, {"end_x": 30, "amplitude": 0.6, **jump}),
        ("L_fixation", 211, 150),
        ("L_saccade", 361, 10, {"end_x": 30, "amplitude": 0.4, **jump}),  # too small to start from
        ("L_fixation", 371, 100),
        ("R_blink", 471, 50),
    )
    eeg, labels = prepare.cut(SIGNAL, table, FileName("Direction", "processing_speed"), 2)
    assert labels.tolist() == [[2, 30.0, 0.0]]
    expected = np.pad(np.arange(100.0, 360.0), (0, 240), mode="reflect")
    np.testing.assert_array_equal(eeg[0, :, 0], expected)


def test_position_takes_fixations_of_a_second_and_leaves_out_what_the_recording_does_not_hold():
    where = {"avgpos_x": 300.0, "avgpos_y": 200.0}
    table = events(
        ("55", 1, 0),
        ("L_fixation", 101, 500, where),
        ("L_fixation", 801, 499, where),
        ("L_fixation", 5601, 600, where),  # would end after the recording
        ("56", 5901, 0),
        ("L_fixation", 2001, 900, where),
    )
    eeg, labels = prepare.cut(SIGNAL, table, FileName("Position", "dots"), 3)
    assert labels.tolist() == [[3, 300.0, 200.0]]
    assert eeg[0, 0, 0] == 100


def _mat_struct(signal, table):
    """The structure that EEGLAB would save: a struct array of events, empty where a column does not apply."""
    columns = {"type": table.type} | {theirs: getattr(table, ours) for ours, theirs in prepare._COLUMNS.items()}
    rows = np.empty(len(table), dtype=[(name, object) for name in columns])
    for name, values in columns.items():
        for index, value in enumerate(values):
            rows[name][index] = value if isinstance(value, str) or not np.isnan(value) else np.empty((0, 0))
    return {"sEEG": {"data": signal.T, "event": rows}}


TABLE = events(("55", 1, 0), ("L_fixation", 11, 500, {"avgpos_x": 1.5, "avgpos_y": 2.5}))


def test_matlab_files_are_cut_by_participant_in_sorted_order(tmp_path):
    for folder, names in {"EP11": ["EP11_DOTS1_EEG.mat", "EP11_DOTS2_EEG.mat", "notes.mat"], "EP10": []}.items():
        (tmp_path / folder).mkdir()
        for name in names:
            savemat(tmp_path / folder / name, _mat_struct(SIGNAL[:600], TABLE))
    name = FileName("Position", "dots")
    data = files.read(files.write(tmp_path / str(name), prepare.participants(tmp_path, name)))
    assert data.labels.tolist() == [[2, 1.5, 2.5]] * 2  # EP10 is number 1, without a recording
    np.testing.assert_array_equal(data.eeg[0], SIGNAL[10:510])


def test_matlab_7_3_files_hold_the_same(tmp_path):
    path = tmp_path / "EP10_DOTS1_EEG.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        references_group = file.create_group("#refs#")
        group = file.create_group("sEEG")
        group["data"] = SIGNAL[:600]
        event = group.create_group("event")
        columns = {"type": [[ord(c) for c in kind] for kind in TABLE.type]}
        columns |= {theirs: [[v] for v in getattr(TABLE, ours)] for ours, theirs in prepare._COLUMNS.items()}
        for name, cells in columns.items():
            references = event.create_dataset(name, (len(cells), 1), h5py.ref_dtype)
            for index, cell in enumerate(cells):
                empty = np.isnan(cell[0])
                kind = float if name != "type" else np.uint16
                stored = np.array([0, 0], np.uint64) if empty else np.array(cell, kind)
                target = references_group.create_dataset(f"{name}{index}", data=stored if empty else stored[:, None])
                references[index, 0] = target.ref
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(512))
    signal, table = prepare.read_mat(path)
    np.testing.assert_array_equal(signal, SIGNAL[:600])
    assert table.type.tolist() == ["55", "L_fixation"]
    np.testing.assert_array_equal(table.avgpos_x, [np.nan, 1.5])


def test_a_folder_without_recordings_says_what_it_should_hold(tmp_path):
    with pytest.raises(UserError, match="DOTS"):
        list(prepare.participants(tmp_path, FileName("Position", "dots")))
