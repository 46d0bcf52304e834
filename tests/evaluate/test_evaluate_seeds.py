"""Seeds of one setting are found wherever they were run, and their claims can be computed again."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from turnsmith.evaluate.claims import Claim
from turnsmith.evaluate.seeds import finished_runs, record_runs
from turnsmith.runs.config import to_json
from turnsmith.runs.run import Run


@dataclass(frozen=True)
class Config:
    name: str = "small-s0"
    seed: int = 0
    preset_name: str = "laptop"
    size: int = 3

    @classmethod
    def preset(cls, name: str) -> "Config":
        return cls()


def _make(config: Config, *, done: bool = True) -> None:
    with Run(Path("runs") / config.name, to_json("small", config)) as run:
        run.report(status="done" if done else "running", config=run.config, rewards={"arm": {"task": 1.0}})


def test_seeds_of_an_earlier_machine_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    _make(Config())
    reports = finished_runs("small", Config())
    record_runs("small", [Claim("level", "how high", 1.0)], Config, reports)
    (tmp_path / "runs").rename("elsewhere")  # another machine has the repository alone
    _make(Config(name="small-s1", seed=1))
    _make(Config(name="small-s2", seed=2), done=False)
    _make(Config(name="other", seed=3, size=4))
    found = finished_runs("small", Config())
    assert sorted(row["config"]["seed"] for row in found) == [0, 1]
    assert found[0]["rewards"] == reports[0]["rewards"]


def test_a_run_that_is_here_and_kept_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    _make(Config())
    record_runs("small", [], Config, finished_runs("small", Config()))
    with Run(Path("runs") / "small-s0", to_json("small", Config())) as run:
        run.report(rewards={"arm": {"task": 0.0}})
    assert [row["rewards"] for row in finished_runs("small", Config())] == [{"arm": {"task": 0.0}}]
    assert finished_runs("small", Config(), kept=None) == finished_runs("small", Config())
    assert len(list(Path("results/runs").iterdir())) == 1
    assert json.loads(Path("results/small.json").read_text()) == []
