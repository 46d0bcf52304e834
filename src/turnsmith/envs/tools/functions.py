"""Your own Python functions as tools: a module with `fresh()` and `TOOLS` is a world.

def fresh():                       # the world in its first state: any object
    return {"lamp": "off"}

def get_lamp(world) -> str: ...    # tools take the world first; what they return is text or JSON
def switch(world, to: str) -> str: ...

TOOLS = [get_lamp, switch]
READS = {"get_lamp"}               # those that change nothing: verifiers may call only these
"""

import importlib
import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from turnsmith.envs.tools.base import Toolboxes, ToolSpec, spec_of
from turnsmith.errors import UserError


class FunctionToolbox:
    """Functions over a world of one's own; see `envs.tools.base.Toolbox`.

    Attributes:
        specs: the tools.
    """

    def __init__(
        self, specs: Sequence[ToolSpec], functions: Mapping[str, Callable[..., object]], world: object
    ) -> None:
        self.specs = specs
        self._functions, self._world = functions, world

    def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Execute a call; what the function raises is text that begins with "Error"."""
        function = self._functions.get(name)
        if function is None:
            return f"Error: there is no tool {name!r}"
        try:
            output = function(self._world, **arguments)
        except Exception as error:  # the caller's doing, as far as can be told
            return f"Error: {type(error).__name__}: {error}"
        return output if isinstance(output, str) else json.dumps(output, default=str)

    def state(self) -> str:
        """The world as text."""
        return json.dumps(self._world, sort_keys=True, default=repr)

    def close(self) -> None:
        """Nothing is held."""


class FunctionWorld:
    """A module's functions as toolboxes.

    Attributes:
        name: the module's.
        specs: the tools.
        policy: the module's docstring.
    """

    def __init__(self, module: ModuleType) -> None:
        tools, fresh = getattr(module, "TOOLS", None), getattr(module, "fresh", None)
        if not isinstance(tools, list | tuple) or not tools or not callable(fresh):
            raise UserError(f"{module.__name__}: a module of tools needs TOOLS, a list of functions, and fresh().")
        reads = set(getattr(module, "READS", ()))
        self.name, self.policy = module.__name__, module.__doc__ or ""
        self.specs = tuple(spec_of(tool, writes=tool.__name__ not in reads, skip=1) for tool in tools)
        self._functions = {tool.__name__: tool for tool in tools}
        self._fresh = fresh

    def fresh(self) -> FunctionToolbox:
        """A toolbox over `fresh()`."""
        return FunctionToolbox(self.specs, self._functions, self._fresh())


def load_toolboxes(name: str) -> Toolboxes:
    """Tools by what a person types: a module (`package.module` or `file.py`), an MCP URL, or `mcp:COMMAND`.

    Raises:
        UserError: if there are none under this name.
    """
    if name.startswith(("http://", "https://", "mcp:")):
        if importlib.util.find_spec("mcp") is None:
            raise UserError("mcp is not installed. Type: pip install 'turnsmith[mcp]'")
        from turnsmith.envs.tools.mcp import McpToolboxes

        return McpToolboxes(name.removeprefix("mcp:"))
    try:
        module = _file(Path(name)) if name.endswith(".py") else importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f"--tools {name}: cannot be imported ({error}). Give a module, a .py file or an MCP URL."
        ) from error
    world = getattr(module, "WORLD", None)
    return world if world is not None else FunctionWorld(module)


def _file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path) if path.is_file() else None
    if spec is None or spec.loader is None:
        raise UserError(f"--tools {path}: there is no such file.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
