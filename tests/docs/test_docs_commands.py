"""Every `turnsmith …` line in a code block of README, docs/ and the recipes' pages is one that the program knows."""

import re
import shlex
from pathlib import Path

import pytest

from turnsmith.cli import COMMANDS
from turnsmith.commands.eval import Options as EvalOptions
from turnsmith.commands.eval_colbench import Options as ColBenchOptions
from turnsmith.commands.eval_tools import Options as ToolOptions
from turnsmith.commands.run import config_module, recipe_names
from turnsmith.options import parse_options
from turnsmith.recipes.filtered_bc.config import Config as DemoConfig

CHECKOUT = Path(__file__).parents[2]
PAGES = sorted([CHECKOUT / "README.md", *(CHECKOUT / "docs").glob("*.md"), *(CHECKOUT / "src").rglob("README.md")])


def commands() -> list[tuple[str, str]]:
    """(page and line, command) of each such line; comments, continuations and what is piped into are joined or cut."""
    found = []
    for page in PAGES:
        inside, text = False, ""
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
            if line.startswith("```"):
                inside, text = not inside, ""
            elif inside and (text or line.startswith("turnsmith ")):
                text += line.removesuffix("\\")
                if not line.endswith("\\"):
                    found.append((f"{page.relative_to(CHECKOUT)}:{number}", re.split(r"\s+#|\s+[|>]\s", text)[0]))
                    text = ""
    return found


@pytest.mark.parametrize(("place", "command"), commands())
def test_a_command_in_the_docs_is_one_that_the_program_knows(place, command):
    verb, *arguments = shlex.split(command)[1:]
    assert verb in COMMANDS, f"{place}: there is no verb {verb}"
    if "…" in command or "[" in command:
        return  # a form, not a command
    if verb == "run" and arguments[0] != "RECIPE":
        assert arguments[0] in recipe_names(), place
        kind, rest = config_module(arguments[0]).Config, arguments[1:]
        preset = rest.pop(rest.index("--preset") + 1) if "--preset" in rest else "laptop"
        rest = [argument for argument in rest if argument != "--preset"]
        parse_options(kind, rest, prog=command, default=kind.preset(preset))
    elif verb == "eval":
        kinds = {"colbench": ColBenchOptions, "tools": ToolOptions}
        kind = kinds.get(arguments[0], EvalOptions)
        parse_options(kind, arguments[2 if arguments[0] in kinds else 1 :], prog=command)
    elif verb == "demo":
        parse_options(DemoConfig, arguments, prog=command, default=DemoConfig.preset("demo"))


def test_there_are_commands_to_check():
    assert len(commands()) > 20
