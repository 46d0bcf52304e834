"""A generator without a network: cut out, warp, cover with a new texture inside the part's edges, relight, paste.

What the context map is worth shows here too. A soft edge or canny map keeps the lines inside an object, a depth map
lights the new surface, a segmentation leaves nothing but the outline.

Notable: all objects are lifted off first and the hole is filled from around it, so that no object leaves its old self
behind where a later one is pasted. Surfaces behind the objects get new looks too (`surfaces`): table and floor are told
apart by depth and keep their own light and shadow.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from turnsmith.robot.synthesis import RAISED, Request
from turnsmith.worlds.tabletop.scenes import CAMERA
from turnsmith.worlds.tabletop.textures import texture

_BELOW_TABLE = -0.1
"""What is lower than this is floor, metres."""


@dataclass(frozen=True)
class Composite:
    """The generator.

    Attributes:
        surfaces: chance that table and floor get new textures in a variant.
        keep: chance that an object keeps its own looks (recoloured) instead of a new texture.
        grow: how far the filled hole reaches beyond the masks, for their shadows, in shares of the image's side.
        feather: softness of pasted borders, pixels of a 224-pixel image.
    """

    surfaces: float = 0.75
    keep: float = 0.25
    grow: float = 0.03
    feather: float = 1.5
    name: str = "composite"

    def draw(self, request: Request) -> np.ndarray:
        """See `synthesis.Generator.draw`."""
        rng, scale = request.rng, request.rgb_HW3.shape[1] / 224
        image = self._background(request) if request.first else request.rgb_HW3.astype(np.float32)
        looks = self._looks(request)
        alpha = ndimage.gaussian_filter(request.new_HW, max(0.35, self.feather * scale / 3))[..., None]
        shadow = ndimage.gaussian_filter(request.new_HW, 2.5 * scale)
        shadow = ndimage.shift(shadow, rng.uniform(-3, 3, 2) * scale, order=1)[..., None]
        image = image * (1 - rng.uniform(0.1, 0.6) * shadow * (1 - alpha))
        return np.clip(image * (1 - alpha) + looks * alpha, 0, 255).astype(np.uint8)

    def _background(self, request: Request) -> np.ndarray:
        """The original without its objects; often with new surfaces."""
        scene, rng = request.scene, request.rng
        image = _fill(scene.rgb_HW3, scene.parts_HW > 0, max(1, round(self.grow * scene.size)))
        if rng.random() >= self.surfaces:
            return image
        light = _shading(image)
        floor = CAMERA.height - scene.depth_HW < _BELOW_TABLE
        raised = ~floor & (CAMERA.height - scene.depth_HW > RAISED) & (scene.parts_HW == 0)  # things that no task moves
        for region in (floor, ~floor & ~raised, raised):
            if region.any():
                cover = _cover(rng, scene.size)
                image = np.where(region[..., None], cover * light, image)
        return np.clip(image * rng.uniform(0.6, 1.25), 0, 255)

    def _looks(self, request: Request) -> np.ndarray:
        """New colours of the object, wherever its mask may be."""
        rng, size = request.rng, request.rgb_HW3.shape[1]
        if rng.random() < self.keep:
            gain, turn = rng.uniform(0.5, 1.4), rng.permutation(3)
            return np.clip(request.cutout_HW3[..., turn] * gain, 0, 255)
        surface = _cover(rng, size) * rng.uniform(0.7, 1.15)
        if request.context in ("softedge", "canny"):
            surface = surface * (1 - rng.uniform(0.2, 0.8) * np.clip(request.context_HW, 0, 1))[..., None]
            surface = surface * _relight(rng, ndimage.gaussian_filter(request.new_HW, 0.012 * size))
            if request.context == "softedge":
                own = ndimage.gaussian_filter(request.cutout_HW3.mean(axis=2), 0.7)
                surface = surface * (1 + rng.uniform(0, 0.8) * (own / max(float(own.mean()), 1.0) - 1))[..., None]
        elif request.context == "depth":
            surface = surface * _relight(rng, 6.0 * ndimage.gaussian_filter(request.context_HW, 0.6))
        return np.clip(surface, 0, 255)


def _cover(rng: np.random.Generator, size: int) -> np.ndarray:
    """A random texture over the whole image, turned and scaled, floats (size, size, 3)."""
    tile = texture(rng, 48).astype(np.float32)
    turn, zoom = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 1.6) * 224 / size
    y, x = np.mgrid[0:size, 0:size]
    u = (zoom * (np.cos(turn) * x - np.sin(turn) * y) + rng.uniform(0, 48)).astype(int) % 48
    v = (zoom * (np.sin(turn) * x + np.cos(turn) * y) + rng.uniform(0, 48)).astype(int) % 48
    return tile[v, u]


def _shading(image_HW3: np.ndarray) -> np.ndarray:
    """Light and shadow of an image as a factor (H, W, 1) around 1, without its fine pattern."""
    grey = ndimage.uniform_filter(image_HW3.mean(axis=2), 5)
    return np.clip(grey / max(float(np.median(grey)), 1.0), 0.35, 1.5)[..., None]


def _relight(rng: np.random.Generator, height_HW: np.ndarray) -> np.ndarray:
    """Lambertian factor (H, W, 1) of a surface of this height under a random light, from its estimated normals."""
    down, right = np.gradient(height_HW * rng.uniform(2, 8))
    light = rng.normal(0, 0.5, 2)
    norm = np.sqrt(1 + down**2 + right**2)
    lit = (1 - light[0] * right - light[1] * down) / norm / np.sqrt(1 + light @ light)
    return np.clip(0.35 + 0.75 * lit, 0.2, 1.3)[..., None]


def _fill(rgb_HW3: np.ndarray, hole_HW: np.ndarray, grow: int) -> np.ndarray:
    """The image with a hole filled by the nearest colours around it, smoothed within; floats."""
    hole = ndimage.binary_dilation(hole_HW, iterations=grow)
    if hole.all() or not hole.any():
        return rgb_HW3.astype(np.float32)
    nearest = ndimage.distance_transform_edt(hole, return_distances=False, return_indices=True)
    rows, columns = np.asarray(nearest)
    filled = rgb_HW3[rows, columns].astype(np.float32)
    smooth = np.stack([ndimage.gaussian_filter(filled[..., c], 3.0) for c in range(3)], axis=-1)
    return np.where(hole[..., None], smooth, rgb_HW3)
