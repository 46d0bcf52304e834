"""A shop's help desk: tau-bench's retail world (MIT), with its official database or a synthetic one like it."""

import functools
from pathlib import Path

from turnsmith.envs.tools.base import DatabaseWorld
from turnsmith.worlds.retail.synthetic import synthetic_base
from turnsmith.worlds.retail.tools import FUNCTIONS, SPECS
from turnsmith.worlds.tau import TauWorld

POLICY = """You help the users of a shop: cancel or modify pending orders, return or exchange delivered orders, change
their default address. First find out who the user is (by email, or name and zip code), even when a user id is given.
Help one user only. List the details of a change and get a yes before making it. Exchanges and changes of items can be
made once an order: collect all items first. Make one call at a time. Transfer to a person only what the tools cannot
do."""
_WORLD = TauWorld("tau_retail", ("orders", "products", "users"), SPECS, FUNCTIONS, POLICY, synthetic_base)


def official_folder() -> Path:
    """The folder of the official data; a `UserError` where it is not on this machine."""
    return _WORLD.folder()


@functools.cache
def official_world() -> DatabaseWorld:
    """The world over the official database; a `UserError` where it is not on this machine."""
    return _WORLD.official()


@functools.cache
def synthetic_world(seed: int = 0, users: int = 60) -> DatabaseWorld:
    """The world over a made-up database of the same shape."""
    return _WORLD.synthetic(seed, users)
