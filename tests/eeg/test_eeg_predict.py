"""Gaze along a recording: from a simulated EDF to a CSV, and each way in which a recording may not fit."""

import csv

import numpy as np
import pytest
import torch

from turnsmith.cli import main
from turnsmith.eeg.anatomy import montage
from turnsmith.eeg.batches import Source
from turnsmith.eeg.edf import write_edf
from turnsmith.eeg.fit import outputs
from turnsmith.eeg.model_file import Card, build, load_model, save_model
from turnsmith.eeg.predict import fitting_signal, predict_recording
from turnsmith.eeg.recordings import Signal, read_recording
from turnsmith.errors import UserError

CHANNELS = tuple(montage())
SIZES = {"filters": 8, "width": 16, "depth": 1, "heads": 2, "mlp": 16, "head": 8}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    made = build("EEGViT", SIZES)
    torch.nn.init.normal_(made.get_parameter("head.2.weight"), std=0.5)
    card = Card("EEGViT", SIZES, CHANNELS, 500.0, 500, (0.5, 40.0), (10.0,) * 129, 6.0, ("x_px", "y_px"),
                (400.0, 300.0), (200.0, 120.0))  # fmt: skip
    return save_model(tmp_path_factory.mktemp("model"), made, card)


def _signal(channels=CHANNELS, rate=500, seconds=8, microvolts=15.0):
    rng = np.random.default_rng(0)
    return Signal(rng.normal(0, microvolts, (seconds * rate, len(channels))), rate, channels, name="a.edf")


def test_a_csv_and_a_picture_are_written(model, tmp_path, capsys):
    recording = write_edf(tmp_path / "a.edf", _signal())
    assert main(["eeg", "predict", str(model), str(recording), "--step", "0.5"]) == 0
    assert "15 windows" in capsys.readouterr().out
    with open(tmp_path / "a_gaze.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["start_s"] for row in rows] == [f"{0.5 * window:.3f}" for window in range(15)]
    assert rows[0]["end_s"] == "1.000"
    assert all(np.isfinite(float(row["x_px"])) for row in rows)
    assert (tmp_path / "a_gaze.png").read_bytes()[:4] == b"\x89PNG"


def test_predictions_are_the_model_s_on_the_windows_that_it_names(model, tmp_path):
    recording = write_edf(tmp_path / "a.edf", _signal())
    found = predict_recording(model, recording, step_s=1.0)
    network, card = load_model(model)
    signal = fitting_signal(read_recording(recording), card)
    window = signal.values[1000:1500][None]
    raw = outputs(network, Source(window, card.scaler), np.array([0]))
    np.testing.assert_allclose(found.values[2], raw[0] * [200, 120] + [400, 300], rtol=1e-5)


def test_channels_are_matched_by_name_in_any_order_and_under_the_reference_s_other_name(model):
    _, card = load_model(model)
    shuffled = np.random.default_rng(1).permutation(129)
    signal = _signal()
    other = Signal(
        signal.values[:, shuffled], 500, tuple("e129" if CHANNELS[i] == "Cz" else CHANNELS[i].lower() for i in shuffled)
    )
    np.testing.assert_allclose(fitting_signal(other, card).values, fitting_signal(signal, card).values)


def test_a_recording_of_another_net_or_rate_or_unit_or_length_is_refused_with_the_fix(model, tmp_path, capsys):
    def says(signal, *options):
        recording = write_edf(tmp_path / "b.edf", signal)
        status = main(["eeg", "predict", str(model), str(recording), *options])
        return status, capsys.readouterr().err

    status, error = says(_signal(("Fp1", "Cz")))
    assert status == 2
    assert "has 2 channels, the model reads 129; missing: E1, E2" in error
    status, error = says(_signal(rate=250))
    assert status == 2
    assert "sampled at 250 Hz; the model was trained at 500 Hz. Add --resample" in error
    assert says(_signal(rate=250), "--resample")[0] == 0
    status, error = says(_signal(microvolts=15_000))
    assert status == 2
    assert "--scale 0.001 would make them 15" in error
    assert says(_signal(microvolts=15_000), "--scale", "0.001")[0] == 0
    short = _signal()
    status, error = says(short, "--step", "0")
    assert status == 2
    assert "--step" in error
    status, error = says(Signal(short.values[:2000], 500, CHANNELS))
    assert status == 2
    assert "is 4.00 s long; a filter from 0.5 Hz needs 6.60 s. Use a longer recording." in error


def test_a_folder_that_is_no_model_says_what_one_is(tmp_path):
    with pytest.raises(UserError, match=r"card\.json"):
        load_model(tmp_path)


def test_weights_that_do_not_fit_the_card_are_refused(model, tmp_path):
    (tmp_path / "card.json").write_text((model / "card.json").read_text().replace('"width": 16', '"width": 32'))
    (tmp_path / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes())
    with pytest.raises(UserError, match="do not fit its card"):
        load_model(tmp_path)
