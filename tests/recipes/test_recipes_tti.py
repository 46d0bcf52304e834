"""TTI: the smoke preset in real Chromium, killed and gone on with; its arms are equal; claims; presets."""

import importlib.util
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageTextToText

from turnsmith.envs.browser.chromium import find_chromium
from turnsmith.errors import UserError
from turnsmith.evaluate.figures import SeedRun
from turnsmith.learn.examples import examples_from_traces
from turnsmith.recipes.shared.web_config import Demonstrations
from turnsmith.recipes.tti import recipe
from turnsmith.recipes.tti.claims import NOT_REPRODUCED, tti_claims
from turnsmith.recipes.tti.config import Arm, Config, Thinking
from turnsmith.recipes.tti.report import behaviour, binding, by_needed
from turnsmith.runs.run import Run
from turnsmith.tasks.horizon import training_horizons
from turnsmith.trace.store import Store
from turnsmith.trace.types import Action, Call, Observation, Outcome, Task, Trace, Turn, Verdict


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A smoke run that was killed twice, in the warm start and in the second arm, and then gone on with."""
    try:
        find_chromium()
    except UserError as error:
        pytest.skip(str(error))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("tti"))
        config, real = Config.preset("smoke"), recipe.successes
        with pytest.MonkeyPatch.context() as kill:
            kill.setattr(recipe, "learn", _killed)
            with pytest.raises(KeyboardInterrupt):
                recipe.main(config)
        with pytest.MonkeyPatch.context() as kill:
            kill.setattr(recipe, "successes", lambda *all_: _killed() if "multiplicative" in all_[2] else real(*all_))
            with pytest.raises(KeyboardInterrupt):
                recipe.main(config)
        with Store("runs/tti-smoke/run.db") as store:
            before = {summary.id for summary in store.summaries()}
        page = recipe.main(config).read_text()
        with Store("runs/tti-smoke/run.db") as store:
            traces = list(store.traces())
        report = json.loads(Path("runs/tti-smoke/report.json").read_text())
        metrics = [json.loads(line) for line in Path("runs/tti-smoke/metrics.jsonl").read_text().splitlines()]
        with pytest.raises(UserError, match="other settings"):
            recipe.main(replace(config, steps=99))
    return config, before, traces, report, metrics, page


def _killed(*_, **__):
    raise KeyboardInterrupt


def test_nothing_is_played_twice_and_arms_spend_the_same_steps_on_the_same_tasks(finished):
    config, before, traces, _, metrics, _ = finished
    assert len({trace.id for trace in traces}) == len(traces)
    assert before < {trace.id for trace in traces}
    spent, tasks = {}, {}
    for arm in config.arms:
        mine = [trace for trace in traces if trace.info["phase"] == f"train-{arm.value}"]
        spent[arm] = sum(len(trace.turns) for trace in mine)
        tasks[arm] = [trace.task.id for trace in mine if trace.info["iteration"] == 1]
        horizons = training_horizons(config.horizons_of(arm), config.iterations)
        assert all(len(trace.turns) <= horizons[trace.info["iteration"] - 1] for trace in mine)
        assert 0 <= config.steps * config.iterations - spent[arm] < config.horizons.longest
        rows = [row for row in metrics if row["phase"] == f"train-{arm.value}"]
        assert [row["iteration"] for row in rows] == [1, 2]  # a turn that was killed is logged once
        assert [row["horizon"] for row in rows] == horizons
    first, second = tasks.values()
    shorter = min(len(first), len(second))
    assert first[:shorter] == second[:shorter]


def test_the_report_has_every_arm_behaviour_by_iteration_and_what_is_not_reproduced(finished):
    config, _, _, report, _, page = finished
    assert report["status"] == "done"
    assert list(report["rewards"]) == ["warm", "fixed_short", "multiplicative"]
    assert all(len(rewards) == config.test_tasks for rewards in report["rewards"].values())
    assert set(report["thinking"]) == {"plain", "answers-2", "forced-1", "best-2"}
    assert report["thinking"]["best-2"]["tokens"] > report["thinking"]["plain"]["tokens"]
    assert report["thinking_note"] == NOT_REPRODUCED
    titles = [chart["title"] for chart in report["charts"]]
    assert titles[:2] == ["Steps of a training episode", "GoBack in a training episode"]
    assert [len(series["points"]) for series in report["charts"][0]["series"]] == [2, 2]
    assert "GoBack in a training episode" in page


# -- without a browser


def trace(name="x", *, needed=7, site="shop", calls=("go_back", "answer"), reward=1.0, iteration=1, **more):
    task = Task(name, "", "browser", {"needed_steps": needed, "site": site})
    turns = tuple(
        Turn(
            Observation(), Action(word, Call(word, {"text": "an answer"} if word == "answer" else {}), token_ids=(1, 2))
        )
        for word in calls
    )
    outcome = Outcome.SUCCESS if reward else Outcome.FAILURE
    details = {"outcome": outcome, "verdicts": (Verdict("oracle", reward),), **more}
    return Trace(name, task, turns, info={"phase": "train-additive", "iteration": iteration}, **details)


def test_only_successes_are_learned_from_and_none_that_answers_not_available(tmp_path):
    config = replace(Config.preset("smoke"), keep=99)
    answers = {"a": "red", "b": "N/A", "c": "'n/a'", "d": "N/A because"}
    with Run(tmp_path / "run", {"recipe": "tti"}) as run:
        for name, answer in answers.items():
            one = trace(name, calls=("answer",))
            call = Call("answer", {"text": answer})
            run.store.append(replace(one, turns=(Turn(Observation(), Action("x", call)),)))
        run.store.append(trace("lost", reward=0.0))
        run.store.append(trace("later", iteration=3))
        assert [one.id for one in recipe.successes(config, run, "train-additive", 2)] == ["a", "d"]
        assert [one.id for one in recipe.successes(config, run, "train-additive", 3)] == ["a", "d", "later"]
        assert len(recipe.successes(replace(config, keep=2), run, "train-additive", 3)) == 2
        assert recipe.successes(config, run, "train-reversed", 3) == []


def test_updates_that_an_iteration_could_not_make_are_made_later():
    assert recipe._times(Config.preset("laptop").update, 3).max_updates == 240
    assert recipe._times(Config().update, 2).epochs == 2


def test_behaviour_and_what_shorter_horizons_would_have_cut_off():
    lost = trace("l", outcome=Outcome.INFRA_ERROR, verdicts=())
    long = trace("c", needed=14, calls=("go_back",) * 8 + ("answer",))
    cut = trace("d", needed=17, calls=("click",) * 12, reward=0.0, outcome=Outcome.TRUNCATED)
    traces = [trace("a"), trace("b", reward=0.0), long, cut, lost]
    found = behaviour(traces)
    assert (found["episodes"], found["infra_errors"], found["env_steps"]) == (4, 1, 2 + 2 + 9 + 12)
    assert found["go_back"] == (1 + 1 + 8) / 4
    assert found["go_back_share"] == 10 / 25
    assert found["tokens_a_step"] == 2
    assert found["truncated"] == 0.25
    assert behaviour([lost])["episodes"] == 0
    assert binding(traces, (2, 9, 12)) == {
        2: {"cut_off": 0.5, "success": 0.25},
        9: {"cut_off": 0.25, "success": 0.5},
        12: {"cut_off": 0.25, "success": 0.5},
    }
    bins = by_needed(traces)
    assert {name: one["success"] for name, one in bins.items()} == {
        "up to 10": 0.5,
        "11 to 15": 1.0,
        "16 and more": 0.0,
    }


def test_claims_compare_the_better_curriculum_with_the_better_fixed_horizon():
    tasks = [f"t{k}" for k in range(40)]

    def rate(won, seed):
        return {task: float(place < won + seed) for place, task in enumerate(tasks)}

    won = {"warm": 4, "fixed_short": 10, "fixed_long": 14, "additive": 16, "multiplicative": 24, "reversed": 12}
    runs = [SeedRun(f"s{seed}", seed, {key: rate(count, seed) for key, count in won.items()}) for seed in range(3)]
    checked = [SeedRun(f"s{seed}", seed, {"plain": rate(10, 0), "answers-2": rate(12, 0)}) for seed in range(3)]
    claims = {claim.id: claim for claim in tti_claims(runs, checked)}
    over = claims["over_best_fixed_points"]
    assert over.value == pytest.approx(25.0)
    assert over.holds is True
    assert "multiplicative against fixed_long" in over.note
    assert claims["fixed_short_success"].value == pytest.approx(11 / 40)
    assert claims["curriculum_success"].value == pytest.approx(25 / 40)
    assert claims["reversed_success"].value == pytest.approx(13 / 40)
    assert claims["recheck_gain_points"].value == pytest.approx(5.0)
    assert claims["recheck_gain_points"].note == NOT_REPRODUCED
    assert "recheck_gain_points" not in {claim.id for claim in tti_claims(runs, [])}
    worse = [SeedRun("s", 0, {key: rate(30 if key.startswith("fixed") else 5, 0) for key in won})]
    assert tti_claims(worse, [])[0].holds is False  # a null result is recorded as one


def test_the_paper_is_the_default_and_arms_differ_in_their_schedule_alone():
    paper = Config.preset("paper")
    assert paper == Config()
    assert (paper.iterations, paper.keep, paper.policy.model, paper.update.grad_clip) == (
        15,
        512,
        "gemma-3-12b-it",
        0.01,
    )
    horizons = {arm: training_horizons(paper.horizons_of(arm), 4) for arm in Arm}
    assert horizons == {
        Arm.FIXED_SHORT: [10] * 4,
        Arm.FIXED_LONG: [30] * 4,
        Arm.ADDITIVE: [11, 12, 13, 14],
        Arm.MULTIPLICATIVE: [10, 20, 30, 30],
        Arm.REVERSED: [30, 30, 20, 10],
    }
    laptop = Config.preset("laptop")
    assert training_horizons(laptop.horizons_of(Arm.MULTIPLICATIVE), 5) == [8, 16, 24, 24, 24]
    assert {laptop.horizons_of(arm).test for arm in Arm} == {24}
    with pytest.raises(UserError, match="preset"):
        Config.preset("huge")


def tiny_models():
    """The tiny vision-language models of the policy's own tests."""
    path = Path(__file__).parents[1] / "agents" / "test_agents_vision.py"
    spec = importlib.util.spec_from_file_location("tiny_models", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_model_of_the_papers_kind_runs_every_stage(tmp_path, monkeypatch):
    """Settings of the paper with a tiny random Gemma 3: no demonstrations, pictures, the vision tower as it is."""
    torch.manual_seed(0)
    settings, processor = tiny_models().build_gemma3()
    AutoModelForImageTextToText.from_config(settings).save_pretrained(tmp_path / "gemma")
    processor.save_pretrained(tmp_path / "gemma")
    # A model of random weights says nothing valid and succeeds at nothing: here it learns from that all the same.
    everything = partial(examples_from_traces, keep_truncated=True, keep_invalid=True)
    monkeypatch.setattr(recipe, "examples_from_traces", everything)
    monkeypatch.setattr(recipe, "successes", lambda config, run, phase, *_: list(run.store.traces(phase=phase)))
    monkeypatch.chdir(tmp_path)
    smoke = Config.preset("smoke")
    config = replace(
        Config(),
        name="paper-tiny",
        web=replace(Config().web, sites=("shop",), sessions=1),
        policy=replace(Config().policy, model=str(tmp_path / "gemma"), max_new_tokens=4),
        demonstrations=Demonstrations(count=0),
        arms=(Arm.MULTIPLICATIVE,),
        horizons=smoke.horizons,
        iterations=1,
        steps=2,
        test_tasks=1,
        thinking=Thinking(tasks=0),
    )
    assert recipe.main(config).exists()
    before, after = (
        AutoModelForImageTextToText.from_pretrained(folder).state_dict()
        for folder in (tmp_path / "gemma", "runs/paper-tiny/checkpoints/multiplicative/step-1/model")
    )
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert any("language_model" in name for name in moved)
    assert not any("vision_tower" in name for name in moved)
