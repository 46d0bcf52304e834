"""An airline's help desk: tau-bench's airline world (MIT), with its official database or a synthetic one."""

import functools
from pathlib import Path

from turnsmith.data import data_file
from turnsmith.envs.tools.base import DatabaseWorld
from turnsmith.envs.tools.database import Base
from turnsmith.errors import UserError
from turnsmith.worlds.airline.synthetic import synthetic_base
from turnsmith.worlds.airline.tools import FUNCTIONS, SPECS

NAME = "tau_airline"
TABLES = ("flights", "reservations", "users")


@functools.cache
def official_world() -> DatabaseWorld:
    """The world over the official database.

    Raises:
        UserError: if the data is not on this machine.
    """
    folder = official_folder()
    return DatabaseWorld(NAME, Base.load(folder, TABLES), SPECS, FUNCTIONS, (folder / "policy.md").read_text("utf-8"))


def official_folder() -> Path:
    """The folder of the official data.

    Raises:
        UserError: if it is not on this machine.
    """
    folder = data_file(f"tools/{NAME}")
    if folder is None:
        raise UserError(f"tools/{NAME} is not here. Set TURNSMITH_DATA to a folder that has it (docs/tools.md).")
    return folder


@functools.cache
def synthetic_world(seed: int = 0, users: int = 40) -> DatabaseWorld:
    """The world over a made-up database of the same shape."""
    return DatabaseWorld(f"{NAME}_synthetic", synthetic_base(seed, users), SPECS, FUNCTIONS, POLICY)


POLICY = """You help the passengers of an airline: book, change and cancel reservations. The time is 2024-05-15
15:00 EST. List the details of a change and get a yes before making it. The tools check little: whether a change is
allowed is for you to find out. Make one call at a time. Transfer to a person only what the tools cannot do."""
