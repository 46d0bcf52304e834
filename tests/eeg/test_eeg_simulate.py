"""The simulator against physics: what an eye turn gives where, and that gaze is what the labels say."""

import numpy as np
import pytest

from turnsmith.eeg import files, gaze
from turnsmith.eeg.anatomy import EYES_M, lead_field, make_anatomy, montage
from turnsmith.eeg.files import FileName
from turnsmith.eeg.simulate import (
    Noise,
    band_pass,
    eye_potentials,
    participant,
    record,
    remove_eyes,
    simulate,
    simulate_into,
)

QUIET = Noise(0, 0, 0, 0, 0, 0, 0, 0)
POSITION = FileName("Position", "dots")


@pytest.fixture(scope="module")
def electrodes():
    return np.stack(list(montage().values()))


@pytest.fixture(scope="module")
def quiet(electrodes):
    """One person without noise of any kind but the brain's response to fixations."""
    return record("dots", electrodes, np.random.default_rng(5), 12, QUIET)


def test_turning_the_eyes_gives_about_16_microvolts_a_degree_strongest_beside_the_eyes(electrodes):
    names = list(montage())
    found = []
    for seed in range(4):
        eyes = make_anatomy(electrodes, np.random.default_rng(seed)).eyes
        field = eyes[:, 0] * np.sin(np.radians(1))
        found.append(np.ptp(field))
        assert {names[field.argmax()], names[field.argmin()]} <= {"E1", "E2", "E8", "E122", "E25", "E26", "E32", "E33"}
    assert 9 < np.mean(found) < 26


def test_a_dipole_far_below_an_electrode_falls_off_as_the_sphere_s_closed_form(electrodes):
    """A radial dipole at the centre of a homogeneous sphere: V = 3 m cos(theta) / (4 pi sigma R^2)."""
    unit = electrodes / np.linalg.norm(electrodes, axis=1, keepdims=True)
    ours = lead_field(unit * 0.095, np.array([[0.0, 0.0, 1e-4]]), np.array([[0.0, 0.0, 1e-8]]))[:, 0]
    exact = 3 * 1e-8 * unit[:, 2] / (4 * np.pi * 0.33 * 0.095**2) * 1e6
    exact -= exact.mean()
    np.testing.assert_allclose(ours, exact, atol=0.02 * np.abs(exact).max())


def test_left_and_right_gaze_mirror_each_other(quiet):
    still = np.tile([400.0, 300.0], (100, 1))
    sides = []
    for shift in (-200.0, 200.0):
        track = gaze.Track(still + np.array([shift, 0]), np.zeros(100), np.zeros((0, 3)), quiet.track.events)
        sides.append(eye_potentials(track, quiet.anatomy)[0])
    assert np.corrcoef(*sides)[0, 1] < -0.98


def test_labels_are_where_the_track_was(quiet):
    events = quiet.track.events
    fixations = [i for i in range(len(events)) if events.type[i] == "L_fixation"]
    for i in fixations:
        start, length = int(events.latency[i]) - 1, int(events.duration[i])
        mean = quiet.track.gaze_px[start : start + length].mean(0)
        np.testing.assert_allclose(mean, [events.avgpos_x[i], events.avgpos_y[i]], atol=15)
    assert len(fixations) >= 12


def test_dots_are_where_the_benchmark_puts_them(quiet):
    events = quiet.track.events
    cue = next(i for i in range(len(events)) if events.type[i].isdigit() and int(events.type[i]) < 28)
    later = [i for i in range(cue, len(events)) if events.type[i] == "L_fixation" and events.duration[i] >= 500]
    place = gaze.DOT_PLACES_PX[int(events.type[cue]) - 1]
    assert np.hypot(events.avgpos_x[later[0]] - place[0], events.avgpos_y[later[0]] - place[1]) < 60


@pytest.mark.parametrize(
    "name",
    [POSITION, FileName("LR", "antisaccade"), FileName("Direction", "dots"), FileName("Direction", "processing_speed")],
    ids=str,
)
def test_every_task_s_file_is_made_from_the_same_rules_as_real_ones(tmp_path, name):
    data = files.read(files.write(tmp_path / str(name), simulate(name, 1, 4, seed=2), "float32"))
    assert data.eeg.shape[1:] == (500, 129)
    assert 2 <= len(data.eeg) <= 4
    assert 2 < np.asarray(data.eeg).std() < 80  # microvolts
    if name.task == "LR":
        assert set(data.targets[:, 0]) <= {0, 1}


def test_people_do_not_change_when_more_are_asked_for_and_differ_from_each_other():
    first, second = list(simulate(POSITION, 2, 3, seed=4))
    again = next(iter(simulate(POSITION, 1, 3, seed=4)))
    np.testing.assert_array_equal(first[0], again[0])
    assert not np.allclose(first[0][0], second[0][0])


def test_max_cleaning_takes_the_eyes_out(quiet):
    before, after = quiet.signal, remove_eyes(quiet)
    names = list(montage())
    assert after[:, names.index("E1")].std() < 0.2 * before[:, names.index("E1")].std()


def test_the_band_pass_keeps_the_band_and_the_phase():
    time = np.arange(5000) / 500
    for hertz, gain in ((0.05, 0), (5, 1), (100, 0)):
        wave = np.sin(2 * np.pi * hertz * time)[:, None]
        kept = band_pass(wave, 0.5, 40, 500)[1500:3500]
        np.testing.assert_allclose(kept, gain * wave[1500:3500], atol=0.03)


def test_eyes_lie_inside_the_head():
    assert (np.linalg.norm(EYES_M, axis=1) < 0.094).all()


def test_people_that_processes_write_are_the_people_that_one_process_makes(tmp_path):
    name = POSITION
    simulate_into(tmp_path, name, [1, 4], 2, seed=5, whole=[4], processes=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "1-eeg.npy", "1-labels.npy", "4-eeg.npy", "4-labels.npy", "4-signal.npy",
    ]  # fmt: skip
    for kind, wanted in zip(("signal", "eeg", "labels"), participant(name, 4, 2, seed=5), strict=True):
        np.testing.assert_array_equal(np.load(tmp_path / f"4-{kind}.npy"), wanted)
