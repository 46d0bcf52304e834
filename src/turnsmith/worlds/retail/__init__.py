"""A shop's help desk: tau-bench's retail world (MIT), with its official database or a synthetic one like it."""

import functools
from pathlib import Path

from turnsmith.data import data_file
from turnsmith.envs.tools.base import DatabaseWorld
from turnsmith.envs.tools.database import Base
from turnsmith.errors import UserError
from turnsmith.worlds.retail.synthetic import synthetic_base
from turnsmith.worlds.retail.tools import FUNCTIONS, SPECS

NAME = "tau_retail"
TABLES = ("orders", "products", "users")


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
def synthetic_world(seed: int = 0, users: int = 60) -> DatabaseWorld:
    """The world over a made-up database of the same shape."""
    return DatabaseWorld(f"{NAME}_synthetic", synthetic_base(seed, users), SPECS, FUNCTIONS, POLICY)


POLICY = """You help the users of a shop: cancel or modify pending orders, return or exchange delivered orders, change
their default address. First find out who the user is (by email, or name and zip code), even when a user id is given.
Help one user only. List the details of a change and get a yes before making it. Exchanges and changes of items can be
made once an order: collect all items first. Make one call at a time. Transfer to a person only what the tools cannot
do."""
