"""The fuzzers with bounded counts and seeds, and what the soak makes of what it saw."""

import random
import time

import pytest

from turnsmith.bench import soak as soaking
from turnsmith.bench.fuzz import damaged, fuzz, targets
from turnsmith.bench.soak import Options, Soak, _check_store, claims, growth
from turnsmith.bench.soak_writer import trace_of
from turnsmith.cli import main
from turnsmith.trace import Store


@pytest.mark.parametrize("seed", range(3))
def test_damaged_input_is_read_or_refused_by_a_named_error(tmp_path, seed):
    found = fuzz(tmp_path, seed, 80)
    assert found.untyped == []
    assert found.inputs == 80 * len(targets(tmp_path))
    assert found.refused > found.inputs / 4


def test_every_target_takes_what_is_sound_or_says_why_by_name(tmp_path):
    for name, target in targets(tmp_path).items():
        if name == "kalie":  # its picture is not there
            with pytest.raises(target.may):
                target.read(target.sound)
        else:
            target.read(target.sound)


def test_damage_depends_on_the_seed_alone():
    once, again = (damaged(b"0123456789" * 5, random.Random("7/x/3")) for _ in range(2))
    assert once == again
    assert once != damaged(b"0123456789" * 5, random.Random("7/x/4"))


def test_growth_is_the_slope_after_the_warm_up():
    warm = [(float(t), 500 - t) for t in range(0, 200, 5)]
    steady = [(float(t), 300.0 + t * 3.6 / 3600) for t in range(200, 1000, 5)]
    steady[50] = (steady[50][0], 900.0)  # one reading that is out of line
    assert growth(warm + steady) == pytest.approx(3.6, rel=0.01)
    assert growth([]) is None
    assert growth(warm[:3]) is None


def test_an_acknowledged_trace_that_is_missing_or_another_is_counted(tmp_path):
    path = tmp_path / "run.db"
    with Store(path) as store:
        for number in (0, 1, 2):
            store.append(trace_of(number))
    assert _check_store(path, [0, 1, 2], 0) == (0, 3)
    assert _check_store(path, [0, 1, 2, 3], 0) == (1, 3)
    assert _check_store(tmp_path / "none.db", [0, 1], 7) == (2, 7)


def test_the_claims_name_what_went_wrong():
    soak = Soak(time.monotonic(), steps=5, lost_sessions=1, untyped=["viewer: OSError: x"])
    by_id = {claim.id: claim for claim in claims(soak, Options())}
    assert {
        "steps",
        "lost_sessions",
        "lost_acknowledged",
        "rss_growth_mb_per_hour",
        "untyped_errors",
        "fuzzed_inputs",
    } == {*by_id}
    assert (by_id["lost_sessions"].holds, by_id["lost_acknowledged"].holds, by_id["untyped_errors"].holds) == (
        False, True, False,
    )  # fmt: skip
    assert "OSError: x" in by_id["untyped_errors"].note


def test_a_short_soak_is_not_recorded(tmp_path, monkeypatch, capsys):
    async def short(folder, options):
        return Soak(time.monotonic(), steps=3)

    monkeypatch.setattr(soaking, "_soak", short)
    assert main(["bench", "soak", "--minutes", "1", "--results", str(tmp_path)]) == 0
    assert "Not recorded" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    assert main(["bench", "soak", "--minutes", "0"]) == 2
