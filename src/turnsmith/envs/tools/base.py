"""The contract of tools: what an agent may call, and where the calls go.

A toolbox is one fresh world: a database with the functions that read and change it, or a connection to an MCP server.
Whoever makes toolboxes (`Toolboxes`) can make a fresh one for every check and every episode.
"""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from turnsmith.envs.tools.database import Base, Database

type_names = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict}


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """One tool, as an agent is told of it.

    Attributes:
        name: unique in its toolbox.
        description: for the agent.
        parameters: JSON schema of an object: `properties`, `required`.
        writes: whether it changes the world; verifiers may call only those that do not.
        ends: whether calling it ends the episode (a transfer to a person).
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}, "required": []})
    writes: bool = False
    ends: bool = False

    def openai(self) -> dict[str, Any]:
        """As OpenAI-compatible endpoints take it."""
        function = {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}
        return {"type": "function", "function": function}

    def problem(self, arguments: Mapping[str, Any]) -> str:
        """What is wrong with these arguments by the schema, or ""."""
        properties = self.parameters.get("properties", {})
        missing = [name for name in self.parameters.get("required", ()) if name not in arguments]
        unknown = [name for name in arguments if properties and name not in properties]
        if missing or (unknown and not self.parameters.get("additionalProperties", False)):
            words = [f"{name!r} is missing" for name in missing] + [f"{name!r} is not a parameter" for name in unknown]
            return f"{self.name}: {', '.join(words)}"
        for name, value in arguments.items():
            kinds = type_names.get(properties.get(name, {}).get("type", ""))
            wrong_bool = isinstance(value, bool) and kinds is not bool and kinds is not None
            if kinds is not None and (wrong_bool or not isinstance(value, kinds)):
                return f"{self.name}: {name!r} has to be of type {properties[name]['type']}"
        return ""


class Toolbox(Protocol):
    """One fresh world and the tools that act on it."""

    @property
    def specs(self) -> Sequence[ToolSpec]: ...

    def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Execute a call; what went wrong by the caller's doing is text that begins with "Error".

        Raises:
            InfraError: if the machinery failed.
        """
        ...

    def state(self) -> object:
        """Something that is equal for equal states of the world; None where the state cannot be seen."""
        ...

    def close(self) -> None:
        """Give up what the toolbox holds."""
        ...


class Toolboxes(Protocol):
    """Makes fresh toolboxes.

    Attributes:
        name: of the world.
        specs: the tools.
        policy: the rules that an agent is to keep, as text; "" where there are none.
    """

    @property
    def name(self) -> str: ...

    @property
    def specs(self) -> Sequence[ToolSpec]: ...

    @property
    def policy(self) -> str: ...

    def fresh(self) -> Toolbox:
        """A toolbox over a world in its first state."""
        ...


DatabaseTool = Callable[..., str]
"""`tool(database, **arguments) -> str`."""


class DatabaseToolbox:
    """Tools over a database of one's own.

    Attributes:
        specs: the tools.
        database: their world.
        calls: every call so far, as (name, arguments, output).
    """

    def __init__(self, specs: Sequence[ToolSpec], functions: Mapping[str, DatabaseTool], database: Database) -> None:
        self.specs = specs
        self.database = database
        self.calls: list[tuple[str, Mapping[str, Any], str]] = []
        self._functions = functions

    def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Execute a call; see `Toolbox`."""
        output = self._call(name, arguments)
        self.calls.append((name, arguments, output))
        return output

    def _call(self, name: str, arguments: Mapping[str, Any]) -> str:
        function = self._functions.get(name)
        if function is None:
            return f"Unknown action {name}"
        try:
            return function(self.database, **arguments)
        except Exception as error:  # arguments of the wrong shape: the caller's doing, whatever they broke
            return f"Error: {error}"

    def state(self) -> dict[tuple[str, str], str]:
        """The records that are not as they were."""
        return self.database.changes()

    def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True)
class DatabaseWorld:
    """A world of a base and tools over it: what `worlds.retail` and `worlds.airline` are.

    Attributes:
        name: such as "tau_retail".
        base: the tables that every episode starts from.
        specs: the tools.
        functions: their functions by name.
        policy: the rules, as text.
    """

    name: str
    base: Base
    specs: tuple[ToolSpec, ...]
    functions: Mapping[str, DatabaseTool]
    policy: str = ""

    def fresh(self) -> DatabaseToolbox:
        """A toolbox over a database in its first state."""
        return DatabaseToolbox(self.specs, self.functions, Database(self.base))


def spec_of(function: Callable[..., object], *, writes: bool = False, ends: bool = False, skip: int = 0) -> ToolSpec:
    """A tool's spec from a Python function: its name, its docstring, its parameters with their annotations.

    Args:
        function: with annotated parameters (str, int, float, bool, list, dict); others are taken as they come.
        writes, ends: see `ToolSpec`.
        skip: how many leading parameters are not the caller's (a database).
    """
    kinds = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object"}
    by_name = {kind.__name__: word for kind, word in kinds.items()}
    properties: dict[str, Any] = {}
    required = []
    for parameter in list(inspect.signature(function).parameters.values())[skip:]:
        annotation = parameter.annotation
        origin = getattr(annotation, "__origin__", annotation)
        word = by_name.get(origin.split("[")[0]) if isinstance(origin, str) else kinds.get(origin)
        properties[parameter.name] = {"type": word} if word else {}
        if parameter.default is inspect.Parameter.empty:
            required.append(parameter.name)
    schema = {"type": "object", "properties": properties, "required": required}
    name = getattr(function, "__name__", str(function))
    return ToolSpec(name, inspect.getdoc(function) or "", schema, writes, ends)


def dump(value: object) -> str:
    """JSON as the tools of tau-bench print it."""
    return json.dumps(value)
