"""`turnsmith run`: its help answers at once, in every recipe, and lists what there is."""

import subprocess
import sys

import pytest

from turnsmith.commands.run import config_module, recipe_names
from turnsmith.runs.config import preset_names

HEAVY = ("torch", "transformers", "peft", "scipy", "mne", "mujoco", "playwright", "matplotlib", "jinja2", "starlette")
"""What takes longer to load than a person waits for help."""


def loaded_by(arguments: list[str], where) -> set[str]:
    """Which of `HEAVY` a fresh interpreter has loaded after the command line has answered."""
    code = f"""
import sys
from turnsmith.cli import main
try:
    main({arguments!r})
except SystemExit:
    pass
print(*(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=where, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "usage: turnsmith" in done.stdout
    return set(done.stderr.split())


@pytest.mark.parametrize("recipe", recipe_names())
def test_the_help_of_a_recipe_loads_nothing_heavy(recipe, tmp_path):
    assert loaded_by(["run", recipe, "--help"], tmp_path) == set()


@pytest.mark.parametrize("arguments", [[], ["--help"], ["run", "--help"], ["demo", "--help"], ["resume", "--help"]])
def test_no_help_loads_anything_heavy(arguments, tmp_path):
    assert loaded_by(arguments, tmp_path) == set()


@pytest.mark.parametrize("recipe", recipe_names())
def test_every_recipe_has_the_presets_that_the_help_of_run_lists(recipe):
    kind = config_module(recipe).Config
    names = preset_names(kind)
    assert {"smoke", "laptop", "paper"} <= set(names)
    for name in names:
        assert kind.preset(name).preset_name == name
    assert len({kind.preset(name).name for name in names}) == len(names)  # no preset goes on with another's run


def test_the_help_of_run_lists_every_recipe_with_a_line_in_eighty_columns(tmp_path):
    command = [sys.executable, "-m", "turnsmith.cli", "run", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0
    for recipe in recipe_names():
        assert f"\n{recipe}: " in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
