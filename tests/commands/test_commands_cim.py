"""`turnsmith cim` from the outside, and the recipe's smallest preset."""

import json

import pytest

from turnsmith.cli import main
from turnsmith.recipes.trecim.recipe import Config
from turnsmith.recipes.trecim.recipe import main as run_recipe


def test_cost_prints_the_documented_keys(capsys):
    arguments = "cost --network vgg8 --cell fefet --bits 2 --node 45 --rows 8 --adc-levels 9 --json"
    assert main(["cim", *arguments.split()]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["settings"]["rows"] == 8
    assert {"area_mm2", "clock_ns", "period_us", "tops_per_w", "tops_per_w_true_ops"} <= report.keys()
    assert {"adc", "accumulation", "other", "buffer", "bus", "dynamic", "leakage"} == report["energy_uj"].keys()


def test_a_cost_that_cannot_be_is_one_line(capsys):
    assert main(["cim", "cost", "--cell", "sram", "--bits", "2"]) == 2
    assert "SRAM cell stores 1 bit" in capsys.readouterr().err


def test_cells_and_margins_are_tables_and_json(capsys):
    assert main(["cim", "nmr", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["r1-2bit"]["8"] == pytest.approx(1.51, abs=0.02)
    assert main(["cim", "cells", "--temps", "0,85"]) == 0
    assert "239.50 mV" in capsys.readouterr().out
    assert main(["cim", "spice", "--level", "2"]) == 0
    assert capsys.readouterr().out.startswith("* 2FeFET-1T 2-bit, level 2")


def test_deploy_explains_what_it_cannot_read(capsys, tmp_path):
    assert main(["cim", "deploy", str(tmp_path)]) == 2
    assert "no model that can be deployed" in capsys.readouterr().err


def test_a_gaze_model_of_the_eeg_room_can_be_deployed(capsys, tmp_path):
    pytest.importorskip("mne")
    import torch

    from turnsmith.eeg.anatomy import HYDROCEL, montage
    from turnsmith.eeg.model_file import Card, build, save_model

    torch.manual_seed(0)
    arguments = {"filters": 8, "width": 16, "depth": 1, "heads": 2, "mlp": 32, "head": 16}
    channels = tuple(montage(HYDROCEL))
    card = Card(
        "EEGViT", arguments, channels, 500.0, 500, (0.5, 40.0), (20.0,) * 129, 6.0, ("x_px", "y_px"),
        (400.0, 300.0), (200.0, 150.0),
    )  # fmt: skip
    save_model(tmp_path / "model", build("EEGViT", arguments), card)
    assert main(["cim", "deploy", str(tmp_path / "model"), "--inputs", "4", "--temps", "85", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["where"] for row in found["rows"]] == ["float", "int8", "2FeFET-1T 2-bit"]
    assert found["digital"]["model.stem.conv1"] == "its weights are used without calling it"
    assert found["rows"][1]["agreement"] == 1.0
    assert found["microjoules"] > 0


def test_smoke_preset_runs_and_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = run_recipe(Config.preset("smoke"))
    assert page.read_text().count("<img") == 5
    metrics = (page.parent / "metrics.jsonl").read_text()
    run_recipe(Config.preset("smoke"))
    assert (page.parent / "metrics.jsonl").read_text() == metrics  # nothing was done twice
    assert not (tmp_path / "results").exists()  # smoke records nothing
