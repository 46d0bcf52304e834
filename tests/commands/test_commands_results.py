"""`turnsmith results`: every claim on narrow and wide terminals."""

import json

import pytest

from turnsmith.commands import results
from turnsmith.evaluate.claims import Claim, record


@pytest.fixture
def recorded(tmp_path):
    claims = [
        Claim("gain_points", "Gain", 12.5, goal=">= 8 and interval above 0", ci95=(-1.25, 20.0), paper="9.4 [W]"),
        Claim("later", "Not yet", None),
    ]
    record("toy", claims, "turnsmith run toy", results=tmp_path)
    return tmp_path


@pytest.mark.parametrize("columns", [72, 80, 160])
def test_every_claim_is_shown_whole(recorded, columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert results.main([str(recorded)]) == 0
    shown = capsys.readouterr().out
    assert all(len(line) <= columns for line in shown.splitlines())
    for part in ("gain_points", "12.5", "-1.25 to 20", "no  >= 8 CI > 0", "9.4 [W]", "not measured"):
        assert part in shown


def test_the_same_as_json(recorded, capsys):
    assert results.main([str(recorded), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["toy"][0]["value"] == 12.5
