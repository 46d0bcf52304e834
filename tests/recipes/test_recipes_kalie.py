"""KALIE's recipe: the smoke preset runs, resumes and reports; its claims are what its rewards say."""

import json
from dataclasses import replace
from importlib.util import find_spec

import pytest

from turnsmith.errors import UserError
from turnsmith.evaluate.figures import SeedRun, claims_of
from turnsmith.learn.optim import OptimConfig
from turnsmith.recipes.kalie.claims import Trials, error_claims, evaluations, oracle_claim, table
from turnsmith.recipes.kalie.config import ARMS, Config, Rl, Vlm
from turnsmith.runs.config import from_json, to_json
from turnsmith.worlds.tabletop.graphics import MEND, available_backends

pytestmark = [
    pytest.mark.skipif(find_spec("mujoco") is None, reason="mujoco is not installed"),
    pytest.mark.skipif(not available_backends(), reason=f"nothing to render with: {MEND}"),
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_llava):
    """A run of the smoke preset on one task, with a tiny random LLaVA beside the networks, in a folder of its own."""
    from turnsmith.recipes.kalie.recipe import main
    from turnsmith.robot.vlm import prompt_of
    from turnsmith.worlds.tabletop.tasks import TableTask

    folder = tmp_path_factory.mktemp("kalie")
    model, processor = tiny_llava([prompt_of(TableTask.UNPLUG)])
    model.save_pretrained(folder / "llava")
    processor.save_pretrained(folder / "llava")
    optim = OptimConfig(learning_rate=1e-3, batch_size=2, max_updates=2)
    config = replace(
        Config.preset("smoke"),
        tasks=("unplugging",),
        error_tasks=("unplugging",),
        trials=1,
        vlm=Vlm(folder=str(folder / "llava"), optim=optim, arms=("standard",), device="cpu"),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        main(config)
    return config, folder


def test_a_run_leaves_trials_networks_errors_and_a_report(finished):
    config, folder = finished
    run = folder / "runs" / config.name
    report = json.loads((run / "report.json").read_text())
    assert report["status"] == "done"
    assert set(report["rewards"]) == {"oracle", "random", "standard", "composite", "rl", "rl_control", "vlm-standard"}
    assert report["rewards"]["oracle"] == {"unplugging-g1-500000": 1.0}
    assert set(report["errors"]) == {"standard/unplugging", "composite/unplugging", "still_labels/unplugging"}
    assert (run / "made" / "vlm" / "standard" / "adapter_model.safetensors").exists()
    assert (run / "made" / "nets" / "still_labels" / "unplugging" / "net.safetensors").exists()
    page = (run / "report.html").read_text()
    assert page.count("data:image/webp") >= 6
    assert "http" not in page.replace("http-equiv", "")


def test_a_finished_run_goes_on_without_playing_or_training_again(finished, monkeypatch):
    from turnsmith.recipes.kalie import learning, recipe
    from turnsmith.worlds.tabletop import environment

    config, folder = finished
    monkeypatch.chdir(folder)
    before = json.loads((folder / "runs" / config.name / "report.json").read_text())
    for module, name in (
        (learning, "train_network"),
        (learning, "render_labelled"),
        (environment, "execute_in"),
    ):
        monkeypatch.setattr(module, name, None)
    recipe.main(config)
    after = json.loads((folder / "runs" / config.name / "report.json").read_text())
    assert after["rewards"] == before["rewards"]
    assert after["errors"] == before["errors"]


def test_presets_are_named_and_read_back():
    for name in ("smoke", "laptop", "paper"):
        config = Config.preset(name)
        assert config.preset_name == name
        assert from_json(Config, json.loads(json.dumps(to_json("kalie", config)))) == config
        assert set(config.arms) <= set(ARMS)
    paper = Config.preset("paper")
    assert (paper.vlm.rank, paper.vlm.optim.max_updates, paper.vlm.optim.learning_rate) == (10, 6000, 1e-5)
    assert paper.diffusers.base
    with pytest.raises(UserError, match="unknown preset"):
        Config.preset("huge")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tasks": ("ironing",)}, "unknown task 'ironing'"),
        ({"trial_arms": ("magic",)}, "unknown arm 'magic'"),
        ({"scripts": ("god",)}, "unknown script"),
        ({"rl": Rl(start="none")}, "must be one of trial_arms"),
        ({"sets": ()}, "at least one each"),
        ({"vlm": Vlm(folder="nowhere")}, "no such model folder"),
    ],
)
def test_settings_that_do_not_fit_are_one_line(change, words):
    from turnsmith.recipes.kalie.recipe import check

    with pytest.raises(UserError, match=words):
        check(replace(Config.preset("smoke"), **change))


def made_up(seed: int) -> SeedRun[Trials]:
    """Rewards of two tasks and two sets: synthesis wins all but one trial, the others lose every second."""
    config = Config.preset("laptop")
    scenes = [f"{task}-g{geometry}-{n:05d}" for task in config.tasks for geometry in (1, 4) for n in range(10)]
    half = {scene: float(index % 2) for index, scene in enumerate(scenes)}
    most = {scene: float(scene != scenes[seed]) for scene in scenes}
    rewards = {"standard": half, "strong_colour": half, "composite": most, "composite_10": most, "marks": half}
    rewards |= {"random": dict.fromkeys(scenes, 0.0), "oracle": most}
    return SeedRun(f"run-{seed}", seed, evaluations(rewards, config.tasks))


def test_claims_are_what_the_rewards_say():
    config, runs = Config.preset("laptop"), [made_up(seed) for seed in range(3)]
    wanted = {"unseen_success", "over_standard_aug_points", "ten_vs_fifty_points", "random_success", "hard_set_success"}
    wanted |= {"rl_after_imitation_points"}
    claims = {claim.id: claim for claim in claims_of([row for row in table(config) if row.id in wanted], runs)}
    assert claims["unseen_success"].value == pytest.approx(0.99)
    assert claims["over_standard_aug_points"].value == pytest.approx(49.0)
    assert claims["over_standard_aug_points"].holds
    assert claims["ten_vs_fifty_points"].value == 0
    assert claims["ten_vs_fifty_points"].holds
    assert claims["random_success"].value == 0
    assert claims["hard_set_success"].value == 1.0  # the one lost trial is of set 1
    assert "rl_after_imitation_points" not in claims
    oracle = oracle_claim(runs, config.tasks)
    assert oracle.value == pytest.approx(0.95)  # the worst task, not the mean
    assert oracle.holds


def test_errors_are_paired_by_scene():
    def report(seed, ours, theirs):
        arms = {"composite": ours, "appearance": theirs}
        rows = {arm: {"by_scene": dict(enumerate(px)), "pixels": sum(px) / 3} for arm, px in arms.items()}
        return {"config": {"seed": seed}, "errors": {f"{arm}/trash_sweeping": row for arm, row in rows.items()}}

    (claim,) = error_claims([report(0, [1, 2, 3], [2, 4, 6]), report(1, [1, 1, 1], [3, 3, 3])], "trash_sweeping")
    assert claim.id == "softedge_over_appearance_px"
    assert claim.value == pytest.approx(2.0)
    assert claim.seeds == (0, 1)
    assert claim.holds
