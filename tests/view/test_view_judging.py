"""Judges against people and the oracle, runs against each other, seeds averaged: by tables worked out by hand."""

import json

import pytest

from turnsmith.evaluate.stats import paired_bootstrap, wilson
from turnsmith.trace.store import Store
from turnsmith.trace.types import ORACLE, Action, Label, Observation, Outcome, Task, Trace, Turn, Verdict
from turnsmith.view.compare import compare, mean_over_seeds
from turnsmith.view.judging import judge_scores
from turnsmith.view.run import Run, final_evaluation, success_rate


def make_run(folder, solved: dict[str, list[float]], config: dict | None = None, judge: dict | None = None) -> Run:
    """A run with one evaluation: each task's episodes with their oracle rewards, and a judge's rewards by trace id."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config or {"recipe": folder.name}))
    turn = Turn(Observation("page"), Action("Action: x"))
    with Store(folder / "run.db") as store:
        for task, rewards in solved.items():
            for number, reward in enumerate(rewards):
                trace_id = f"{task}-{number}"
                verdicts = [Verdict(ORACLE, reward)]
                if judge and trace_id in judge:
                    verdicts.append(Verdict("vlm", judge[trace_id]))
                outcome = Outcome.SUCCESS if reward else Outcome.FAILURE
                info = {"phase": "eval", "iteration": 0}
                store.append(Trace(trace_id, Task(task, task, "browser"), (turn,), outcome, tuple(verdicts), info=info))
    return Run(folder)


def test_precision_and_recall_of_a_judge(tmp_path):
    # The judge says yes to a, b, c; people find a, b, d right; the oracle a, d.
    solved = {"a": [1.0], "b": [0.0], "c": [0.0], "d": [1.0], "e": [0.0]}
    judge = {"a-0": 1.0, "b-0": 1.0, "c-0": 1.0, "d-0": 0.0, "e-0": 0.0}
    run = make_run(tmp_path / "run", solved, judge=judge)
    with Store(run.path / "run.db") as store:
        for task, right in (("a", True), ("b", False), ("b", True), ("c", False), ("d", True)):  # b: changed one's mind
            store.add_label(Label(f"{task}-0", right))
        store.add_label(Label("e-0", True, turn=0))
        store.add_verdicts("e-0", [Verdict("critic", 0.0, turn=0)])
    scores = {
        (score["judge"], score["against"], score["about"]): score
        for score in judge_scores(run.rows.all(), run.database)
    }

    against_people = scores["vlm", "people", "trace"]
    assert [
        against_people[key] for key in ("n", "true_positive", "false_positive", "false_negative", "true_negative")
    ] == [4, 2, 1, 1, 0]
    assert against_people["precision"]["value"] == pytest.approx(2 / 3)
    assert against_people["recall"]["value"] == pytest.approx(2 / 3)
    assert (against_people["precision"]["low"], against_people["precision"]["high"]) == wilson(2, 3)
    assert scores["oracle", "people", "trace"]["recall"]["value"] == pytest.approx(2 / 3)

    against_oracle = scores["vlm", "oracle", "trace"]
    assert [
        against_oracle[key] for key in ("n", "true_positive", "false_positive", "false_negative", "true_negative")
    ] == [5, 1, 2, 1, 1]
    on_turns = scores["critic", "people", "turn"]
    assert (on_turns["n"], on_turns["false_negative"], on_turns["precision"]) == (1, 1, None)


def test_two_runs_are_paired_by_the_tasks_that_both_tried(tmp_path):
    first = make_run(tmp_path / "first", {"a": [0, 1], "b": [0], "c": [1], "only-first": [1]})
    second = make_run(tmp_path / "second", {"a": [1, 1], "b": [1], "c": [1], "only-second": [0]})
    page = compare([first, second])
    (pair,) = page["pairs"]
    assert (pair["tasks"], pair["wins"], pair["losses"], pair["ties"]) == (3, 2, 0, 1)
    expected = paired_bootstrap([0.5, 0.0, 1.0], [1.0, 1.0, 1.0])
    assert (pair["difference"], pair["low"], pair["high"]) == expected
    assert [example["task"] for example in pair["examples"]] == ["b", "a"]
    assert any("2 tasks were tried by only one" in note for note in page["notes"])


def test_runs_that_differ_in_their_seed_only_become_one_curve_with_an_interval_across_seeds(tmp_path):
    runs = []
    for seed, value in enumerate((0.2, 0.4, 0.6)):
        run = make_run(tmp_path / f"seed-{seed}", {"a": [1]}, {"recipe": "x", "seed": seed})
        line = {"iteration": 0, "phase": "eval", "success": value, "time": 1.0}
        (run.path / "metrics.jsonl").write_text(json.dumps(line) + "\n")
        runs.append(run)
    (curve,) = compare(runs)["series"]
    (point,) = curve["points"]
    # mean 0.4, standard deviation 0.2, t(2 degrees of freedom) = 4.303, over the square root of 3 seeds
    assert point["value"] == pytest.approx(0.4)
    assert point["high"] - 0.4 == pytest.approx(4.303 * 0.2 / 3**0.5)
    assert point["low"] == pytest.approx(0.8 - point["high"])


def test_a_point_that_one_seed_alone_has_is_no_mean():
    lone = [{"iteration": 5, "step": None, "time": 0.0, "value": 1.0, "low": None, "high": None}]
    assert mean_over_seeds([lone, []]) == []


def test_the_table_of_evaluations_counts_time_outs_and_leaves_infra_errors_out(tmp_path):
    run = make_run(tmp_path / "run", {})
    turn = Turn(Observation("page"), Action("Action: x"))
    outcomes = [(Outcome.SUCCESS, 2), (Outcome.FAILURE, 4), (Outcome.TRUNCATED, 6), (Outcome.INFRA_ERROR, 9)]
    with Store(run.path / "run.db") as store:
        for number, (outcome, turns) in enumerate(outcomes):
            verdicts = (Verdict(ORACLE, float(outcome is Outcome.SUCCESS)),)
            info = {"phase": "eval", "iteration": 3}
            store.append(Trace(f"t{number}", Task("a", "a", "browser"), (turn,) * turns, outcome, verdicts, info=info))
    (row,) = Run(run.path).overview()["evaluations"]
    assert row["success"]["value"] == pytest.approx(1 / 3)
    assert (row["episodes"], row["steps"], row["infra_errors"]) == (3, 4.0, 1)
    assert row["truncated"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("phases", [("train", "eval", "eval"), ("train", "train", "train"), ("", "", "")])
def test_a_glance_at_a_run_says_the_same_as_all_its_rows(tmp_path, phases):
    run = make_run(tmp_path / "run", {})
    turn = Turn(Observation("page"), Action("Action: x"))
    with Store(run.path / "run.db") as store:
        for number in range(24):
            outcome = Outcome.INFRA_ERROR if number % 7 == 0 else Outcome.FAILURE
            verdicts = (Verdict(ORACLE, 1.0), Verdict(ORACLE, float(number % 3 == 0)), Verdict(ORACLE, 1.0, turn=0))
            info = {"phase": phases[number % 3], "iteration": None if "" in phases else number // 8}
            store.append(Trace(f"t{number}", Task("a", "a", "browser"), (turn,), outcome, verdicts, info=info))
    run = Run(run.path)
    rows = run.rows.all()
    count, lost, final, _ = run.database.glance()
    assert (count, lost) == (24, sum(row.outcome == "infra_error" for row in rows))
    assert [(row.id, row.reward) for row in final] == [(row.id, row.reward) for row in final_evaluation(rows)]
    assert run.row()["success"] == success_rate(final_evaluation(rows))


def test_figures_that_are_fractions_are_shown_in_per_cent(tmp_path):
    run = make_run(tmp_path / "run", {})
    rows = [{"name": "warm start", "value": 0.4, "low": 0.3, "high": 0.5, "unit": "success"}, {"name": "x"}, "no row"]
    (run.path / "report.json").write_text(json.dumps({"summary": rows}))
    first, second = run.overview()["summary"]
    assert first == {"name": "warm start: success", "value": 40.0, "low": 30.0, "high": 50.0, "unit": "%"}
    assert second["value"] is None
