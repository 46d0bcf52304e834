"""The complete examples of "your own environment", "your own judge" and "your own recipe" run as they stand."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from turnsmith.envs.browser.chromium import find_chromium
from turnsmith.errors import UserError
from turnsmith.trace.store import Store

DOCS = Path(__file__).parents[2] / "docs"
LONGEST = 60


def example(page: str) -> str:
    """The one Python block of a page."""
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 1
    assert len(blocks[0].splitlines()) <= LONGEST
    return blocks[0]


def run(code: str, where: Path, *arguments: str) -> str:
    """What it prints, as a user's own file in a folder of its own."""
    (where / "mine.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "mine.py", *arguments], cwd=where, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_your_own_environment(tmp_path):
    table = run(example("own_environment.md"), tmp_path)
    with Store(tmp_path / "runs/guessing/run.db") as store:
        guesses = {trace.task.hidden["number"]: len(trace.turns) for trace in store.traces()}
        won = {trace.task.hidden["number"]: trace.reward() == 1.0 for trace in store.traces()}
    assert guesses[49] > 1
    assert won == {number: _halvings(number) <= 6 for number in range(1, 97, 3)}
    assert f"{100 * sum(won.values()) / len(won):.1f} %" in table


def _halvings(number: int) -> int:
    """After how many guesses halving 1 … 100 finds a number."""
    low, high, guesses = 1, 100, 0
    while True:
        guesses += 1
        middle = (low + high) // 2
        if middle == number:
            return guesses
        low, high = (middle + 1, high) if number > middle else (low, middle - 1)


def test_your_own_judge(tmp_path):
    said = run(example("own_judge.md"), tmp_path)
    assert "100% agreement, precision 100%, recall 100%" in said
    with Store(tmp_path / "runs/asked/run.db") as store:
        reasons = [v.reason for trace in store.traces() for v in trace.verdicts if v.judge.startswith("all_words")]
    assert reasons == ["has every word", "missing: ada, lovelace", "has every word"]


def test_your_own_recipe(tmp_path):
    try:
        find_chromium()
    except UserError as error:
        pytest.skip(str(error))
    said = run(example("own_recipe.md"), tmp_path, "1", "2", "1", "1")
    assert "before" in said
    assert "after" in said
    assert (tmp_path / "runs/shortest/report.html").exists()
    with Store(tmp_path / "runs/shortest/run.db") as store:
        assert store.count(phase="train") == 2
        assert store.count(phase="eval") == 2
