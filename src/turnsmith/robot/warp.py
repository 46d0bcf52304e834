"""One transformation for keypoints, masks, context maps and cut-outs, so that a label never parts from its pixel.

h of KALIE: scale (sx, sy), then turn, then shift, about the centre of the object's mask. All of it in pixels, x right
and y down, the centre of pixel (row i, column j) at (j + 0.5, i + 0.5).
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

PAPER_IMAGE = 700
"""Side of the paper's images in pixels: its shifts are given for it."""


@dataclass(frozen=True)
class Warp:
    """h: x -> R S (x - centre) + centre + shift.

    Attributes:
        centre: fixed point of scaling and turning, pixels.
        scale: (sx, sy).
        angle: radians; positive turns x towards y, which is clockwise as seen.
        shift: (tx, ty), pixels.
    """

    centre: tuple[float, float]
    scale: tuple[float, float] = (1.0, 1.0)
    angle: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)

    @property
    def matrix(self) -> np.ndarray:
        """R S, (2, 2)."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return np.array([[cos, -sin], [sin, cos]]) @ np.diag(self.scale)

    def points(self, points_N2: np.ndarray) -> np.ndarray:
        """Where points go, (N, 2)."""
        centre = np.asarray(self.centre)
        return (np.asarray(points_N2, float) - centre) @ self.matrix.T + centre + np.asarray(self.shift)

    def image(self, image: np.ndarray, order: int = 1, fill: float = 0.0) -> np.ndarray:
        """An image or map (H, W) or (H, W, C) warped the same way, as floats; what comes from outside is `fill`."""
        inverse = np.linalg.inv(self.matrix)
        centre, shift = np.asarray(self.centre), np.asarray(self.shift)
        offset = centre - inverse @ (centre + shift)  # source = inverse @ target + offset, in (x, y)
        swapped = inverse[::-1, ::-1]  # the same in (row, column)
        # Indices are half a pixel less than coordinates.
        start = offset[::-1] + swapped @ np.array([0.5, 0.5]) - 0.5
        planes = image[..., None] if image.ndim == 2 else image
        warped = [
            ndimage.affine_transform(
                planes[..., c].astype(np.float32),
                swapped,
                start,  # pyright: ignore[reportArgumentType]
                order=order,
                mode="constant",
                cval=fill,
            )
            for c in range(planes.shape[-1])
        ]
        return warped[0] if image.ndim == 2 else np.stack(warped, axis=-1)

    @staticmethod
    def identity() -> "Warp":
        """No change."""
        return Warp((0.0, 0.0))


def random_warp(rng: np.random.Generator, mask_HW: np.ndarray, spread: float = 1.0, size: int | None = None) -> Warp:
    """KALIE's h for an object: sx, sy ~ U(.8, 1.2), angle ~ U(-20, 20) degrees, shifts ~ U(-20, 20) of 700 pixels.

    Args:
        rng: of the draws.
        mask_HW: the object.
        spread: multiplies every range; 0 gives no change, 1 is the paper.
        size: side of the image; that of the mask without.
    """
    rows, columns = np.nonzero(mask_HW)
    if not len(rows):
        return Warp.identity()
    centre = ((columns.min() + columns.max() + 1) / 2, (rows.min() + rows.max() + 1) / 2)
    sx, sy = 1 + spread * rng.uniform(-0.2, 0.2, 2)
    tx, ty = spread * rng.uniform(-20, 20, 2) * (size or mask_HW.shape[1]) / PAPER_IMAGE
    return Warp(centre, (max(sx, 0.2), max(sy, 0.2)), spread * np.deg2rad(rng.uniform(-20, 20)), (tx, ty))
