"""The device recipes whole, in real Chromium, with tiny sizes; killed and resumed; learning from another run's log."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from turnsmith.agents.llava_reader import question
from turnsmith.cli import main as turnsmith
from turnsmith.critics.episodes import read
from turnsmith.errors import UserError
from turnsmith.evaluate.seeds import commands_of
from turnsmith.recipes.digiq import recipe as digiq
from turnsmith.recipes.digiq.arm_names import ArmName, parse_arm
from turnsmith.recipes.digiq.claims import digiq_claims, shared_log
from turnsmith.recipes.digirl import recipe as digirl
from turnsmith.recipes.digirl.claims import digirl_claims
from turnsmith.recipes.shared.device_claims import relative_gain
from turnsmith.runs.config import from_json, to_json
from turnsmith.runs.run import Run
from turnsmith.trace.store import Store
from turnsmith.trace.types import Call

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder in which DigiRL's smoke preset was killed in its first online update and then resumed."""
    from _pytest.monkeypatch import MonkeyPatch

    folder = tmp_path_factory.mktemp("device")
    with MonkeyPatch.context() as patch:
        patch.chdir(folder)
        config = replace(digirl.Config.preset("smoke"), arms=("digirl",))
        whole = digirl.Learner.update

        def killed(self, iteration):
            if iteration == 1:
                raise KeyboardInterrupt
            whole(self, iteration)

        patch.setattr(digirl.Learner, "update", killed)
        with pytest.raises(KeyboardInterrupt):
            digirl.main(config)
        with Store(folder / "runs/digirl-smoke/run.db", read_only=True) as store:
            before = {row.id: row.created_at for row in store.summaries()}
        patch.setattr(digirl.Learner, "update", whole)
        digirl.main(config)
    return folder, before


def test_digirl_resumes_and_plays_nothing_twice(runs):
    folder, before = runs
    report = json.loads((folder / "runs/digirl-smoke/report.json").read_text())
    assert report["status"] == "done"
    names = {row["name"] for row in report["summary"]}
    assert {"SFT", "digirl off-to-on", "drift: frozen", "drift: continual"} <= names
    with Store(folder / "runs/digirl-smoke/run.db", read_only=True) as store:
        rows = store.summaries()
        for trace in store.traces(phase="offline"):
            assert not any(turn.observation.text for turn in trace.turns)
            said = {(verdict.judge, verdict.turn) for verdict in trace.verdicts}
            judges = {"oracle", "oracle-noisy-0.4-0.03"}  # what was trained on is in the trace, and the truth beside it
            assert said == {(judge, turn) for judge in judges for turn in (*range(len(trace.turns)), None)}
            by_turn = {v.turn: v.reward for v in trace.verdicts if v.judge != "oracle"}
            assert [turn.reward for turn in trace.turns] == [by_turn[turn] for turn in range(len(trace.turns))]
            assert all("boxes" not in turn.observation.info for turn in trace.turns)  # pixels alone
    assert len({row.id for row in rows}) == len(rows)
    assert {row.id: row.created_at for row in rows if row.id in before} == before
    metrics = [json.loads(line) for line in (folder / "runs/digirl-smoke/metrics.jsonl").read_text().splitlines()]
    assert any(row["phase"] == "update-digirl" and row["loss"] is not None for row in metrics)
    assert any(row["phase"] == "judge-offline" for row in metrics)
    assert (folder / "runs/digirl-smoke/report.html").exists()
    assert not (folder / "results").exists()  # only the laptop preset records claims


def test_digiq_learns_from_that_runs_log(runs, monkeypatch):
    folder, _ = runs
    monkeypatch.chdir(folder)
    arms = ["digiq", "no-representation", "mc", "best-of-1"]
    acting = ["digiq@3-likeliest", "digiq-ranked-by-mc-2"]
    options = ["--preset", "smoke", "--from", "digirl-smoke", "--arms", *arms, *acting]
    assert turnsmith(["run", "digiq", *options]) == 0
    report = json.loads((folder / "runs/digiq-smoke/report.json").read_text())
    assert report["status"] == "done"
    assert set(report["token_kl"]) == {*arms, "digiq@3"}
    assert all(value >= 0 for value in report["token_kl"].values())
    assert {row["name"] for row in report["summary"]} == {"behaviour", *arms, *acting}
    cache = {path.name for path in (folder / "runs/digiq-smoke/cache").iterdir()}
    assert {"reader.safetensors", "candidates.safetensors", "actions-tuned.safetensors", "screens.safetensors"} <= cache
    assert "critics-tuned-td.safetensors" in cache
    monkeypatch.setattr(digiq.Bench, "_examples", lambda *_: pytest.fail("every arm was learned already"))
    fitting = "turnsmith.critics.advantage.AdvantageCritics.fit"
    monkeypatch.setattr(fitting, lambda *_: pytest.fail("the critics were fitted already"))
    more = [*options, "behaviour-ranked-2"]  # a run that has ended is given another arm
    assert turnsmith(["run", "digiq", *more]) == 0
    assert turnsmith(["resume", "digiq-smoke"]) == 0


def test_digiq_reads_actions_with_a_model_from_a_folder(runs, tiny_llava, monkeypatch, capsys):
    folder, _ = runs
    monkeypatch.chdir(folder)
    model, processor = tiny_llava([question(Call("press", {"key": "back"})), question(Call("type", {"text": "lamp"}))])
    model.save_pretrained("llava")
    processor.save_pretrained("llava")
    options = ["--preset", "smoke", "--from", "digirl-smoke", "--name", "llava", "--representation.model", "llava"]
    assert turnsmith(["run", "digiq", *options]) == 2
    assert "leave it 0 with a model" in capsys.readouterr().err
    assert turnsmith(["run", "digiq", *options[:-1], "nothing"]) == 2
    assert "nothing: there is no such folder" in capsys.readouterr().err
    assert not (folder / "runs/llava").exists()
    options += ["--representation.augment", "0", "--representation.lora-rank", "2"]
    assert turnsmith(["run", "digiq", *options, "--arms", "digiq", "no-representation", "digiq-ranked-2"]) == 0
    report = json.loads((folder / "runs/llava/report.json").read_text())
    assert {row["name"] for row in report["summary"]} == {"behaviour", "digiq", "no-representation", "digiq-ranked-2"}
    cache = {path.name for path in (folder / "runs/llava/cache").iterdir()}
    assert {"adapter.safetensors", "actions-tuned.safetensors", "actions-plain.safetensors"} <= cache
    monkeypatch.setattr("turnsmith.critics.llava_features.fit_question", lambda *_: pytest.fail("stage 1 is on disk"))
    more = ["--arms", "digiq", "no-representation", "digiq-ranked-2", "mc"]
    assert turnsmith(["run", "digiq", *options, *more]) == 0


def test_digiq_learns_from_several_runs_that_used_the_same_ids(runs, monkeypatch):
    folder, _ = runs
    monkeypatch.chdir(folder)
    shutil.copytree("runs/digirl-smoke", "runs/again", dirs_exist_ok=True)
    settings = json.loads((folder / "runs/again/config.json").read_text())
    (folder / "runs/again/config.json").write_text(json.dumps({**settings, "first": "digirl-smoke"}))
    with Run(folder / "runs/both", {"recipe": "digiq"}) as run:
        config = replace(digiq.Config.preset("smoke"), source=("digirl-smoke", "again"), phases=("offline",))
        log, policy = digiq._from_runs(config, run)
    with Store(folder / "runs/digirl-smoke/run.db", read_only=True) as store:
        alone = read(store, ["offline"])
    assert len({one.trace.id for one in log}) == len(log) == 2 * len(alone) > 0
    assert policy.version == "first"
    assert all(policy.frames(one.screens[-1]) is not None for one in log)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no-representation", ArmName("no-representation")),
        ("best-of-4@10", ArmName("best-of-4", 10)),
        ("td-0-ranked-4", ArmName("td-0", None, "ranked", "digiq", 4)),
        ("digirl@2000-ranked-by-td-0-4", ArmName("digirl", 2000, "ranked", "td-0", 4)),
        ("digirl-ranked-by-no-representation", ArmName("digirl", None, "ranked", "no-representation")),
        ("behaviour-likeliest-3", ArmName("behaviour", None, "likeliest", "digiq", 3)),
    ],
)
def test_an_arm_s_name_says_what_learns_and_how_it_acts(name, says):
    assert parse_arm(name) == says


@pytest.mark.parametrize(
    "name",
    ["behaviour", "behaviour@3-ranked", "best-of-x", "best-of-0", "fbc@0", "digiq-likeliest-by-mc",
     "digirl-ranked-by-awr", "digirl-ranked-0", "-ranked", "digiq "],
)  # fmt: skip
def test_a_name_of_no_arm_is_refused(name):
    with pytest.raises(UserError, match="unknown arm"):
        parse_arm(name)


def test_a_run_without_device_episodes_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no run of this name"):
        digiq.main(replace(digiq.Config.preset("smoke"), source=("nothing",), test_tasks=0))
    Store(tmp_path / "other.db").close()
    with pytest.raises(UserError, match="no device episodes"):
        digiq.main(replace(digiq.Config.preset("smoke"), source=("other.db",), test_tasks=0, name="other"))
    with pytest.raises(UserError, match="unknown arm"):
        digiq.main(replace(digiq.Config.preset("smoke"), arms=("best-of-x",)))
    with pytest.raises(UserError, match="candidates"):
        digiq.main(replace(digiq.Config.preset("smoke"), arms=("best-of-99",)))


@pytest.mark.parametrize("module", [digirl, digiq])
@pytest.mark.parametrize("preset", ["smoke", "laptop", "paper"])
def test_settings_survive_json(module, preset):
    config = module.Config.preset(preset)
    assert from_json(module.Config, json.loads(json.dumps(to_json("x", config)))) == config


# -- claims


def rewards(**wins: int) -> dict[str, dict[str, float]]:
    """20 tasks of which the first so many succeeded, by evaluation."""
    return {name: {f"t{i}": float(i < count) for i in range(20)} for name, count in wins.items()}


def test_claims_are_the_paired_differences():
    by_seed = {
        seed: {
            "eval-sft/0": rewards(x=4)["x"],
            "eval-fbc/2": rewards(x=8 + seed)["x"],
            "eval-digirl/2": rewards(x=14)["x"],
            "eval-continual/1": rewards(x=9)["x"],
            "eval-frozen/1": rewards(x=9)["x"],
        }
        for seed in (0, 1)
    }
    found = {claim.id: claim for claim in digirl_claims(by_seed, iterations=2, drift=1)}
    assert found["sft_success"].value == pytest.approx(0.2)
    assert found["over_fbc_points"].value == pytest.approx(100 * (14 - 8.5) / 20)
    assert found["over_fbc_points"].holds is True
    assert found["drift_gain_points"].value == 0
    assert found["drift_gain_points"].holds is False
    assert set(found) == {"sft_success", "fbc_success", "digirl_success", "over_fbc_points", "drift_gain_points"}


def test_relative_gain_is_over_the_better_rival():
    by_seed = {seed: rewards(digiq=15, fbc=10, digirl=12) for seed in (0, 1, 2)}
    gain, low, high = relative_gain(by_seed, "digiq", ("fbc", "digirl"))
    assert gain == pytest.approx(25.0)
    assert low < gain < high
    found = {claim.id: claim for claim in digiq_claims(by_seed)}
    assert found["over_best_offline_relative_pct"].value == pytest.approx(25.0)
    assert "mc_drop_points" not in found  # the arm was not run
    assert "ranked_over_best_offline_relative_pct" not in found
    ranked = {claim.id: claim for claim in digiq_claims({0: rewards(**{"digirl": 10, "fbc": 5, "digirl-ranked": 12})})}
    assert ranked["digirl_ranked_gain_points"].value == pytest.approx(10.0)
    both = {claim.id: claim for claim in digiq_claims({0: rewards(**{"digirl": 10, "fbc": 5, "digiq-ranked": 12})})}
    many = {
        "digiq": 9, "mc": 10, "digirl": 18, "fbc": 18, "digirl@7": 10, "fbc@7": 8, "digirl@7-ranked": 14,
        "digirl@7-ranked-by-mc": 11, "digirl@7-ranked-4": 13, "digirl@7-likeliest": 12,
    }  # fmt: skip
    drops = {claim.id: claim.value for claim in digiq_claims({0: rewards(**many)})}
    expected = {
        "mc_drop_points": -5, "digirl_7_ranked_mc_drop_points": 15, "digirl_7_ranked_gain_points": 20,
        "digirl_7_ranked_4_gain_points": 15, "digirl_7_ranked_4_over_likeliest_points": 5,
        "digirl_7_ranked_4_over_best_offline_relative_pct": 100 * (13 / 12 - 1), "digirl_7_likeliest_gain_points": 10,
        "digirl_7_ranked_over_likeliest_points": 10,
        "digirl_7_ranked_over_best_offline_relative_pct": 100 * (14 / 12 - 1),
        "over_best_offline_relative_pct": -50,
    }  # fmt: skip
    assert {id: drops[id] for id in expected} == pytest.approx(expected)
    assert {id for id in drops if "points" in id or "pct" in id} == set(expected)
    assert both["ranked_over_best_offline_relative_pct"].value == pytest.approx(20.0)
    none = digiq_claims({0: rewards(digiq=5, fbc=0, digirl=0)})
    nothing = next(claim for claim in none if claim.id == "over_best_offline_relative_pct")
    assert nothing.value is None
    assert nothing.holds is False


def test_the_recorded_command_and_note_name_a_log_of_several_runs():
    laptop = digiq.Config.preset("laptop")
    rows = [
        {"config": to_json("digiq", replace(laptop, seed=seed, name=f"q{seed}", source=("one", "two")))}
        for seed in (2, 0)
    ]
    assert commands_of("digiq", digiq.Config, rows) == (
        "turnsmith run digiq --preset laptop --name q0 --from one two; "
        "turnsmith run digiq --preset laptop --seed 2 --name q2 --from one two"
    )
    made = {"seed": 2, "name": "q", "source": ["one", "two"], "first": ""}
    assert "one log" in shared_log([{"config": made}, {"config": {**made, "seed": 3}}])
    assert not shared_log([{"config": made}])
    assert not shared_log([{"config": made}, {"config": {**made, "source": ["three"]}}])
    assert not shared_log([{"config": {"seed": 1}}, {"config": {"seed": 2}}])


def test_a_drop_of_nothing_does_not_hold():
    found = {claim.id: claim for claim in digiq_claims({0: rewards(**{"digiq": 9, "mc": 9, "best-of-1": 3})})}
    assert found["mc_drop_points"].holds is False
    assert found["bestofn_16_over_1_points"].holds is True


def test_both_arms_learn_from_the_first_four_fifths_of_each_collection():
    from dataclasses import dataclass
    from types import SimpleNamespace

    @dataclass
    class One:
        trace: SimpleNamespace

    log = [
        One(SimpleNamespace(id=f"{phase}-{iteration}-{n}", info={"phase": phase, "iteration": iteration}))
        for phase, iteration, count in (("offline", 0, 10), ("train-digirl", 1, 5), ("train-digirl", 2, 1))
        for n in range(count)
    ]
    train, held_out = digirl._split(log)
    assert [one.trace.id for one in held_out] == ["offline-0-8", "offline-0-9", "train-digirl-1-4"]
    assert len(train) + len(held_out) == len(log)
