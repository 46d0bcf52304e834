"""The package as a user gets it: the wheel, in a fresh environment with nothing but its base dependencies."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from turnsmith.commands.run import recipe_names
from turnsmith.errors import EXTRAS

CHECKOUT = Path(__file__).parents[1]
ASKED, DONE = ({"role": "user", "content": "Open the door."}, {"role": "assistant", "content": "It is open."})


def said(*command: str | Path, where: Path, status: int = 0) -> str:
    """What a command prints (both streams), which must end with this status and without a traceback."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # or the checkout is imported
    done = subprocess.run([*map(str, command)], cwd=where, env=clean, capture_output=True, text=True, timeout=300)
    text = done.stdout + done.stderr
    assert done.returncode == status, text
    assert "Traceback" not in text
    return text


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, so that no build folder is left in the checkout."""
    if not (CHECKOUT / "pyproject.toml").exists():
        pytest.skip("an installed package has no pyproject.toml to build from")
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, copy)
    shutil.copytree(CHECKOUT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build"))
    said(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", out, copy, where=out)
    return next(out.glob("turnsmith-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The folder of programs of a fresh environment with the wheel and what its base needs."""
    place = tmp_path_factory.mktemp("fresh") / "venv"
    venv.create(place, with_pip=False, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python")]
    done = subprocess.run(
        [*pip, "install", "-q", "--no-compile", "-c", str(CHECKOUT / "constraints.txt"), str(wheel)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    if "Could not find a version" in done.stderr or "Connection" in done.stderr:
        pytest.skip(f"no package index can be reached: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return place / "bin"


def every_recipe(installed: Path, options: list[str], where: Path) -> dict[str, tuple[int, str]]:
    """Status and text of `turnsmith run RECIPE` with these options for each recipe, asked in one interpreter."""
    code = f"""
import contextlib, io, json
from turnsmith.cli import main
found = {{}}
for recipe in {recipe_names()!r}:
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        try:
            status = main(["run", recipe, *{options!r}])
        except SystemExit as end:
            status = end.code or 0
    found[recipe] = status, text.getvalue()
print(json.dumps(found))
"""
    return json.loads(said(installed / "python", "-c", code, where=where))


def test_the_base_install_answers_every_help_without_torch(installed, tmp_path):
    has_torch = "import importlib.util as u; print(u.find_spec('torch') is not None)"
    assert said(installed / "python", "-c", has_torch, where=tmp_path).strip() == "False"
    assert "usage: turnsmith VERB" in said(installed / "turnsmith", "--help", where=tmp_path)
    listed = said(installed / "turnsmith", "run", "--help", where=tmp_path)
    for recipe, (status, text) in every_recipe(installed, ["--help"], tmp_path).items():
        assert f"\n{recipe}: " in listed
        assert status == 0
        assert "--seed" in text


def test_what_needs_an_extra_names_it_in_one_line_and_leaves_nothing_behind(installed, tmp_path):
    for status, line in every_recipe(installed, ["--preset", "smoke"], tmp_path).values():
        assert status == 2
        assert len(line.strip().splitlines()) == 1, line
        assert "In a checkout of Turnsmith, type: pip install -e '.[" in line
    line = said(installed / "turnsmith", "run", "filtered_bc", "--preset", "smoke", where=tmp_path, status=2)
    assert "pip install -e '.[browser,hf]'" in line
    assert list(tmp_path.iterdir()) == []


def test_logs_are_read_without_any_extra(installed, tmp_path):
    (tmp_path / "log.jsonl").write_text(json.dumps({"messages": [ASKED, DONE]}) + "\n")
    said(installed / "turnsmith", "traces", "import", "log.jsonl", "runs/mine", where=tmp_path)
    assert "Open the door." in said(installed / "turnsmith", "traces", "ls", "runs/mine", where=tmp_path)


def test_the_viewer_the_sites_and_the_trained_models_are_in_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inside = {name: archive.getinfo(name).file_size for name in archive.namelist()}
    sources = [path for path in (CHECKOUT / "src").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    wanted = [path.relative_to(CHECKOUT / "src").as_posix() for path in sources if ".egg-info" not in str(path)]
    assert "turnsmith/recipes/shared/assets/web_small/model.safetensors" in wanted
    assert "turnsmith/view/static/viewer.js" in wanted
    missing = [name for name in wanted if inside.get(name) != (CHECKOUT / "src" / name).stat().st_size]
    assert missing == []
    assert not [name for name in inside if name.startswith(("tests/", "viewer/"))]


def test_the_extras_that_messages_name_are_those_of_the_package(wheel):
    """Each module of `EXTRAS` comes with a requirement of that extra."""
    with (CHECKOUT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    assert set(EXTRAS) == set(extras)
    for extra, modules in EXTRAS.items():
        packages = {requirement.partition(">")[0].partition("=")[0] for requirement in extras[extra]}
        assert set(modules) <= packages, extra


def test_a_release_names_no_private_host(wheel):
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("METADATA"))
        metadata = archive.read(name).decode()
    fields = metadata.partition("\n\n")[0]
    assert "License-Expression: Apache-2.0" in fields
    assert "Summary: " in fields
    assert "Development Status" in fields
    assert "://" not in fields.replace("https://pypi.org/", "")
