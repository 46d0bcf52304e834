"""Progress where nobody watches: a log file says now and then how far the work is."""

import io
import re

import pytest

from turnsmith.runs import progress


def test_a_log_file_gets_lines_of_a_long_bar(monkeypatch: pytest.MonkeyPatch):
    said = io.StringIO()
    monkeypatch.setattr(progress.console, "_file", said)  # undone, unlike the property, which keeps a stream
    monkeypatch.setattr(progress, "_LOG_SECONDS", 0.0)
    with progress.progress_bar("learning", 3) as advance:
        for number in range(3):
            advance(note=f"loss {number}")
    assert re.findall(r"(\d)/3", said.getvalue()) == ["1", "2", "3"]
    assert all(len(line) <= 80 for line in said.getvalue().splitlines())


def test_a_short_bar_says_one_line(monkeypatch: pytest.MonkeyPatch):
    said = io.StringIO()
    monkeypatch.setattr(progress.console, "_file", said)  # undone, unlike the property, which keeps a stream
    with progress.progress_bar("learning", 3) as advance:
        for _ in range(3):
            advance()
    assert said.getvalue().count("3/3") == said.getvalue().count("\n") == 1
