"""Labelled images that need no rendering, and one that does."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import pytest

from turnsmith.worlds.tabletop.graphics import available_backends
from turnsmith.worlds.tabletop.tasks import TableTask

if TYPE_CHECKING:
    from turnsmith.robot.labelled import Labelled

if find_spec("mujoco") is None or not available_backends():  # `turnsmith doctor` says what to install
    collect_ignore_glob = ["test_*.py"]


def drawn_sample(seed: int = 0, size: int = 96, task: TableTask = TableTask.SWEEP) -> "Labelled":
    """A blue table with a red bar (the brush) and a green square (the trash), labelled where they are."""
    from turnsmith.robot.labelled import Labelled

    rng = np.random.default_rng(seed)
    rgb = np.full((size, size, 3), (40, 60, 160), np.uint8)
    depth = np.full((size, size), 1.1, np.float32)
    parts = np.zeros((size, size), np.uint8)
    by, bx = int(rng.integers(12, size - 24)), int(rng.integers(8, size - 66))
    ty = int(rng.integers(12, size - 24))
    tx = size - 30
    rgb[by : by + 8, bx : bx + 26] = (200, 40, 40)
    parts[by : by + 8, bx : bx + 26] = 1
    rgb[ty : ty + 8, tx : tx + 8] = (40, 200, 60)
    parts[ty : ty + 8, tx : tx + 8] = 2
    depth[parts > 0] = 1.075
    points = np.array(
        [[bx + 6, by + 4], [bx + 24, by + 4], [tx + 4, ty + 4], [tx - 8, ty + 4], [tx + 24, ty + 4]], float
    )
    return Labelled(f"drawn-{seed}", task, rgb, depth, parts, points)


@pytest.fixture
def sample() -> "Labelled":
    return drawn_sample()


@pytest.fixture
def samples() -> "list[Labelled]":
    return [drawn_sample(seed) for seed in range(24)]
