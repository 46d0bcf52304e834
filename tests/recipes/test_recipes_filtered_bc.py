"""Filtered behaviour cloning end to end: the smoke preset in real Chromium, killed between iterations and resumed."""

import json
from dataclasses import replace
from typing import Any

import pytest

from turnsmith.recipes.filtered_bc import recipe as filtered_bc
from turnsmith.recipes.filtered_bc.recipe import Config, main
from turnsmith.trace.store import Store
from turnsmith.trace.types import Outcome

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A smoke run that was killed after its first iteration's episodes, then resumed: folder, ids before, report."""
    from turnsmith.envs.browser.chromium import find_chromium
    from turnsmith.errors import UserError

    try:
        find_chromium()
    except UserError as error:
        pytest.skip(str(error))
    here = tmp_path_factory.mktemp("filtered_bc")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        with pytest.MonkeyPatch.context() as kill:
            kill.setattr(filtered_bc, "_successes", _killed)
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
    from turnsmith.agents.load import load_policy

    folder, _, page = finished
    report = json.loads((folder / "report.json").read_text())
    assert report["status"] == "done"
    assert [row["name"] for row in report["summary"]] == ["warm start", "after 1 iterations"]
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://shop.localhost", "")
    policy: Any = load_policy(str(folder / "checkpoints" / "step-1"))
    assert policy.model.num_parameters() > 1000


def test_the_control_arm_needs_demonstrations(tmp_path, monkeypatch):
    from turnsmith.errors import UserError

    monkeypatch.chdir(tmp_path)
    config = Config.preset("smoke")
    without = replace(config, method="sft", demonstrations=replace(config.demonstrations, count=0))
    with pytest.raises(UserError, match=r"set demonstrations\.count above 0"):
        main(without)
