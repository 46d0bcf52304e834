"""Claims are computed from rows: what a known set of hits must come out as."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from turnsmith.cim.int8 import sha256
from turnsmith.cim.study import Arm, pack, unpack
from turnsmith.evaluate.claims import read_claims, record
from turnsmith.recipes.trecim.claims import accuracy_claims, circuit_claims, cost_claims


def test_packed_hits_come_back():
    right = np.array([True, False, True] * 7)
    assert np.array_equal(unpack(pack(right), 21), right)


def test_drops_are_paired_and_the_worst_temperature_counts():
    ideal = np.ones(200, bool)
    ideal[:20] = False

    def row(arm: Arm, celsius: float, lost: int) -> dict:
        right = ideal.copy()
        right[20 : 20 + lost] = False
        return {
            **arm.key, "celsius": celsius, "correct": int(right.sum()), "images": 200, "hits": pack(right),
            "wrong_codes": 0.0,
        }  # fmt: skip

    matched, real = Arm("r1-2bit"), Arm("r1-2bit", kappa_mismatch=1e-4)
    rows = [row(matched, 0, 0), row(real, 0, 1), row(real, 85, 4), row(Arm("1fefet1r"), 85, 150)]
    reference = {"correct": 180, "images": 200, "hits": pack(ideal), "width": 1.0}
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
        other = {"correct": int(tuned.sum()), "images": 200, "hits": pack(tuned), "width": 1.0}
        found = accuracy_claims({"plain": reference, "converter": other}, rows, "", (0,))
        claims = {claim.id: claim for claim in found}
        assert claims["max_drop_points_r1_2bit"].value == pytest.approx(expected)
        assert claims["drop_points_1fefet1r"].value == pytest.approx(75.0)


def test_widths_are_recorded_side_by_side(tmp_path):
    def run(width: float, correct: int) -> None:
        right = np.arange(100) < correct
        ideal = {"correct": correct, "images": 100, "hits": pack(right), "width": width}
        row = {**Arm("1fefet1r").key, **ideal, "celsius": 85.0}
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


def test_figures_without_a_network_meet_their_goals():
    claims = {claim.id: claim for claim in (*circuit_claims(), *cost_claims())}
    assert claims["fluctuation_ratio"].holds
    assert claims["nmr_min_r1_2bit_8rows"].holds
    assert {"tops_per_w_22nm_2bit", "tops_per_w_45nm_2bit_8rows"} <= claims.keys()
