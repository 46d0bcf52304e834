"""The recipe: the smoke preset whole, resumed after a kill, the paper's path in small, and the claims made of runs."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from turnsmith.eeg import files
from turnsmith.eeg.files import FileName
from turnsmith.eeg.fit import Point
from turnsmith.eeg.settings import PAPER_EPOCH
from turnsmith.errors import UserError
from turnsmith.recipes.eeg_mae import data as eeg_data
from turnsmith.recipes.eeg_mae import study as eeg_study
from turnsmith.recipes.eeg_mae.claims import match_ratio, study_claims, transfer_claims
from turnsmith.recipes.eeg_mae.config import Config, Masking
from turnsmith.recipes.eeg_mae.recipe import main
from turnsmith.recipes.eeg_mae.report import _real_table
from turnsmith.runs.config import from_json, to_json


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_smoke_preset_resumes_where_it_was_killed_and_reports(here, monkeypatch):
    config = replace(Config.preset("smoke"), fractions=(1.0,))
    monkeypatch.setattr(eeg_study.Study, "probe", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        main(config)
    assert json.loads((here / "runs/eeg_mae-smoke/report.json").read_text())["status"] == "stopped"
    monkeypatch.undo()
    monkeypatch.chdir(here)
    monkeypatch.setattr(eeg_study.Study, "pretrain", lambda self: pytest.fail("pretraining was done already"))
    page = main(config)
    report = json.loads((here / "runs/eeg_mae-smoke/report.json").read_text())
    assert report["status"] == "done"
    assert {"naive", "ridge", "scratch-100", "mae-100"} <= {row["name"] for row in report["summary"]}
    for name in ("scratch-100", "mae-100", "baseline-PyramidalCNN"):
        assert set(report["stages"][name]["test"]) == {"euclidean_px", "euclidean_mm", "rmse_px", "rmse_mm"}
    assert report["stages"]["paper-mode"]["interpolation_loss"] < 0.1  # single hidden values are no riddle
    html = page.read_text()
    assert html.count("data:image/") >= 5
    assert "http://" not in html.replace("http://www.w3.org", "")
    assert (here / "runs/eeg_mae-smoke/model/card.json").exists()
    assert not (here / "results").exists()  # only the laptop preset records claims


@pytest.mark.parametrize("task", ["LR", "Direction"])
def test_a_real_file_of_another_task_is_trained_on_in_paper_mode(here, task):
    """The paper's settings with tiny sizes on files shaped like the originals, 2 x 2 with image weights included."""
    from transformers import ViTConfig, ViTModel

    name = FileName(task, files.DATASETS[task][0])
    rng = np.random.default_rng(0)
    labels = rng.uniform(0, 1, (12, 1 + len(files.LABELS[task]))).round()
    labels[:, 0] = np.repeat([1, 2, 3, 4], 3)
    files.write(here / str(name), [(rng.normal(0, 10, (12, 500, 129)), labels)])
    ViTModel(
        ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=32,
                  patch_size=16, num_channels=1),
        add_pooling_layer=False,
    ).save_pretrained(here / "vit")  # fmt: skip
    small, paper = Config.preset("smoke"), Config.preset("paper")
    optim = replace(paper.finetune.optim, max_updates=2, batch_size=6)
    short = replace(paper.finetune, optim=optim, evaluate_every=1)
    config = replace(
        paper, name="p", data=str(here / str(name)), task=task, dataset=name.dataset, device="cpu", real=False,
        model=replace(small.model, pool="cls", place_prior=False),
        masking=replace(paper.masking, decoder_heads=2), baselines=(),
        pretrain=short, finetune=short,
        image_weights=str(here / "vit"),
    )  # fmt: skip
    main(config)
    stages = json.loads((here / "runs/p/report.json").read_text())["stages"]
    assert {"scratch-100", "mae-100", "image-100", "image_mae-100"} <= set(stages)
    assert np.isfinite(list(stages["image_mae-100"]["test"].values())).all()


def test_the_defaults_and_the_paper_preset_are_the_released_settings():
    config = Config.preset("paper")
    assert config == Config()
    assert config.masking == Masking(mode="paper", ratio=0.5, decoder_width=512, decoder_depth=2, decoder_heads=8)
    assert (config.model.width, config.model.depth, config.model.head, config.model.pool) == (768, 12, 1000, "cls")
    assert config.in_pixels
    for fit, epochs, stairs in ((config.pretrain, 30, (10, 20)), (config.finetune, 20, (6, 12, 18))):
        optim = fit.optim
        assert (optim.learning_rate, optim.schedule, optim.batch_size) == (1e-4, "stairs", 64)
        assert optim.stairs == tuple(epoch * PAPER_EPOCH for epoch in stairs)
        assert fit.updates == epochs * fit.evaluate_every
        assert not fit.shuffle
        assert not fit.keep_best
        assert optim.weight_decay == 0


def old_settings(fit):
    """A training as it was written when the recorded results were made."""
    optim = fit["optim"]
    return {
        "steps": optim["max_updates"], "batch": optim["batch_size"], "learning_rate": optim["learning_rate"],
        "weight_decay": optim["weight_decay"], "warmup": optim["warmup_updates"],
        "schedule": {"late_cosine": "cosine"}.get(optim["schedule"], optim["schedule"]),
        "stair_epochs": 10, "evaluate_every": fit["evaluate_every"], "patience": fit["patience"],
        "keep_best": fit["keep_best"], "shuffle": fit["shuffle"], "clip_norm": optim["grad_clip"],
    }  # fmt: skip


def test_the_laptop_settings_are_those_that_the_recorded_results_were_made_with():
    stored = Path(__file__).parent / "stored" / "laptop_settings.json"
    frozen = json.loads(stored.read_text())["eeg_mae"]
    now = json.loads(json.dumps(asdict(Config.preset("laptop"))))
    assert now.pop("in_pixels") is False
    for training in (now["pretrain"], now["finetune"], now["baseline_fit"]):
        assert (training["optim"]["betas"], training["optim"]["final_rate"]) == ([0.9, 0.999], 0.0)
    for name in ("pretrain", "finetune", "baseline_fit"):
        now[name] = old_settings(now[name])
    now["transfer"] |= {name: old_settings(now["transfer"][name]) for name in ("pretrain", "cue", "proxy")}
    assert now == frozen


@pytest.mark.parametrize("preset", ["smoke", "laptop", "paper"])
def test_settings_survive_json(preset):
    config = Config.preset(preset)
    assert from_json(Config, json.loads(json.dumps(to_json("eeg_mae", config)))) == config


def test_every_start_is_trained_in_the_way_that_validation_people_choose(here):
    config = replace(Config.preset("smoke"), rates=(1e-9, 1e-2), drops=(0.0, 0.3), fractions=(1.0,))
    result = eeg_study.Study(config, here / "run").finetune("scratch", 1.0)
    ways = result["error_by_way"]
    assert set(ways) == {"1e-09", "0.01", "1e-09-drop0.3", "0.01-drop0.3"}
    assert result["best_error"] == min(ways.values())
    dropped = f"-drop{result['drop_channels']:g}" if result["drop_channels"] else ""
    assert ways[f"{result['learning_rate']:g}{dropped}"] == result["best_error"]


def test_pretraining_draws_from_the_training_people_s_recordings_alone(here):
    made = eeg_study.Study(replace(Config.preset("smoke"), unlabelled="recordings"), here / "run")
    people = np.unique(made.data.participants[made.split.train])
    assert len(made.unlabelled_rows) > 10 * len(made.split.train)
    taken = made.unlabelled.eeg[made.unlabelled_rows[:1]][0]
    assert taken.shape == (500, 129)
    _, recordings = eeg_data.open_data(made.config, here / "run")
    np.testing.assert_array_equal(taken, recordings[people[0]][:500])


def test_settings_that_cannot_be_are_refused(here):
    smoke = Config.preset("smoke")
    for wrong, says in (
        (replace(smoke, baselines=("VGG",)), "VGG"),
        (replace(smoke, fractions=(0.1,)), "1.0 must be among them"),
        (replace(smoke, dataset="antisaccade"), "--dataset dots"),
        (replace(smoke, data="nowhere"), "no such file"),
        (replace(smoke, participants=2), "at least three"),
    ):
        with pytest.raises(UserError, match=says):
            main(replace(wrong, name=f"wrong-{says[:3]}"))
    with pytest.raises(UserError, match="Presets"):
        Config.preset("huge")


def _stages(scratch, mae, low):
    def stage(errors, mm):
        curve = [Point(10 * (i + 1), 1.0, 1.0 * (i + 1), 1.0, 0.0, e) for i, e in enumerate(errors)]
        test = {"euclidean_px": 2 * mm, "euclidean_mm": mm, "rmse_px": mm, "rmse_mm": mm / 2}
        row = {"best_step": 0, "best_error": min(errors), "seconds": 1.0, "test": test}
        return row | {"curve": [{s: getattr(p, s) for s in p.__slots__} for p in curve]}

    scores = {"euclidean_mm": 100.0, "rmse_mm": 80.0}
    return {
        "data": {"unlabelled_windows": 9000, "train_windows": 1000, "participants": 27, "device": "abacus"},
        "linear": {"naive": scores, "ridge": scores},
        "probe": {"scratch": scores, "mae": scores},
        "pretrain": {"seconds": 60.0},
        "scratch-100": stage(scratch, 60.0),
        "mae-100": stage(mae, 50.0),
        "scratch-10": stage(scratch, 100.0),
        "mae-10": stage(mae, low),
    }


def test_claims_are_means_over_seeds_and_a_claim_that_fails_is_recorded_as_failing():
    good = _stages([100, 90, 80, 70], [75, 69, 60, 60], 80.0)
    never = _stages([100, 90, 80, 70], [95, 94, 93, 92], 110.0)
    assert match_ratio(good) == (0.5, True)
    assert match_ratio(never) == (1.0, False)
    claims = {claim.id: claim for claim in study_claims(reports([good, never]))}
    assert claims["time_to_match_ratio"].value == 0.75
    assert claims["time_to_match_ratio"].holds is False
    assert "1 seed(s) never reached it" in claims["time_to_match_ratio"].note
    assert "abacus" in claims["time_to_match_ratio"].note
    assert claims["error_at_half_time_ratio"].value == pytest.approx((69 / 70 + 94 / 70) / 2)
    assert claims["low_label_error_reduction_pct"].value == pytest.approx((20 - 10) / 2)
    assert claims["low_label_error_reduction_pct"].ci95 == pytest.approx((-10, 20))
    assert claims["error_mm_mae_100"].note == "RMSE 25.0 mm"


def test_seconds_are_those_of_the_device_of_most_seeds_and_errors_of_all():
    good = _stages([100, 90, 80, 70], [75, 69, 60, 60], 80.0)
    slow = {**good, "data": {**good["data"], "device": "slate"}, "pretrain": {"seconds": 600.0}}
    claims = {claim.id: claim for claim in study_claims(reports([slow, good, good]))}
    assert claims["pretrain_seconds"].value == 60.0
    assert claims["pretrain_seconds"].seeds == (1, 2)
    assert claims["pretrain_seconds"].note == "Trained on: abacus."
    assert claims["error_at_half_time_ratio"].seeds == (0, 1, 2)
    assert "slate, abacus" in claims["error_at_half_time_ratio"].note


def test_the_report_shows_real_results_by_start_and_nothing_without_them():
    shown = _real_table({"cue": {"mae_real": {}}, "cue_accuracy_mae_real": 0.875, "proxy_r2_mae_real": 0.5})
    assert "<td>mae, real</td><td class=number>0.88</td><td class=number>0.50</td>" in shown
    assert _real_table({}) == ""


def test_real_claims_pool_the_trials_of_all_seeds():
    row = {"real": {"cue": {"scratch": {"R03": [10, 15], "R04": [12, 15]}}, "proxy_r2_scratch": 0.5}}
    claims = {claim.id: claim for claim in transfer_claims(reports([row, row]))}
    assert claims["real_cue_accuracy_scratch"].value == pytest.approx(44 / 60)
    assert claims["real_proxy_r2_scratch"].value == 0.5
    assert transfer_claims(reports([{}])) == []


def reports(stages):
    """Those of finished runs with these stages, a seed each."""
    return [{"config": {"name": f"eeg-s{seed}", "seed": seed}, "stages": row} for seed, row in enumerate(stages)]


def stored():
    """Reports of four seeds, and the claims that were made of them before these became rows of a table."""
    kept = json.loads((Path(__file__).parent / "stored" / "eeg.json").read_text())
    seeds = {int(seed): stages for seed, stages in kept["runs"].items()}
    rows = [{"config": {"name": f"eeg-s{seed}", "seed": seed}, "stages": stages} for seed, stages in seeds.items()]
    return rows, kept["claims"]


def test_claims_of_stored_stages_are_those_that_were_computed_before_they_became_a_table():
    rows, expected = stored()
    made = [asdict(claim) for claim in study_claims(rows) + transfer_claims(rows)]
    assert json.loads(json.dumps(made)) == expected


@pytest.mark.parametrize(
    ("stage", "says"),
    [
        ("mae-100", "run eeg-s2 has no evaluation time to match"),
        ("pretrain", "run eeg-s2 has no evaluation seconds of pretraining"),
        ("scratch-10", r"run eeg-s2 has no evaluation error reduction \(10\)"),
        ("baseline-PyramidalCNN", r"run eeg-s2 has no evaluation test error \(baseline_PyramidalCNN\)"),
        ("real", r"run eeg-s2 has no evaluation cue side \(scratch\)"),
    ],
)
def test_a_stage_that_one_seed_lacks_is_an_error_that_names_its_run(stage, says):
    rows, _ = stored()
    del rows[1]["stages"][stage]
    with pytest.raises(UserError, match=says):
        _ = study_claims(rows) + transfer_claims(rows)


def test_a_folder_of_raw_recordings_is_prepared_once(here, monkeypatch):
    made = []

    def parts(folder, name):
        made.append(folder)
        for person in (1, 2, 3):
            yield np.zeros((2, 500, 129)), np.full((2, 3), float(person))

    monkeypatch.setattr(eeg_data.prepare, "participants", parts)
    (here / "raw").mkdir()
    config = replace(Config.preset("smoke"), data=str(here / "raw"))
    for _ in range(2):
        assert eeg_data.open_data(config, Path(here / "run"))[0].labels.shape == (6, 3)
    assert len(made) == 1
