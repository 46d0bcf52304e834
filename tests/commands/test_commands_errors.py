"""Every error that a user can cause: one clear line, a non-zero exit, no traceback, and nothing lost."""

import subprocess
import sys

import pytest

from turnsmith.cli import main


def turnsmith(*arguments, cwd, text=None):
    return subprocess.run(
        [sys.executable, "-m", "turnsmith.cli", *arguments],
        cwd=cwd,
        input=text,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("fly",), "unknown verb 'fly'"),
        (("run", "alchemy"), "unknown recipe 'alchemy'"),
        (("run", "filtered_bc", "--preset", "gigantic"), "unknown preset 'gigantic'"),
        (("run", "filtered_bc", "--preset"), "--preset needs a value"),
        (("bench", "patience"), "unknown benchmark 'patience'"),
        (("parse", "klingon"), "unknown grammar 'klingon'"),
        (("parse", "tti", "absent.jsonl"), "absent.jsonl: cannot be read"),
        (("verify", "countdown", "absent.jsonl"), "absent.jsonl: cannot be read"),
        (("verify", "chess", "x"), "unknown environment 'chess'"),
        (("resume", "absent"), "absent: there is no run of this name"),
        (("results", "absent"), "absent: no recorded results here"),
        (("doctor", "--fly"), "unknown option '--fly'"),
    ],
)
def test_a_mistake_is_one_line_and_a_status(arguments, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*arguments]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert len(said.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "filtered_bc", "--itertions", "3"), "Unrecognized options: --itertions, 3 (perhaps --iterations)"),
        (("run", "filtered_bc", "--iterations", "x"), "Error parsing --iterations: invalid literal for int()"),
        (("bench", "store", "--fly"), "Unrecognized options: --fly. All options: turnsmith bench store --help"),
    ],
)
def test_a_mistake_in_options_is_one_line_and_a_status(arguments, says, tmp_path):
    """In a process of its own: what the parser prints depends on the terminal that it finds."""
    done = turnsmith(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_variable_of_the_former_name_is_not_ignored_in_silence(tmp_path, monkeypatch):
    monkeypatch.setenv("TURNWISE_DATA", str(tmp_path))
    done = turnsmith("results", cwd=tmp_path)
    assert (done.returncode, done.stderr.strip()) == (
        2,
        "turnsmith: the environment variable TURNWISE_DATA is now TURNSMITH_DATA: rename it.",
    )


def test_a_malformed_row_is_named_by_its_line(tmp_path):
    done = turnsmith(
        "verify", "countdown", "-", cwd=tmp_path, text='{"target": 1, "numbers": [1], "operations": []}\n{oops\n'
    )
    assert done.returncode == 2
    assert "-, line 2: not JSON" in done.stderr


def test_good_rows_are_graded(tmp_path):
    rows = '{"target": 24, "numbers": [3, 8, 1], "operations": ["8*3=24", "24*1=24"]}\n'
    done = turnsmith("verify", "countdown", "-", cwd=tmp_path, text=rows)
    assert (done.returncode, done.stdout) == (0, '{"valid": true, "reason": "reaches the target"}\n')
