"""The table of before and after on a terminal of 80 columns."""

import io
import re

import pytest
from rich.console import Console

from turnsmith.evaluate.show import summary_table
from turnsmith.evaluate.summary import Summary


def shown(summaries: dict[str, Summary]) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=80, highlight=False).print(summary_table(summaries, "Held-out entities"))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("lost", [0, 12])
def test_nothing_is_cut_in_eighty_columns(lost):
    sites = {site: Summary(1200, 1200, 0, lost, 9600, 9600) for site in ("courses", "docs", "forum", "recipes", "shop")}
    ends = [Summary(6000, 6000, 0, lost, 48000, 48000, sites), Summary(6000, 0, 6000, lost, 72000, 0, sites)]
    lines = shown(dict(zip(("warm start", "after 100 iterations"), ends, strict=True)))
    text = "\n".join(lines)
    assert max(map(len, lines)) <= 80
    assert "…" not in text
    for word in ("success", "95 %", "episodes", "steps", "cut off", "courses", "recipes", "after 100 iterations"):
        assert word in text
    assert ("infra" in text) == bool(lost)
    assert re.search(r"warm start +100\.0 % +100–100 % +6000 +8\.0 +0\.0 %", text)


def test_a_long_name_goes_on_in_the_next_line():
    name = "runs/filtered_bc-laptop-s0/checkpoints/policy/step-6"
    lines = shown({name: Summary(100, 50, 3, 0, 600, 250)})
    assert max(map(len, lines)) <= 80
    assert "".join(line.split()[0] for line in lines if re.match(" [a-z]*/|[ a-z]*points", line)) == name
