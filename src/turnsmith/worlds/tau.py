"""What tau-bench's worlds share: how a tool says no; the official database, or a made-up one of the same shape."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turnsmith.data import data_file
from turnsmith.envs.tools.base import DatabaseTool, DatabaseWorld, ToolSpec
from turnsmith.envs.tools.database import Base, Database
from turnsmith.errors import UserError


class Refused(Exception):
    """A tool says no; the text is what the agent reads."""


def says_no(function: Callable[..., str]) -> DatabaseTool:
    """A tool whose refusals are answers that begin with "Error: "."""

    @functools.wraps(function)
    def call(database: Database, **arguments: Any) -> str:
        try:
            return function(database, **arguments)
        except Refused as refusal:
            return f"Error: {refusal}"

    return call


@dataclass(frozen=True, slots=True)
class TauWorld:
    """A help desk of tau-bench.

    Attributes:
        name: of the world, and of its folder of official data.
        tables: of its database.
        specs, functions: its tools.
        policy: what an agent is told in the made-up world; the official one has a page of its own.
        made_up: from a seed and a number of users to a database of the same shape.
    """

    name: str
    tables: tuple[str, ...]
    specs: tuple[ToolSpec, ...]
    functions: Mapping[str, DatabaseTool]
    policy: str
    made_up: Callable[[int, int], Base]

    def folder(self) -> Path:
        """The folder of the official data.

        Raises:
            UserError: if it is not on this machine.
        """
        folder = data_file(f"tools/{self.name}")
        if folder is None:
            raise UserError(
                f"tools/{self.name} is not here. Set TURNSMITH_DATA to a folder that has it (docs/tools.md)."
            )
        return folder

    def official(self) -> DatabaseWorld:
        """The world over the official database.

        Raises:
            UserError: if the data is not on this machine.
        """
        folder = self.folder()
        base, policy = Base.load(folder, self.tables), (folder / "policy.md").read_text("utf-8")
        return DatabaseWorld(self.name, base, self.specs, self.functions, policy)

    def synthetic(self, seed: int, users: int) -> DatabaseWorld:
        """The world over a made-up database of the same shape."""
        return DatabaseWorld(
            f"{self.name}_synthetic", self.made_up(seed, users), self.specs, self.functions, self.policy
        )
