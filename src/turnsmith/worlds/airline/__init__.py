"""An airline's help desk: tau-bench's airline world (MIT), with its official database or a synthetic one."""

import functools
from pathlib import Path

from turnsmith.envs.tools.base import DatabaseWorld
from turnsmith.worlds.airline.synthetic import synthetic_base
from turnsmith.worlds.airline.tools import FUNCTIONS, SPECS
from turnsmith.worlds.tau import TauWorld

POLICY = """You help the passengers of an airline: book, change and cancel reservations. The time is 2024-05-15
15:00 EST. List the details of a change and get a yes before making it. The tools check little: whether a change is
allowed is for you to find out. Make one call at a time. Transfer to a person only what the tools cannot do."""
_WORLD = TauWorld("tau_airline", ("flights", "reservations", "users"), SPECS, FUNCTIONS, POLICY, synthetic_base)


def official_folder() -> Path:
    """The folder of the official data; a `UserError` where it is not on this machine."""
    return _WORLD.folder()


@functools.cache
def official_world() -> DatabaseWorld:
    """The world over the official database; a `UserError` where it is not on this machine."""
    return _WORLD.official()


@functools.cache
def synthetic_world(seed: int = 0, users: int = 40) -> DatabaseWorld:
    """The world over a made-up database of the same shape."""
    return _WORLD.synthetic(seed, users)
