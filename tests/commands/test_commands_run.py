"""`turnsmith run`: its help answers at once, in every recipe, and lists what there is."""

import subprocess
import sys

import pytest

from turnsmith.cli import main
from turnsmith.commands.run import config_module, recipe_names
from turnsmith.runs.config import preset_names

HEAVY = ("torch", "transformers", "peft", "scipy", "mne", "mujoco", "playwright", "matplotlib", "jinja2", "starlette")
"""What takes longer to load than a person waits for help."""


def test_no_help_of_any_recipe_or_verb_loads_anything_heavy(tmp_path):
    """One fresh interpreter answers them all, so what one of them loads is seen after it."""
    verbs = [[], ["--help"], ["run", "--help"], ["demo", "--help"], ["resume", "--help"]]
    asked = [*verbs, *(["run", recipe, "--help"] for recipe in recipe_names())]
    code = f"""
import sys
from turnsmith.cli import main
for arguments in {asked!r}:
    try:
        main(arguments)
    except SystemExit:
        pass
    found = set({HEAVY!r}) & set(sys.modules)
    if found:
        sys.exit(f"{{arguments}} loads {{found}}")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage: turnsmith") == len(asked)


@pytest.mark.parametrize("recipe", recipe_names())
def test_every_recipe_has_the_presets_that_the_help_of_run_lists(recipe):
    kind = config_module(recipe).Config
    names = preset_names(kind)
    assert {"smoke", "laptop", "paper"} <= set(names)
    for name in names:
        assert kind.preset(name).preset_name == name
    assert len({kind.preset(name).name for name in names}) == len(names)  # no preset goes on with another's run


def test_the_help_of_run_lists_every_recipe_with_a_line_in_eighty_columns(capsys):
    assert main(["run", "--help"]) == 0
    said = capsys.readouterr().out
    for recipe in recipe_names():
        assert f"\n{recipe}: " in said
    assert max(map(len, said.splitlines())) <= 80
