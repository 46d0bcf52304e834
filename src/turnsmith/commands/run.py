"""`turnsmith run RECIPE [--preset NAME] [--any-setting …]`: run a recipe; `runs/NAME` has what it makes.

Every field of the recipe's configuration is an option: `turnsmith run RECIPE --preset laptop --help` lists them.
"""

import ast
import importlib
import textwrap
from pathlib import Path
from types import ModuleType

from turnsmith import recipes
from turnsmith.errors import UserError, require_extras
from turnsmith.options import parse_options
from turnsmith.runs.config import preset_names
from turnsmith.runs.run import run_folder


def recipe_names() -> tuple[str, ...]:
    """The recipes there are: each folder of `recipes/` that has a `recipe.py`."""
    return tuple(sorted(path.parent.name for path in _folder().glob("*/recipe.py")))


def config_module(name: str) -> ModuleType:
    """A recipe's `config`: `Config`, the extras it needs as `EXTRAS`, and nothing that is slow to load.

    Raises:
        UserError: if there is no such recipe.
    """
    if name not in recipe_names():
        raise UserError(f"unknown recipe {name!r}. Recipes: {', '.join(recipe_names())}.")
    return importlib.import_module(f"turnsmith.recipes.{name}.config")


def recipe_module(name: str) -> ModuleType:
    """A recipe's `recipe`, with `main(config)`.

    Raises:
        UserError: if there is no such recipe, or an extra that it needs is not installed.
    """
    require_extras(*getattr(config_module(name), "EXTRAS", ()))
    return importlib.import_module(f"turnsmith.recipes.{name}.recipe")


def main(argv: list[str]) -> int:
    """Run a recipe with a preset's settings, overridden by options."""
    if not argv or argv[0] in ("-h", "--help"):
        print(_usage())
        return 0
    recipe, rest = argv[0], list(argv[1:])
    kind = config_module(recipe).Config
    preset = _take_option(rest, "--preset") or "laptop"
    config = parse_options(
        kind,
        rest,
        prog=f"turnsmith run {recipe} --preset {preset}",
        default=kind.preset(preset),
        description=_about(recipe),
    )
    run_folder(config.name)  # a wrong name is an error before anything is loaded
    recipe_module(recipe).main(config)
    return 0


def _usage() -> str:
    """The recipes with a line and their presets each."""
    lines = [
        "usage: turnsmith run RECIPE [--preset NAME] [--any-setting …]",
        "",
        "runs/NAME has what it makes. Without --preset it is laptop; every setting of the",
        "recipe is an option: turnsmith run RECIPE --preset laptop --help lists them.",
    ]
    for name in recipe_names():
        about = textwrap.wrap(_about(name).splitlines()[0], 80, initial_indent=" " * 4, subsequent_indent=" " * 4)
        lines += ["", f"{name}: {', '.join(preset_names(config_module(name).Config))}", *about]
    return "\n".join(lines)


def _about(recipe: str) -> str:
    """What a recipe says of itself, read without loading it."""
    source = (_folder() / recipe / "recipe.py").read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source)) or ""


def _folder() -> Path:
    return Path(recipes.__path__[0])


def _take_option(arguments: list[str], option: str) -> str | None:
    """Remove `--option VALUE` or `--option=VALUE` from the arguments and return its value."""
    for index, argument in enumerate(arguments):
        if argument == option:
            if index + 1 == len(arguments):
                raise UserError(f"{option} needs a value.")
            value = arguments[index + 1]
            del arguments[index : index + 2]
            return value
        if argument.startswith(f"{option}="):
            del arguments[index]
            return argument.split("=", 1)[1]
    return None
