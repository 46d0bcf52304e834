"""A run's folder survives kills and refuses what it cannot go on with."""

import pytest

from turnsmith.errors import UserError
from turnsmith.runs.run import Run, read_json

CONFIG = {"recipe": "corridor", "seed": 1}


def test_a_run_reopens_with_its_metrics_and_report(tmp_path):
    with Run(tmp_path / "r", CONFIG) as run:
        run.log(iteration=0, success=0.5)
        run.report(status="running", summary=[])
    with Run(tmp_path / "r", CONFIG) as run:
        assert run.resumed
        assert run.metrics()[0]["success"] == 0.5
        run.report(status="done")
    assert read_json(tmp_path / "r" / "report.json")["summary"] == []


def test_a_torn_last_line_of_metrics_is_dropped(tmp_path):
    with Run(tmp_path / "r", CONFIG) as run:
        run.log(iteration=0)
    with (tmp_path / "r" / "metrics.jsonl").open("a") as file:
        file.write('{"time": 1, "itera')
    with Run(tmp_path / "r", CONFIG) as run:
        run.log(iteration=1)
        assert [row["iteration"] for row in run.metrics()] == [0, 1]


def test_other_settings_are_refused_by_name(tmp_path):
    Run(tmp_path / "r", CONFIG).store.close()
    with pytest.raises(UserError, match=r"other settings \(seed\)"):
        Run(tmp_path / "r", {**CONFIG, "seed": 2})


def test_a_folder_that_is_not_a_run_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="not empty and not a run"):
        Run(tmp_path, CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_unhandled_error_marks_the_run_as_failed(tmp_path):
    with pytest.raises(ZeroDivisionError), Run(tmp_path / "r", CONFIG):
        _ = 1 / 0
    assert read_json(tmp_path / "r" / "report.json")["status"] == "failed"


def test_a_run_may_be_given_more_of_what_may_grow_and_nothing_else(tmp_path):
    Run(tmp_path / "r", {**CONFIG, "arms": ["a", "b"]}).store.close()
    more = {**CONFIG, "arms": ["a", "c", "b"]}
    with pytest.raises(UserError, match=r"other settings \(arms\)"):
        Run(tmp_path / "r", more)
    Run(tmp_path / "r", more, may_grow=("arms",)).store.close()
    assert read_json(tmp_path / "r" / "config.json")["arms"] == ["a", "c", "b"]
    for other in ({**more, "arms": ["a", "b"]}, {**more, "arms": ["a", "c", "b", "d"], "seed": 2}):
        with pytest.raises(UserError, match="other settings"):
            Run(tmp_path / "r", other, may_grow=("arms",))
