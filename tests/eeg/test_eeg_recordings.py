"""Real recordings: what is read, what is refused with which fix, and what can be decoded from the real runs."""

import json
from typing import Any

import mne
import numpy as np
import pytest

from turnsmith.cli import main
from turnsmith.data import data_file
from turnsmith.eeg import cue, proxy
from turnsmith.eeg.edf import write_edf
from turnsmith.eeg.recordings import (
    Signal,
    check_units,
    filtered,
    from_epochs,
    from_raw,
    read_recording,
    standard_name,
    windows,
)
from turnsmith.errors import UserError

RUNS = data_file("eeg/eegmmidb_s001")
EEGLAB = data_file("eeg/eeglab/eeglab_data.set")
needs_runs = pytest.mark.skipif(RUNS is None, reason="no real EEG: set TURNSMITH_DATA")


def _signal(channels=("Fp1", "Cz", "E7"), seconds=3, rate=100, microvolts=20.0):
    rng = np.random.default_rng(0)
    return Signal(rng.normal(0, microvolts, (seconds * rate, len(channels))), rate, channels)


def test_edf_written_here_is_read_back_by_mne_within_the_16_bit_step(tmp_path):
    signal = _signal()
    found = read_recording(write_edf(tmp_path / "a.edf", signal))
    assert (found.rate, found.channels) == (100, ("Fp1", "Cz", "E7"))
    np.testing.assert_allclose(found.values, signal.values, atol=np.abs(signal.values).max() / 32767)


def test_a_damaged_edf_says_what_happened_to_it(tmp_path):
    path = write_edf(tmp_path / "a.edf", _signal())
    whole = path.read_bytes()
    path.write_bytes(whole[:-50])
    with pytest.raises(UserError, match="50 bytes shorter"):
        read_recording(path)
    path.write_bytes(whole.replace(b"\n", b"\r\n"))
    with pytest.raises(UserError, match="replace each CR LF by LF"):
        read_recording(path)
    path.write_bytes(b"hello" * 100)
    with pytest.raises(UserError, match="no EDF header"):
        read_recording(path)
    with pytest.raises(UserError, match="no such recording"):
        read_recording(tmp_path / "none.edf")


@pytest.mark.parametrize(("microvolts", "factor"), [(2e-5, "1e\\+06"), (2e6, "1e-06|0.001")])
def test_impossible_amplitudes_name_the_factor(tmp_path, microvolts, factor):
    rng = np.random.default_rng(0)
    info = mne.create_info(["Fp1", "Cz"], 100.0, "eeg", verbose="error")
    raw = mne.io.RawArray(rng.normal(0, microvolts * 1e-6, (2, 500)), info, verbose="error")
    raw.save(tmp_path / "a_raw.fif", verbose="error")
    with pytest.raises(UserError, match=f"--scale ({factor})"):
        read_recording(tmp_path / "a_raw.fif")


def test_raw_and_epochs_of_mne_come_in_as_microvolts():
    kinds: Any = ["eeg", "eeg", "stim"]  # the stub knows one kind for all only
    info = mne.create_info(["FC5.", "Cz..", "STI"], 50.0, kinds, verbose="error")
    volts = np.arange(300.0).reshape(3, 100) * 1e-6
    raw = mne.io.RawArray(volts, info, verbose="error")
    raw.set_annotations(mne.Annotations([0.5], [0], ["T1"]))
    signal = from_raw(raw)
    assert signal.channels == ("FC5", "Cz")
    assert signal.marks == ((0.5, "T1"),)
    np.testing.assert_allclose(signal.values, volts[:2].T * 1e6)
    epochs = mne.EpochsArray(volts[None, :, :50], info, events=np.array([[0, 0, 7]]), verbose="error")
    eeg, targets = from_epochs(epochs)
    np.testing.assert_allclose(eeg, volts[None, :2, :50].transpose(0, 2, 1) * 1e6)
    assert targets.tolist() == [[7]]
    with pytest.raises(UserError, match="2 targets for 1 epochs"):
        from_epochs(epochs, np.zeros(2))


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("Fcz.", "FCz"), ("FP1.", "Fp1"), ("Poz.", "POz"), ("T10.", "T10"), ("E129", "E129"), ("EOG1", "EOG1")],
)
def test_channel_names_are_those_of_the_10_05_system(theirs, ours):
    assert standard_name(theirs) == ours


def test_windows_are_cut_where_asked_and_only_where_whole():
    signal = Signal(np.arange(100.0)[:, None], 10, ("Cz",))
    eeg, kept = windows(signal, [-1, 0, 2.5, 9.5], 10)
    assert kept.tolist() == [1, 2]
    assert eeg[:, 0, 0].tolist() == [0, 25]


def _cued_run(rng, side_uv):
    """20 s with a cue each second; the first channel goes up or down by `side_uv` 0.2 s later."""
    values = rng.normal(0, 10, (2100, 4))
    labels = rng.integers(0, 2, 20)
    for index, label in enumerate(labels):
        values[100 * (index + 1) + 20 : 100 * (index + 1) + 50, 0] += side_uv * (2 * label - 1)
    marks = tuple((float(index + 1), f"T{label + 1}") for index, label in enumerate(labels))
    return Signal(values, 100, ("a", "b", "c", "d"), marks)


def test_a_cue_that_is_there_is_decoded_and_one_that_is_not_stays_at_chance():
    settings = cue.CueSettings(permutations=30)
    for side_uv, low, high in ((40.0, 0.95, 1.0), (0.0, 0.25, 0.75)):
        rng = np.random.default_rng(1)
        runs = [(f"R{index}", _cued_run(rng, side_uv)) for index in range(3)]
        result = cue.decode(cue.trials_of(runs, settings), "T1/T2", settings)
        assert low <= result.accuracy <= high
        assert result.trials == 60
        assert 0.35 < result.permutation_mean < 0.65
        assert (result.p_value < 0.05) == (side_uv > 0)


def test_held_out_runs_are_never_trained_on():
    """A feature that names the run and, within it, the label, helps only who has seen the run."""
    rng = np.random.default_rng(0)
    runs = np.repeat(["a", "b"], 20)
    labels = np.tile([0, 1], 20)
    features = rng.normal(0, 0.1, (40, 3))
    features[:, 0] += np.where(runs == "a", 1, -1) * (2 * labels - 1)  # the other run's rule is the opposite
    assert cue.leave_one_run_out(cue.Trials(features, labels, runs)).mean() < 0.1


def test_the_proxy_is_never_among_what_it_is_predicted_from():
    names = ("AF7", "F7", "FT7", "AF8", "F8", "FT8", "Cz", "Pz")
    signal = Signal(np.arange(16.0).reshape(2, 8), 100, names)
    target, features, others = proxy.split_channels(signal)
    assert others.tolist() == [6, 7]
    np.testing.assert_array_equal(features, signal.values[:, 6:])
    np.testing.assert_array_equal(target[:, 0], [-3, -3])
    with pytest.raises(UserError, match="AF7"):
        proxy.split_channels(Signal(signal.values[:, 1:], 100, names[1:]))


@needs_runs
def test_left_and_right_are_decoded_from_the_real_runs(capsys):
    assert main(["eeg", "cue", str(RUNS), "--json", "--permutations", "20"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["targets"] == "left/right"
    assert found["trials"] == 60
    assert found["accuracy"] >= 0.9
    assert found["permutation_95"] < 0.75
    assert set(found["by_run"]) == {"S001R03", "S001R04", "S001R07", "S001R08"}
    assert found["others"][0]["targets"] == "top/bottom"
    assert found["settings"]["band_hz"] == [0.5, 20.0]


@needs_runs
def test_the_eog_proxy_is_predicted_on_held_out_real_runs():
    assert RUNS is not None
    signals = [(f"R{run:02d}", read_recording(RUNS / f"S001R{run:02d}.edf")) for run in (3, 4)]
    assert proxy.leave_one_run_out(signals).r2 >= 0.9


@pytest.mark.skipif(EEGLAB is None, reason="no real EEG: set TURNSMITH_DATA")
def test_the_eeglab_recording_holds_eog_that_the_eeg_partly_predicts():
    assert EEGLAB is not None
    signal = read_recording(EEGLAB)
    assert (signal.rate, len(signal.channels)) == (128, 32)
    assert proxy.temples(signal) == (("EOG1",), ("EOG2",))
    assert 0.3 < proxy.in_folds(signal, *proxy.temples(signal)).r2 < 0.8


def test_starts_are_compared_on_left_and_right_runs_only(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_edf(tmp_path / "S001R03.edf", _signal())
    assert main(["eeg", "transfer", str(tmp_path)]) == 2
    assert "needs two runs with left and right targets" in capsys.readouterr().err


def test_a_folder_without_usable_runs_says_what_is_missing(tmp_path, capsys):
    assert main(["eeg", "cue", str(tmp_path)]) == 2
    assert "no EDF runs" in capsys.readouterr().err
    write_edf(tmp_path / "S001R03.edf", _signal())
    assert main(["eeg", "cue", str(tmp_path)]) == 2
    assert "two runs of a kind; here are 1 left/right" in capsys.readouterr().err
    write_edf(tmp_path / "S001R04.edf", _signal())
    assert main(["eeg", "cue", str(tmp_path)]) == 2
    assert "no annotations T1 and T2" in capsys.readouterr().err


def edf_plus_d(path, starts):
    """Rewrite a plain EDF file of one-second records as EDF+D whose records begin at these times."""
    whole = path.read_bytes()
    count, records = int(whole[252:256]), int(whole[236:244])
    rate, body, size = int(whole[256 + 216 * count :][:8]), whole[256 * (count + 1) :], 32
    widths = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)
    added = ("EDF Annotations", "", "", "-1", "1", "-32767", "32767", "", str(size // 2), "")
    fields, at = b"", 256
    for width, new in zip(widths, added, strict=True):
        fields += whole[at : at + width * count] + new.ljust(width).encode()
        at += width * count
    head = bytearray(whole[:256])
    head[184:192] = str(256 * (count + 2)).ljust(8).encode()
    head[192:236] = b"EDF+D".ljust(44)
    head[252:256] = str(count + 1).ljust(4).encode()
    record = 2 * rate * count
    blocks = [
        body[record * i : record * (i + 1)] + f"+{starts[i]:g}\x14\x14\x00".encode("latin-1").ljust(size, b"\0")
        for i in range(records)
    ]
    path.write_bytes(bytes(head) + fields + b"".join(blocks))
    return path


def test_a_discontinuous_recording_is_refused_and_one_that_only_says_so_is_read(tmp_path):
    signal = _signal(seconds=6)
    whole = edf_plus_d(write_edf(tmp_path / "whole.edf", signal), range(6))
    assert read_recording(whole).values.shape == signal.values.shape
    torn = edf_plus_d(write_edf(tmp_path / "torn.edf", signal), [0, 1, 2, 5, 6, 7])
    with pytest.raises(UserError, match=r"1 gap\(s\), the first of 2 s before record 4"):
        read_recording(torn)


def test_bdf_that_is_called_edf_and_edf_that_is_called_bdf_are_refused(tmp_path):
    path = write_edf(tmp_path / "a.edf", _signal())
    whole = path.read_bytes()
    (tmp_path / "a.bdf").write_bytes(whole)
    with pytest.raises(UserError, match=r"EDF \(16 bits a sample\).*Rename it to .edf"):
        read_recording(tmp_path / "a.bdf")
    path.write_bytes(b"\xffBIOSEMI" + whole[8:])
    with pytest.raises(UserError, match=r"BDF \(24 bits a sample\).*Rename it to .bdf"):
        read_recording(path)


def test_a_wrong_record_count_is_no_reason_to_change_the_bytes(tmp_path):
    path = write_edf(tmp_path / "a.edf", _signal())
    whole = path.read_bytes()
    path.write_bytes(whole[:236] + b"2       " + whole[244:])
    with pytest.raises(UserError, match="says 2 records, and it holds 3 whole ones") as refused:
        read_recording(path)
    assert "CR LF" not in str(refused.value)


@pytest.mark.parametrize("factor", [1e3, 1e6])
def test_channels_in_other_units_are_named(tmp_path, factor):
    signal = _signal(("Fp1", "Fp2", "Cz", "Oz"))
    for strange in (["Oz"], ["Cz", "Oz"]):
        scale = np.array([factor if name in strange else 1.0 for name in signal.channels])
        mixed = Signal(signal.values * scale, signal.rate, signal.channels)
        with pytest.raises(UserError, match=f"amplitudes of {', '.join(strange)} are not an EEG's") as refused:
            read_recording(write_edf(tmp_path / "a.edf", mixed))
        assert "--scale" not in str(refused.value)


def test_samples_that_are_no_numbers_are_refused_by_channel():
    signal = _signal()
    signal.values[7, 1] = np.nan
    with pytest.raises(UserError, match="samples of Cz are no numbers"):
        check_units(signal, "it")


@pytest.mark.parametrize("dated", [True, False])
def test_marks_of_a_cropped_recording_stay_at_their_samples(dated):
    raw = mne.io.RawArray(np.zeros((2, 5000)), mne.create_info(["Cz", "Oz"], 100.0, "eeg"), verbose="error")
    if dated:
        raw.set_meas_date(0)
    raw.set_annotations(mne.Annotations([20.0], [1.0], ["T1"]))
    assert from_raw(raw.crop(12.0)).marks == ((8.0, "T1"),)


def test_channels_that_are_marked_as_bad_are_interpolated_or_refused():
    names = ["Fp1", "Fp2", "Cz", "Oz", "C3", "C4", "F3", "F4"]
    values = np.random.default_rng(0).normal(0, 1e-5, (8, 500))
    values[2] += 5e-3
    raw = mne.io.RawArray(values, mne.create_info(names, 100.0, "eeg"), verbose="error")
    raw.info["bads"] = ["Cz"]
    with pytest.raises(UserError, match="Cz are marked as bad"):
        from_raw(raw)
    raw.set_montage("colin27_1005" if "colin27_1005" in mne.channels.get_builtin_montages() else "standard_1005")
    assert np.abs(from_raw(raw).values[:, 2]).max() < 100
    assert raw.info["bads"] == ["Cz"]


def test_a_recording_shorter_than_its_filter_is_refused():
    with pytest.raises(UserError, match=r"3\.00 s long; a filter from 0\.5 Hz needs 6\.61 s"):
        filtered(_signal(), 0.5, 40.0)
