"""One camera above the table, looking straight down: where a point of the world is in the image, and back.

World: metres, z up, the table's top at z = 0 around the origin. Image: see `points`. No rendering here.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Camera:
    """A pinhole that looks down along -z; image x is world x, image y is world -y.

    Attributes:
        size: width and height of its square image, pixels.
        height: above the table's top, metres.
        fovy: vertical field of view, degrees.
    """

    size: int = 224
    height: float = 1.1
    fovy: float = 40.0

    @cached_property
    def focal(self) -> float:
        """Focal length in pixels."""
        return self.size / 2 / np.tan(np.deg2rad(self.fovy) / 2)

    def project(self, world_N3: np.ndarray) -> np.ndarray:
        """Pixels (N, 2) of points of the world (N, 3)."""
        world = np.atleast_2d(np.asarray(world_N3, float))
        depth = self.height - world[:, 2]
        flipped = world[:, :2] * np.array([1.0, -1.0])
        return self.size / 2 + self.focal * flipped / depth[:, None]

    def unproject(self, pixels_N2: np.ndarray, depth_N: np.ndarray | float) -> np.ndarray:
        """Points of the world (N, 3) at these pixels and depths: z K^-1 [u, v, 1], then into the world's axes."""
        pixels = np.atleast_2d(np.asarray(pixels_N2, float))
        depth = np.broadcast_to(np.asarray(depth_N, float), pixels.shape[:1])
        ray = (pixels - self.size / 2) / self.focal * np.array([1.0, -1.0])
        return np.concatenate([ray * depth[:, None], (self.height - depth)[:, None]], axis=1)

    def at_height(self, pixel_2: np.ndarray, z: float) -> np.ndarray:
        """The point of the world (3,) where the ray of a pixel crosses the plane at height z."""
        return self.unproject(pixel_2, self.height - z)[0]


def smooth_depth(depth_HW: np.ndarray, rounds: int = 100) -> np.ndarray:
    """A depth image as KALIE uses it: holes (0) filled from their 8 neighbours, then a Gaussian of 1 pixel.

    Args:
        depth_HW: metres; 0 where the sensor saw nothing.
        rounds: most rounds of filling.
    """
    depth = np.array(depth_HW, float)
    for _ in range(rounds):
        hole = depth == 0
        if not hole.any():
            break
        padded, known = np.pad(depth, 1), np.pad((~hole).astype(float), 1)
        total, count = np.zeros_like(depth), np.zeros_like(depth)
        for dy in range(3):
            for dx in range(3):
                window = np.s_[dy : dy + depth.shape[0], dx : dx + depth.shape[1]]
                total += padded[window]
                count += known[window]
        depth = np.where(hole & (count > 0), total / np.maximum(count, 1), depth)
    kernel = np.exp(-0.5 * np.arange(-3, 4) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        padded = np.pad(depth, [(3, 3) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        shifted = [np.take(padded, np.arange(k, k + depth.shape[axis]), axis=axis) for k in range(7)]
        depth = np.asarray(sum(weight * part for weight, part in zip(kernel, shifted, strict=True)))
    return depth
