"""Looks at a scene: colour, depth, and which part each pixel shows.

The backend must be chosen before MuJoCo is imported, so the other files here import `mujoco` from this one.
"""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from turnsmith.errors import InfraError, require
from turnsmith.worlds.tabletop.camera import Camera
from turnsmith.worlds.tabletop.graphics import choose_backend

require("mujoco", "robot")
BACKEND = choose_backend()

import mujoco as _mujoco  # noqa: E402  (after the backend was chosen)

mujoco = cast(Any, _mujoco)
"""Without types: most of its names come from compiled modules that have no stubs."""


@dataclass(frozen=True)
class Picture:
    """What the camera sees once.

    Attributes:
        rgb_HW3: uint8.
        depth_HW: metres along the camera's axis.
        parts_HW: index of each pixel's part in `Scene.parts` plus 1; 0 is everything else. For labelling only: no
            predictor and no executor reads it. None where it was not asked for.
    """

    rgb_HW3: np.ndarray
    depth_HW: np.ndarray
    parts_HW: np.ndarray | None = None


class Eye:
    """A renderer of one model. Making it takes about 0.1 s, looking some milliseconds."""

    def __init__(self, model: Any, camera: Camera, name: str = "top", shadows: bool = True) -> None:
        """Make the graphics context; without shadows, looking costs a fifth.

        Raises:
            InfraError: if the graphics library refuses.
        """
        self.model, self.camera, self.name = model, camera, name
        try:
            self._renderer = mujoco.Renderer(model, camera.size, camera.size)
        except Exception as error:  # PyOpenGL and MuJoCo raise kinds of their own
            raise InfraError("renderer_failed", f"{BACKEND}: {error}") from error
        self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = shadows

    def look(
        self, data: Any, parts: list[set[int]] | None = None, depth_noise: np.random.Generator | None = None
    ) -> Picture:
        """Colour and depth, and with `parts` (ids of the geoms of each part) which part each pixel shows.

        Args:
            data: the state.
            parts: see `Picture.parts_HW`.
            depth_noise: draws the sensor's noise (1 mm); None for none.
        """
        renderer = self._renderer
        rgb = self.colour(data)
        renderer.enable_depth_rendering()
        renderer.update_scene(data, self.name)
        depth = np.array(renderer.render(), np.float32)
        renderer.disable_depth_rendering()
        if depth_noise is not None:
            depth = depth + depth_noise.normal(0, 0.001, depth.shape).astype(np.float32)
        shown = None
        if parts is not None:
            renderer.enable_segmentation_rendering()
            renderer.update_scene(data, self.name)
            geoms_HW = renderer.render()[..., 0]
            renderer.disable_segmentation_rendering()
            shown = np.zeros(geoms_HW.shape, np.uint8)
            for index, geoms in enumerate(parts):
                shown[np.isin(geoms_HW, sorted(geoms))] = index + 1
        return Picture(rgb, depth, shown)

    def colour(self, data: Any) -> np.ndarray:
        """Only the colour image, uint8 (H, W, 3)."""
        self._renderer.update_scene(data, self.name)
        return np.array(self._renderer.render(), np.uint8)

    def close(self) -> None:
        """Free the graphics context."""
        self._renderer.close()

    def __enter__(self) -> "Eye":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
