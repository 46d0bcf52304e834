"""`turnsmith resume RUN`: go on with a run that was stopped or killed, with the settings that it was started with."""

from pathlib import Path

from turnsmith.commands.run import config_module, recipe_module
from turnsmith.errors import UserError
from turnsmith.runs.config import from_json
from turnsmith.runs.run import find_run, read_json


def main(argv: list[str]) -> int:
    """Rebuild the configuration from the run's folder and run its recipe again."""
    if len(argv) != 1 or argv[0] in ("-h", "--help"):
        print(f"usage: turnsmith resume RUN\n\n{__doc__}\nRUN is a folder such as runs/NAME, or NAME.")
        return 0 if argv else 2
    folder = find_run(argv[0]).parent
    config = read_json(folder / "config.json")
    recipe = str(config.get("recipe"))
    resolved = from_json(config_module(recipe).Config, config)
    if Path("runs") / resolved.name != folder and Path("runs").resolve() / resolved.name != folder.resolve():
        raise UserError(f"{folder}: was made as runs/{resolved.name}. Move it back, or start from its parent folder.")
    recipe_module(recipe).main(resolved)
    return 0
