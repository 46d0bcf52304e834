"""The device recipes whole, in real Chromium, with tiny sizes; killed and resumed; learning from another run's log."""

import json
import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from turnsmith.agents.llava_reader import question
from turnsmith.cli import main as turnsmith
from turnsmith.critics.episodes import read
from turnsmith.errors import UserError
from turnsmith.evaluate.seeds import commands_of
from turnsmith.evaluate.stats import wilson
from turnsmith.recipes.digiq import recipe as digiq
from turnsmith.recipes.digiq.arm_names import ArmName, parse_arm
from turnsmith.recipes.digiq.claims import arm_of, digiq_claims, shared_log
from turnsmith.recipes.digiq.config import Config as DigiqConfig
from turnsmith.recipes.digiq.log import log_of_runs
from turnsmith.recipes.digiq.stages import SharedStages
from turnsmith.recipes.digirl import recipe as digirl
from turnsmith.recipes.digirl.claims import Evaluation, digirl_claims
from turnsmith.recipes.digirl.config import Config as DigirlConfig
from turnsmith.recipes.shared.device_claims import runs_of
from turnsmith.recipes.shared.phone_policy import SIZES
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
        config = replace(DigirlConfig.preset("smoke"), arms=("digirl",))
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
    made = folder / "runs/digiq-smoke/made"
    for name in ("stage_1/reader", "candidates", "actions/tuned/log", "features/screens", "critics/td", "critics/mc"):
        assert (made / name / "tensors.safetensors").exists(), name
    with Store(folder / "runs/digirl-smoke/run.db", read_only=True) as store:
        turns = [turn for trace in store.traces(phase="offline") for turn in trace.turns]
        learners = {credit.learner for turn in turns for credit in turn.credits}
    assert {"digiq-smoke/digiq", "digiq-smoke/mc"} <= learners  # in the run that has the log, beside its own
    monkeypatch.setattr(SharedStages, "_examples", lambda *_: pytest.fail("every arm was learned already"))
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
    options = ["--preset", "smoke", "--from", "digirl-smoke", "--name", "llava"]
    options += ["--representation.kind", "llava", "--representation.model", "llava"]
    assert turnsmith(["run", "digiq", *options]) == 2
    assert "leave them 0 with llava" in capsys.readouterr().err
    assert turnsmith(["run", "digiq", *options[:-1], "nothing"]) == 2
    assert "nothing: there is no such folder" in capsys.readouterr().err
    assert not (folder / "runs/llava").exists()
    options += ["--representation.augment", "0", "--representation.lora-rank", "2"]
    assert turnsmith(["run", "digiq", *options, "--arms", "digiq", "no-representation", "digiq-ranked-2"]) == 0
    report = json.loads((folder / "runs/llava/report.json").read_text())
    assert {row["name"] for row in report["summary"]} == {"behaviour", "digiq", "no-representation", "digiq-ranked-2"}
    made = folder / "runs/llava/made"
    assert all((made / name).is_dir() for name in ("stage_1/adapter", "actions/tuned/log", "actions/plain/log"))
    monkeypatch.setattr("turnsmith.recipes.digiq.readers.fit_question", lambda *_: pytest.fail("stage 1 is on disk"))
    more = ["--arms", "digiq", "no-representation", "digiq-ranked-2", "mc"]
    assert turnsmith(["run", "digiq", *options, *more]) == 0


def test_digiq_learns_from_several_runs_that_used_the_same_ids(runs, monkeypatch):
    folder, _ = runs
    monkeypatch.chdir(folder)
    shutil.copytree("runs/digirl-smoke", "runs/again", dirs_exist_ok=True)
    settings = json.loads((folder / "runs/again/config.json").read_text())
    (folder / "runs/again/config.json").write_text(json.dumps({**settings, "first": "digirl-smoke"}))
    with Run(folder / "runs/both", {"recipe": "digiq"}) as run:
        config = replace(DigiqConfig.preset("smoke"), source=("digirl-smoke", "again"), phases=("offline",))
        log = log_of_runs(config, run)
    with Store(folder / "runs/digirl-smoke/run.db", read_only=True) as store:
        alone = read(store, ["offline"])
    assert len({episode.trace.id for episode in log.episodes}) == len(log.episodes) == 2 * len(alone) > 0
    assert log.behaviour.version == "first"
    assert all(log.behaviour.frames(episode.screens[-1]) is not None for episode in log.episodes)


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
        digiq.main(replace(DigiqConfig.preset("smoke"), source=("nothing",), test_tasks=0))
    Store(tmp_path / "other.db").close()
    with pytest.raises(UserError, match="no device episodes"):
        digiq.main(replace(DigiqConfig.preset("smoke"), source=("other.db",), test_tasks=0, name="other"))
    with pytest.raises(UserError, match="unknown arm"):
        digiq.main(replace(DigiqConfig.preset("smoke"), arms=("best-of-x",)))
    with pytest.raises(UserError, match="candidates"):
        digiq.main(replace(DigiqConfig.preset("smoke"), arms=("best-of-99",)))


@pytest.mark.parametrize("kind", [DigirlConfig, DigiqConfig])
@pytest.mark.parametrize("preset", ["smoke", "laptop", "paper"])
def test_settings_survive_json(kind, preset):
    config = kind.preset(preset)
    assert from_json(kind, json.loads(json.dumps(to_json("x", config)))) == config


@pytest.mark.parametrize(("recipe", "kind"), [("digirl", DigirlConfig), ("digiq", DigiqConfig)])
def test_the_laptop_preset_is_what_the_recorded_results_were_made_with(recipe, kind):
    """The files hold the settings of the commits in results/*.json, under today's names."""
    recorded = json.loads((Path(__file__).parent / f"laptop_{recipe}.json").read_text())
    assert json.loads(json.dumps(to_json(recipe, kind.preset("laptop")))) == recorded
    assert SIZES["small"] == {"width": 96, "layers": 2, "vision_width": 48, "vision_layers": 3}


def test_the_paper_preset_is_the_paper():
    config = DigirlConfig.preset("paper")
    assert replace(DigirlConfig(), name=config.name) == config  # defaults are the paper's
    assert (config.policy.kind, config.features.kind, config.phone.judge) == ("autoui", "blip2", "vision")
    assert (config.policy.augment, config.policy.rehearsal, config.policy.demonstrations) == (0, 0, 0)
    assert (config.credit.mix, config.credit.threshold, config.credit.fraction) == (0.5, 1 / 20, 0.1)
    stages = [(s.actor, s.step_critic, s.instruction_critic) for s in (config.offline, config.online)]
    assert stages == [(600, 100, 100), (20, 5, 5)]
    assert (config.offline_rollouts, config.iterations, config.rollouts) == (1296, 400, 16)
    digiq = DigiqConfig.preset("paper")
    critics = digiq.critics
    assert (critics.form, critics.discount, critics.decay, critics.updates) == ("direct", 0.95, 0, 800)
    assert (digiq.extraction.pick, digiq.extraction.candidates, digiq.extraction.updates) == ("best", 16, 900)
    assert (digiq.representation.kind, digiq.representation.epsilon) == ("llava", 30.0)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["digirl"], "--policy.model FOLDER"),
        (["digirl", "--policy.model", "x"], "--features.model FOLDER"),
        (["digirl", "--policy.model", "x", "--features.model", "y"], "--phone.endpoint MODEL@BASE_URL"),
        (["digiq"], "--representation.model FOLDER"),
    ],
)
def test_the_paper_preset_says_what_it_needs(options, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert turnsmith(["run", options[0], "--preset", "paper", *options[1:]]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("recipe", ["digirl", "digiq", "apr"])
def test_a_recipe_has_about_forty_options(recipe, capsys):
    with pytest.raises(SystemExit):
        turnsmith(["run", recipe, "--preset", "laptop", "--help"])
    said = capsys.readouterr().out
    options = {word for word in re.findall(r"--[a-z][\w.-]+", said) if not word.startswith("--no-")} - {"--help"}
    assert 20 < len(options) <= 42, len(options)


# -- claims


def rewards(**wins: int) -> dict[str, dict[str, float]]:
    """20 tasks of which the first so many succeeded, by evaluation."""
    return {name: {f"t{i}": float(i < count) for i in range(20)} for name, count in wins.items()}


def seeds(by_seed, key):
    return runs_of([{"config": {"name": f"s{seed}", "seed": seed}, "rewards": by} for seed, by in by_seed.items()], key)


def digiq_by_id(by_seed):
    return {claim.id: claim for claim in digiq_claims(seeds(by_seed, arm_of))}


@pytest.mark.parametrize("recipe", ["digirl", "digiq"])
def test_claims_of_stored_rewards_are_those_that_were_recorded_before(recipe):
    """Values, differences and gains to the last digit; the interval of a level is that of its own count now."""
    stored = json.loads((Path(__file__).parent / "device_claims.json").read_text())[recipe]
    by_seed = {int(seed): rewards for seed, rewards in stored["rewards"].items()}
    if recipe == "digirl":
        made = digirl_claims(seeds(by_seed, Evaluation.parse), 4, 2)
    else:
        made = digiq_claims(seeds(by_seed, arm_of), "All seeds learn from one log.")
    found = {claim.id: json.loads(json.dumps(asdict(claim))) for claim in made}
    before = {claim["id"]: claim for claim in stored["claims"]}
    assert found.keys() == before.keys()
    for id, claim in before.items():
        if id.endswith("_success"):
            values = [v for r in by_seed.values() for v in r[keys_of(recipe, id, r)].values()]
            assert found[id].pop("ci95") == list(wilson(sum(values), len(values)))
            claim.pop("ci95")
        assert found[id] == claim


def keys_of(recipe: str, id: str, rewards: dict) -> str:
    """The evaluation that a claim on a level speaks of."""
    names = {"sft_success": "eval-sft/0", "fbc_success": "eval-fbc/4", "digirl_success": "eval-digirl/4"}
    slugs = {name.replace("-", "_").replace("@", "_") + "_success": name for name in rewards}
    return names[id] if recipe == "digirl" else slugs[id]


def test_a_run_without_an_evaluation_is_named():
    runs = seeds({0: rewards(**{"eval-sft/0": 4, "eval-fbc/4": 5})}, Evaluation.parse)
    with pytest.raises(UserError, match="run s0 has no evaluation eval-digirl/4"):
        digirl_claims(runs, 4, 2)


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
    found = {claim.id: claim for claim in digirl_claims(seeds(by_seed, Evaluation.parse), iterations=2, drift=1)}
    assert found["sft_success"].value == pytest.approx(0.2)
    assert found["over_fbc_points"].value == pytest.approx(100 * (14 - 8.5) / 20)
    assert found["over_fbc_points"].holds is True
    assert found["drift_gain_points"].value == 0
    assert found["drift_gain_points"].holds is False
    assert set(found) == {"sft_success", "fbc_success", "digirl_success", "over_fbc_points", "drift_gain_points"}


def test_relative_gain_is_over_the_better_rival():
    by_seed = {seed: rewards(digiq=15, fbc=10, digirl=12) for seed in (0, 1, 2)}
    found = digiq_by_id(by_seed)
    assert found["over_best_offline_relative_pct"].value == pytest.approx(25.0)
    assert "mc_drop_points" not in found  # the arm was not run
    assert "ranked_over_best_offline_relative_pct" not in found
    ranked = {
        claim.id: claim
        for claim in digiq_claims(seeds({0: rewards(**{"digirl": 10, "fbc": 5, "digirl-ranked": 12})}, arm_of))
    }
    assert ranked["digirl_ranked_gain_points"].value == pytest.approx(10.0)
    both = {
        claim.id: claim
        for claim in digiq_claims(seeds({0: rewards(**{"digirl": 10, "fbc": 5, "digiq-ranked": 12})}, arm_of))
    }
    many = {
        "digiq": 9, "mc": 10, "digirl": 18, "fbc": 18, "digirl@7": 10, "fbc@7": 8, "digirl@7-ranked": 14,
        "digirl@7-ranked-by-mc": 11, "digirl@7-ranked-4": 13, "digirl@7-likeliest": 12,
    }  # fmt: skip
    drops = {claim.id: claim.value for claim in digiq_claims(seeds({0: rewards(**many)}, arm_of))}
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
    none = digiq_claims(seeds({0: rewards(digiq=5, fbc=0, digirl=0)}, arm_of))
    nothing = next(claim for claim in none if claim.id == "over_best_offline_relative_pct")
    assert nothing.value is None
    assert nothing.holds is False


def test_the_recorded_command_and_note_name_a_log_of_several_runs():
    laptop = DigiqConfig.preset("laptop")
    rows = [
        {"config": to_json("digiq", replace(laptop, seed=seed, name=f"q{seed}", source=("one", "two")))}
        for seed in (2, 0)
    ]
    assert commands_of("digiq", DigiqConfig, rows) == (
        "turnsmith run digiq --preset laptop --name q0 --from one two; "
        "turnsmith run digiq --preset laptop --seed 2 --name q2 --from one two"
    )
    made = {"seed": 2, "name": "q", "source": ["one", "two"], "first": ""}
    assert "one log" in shared_log([{"config": made}, {"config": {**made, "seed": 3}}])
    assert not shared_log([{"config": made}])
    assert not shared_log([{"config": made}, {"config": {**made, "source": ["three"]}}])
    assert not shared_log([{"config": {"seed": 1}}, {"config": {"seed": 2}}])


def test_a_drop_of_nothing_does_not_hold():
    found = {
        claim.id: claim for claim in digiq_claims(seeds({0: rewards(**{"digiq": 9, "mc": 9, "best-of-1": 3})}, arm_of))
    }
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
    train, held_out = digirl._split(log)  # type: ignore
    assert [one.trace.id for one in held_out] == ["offline-0-8", "offline-0-9", "train-digirl-1-4"]
    assert len(train) + len(held_out) == len(log)
