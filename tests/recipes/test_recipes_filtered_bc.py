"""Filtered behaviour cloning: the smoke preset in real Chromium, killed and resumed; its presets; its claims."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from turnsmith.agents.load import load_local
from turnsmith.envs.browser.chromium import find_chromium
from turnsmith.errors import UserError
from turnsmith.evaluate.claims import read_claims
from turnsmith.evaluate.figures import claims_of
from turnsmith.recipes.filtered_bc import recipe as filtered_bc
from turnsmith.recipes.filtered_bc.claims import runs_of, table
from turnsmith.recipes.filtered_bc.config import Config
from turnsmith.recipes.filtered_bc.recipe import main
from turnsmith.recipes.shared.web_config import Lora
from turnsmith.trace.store import Store
from turnsmith.trace.types import Outcome

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def chromium():
    try:
        find_chromium()
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def finished(chromium, tmp_path_factory):
    """A smoke run that was killed after its first iteration's episodes, then resumed: folder, ids before, report."""
    here = tmp_path_factory.mktemp("filtered_bc")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        with pytest.MonkeyPatch.context() as kill:
            kill.setattr(filtered_bc.web, "all_time_successes", _killed)
            with pytest.raises(KeyboardInterrupt):
                main(Config.preset("smoke"))
        with Store(here / "runs/filtered_bc-smoke/run.db") as store:
            before = {summary.id for summary in store.summaries()}
        page = main(Config.preset("smoke")).read_text()
    return here / "runs/filtered_bc-smoke", before, page


def _killed(*_):
    raise KeyboardInterrupt


def test_every_episode_is_in_the_store_once_and_none_was_lost(finished):
    folder, before, _ = finished
    config = Config.preset("smoke")
    with Store(folder / "run.db") as store:
        phases = [summary.phase for summary in store.summaries()]
        traces = list(store.traces())
    assert phases.count("demonstrations") == config.demonstrations.count
    assert phases.count("train") == config.rollouts
    assert phases.count("eval") == 2 * config.test_tasks  # before and after
    assert all(trace.outcome is not Outcome.INFRA_ERROR for trace in traces)
    assert before < {trace.id for trace in traces}  # what was acknowledged before the kill is still there
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    marks = [(line["phase"], line["iteration"]) for line in lines]
    assert len(marks) == len(set(marks))  # what was logged before the kill stands there once


def test_what_was_sampled_is_kept_token_by_token(finished):
    folder, _, _ = finished
    with Store(folder / "run.db") as store:
        sampled = [turn.action for trace in store.traces(phase="train") for turn in trace.turns]
    assert sampled
    for action in sampled:
        assert len(action.token_ids) == len(action.logprobs) > 0
        assert action.prompt_ids


def test_held_out_tasks_share_no_entity_with_training(finished):
    folder, _, _ = finished
    with Store(folder / "run.db") as store:
        named = {
            split: {name for trace in store.traces(phase=phase) for name in trace.task.provenance["entities"]}
            for split, phase in (("train", "train"), ("test", "eval"))
        }
    assert named["train"]
    assert not named["train"] & named["test"]


def test_the_report_and_the_last_checkpoint_can_be_used(finished):
    folder, _, page = finished
    report = json.loads((folder / "report.json").read_text())
    assert report["status"] == "done"
    assert [row["name"] for row in report["summary"]] == ["warm start", "after 1 iterations"]
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://shop.localhost", "")
    policy = load_local(folder / "checkpoints" / "policy" / "step-1")
    assert policy.model.num_parameters() > 1000


def test_the_control_arm_needs_demonstrations(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = Config.preset("smoke")
    without = replace(config, method="sft", demonstrations=replace(config.demonstrations, count=0))
    with pytest.raises(UserError, match=r"set demonstrations\.count above 0"):
        main(without)
    assert list(tmp_path.iterdir()) == []


def test_the_papers_settings_run_with_a_tiny_model_of_its_kind(chromium, llava_folder, tmp_path, monkeypatch):
    """A vision-language model of a folder that sees marked screenshots and learns through an adapter."""
    monkeypatch.chdir(tmp_path)
    paper = Config.preset("paper")
    config = replace(
        paper,
        web=replace(paper.web, sites=("shop",), horizon=2, sessions=2),
        policy=replace(paper.policy, model=str(llava_folder), lora=Lora(rank=4, alpha=4), max_new_tokens=8),
        demonstrations=replace(paper.demonstrations, count=2),
        sft=replace(paper.sft, batch_size=2, max_updates=2),
        iterations=1,
        rollouts=2,
        update=replace(paper.update, max_updates=1),
        test_tasks=2,
    )
    main(config)
    with Store(Path("runs/filtered_bc-paper/run.db")) as store:
        train = list(store.traces(phase="train"))
    assert [len(turn.observation.images) for trace in train for turn in trace.turns] == [1] * 4
    kept = Path("runs/filtered_bc-paper/checkpoints/policy/step-1/model")
    assert (kept / "adapter_model.safetensors").exists()  # the adapter alone, not the model
    assert not (kept / "model.safetensors").exists()
    assert load_local(kept).processor is not None


def test_the_presets_are_the_papers_and_the_recorded_ones():
    """Laptop: what `results/filtered_bc.json` was made with. Paper: arXiv 2412.13194, what differs has a name."""
    laptop, paper = asdict(Config.preset("laptop")), asdict(Config.preset("paper"))
    small = {
        "optimizer": "adamw", "betas": (0.9, 0.98), "epsilon": 1e-8, "weight_decay": 0.01, "momentum": 0.9,
        "grad_clip": 1.0, "pass_tokens": 8192, "schedule": "constant", "final_rate": 0.05, "seed": 0,
        "learning_rate": 3e-4, "batch_size": 8, "warmup_updates": 5, "stairs": (), "stair_factor": 0.1,
    }  # fmt: skip
    assert laptop == {
        "name": "filtered_bc-laptop-s0",
        "seed": 0,
        "preset_name": "laptop",
        "tasks": "",
        "judge": "oracle",
        "web": {
            "sites": ("shop", "forum", "docs", "recipes", "courses"), "templates": None, "horizon": 12, "sessions": 8,
            "screenshots": False,
        },
        "policy": {
            "model": "shipped", "scratch": {"vocab_size": 2400, "width": 128, "layers": 2},
            "lora": {"rank": 0, "alpha": 256, "dropout": 0.05}, "temperature": 1.0, "max_new_tokens": 48,
            "device": None, "rendering": None, "freeze": (), "top_p": 1.0,
        },
        "demonstrations": {"count": 64, "noise": 0.25, "wander": 0.1, "detour": 0.0, "roam": 0.0},
        "sft": {**small, "epochs": 2, "max_updates": None},
        "method": "filtered_bc",
        "iterations": 6,
        "rollouts": 128,
        "keep": 1024,
        "update": {**small, "epochs": 10_000, "max_updates": 200},
        "rename": True,
        "test_tasks": 116,
        "pictures": 12,
    }  # fmt: skip
    assert Config() == Config.preset("paper")
    assert (paper["web"]["horizon"], paper["web"]["sessions"], paper["web"]["screenshots"]) == (10, 256, True)
    assert (paper["policy"]["temperature"], paper["policy"]["max_new_tokens"]) == (1.0, 256)
    assert paper["policy"]["lora"] == {"rank": 256, "alpha": 256, "dropout": 0.05}
    assert (paper["iterations"], paper["rollouts"], paper["keep"], paper["rename"]) == (20, 512, 1024, False)
    update = paper["update"]
    assert (update["learning_rate"], update["batch_size"], update["epochs"]) == (2e-5, 32, 2)
    assert (update["optimizer"], update["weight_decay"], update["grad_clip"]) == ("adamw", 0.0, 0.0)
    assert (update["schedule"], update["warmup_updates"], update["max_updates"]) == ("constant", 0, None)


def test_claims_are_made_of_the_rewards_of_all_seeds_and_name_the_control():
    def report(seed: int, method: str, before: list[float], after: list[float]) -> dict:
        rewards = {
            end: {f"task-{index}": reward for index, reward in enumerate(values)}
            for end, values in (("eval/0", before), ("eval/6", after))
        }
        return {"config": {"name": f"{method}-{seed}", "seed": seed, "method": method}, "rewards": rewards}

    reports = [
        report(0, "filtered_bc", [0, 0, 0, 1], [1, 1, 0, 1]),
        report(1, "filtered_bc", [0, 0, 1, 0], [1, 0, 1, 0]),
        report(0, "sft", [0, 0, 0, 1], [0, 0, 1, 1]),
    ]
    rows = table(6, runs_of(reports, "sft"))
    found = {claim.id: claim for claim in claims_of(rows, runs_of(reports, "filtered_bc"))}
    assert set(found) == {row["id"] for row in read_claims(CHECKOUT / "results" / "filtered_bc.json")}
    assert found["warm_start_success"].value == pytest.approx(2 / 8)
    assert found["final_success"].value == pytest.approx(5 / 8)
    assert found["success_gain_points"].value == pytest.approx(100 * 3 / 8)
    assert found["success_gain_points"].baseline == "SFT for as many updates ends at 50.0 %"
    assert found["success_gain_points"].seeds == (0, 1)
    with pytest.raises(UserError, match="run filtered_bc-0 has no evaluation filtered_bc after iteration 7"):
        claims_of(table(7, []), runs_of(reports, "filtered_bc"))


def test_the_recorded_levels_are_those_of_their_counts():
    """22.4 % and 52.6 % of 3 seeds' 116 tasks, with the intervals that the file has."""
    recorded = {row["id"]: row for row in read_claims(CHECKOUT / "results" / "filtered_bc.json")}
    ends = {"eval/0": 78, "eval/6": 183}
    solved = {end: [float(index < count) for index in range(348)] for end, count in ends.items()}
    reports = [
        {
            "config": {"name": f"s{seed}", "seed": seed, "method": "filtered_bc"},
            "rewards": {end: {f"t{i}": rewards[116 * seed + i] for i in range(116)} for end, rewards in solved.items()},
        }
        for seed in range(3)
    ]
    found = {claim.id: claim for claim in claims_of(table(6, []), runs_of(reports, "filtered_bc"))}
    for name in ("warm_start_success", "final_success"):
        assert found[name].value == recorded[name]["value"]
        assert found[name].ci95 == tuple(recorded[name]["ci95"])
