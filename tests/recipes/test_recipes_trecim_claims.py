"""Claims are computed from rows: what a known set of hits must come out as."""

import json
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pytest

from turnsmith.cim.int8 import sha256
from turnsmith.cim.study import Arm, ChipRow, IdealRow, pack, unpack
from turnsmith.evaluate.claims import read_claims, record
from turnsmith.recipes.trecim.claims import accuracy_claims, circuit_claims, cost_claims
from turnsmith.recipes.trecim.config import Config


def test_packed_hits_come_back():
    right = np.array([True, False, True] * 7)
    assert np.array_equal(unpack(pack(right), 21), right)


def test_drops_are_paired_and_the_worst_temperature_counts():
    ideal = np.ones(200, bool)
    ideal[:20] = False

    def row(arm: Arm, celsius: float, lost: int) -> ChipRow:
        right = ideal.copy()
        right[20 : 20 + lost] = False
        return ChipRow(arm, celsius, int(right.sum()), 200, pack(right))

    matched, real = Arm("r1-2bit"), Arm("r1-2bit", kappa_mismatch=1e-4)
    rows = [row(matched, 0, 0), row(real, 0, 1), row(real, 85, 4), row(Arm("1fefet1r"), 85, 150)]
    reference = IdealRow("plain", 1.0, 180, 200, pack(ideal))
    claims = {claim.id: claim for claim in accuracy_claims({"plain": reference}, rows, "", (0,))}
    assert claims["ideal_accuracy"].value == 90.0
    assert claims["ideal_accuracy"].holds
    drop = claims["max_drop_points_r1_2bit"]
    assert drop.value == pytest.approx(2.0)  # the mismatched chip at 85 °C, not the matched one
    assert not drop.holds
    assert drop.ci95 is not None
    assert drop.ci95[0] < 2.0 < drop.ci95[1]
    assert claims["drop_points_1fefet1r"].value == pytest.approx(75.0)
    assert "drop_points_2t1fefet" not in claims

    # A network made for the converter has its own chip, and is held against the better of the two ideal networks.
    rows += [row(replace(real, network="converter"), 85, 3)]
    for lost, expected in ((2, 1.5), (-4, 3.5)):
        tuned = ideal.copy()
        tuned[20 - max(-lost, 0) : 20 + max(lost, 0)] = lost < 0
        other = IdealRow("converter", 1.0, int(tuned.sum()), 200, pack(tuned))
        found = accuracy_claims({"plain": reference, "converter": other}, rows, "", (0,))
        claims = {claim.id: claim for claim in found}
        assert claims["max_drop_points_r1_2bit"].value == pytest.approx(expected)
        assert claims["drop_points_1fefet1r"].value == pytest.approx(75.0)


def test_widths_are_recorded_side_by_side(tmp_path):
    def run(width: float, correct: int) -> None:
        right = np.arange(100) < correct
        ideal = IdealRow("plain", width, correct, 100, pack(right))
        row = ChipRow(Arm("1fefet1r"), 85.0, correct, 100, pack(right))
        found = accuracy_claims({"plain": ideal}, [row], "", (0,))
        record("trecim", found, f"turnsmith run trecim --width {width}", tmp_path)

    def values() -> dict[str, float]:
        return {claim["id"]: claim["value"] for claim in read_claims(tmp_path / "trecim.json")}

    run(1.0, 91)
    run(0.25, 78)
    expected = {"ideal_accuracy": 91.0, "drop_points_1fefet1r": 0.0}
    expected |= {"ideal_accuracy_quarter": 78.0, "drop_points_1fefet1r_quarter": 0.0}
    assert values() == expected
    run(0.25, 77)
    assert values() == {**expected, "ideal_accuracy_quarter": 77.0}
    run(1.0, 90)
    assert values() == {**expected, "ideal_accuracy": 90.0, "ideal_accuracy_quarter": 77.0}
    goals = {claim["id"]: claim["goal"] for claim in read_claims(tmp_path / "trecim.json")}
    assert (goals["ideal_accuracy"], goals["ideal_accuracy_quarter"]) == (">= 90", "")


ROOT = Path(__file__).parents[2]
FULL = ROOT / "benchmarks" / "cim" / "trecim-gpu-s0"


@pytest.mark.skipif(not FULL.exists(), reason="the full-width networks are not in this copy")
def test_full_networks_are_those_of_the_log_and_the_log_is_what_is_recorded():
    log = [json.loads(line) for line in (FULL / "metrics.jsonl").read_text().splitlines()]
    recorded = {claim["id"]: claim for claim in read_claims(ROOT / "results" / "trecim.json")}
    digests = next(row["sha256"] for row in log if row.get("phase") == "trained")
    for name, digest in digests.items():
        file = FULL / f"vgg8-int8-{name}.safetensors"
        assert sha256(file) == digest
        assert file.stat().st_size <= 14e6
        assert f"{name} {digest[:16]}" in recorded["ideal_accuracy"]["note"]
    ideal = next(row for row in log if row.get("phase") == "ideal" and row["network"] == "plain")
    worst = min(row["correct"] for row in log if row.get("cell") == "1fefet1r" and row["sigma_vt"] == 0)
    assert recorded["ideal_accuracy"]["value"] == pytest.approx(ideal["correct"] / 100)
    assert recorded["drop_points_1fefet1r"]["value"] == pytest.approx((ideal["correct"] - worst) / 100)


@pytest.mark.skipif(not FULL.exists(), reason="the full-width networks are not in this copy")
def test_claims_of_the_kept_log_equal_the_recorded_ones_to_the_last_digit():
    log = [json.loads(line) for line in (FULL / "metrics.jsonl").read_text().splitlines()]
    ideals = {
        row["network"]: IdealRow(**{field.name: row[field.name] for field in fields(IdealRow)})
        for row in log
        if row.get("phase") == "ideal"
    }
    arm = [field.name for field in fields(Arm)]
    rows = [
        ChipRow(Arm(**{name: row[name] for name in arm}), row["celsius"], row["correct"], row["images"], row["hits"])
        for row in log
        if row.get("phase") == "chip"
    ]
    recorded = {claim["id"]: claim for claim in read_claims(ROOT / "results" / "trecim.json")}
    made = accuracy_claims(ideals, rows, "", (0,))
    assert len(made) == 5
    for claim in made:
        row = json.loads(json.dumps({**asdict(claim), "holds": claim.holds}))
        note, setup = row.pop("note"), recorded[claim.id]["note"]
        assert {name: recorded[claim.id][name] for name in row} == row
        assert all(part.strip() in setup for part in note.split(". "))


def test_the_laptop_settings_are_those_that_the_recorded_results_were_made_with():
    stored = Path(__file__).parent / "stored" / "laptop_settings.json"
    frozen = json.loads(stored.read_text())["trecim"]
    now = json.loads(json.dumps(asdict(Config.preset("laptop"))))
    for name in ("schedule", "fine_tuning"):
        assert now[name].pop("stairs") == []
        assert now[name].pop("loss") == "cross_entropy"
    assert now == frozen
    optim = Config.preset("laptop").schedule.optim(351)
    assert (optim.optimizer, optim.momentum, optim.schedule, optim.final_rate) == ("sgd", 0.9, "late_cosine", 0.01)
    assert optim.warmup_updates == round(0.05 * 15 * 351)


@pytest.mark.skipif(not FULL.exists(), reason="the full-width networks are not in this copy")
def test_the_gpu_preset_is_what_the_full_networks_were_made_with():
    kept = json.loads((FULL / "config.json").read_text())
    kept.pop("recipe")
    now = json.loads(json.dumps(asdict(replace(Config.preset("gpu"), sigmas=(0.01,)))))
    for name in ("schedule", "fine_tuning"):
        assert now[name].pop("stairs") == []
        assert now[name].pop("loss") == "cross_entropy"
    assert now == kept


def test_the_defaults_and_the_paper_preset_are_the_wrappers():
    paper = Config.preset("paper")
    assert paper == Config()
    assert (paper.width, paper.batch_norm, paper.schedule.loss) == (1.0, False, "squared_error")
    optim = paper.schedule.optim(703)
    assert (optim.epochs, optim.batch_size, optim.learning_rate, optim.momentum) == (200, 64, 0.01, 0.9)
    assert (optim.stairs, optim.stair_factor, optim.warmup_updates) == ((140 * 703, 180 * 703), 1 / 8, 0)


def test_figures_without_a_network_meet_their_goals():
    claims = {claim.id: claim for claim in (*circuit_claims(), *cost_claims())}
    assert claims["fluctuation_ratio"].holds
    assert claims["nmr_min_r1_2bit_8rows"].holds
    assert {"tops_per_w_22nm_2bit", "tops_per_w_45nm_2bit_8rows"} <= claims.keys()
