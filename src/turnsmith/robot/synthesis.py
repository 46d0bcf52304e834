"""Affordance-aware data synthesis: new looks and places for each object, and the keypoints go along.

    s' ~ g(. | s, h(m) + m, h(m * c), o'),   y' = h(y)        (KALIE, arXiv 2409.14066)

m is an object's mask, c the context map of the original image, o' a new description, h a random scale, turn and shift.
Objects are done one after the other, each on the result of the one before. Which generator g draws is the business of
`composite` (here, on the CPU) and `diffusion` (Stable Diffusion with ControlNet).

Notable: keypoints inside an object's mask move with it; where the target does, both waypoints do. Where the target lies
in free space (unplugging), target and waypoints go with the grasp point, since they are places relative to the tool.
Turning is about the mask's box for points and pixels alike; the released code turns points about a padded crop, which
parts them at the borders.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from scipy import ndimage

from turnsmith.robot.contexts import context_map
from turnsmith.robot.labelled import Labelled
from turnsmith.robot.settings import Context, SynthesisSettings
from turnsmith.robot.warp import random_warp
from turnsmith.worlds.tabletop.points import Key, tie
from turnsmith.worlds.tabletop.scenes import CAMERA
from turnsmith.worlds.tabletop.tasks import SPECS

MATERIALS = ("wooden", "metal", "plastic", "rubber", "ceramic", "cardboard", "glass", "painted", "woven", "leather")
COLOURS = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink", "brown", "black", "white", "grey")
PATTERNS = ("", "striped ", "spotted ", "checked ", "worn ", "glossy ", "matte ")
SUFFIX = ", top down view, highres, best quality, photorealistic"
RAISED = 0.012
"""What is higher than this stands on the table, metres."""
NEGATIVE = "person, people, hand, cartoon, drawing, text, watermark"


@dataclass(frozen=True)
class Request:
    """What a generator is asked for: one object anew in an image.

    Attributes:
        rgb_HW3: the image so far, uint8.
        old_HW: the object's mask where it was (bool).
        new_HW: its mask where it goes, 0..1 (soft).
        context_HW: the context map there, warped, 0..1.
        cutout_HW3: the object's own pixels, warped, 0..255.
        context: the kind of the map.
        description: what the object should look like.
        scene: the original, for what never changes (masks of all objects, depth).
        first: whether this is the first object of a variant.
        rng: of the generator's draws.
    """

    rgb_HW3: np.ndarray
    old_HW: np.ndarray
    new_HW: np.ndarray
    context_HW: np.ndarray
    cutout_HW3: np.ndarray
    context: Context
    description: str
    scene: Labelled
    first: bool
    rng: np.random.Generator


class Generator(Protocol):
    """g: draws one object anew. `name` is kept with every image it makes."""

    @property
    def name(self) -> str:
        """Of the generator."""
        ...

    def draw(self, request: Request) -> np.ndarray:
        """The image with the object at its new place and with new looks, uint8 (H, W, 3)."""
        ...


def describe(rng: np.random.Generator, name: str) -> str:
    """A description of the same category with another colour, pattern and material (the paper asks GPT-4o for them)."""
    words = f"{rng.choice(PATTERNS)}{rng.choice(COLOURS)} {rng.choice(MATERIALS)}"
    return f"a {words} {name}{SUFFIX}"


def moved_with(points_52: np.ndarray, mask_HW: np.ndarray, free_target: bool, slack: int = 2) -> set[Key]:
    """The keypoints that go with an object.

    Args:
        points_52: keypoints, pixels.
        mask_HW: the object.
        free_target: the target lies on no object, so it belongs to what is grasped.
        slack: a click so many pixels beside the mask is still on it.
    """
    near = ndimage.binary_dilation(mask_HW, iterations=slack)
    size = np.array(mask_HW.shape[::-1])
    at = np.clip(np.floor(points_52).astype(int), 0, size - 1)
    on = {key for key in (Key.GRASP, Key.FUNCTION, Key.TARGET) if near[at[key][1], at[key][0]]}
    if Key.TARGET in on or (free_target and Key.GRASP in on):
        on |= {Key.TARGET, Key.PRE, Key.POST}
    return on


def variant(
    sample: Labelled, settings: SynthesisSettings, generator: Generator, rng: np.random.Generator, id: str
) -> Labelled:
    """One synthetic image of an original: every object anew, in order."""
    context = context_map(settings.context, sample.rgb_HW3, sample.depth_HW, sample.parts_HW)
    points, image, parts = sample.points_52.copy(), sample.rgb_HW3, np.zeros_like(sample.parts_HW)
    free_target = _is_free(sample, points[Key.TARGET])
    story: list[dict[str, object]] = []
    for index, name in enumerate(SPECS[sample.task].objects):
        mask = sample.parts_HW == index + 1
        if not mask.any():
            continue
        warp = random_warp(rng, mask, settings.spread)
        soft = np.clip(warp.image(mask.astype(np.float32)), 0, 1)
        description = describe(rng, name)
        image = generator.draw(
            Request(
                image,
                mask,
                soft,
                warp.image(np.where(mask, context, 0)),
                warp.image(_bled(sample.rgb_HW3, mask)),
                settings.context,
                description,
                sample,
                not story,
                rng,
            )
        )
        parts[soft > 0.5] = index + 1
        if settings.move_labels:
            moving = sorted(moved_with(sample.points_52, mask, free_target))
            points[moving] = warp.points(points[moving])
        story.append(
            {
                "object": name,
                "description": description,
                "scale": list(warp.scale),
                "angle": warp.angle,
                "shift": list(warp.shift),
            }
        )
    made: dict[str, object] = {"generator": generator.name, "context": settings.context, "objects": story}
    return replace(
        sample,
        id=id,
        parent=sample.family,
        rgb_HW3=image,
        parts_HW=parts,
        points_52=tie(points, SPECS[sample.task].ties),
        made=made,
    )


def synthesize(
    originals: Sequence[Labelled], settings: SynthesisSettings, generator: Generator, seed: int
) -> list[Labelled]:
    """`variants` synthetic images of every original (the originals themselves are not in the list).

    Each variant depends on the seed, its original's id and its number, whatever else is made.
    """
    made = []
    for sample in originals:
        family = np.frombuffer(sample.id.encode(), np.uint8).astype(int).tolist()
        for number in range(settings.variants):
            rng = np.random.default_rng([seed, number, *family])
            made.append(variant(sample, settings, generator, rng, f"{sample.id}/{number:03d}"))
    return made


def _is_free(sample: Labelled, point_2: np.ndarray, slack: int = 3) -> bool:
    """Whether a point lies on no object and on nothing that is raised above the table, such as a rack."""
    column, row = np.clip(np.floor(point_2).astype(int), 0, sample.size - 1)
    window = np.s_[max(0, row - slack) : row + slack + 1, max(0, column - slack) : column + slack + 1]
    raised = CAMERA.height - sample.depth_HW[window] > RAISED
    return not (sample.parts_HW[window].any() or raised.any())


def _bled(rgb_HW3: np.ndarray, mask_HW: np.ndarray) -> np.ndarray:
    """The image with the object's border colours continued outwards, so that warping mixes in no background."""
    inside = np.asarray(ndimage.binary_erosion(mask_HW) if mask_HW.sum() > 60 else mask_HW, bool)
    if not inside.any():
        return rgb_HW3.astype(np.float32)
    nearest = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    rows, columns = np.asarray(nearest)
    return rgb_HW3[rows, columns].astype(np.float32)
