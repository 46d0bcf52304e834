"""PAE on somebody's own site: two real web applications that this project did not write, and a tiny model over HTTP.

Datasette and Wagtail live in a virtual environment of their own (`make setup` makes it: .venv-sites).
"""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from scripted_model import JUDGE, PROPOSER, tiny_model

from turnsmith.cli import main
from turnsmith.trace.codec import trace_to_json
from turnsmith.trace.store import Store
from turnsmith.trace.types import Outcome, Trace

pytest.importorskip("torch")
SITES = Path(os.environ.get("TURNSMITH_SITES_VENV", Path(__file__).parents[2] / ".venv-sites"))


@pytest.fixture(scope="module", autouse=True)
def chromium():
    from turnsmith.envs.browser.chromium import find_chromium
    from turnsmith.errors import UserError

    try:
        find_chromium()
    except UserError as error:
        pytest.skip(str(error))


def program(name: str) -> str:
    path = SITES / "bin" / name
    if not path.exists():
        pytest.skip(f"{path}: {name} is not installed there; make setup does it, or set TURNSMITH_SITES_VENV")
    return str(path)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextmanager
def started(command: list[str], url: str, folder: Path) -> Iterator[str]:
    """A web application in a process of its own, until it answers."""
    log = (folder / "server.log").open("wb")
    process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        for _ in range(600):
            assert process.poll() is None, (folder / "server.log").read_text()[-800:]
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except urllib.error.HTTPError:
                break  # it answers
            except OSError:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def datasette(tmp_path_factory) -> Iterator[str]:
    """Datasette over a small table of mountains."""
    binary, folder = program("datasette"), tmp_path_factory.mktemp("datasette")
    import sqlite3

    with sqlite3.connect(folder / "peaks.db") as base:
        base.execute("create table mountain (name text primary key, metres integer, country text)")
        rows = [("Eiger", 3967, "Switzerland"), ("Watzmann", 2713, "Germany"), ("Olymp", 2918, "Greece")]
        base.executemany("insert into mountain values (?, ?, ?)", rows)
    base.close()
    port = free_port()
    with started([binary, "peaks.db", "--port", str(port)], f"http://127.0.0.1:{port}/", folder) as url:
        yield url


def run(*arguments: str) -> int:
    small = [
        "--preset",
        "smoke",
        "--web.sessions",
        "1",
        "--web.horizon",
        "5",
        "--proposals.steps",
        "6",
        "--explore",
        "1",
    ]
    return main(["run", "pae", *small, *arguments])


def traces_of(name: str, phase: str | None = None) -> list[Trace]:
    with Store(Path("runs") / name / "run.db") as store:
        return list(store.traces(phase=phase))


def test_a_dry_run_shows_tasks_that_the_local_proposer_found_on_datasette(datasette, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("--site", datasette, "--name", "dry", "--dry-run", "--tasks", "6") == 0
    rows = [json.loads(line) for line in (tmp_path / "runs/dry/tasks.jsonl").read_text().splitlines()]
    assert 1 <= len(rows) <= 6
    assert {row["params"]["start_url"] for row in rows} == {datasette}
    assert "proposed tasks" in capsys.readouterr().out
    assert {trace.info["phase"] for trace in traces_of("dry")} == {"explore"}


def test_a_model_proposes_acts_and_judges_on_datasette_and_a_second_start_pays_for_nothing_again(
    datasette, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    texts = ["Open 'peaks' and 'mountain', then say 'Watzmann'", "Open 'peaks', then say 'Matterhorn'", "Log in"]
    with tiny_model(texts) as model:
        served = f"openai:tiny@{model.url}"
        command = ["--site", datasette, "--name", "own", "--tasks", "3", "--policy", served, "--judge", served,
                   "--proposer", served]  # fmt: skip
        assert run(*command) == 0
        first = dict(model.asked)
        assert run(*command) == 0
        assert model.asked == first
        assert not any("hidden" in body for body in model.bodies)
    by_end = {trace.answer: trace for trace in traces_of("own", "train")}
    assert len(by_end) == 2  # "Log in" is no task
    assert by_end["Watzmann"].outcome is Outcome.SUCCESS
    assert by_end["Matterhorn"].outcome is Outcome.FAILURE  # it is on no page
    assert by_end["Watzmann"].reward("outcome-tiny") == 1
    assert first[JUDGE] == 2
    assert first[PROPOSER] >= 1
    report = json.loads((tmp_path / "runs/own/report.json").read_text())
    assert report["cost"]["pages"] >= 6
    said = capsys.readouterr().out
    assert "pages" in said
    assert "tokens" in said


def test_a_small_policy_of_a_folder_learns_on_datasette_from_what_the_judge_rewards(datasette, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with tiny_model(["What is shown? Say 'done'", "Look at 'peaks'"]) as model:
        served = f"openai:tiny@{model.url}"
        assert run("--site", datasette, "--name", "learn", "--tasks", "2", "--policy", "shipped", "--judge", served,
                   "--proposer", served, "--iterations", "1", "--rollouts", "2") == 0  # fmt: skip
    assert len(traces_of("learn", "train")) == 2
    assert (tmp_path / "runs/learn/checkpoints/policy/step-1/model/model.safetensors").exists()


@pytest.fixture(scope="module")
def wagtail(tmp_path_factory) -> Iterator[tuple[str, Path, str]]:
    """Wagtail's own start project with an editor: its address, its folder, and the command that puts it back."""
    binary, folder = program("wagtail"), tmp_path_factory.mktemp("wagtail")
    python = str(SITES / "bin" / "python")
    subprocess.run([binary, "start", "bakery", "."], cwd=folder, check=True, capture_output=True)
    environment = {**os.environ, "DJANGO_SUPERUSER_PASSWORD": "crust-and-crumb"}
    for arguments in (["migrate", "--verbosity", "0"], ["createsuperuser", "--noinput", "--username", "baker.smith",
                                                        "--email", "b@example.org"]):  # fmt: skip
        subprocess.run([python, "manage.py", *arguments], cwd=folder, env=environment, check=True, capture_output=True)
    shutil.copy(folder / "db.sqlite3", folder / "fresh.sqlite3")
    port = free_port()
    command = [python, "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"]
    with started(command, f"http://127.0.0.1:{port}/admin/login/", folder):
        yield f"http://127.0.0.1:{port}", folder, f"cp {folder}/fresh.sqlite3 {folder}/db.sqlite3"


def test_wagtail_is_explored_logged_in_put_back_each_time_and_left_unchanged(wagtail, tmp_path, monkeypatch):
    url, _, reset = wagtail
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TURNSMITH_LOGIN_USER", "baker.smith")
    monkeypatch.setenv("TURNSMITH_LOGIN_PASSWORD", "crust-and-crumb")
    counted = f"{reset} && echo x >> {tmp_path}/resets"
    assert run("--site", f"{url}/admin/", "--name", "wagtail", "--dry-run", "--tasks", "5", "--explore", "2", "--reset",
               counted, "--login", f"{url}/admin/login/") == 0  # fmt: skip
    traces = traces_of("wagtail")
    assert (tmp_path / "resets").read_text().count("x") == len(traces) == 2
    titles = {turn.observation.info["title"] for trace in traces for turn in trace.turns}
    assert not any("Sign in" in title for title in titles)
    written = (
        json.dumps([trace_to_json(trace) for trace in traces]) + (tmp_path / "runs/wagtail/config.json").read_text()
    )
    assert "crust-and-crumb" not in written
    assert "baker.smith" not in written


def test_a_recorded_visit_of_wagtail_can_be_proposed_from(wagtail, tmp_path, monkeypatch, capsys):
    url, _, _ = wagtail
    monkeypatch.chdir(tmp_path)
    (tmp_path / "visit.txt").write_text("# sign in by hand\ntype Username = nobody\nscroll down\nanswer no account\n")
    assert main(["record", "--site", f"{url}/admin/login/", "--script", "visit.txt", "--name", "visit"]) == 0
    (trace,) = traces_of("visit", "demonstrations")
    assert [turn.action.call.name for turn in trace.turns if turn.action.call] == ["type", "scroll", "answer"]
    assert all(turn.observation.images for turn in trace.turns)
    assert "recorded 3 actions" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--site", "example.org", "--policy", "shipped"], "not an http or https address"),
        (["--site", "http://127.0.0.1:9/"], "needs --policy FOLDER"),
        (["--site", "http://127.0.0.1:9/", "--policy", "shipped"], "needs a judge"),
        (["--site", "http://127.0.0.1:9/", "--policy", "shipped", "--judge", "/nowhere"], "fitted judge"),
        (["--policy", "shipped"], "--policy goes with --site"),
        (["--site", "http://127.0.0.1:9/", "--dry-run", "--login", "http://127.0.0.1:9/"], "TURNSMITH_LOGIN_USER"),
        (["--site", "http://127.0.0.1:9/", "--dry-run"], "could not be opened"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
