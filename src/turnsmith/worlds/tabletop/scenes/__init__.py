"""Scenes of the five tasks. `make_scene(task, geometry set, seed)` builds one."""

import numpy as np

from turnsmith.errors import UserError
from turnsmith.worlds.tabletop.scenes import drawer, pour, sweep, towel, unplug
from turnsmith.worlds.tabletop.scenes.scene import CAMERA, Scene, build
from turnsmith.worlds.tabletop.tasks import HARD_SET, TableTask

_DRAFTS = {
    TableTask.SWEEP: sweep.draft,
    TableTask.DRAWER: drawer.draft,
    TableTask.TOWEL: towel.draft,
    TableTask.POUR: pour.draft,
    TableTask.UNPLUG: unplug.draft,
}


def make_scene(task: TableTask, geometry: int, seed: int) -> Scene:
    """Build one scene, settled.

    Args:
        task: which of the five.
        geometry: the object set: 0 is the training set, 1 to 3 are unseen topology, 4 is the harder set.
        seed: of places, sizes, textures and light.

    Raises:
        UserError: if there is no such geometry set.
    """
    if not 0 <= geometry <= HARD_SET:
        raise UserError(f"there is no geometry set {geometry}; the sets are 0 to {HARD_SET}.")
    rng = np.random.default_rng([list(TableTask).index(task), geometry, seed])
    return build(_DRAFTS[task](rng, geometry), task, geometry, seed, rng)


__all__ = ["CAMERA", "Scene", "make_scene"]
