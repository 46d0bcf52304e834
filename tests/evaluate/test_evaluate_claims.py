"""A recorded claim holds exactly when its goal says so."""

import json

import pytest

from turnsmith.errors import UserError
from turnsmith.evaluate.claims import Claim, read_claims, record


@pytest.mark.parametrize(
    ("value", "ci95", "goal", "holds"),
    [
        (25.0, None, ">= 25", True),
        (24.9, None, ">= 25", False),
        (0.2, None, "<= 0.2", True),
        (1.52, None, "== 1.51 +- 0.02", True),
        (1.54, None, "== 1.51 +- 0.02", False),
        (9.0, (0.1, 20.0), ">= 8 and interval above 0", True),
        (9.0, (-0.1, 20.0), ">= 8 and interval above 0", False),
        (9.0, None, ">= 8 and interval above 0", False),
        (None, None, "> 0", False),
        (3.0, None, "", None),
    ],
)
def test_holds_is_the_goal_applied_to_value_and_interval(value, ci95, goal, holds):
    assert Claim("x", "a claim", value, goal, ci95=ci95).holds is holds


def test_record_replaces_claims_of_the_same_id_and_keeps_the_others(tmp_path):
    record("r", [Claim("a", "first", 1.0), Claim("b", "second", 2.0)], "turnsmith run r", tmp_path)
    path = record("r", [Claim("a", "first", 3.0, ">= 2")], "turnsmith run r", tmp_path)
    rows = {row["id"]: row for row in read_claims(path)}
    assert (rows["a"]["value"], rows["a"]["holds"], rows["b"]["value"]) == (3.0, True, 2.0)
    assert {"command", "machine", "commit", "date"} <= set(rows["a"])


def test_a_damaged_file_of_claims_names_itself(tmp_path):
    path = tmp_path / "r.json"
    path.write_text(json.dumps({"not": "a list"}))
    with pytest.raises(UserError, match="not a file of claims"):
        read_claims(path)
