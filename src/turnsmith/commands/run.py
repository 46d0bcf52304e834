"""`turnsmith run RECIPE [--preset smoke|laptop|paper] [--any-setting …]`: run a recipe; `runs/NAME` has what it makes.

Every field of the recipe's configuration is an option: `turnsmith run RECIPE --preset laptop --help` lists them.
"""

import importlib
from types import ModuleType

from turnsmith.errors import UserError
from turnsmith.options import parse_options

# One folder a paper in `recipes/`; its `recipe` has `Config` and `main(config)`.
RECIPES = ("filtered_bc", "eeg_mae", "trecim", "apr", "digirl", "digiq")


def recipe_module(name: str) -> ModuleType:
    """The module of a recipe.

    Raises:
        UserError: if there is no such recipe.
    """
    if name not in RECIPES:
        raise UserError(f"unknown recipe {name!r}. Recipes: {', '.join(RECIPES)}.")
    return importlib.import_module(f"turnsmith.recipes.{name}.recipe")


def main(argv: list[str]) -> int:
    """Run a recipe with a preset's settings, overridden by options."""
    if not argv or argv[0] in ("-h", "--help"):
        print(f"usage: turnsmith run RECIPE [options]\n\n{__doc__}\nrecipes: {', '.join(RECIPES)}")
        return 0
    recipe, rest = argv[0], list(argv[1:])
    module = recipe_module(recipe)
    preset = _take_option(rest, "--preset") or "laptop"
    config = parse_options(
        module.Config,
        rest,
        prog=f"turnsmith run {recipe} --preset {preset}",
        default=module.Config.preset(preset),
        description=module.__doc__,
    )
    module.main(config)
    return 0


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
