"""Labelled images: what a person labels, in the shape that synthesis and training use."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from turnsmith.arrays import read_npz
from turnsmith.worlds.tabletop.camera import Camera
from turnsmith.worlds.tabletop.points import tie
from turnsmith.worlds.tabletop.scenes import CAMERA, make_scene
from turnsmith.worlds.tabletop.tasks import SPECS, TableTask
from turnsmith.worlds.tabletop.trial import observe

CLICK_NOISE = 3.0
"""Standard deviation of an annotator's clicks in each direction, pixels of a 224-pixel image."""


@dataclass(frozen=True)
class Labelled:
    """One image with its five keypoints.

    Attributes:
        id: unique in a data set.
        task: which of the five.
        rgb_HW3: uint8.
        depth_HW: metres, float32.
        parts_HW: uint8: part of each pixel, counted from 1 in the order of the task's objects; 0 for the rest.
        points_52: keypoints, pixels.
        parent: id of the original that a synthetic image was made from; its own id for an original. Splits go by it.
        made: how a synthetic image was made (warps, descriptions), as JSON.
    """

    id: str
    task: TableTask
    rgb_HW3: np.ndarray
    depth_HW: np.ndarray
    parts_HW: np.ndarray
    points_52: np.ndarray
    parent: str = ""
    made: dict[str, object] = field(default_factory=dict)

    @property
    def family(self) -> str:
        """The original that this goes back to."""
        return self.parent or self.id

    @property
    def size(self) -> int:
        """Side of the square image, pixels."""
        return int(self.rgb_HW3.shape[1])


def render_labelled(task: TableTask, geometry: int, seed: int, noise: float = CLICK_NOISE) -> Labelled:
    """Render a scene and label it as an annotator would: five clicks, each a little off, ties kept."""
    scene = make_scene(task, geometry, seed)
    seen = observe(scene, label=True)
    clicks = scene.oracle() + np.random.default_rng([seed, geometry, 5]).normal(0, noise * CAMERA.size / 224, (5, 2))
    assert seen.parts_HW is not None
    kept = np.where(seen.parts_HW <= len(SPECS[task].objects), seen.parts_HW, 0).astype(np.uint8)
    return Labelled(
        f"{task}-{geometry}-{seed:05d}", task, seen.rgb_HW3, seen.depth_HW, kept, tie(clicks, SPECS[task].ties)
    )


def resized(sample: Labelled, size: int) -> Labelled:
    """The sample at another resolution; keypoints go with it."""
    if size == sample.size:
        return sample
    rgb = np.asarray(Image.fromarray(sample.rgb_HW3).resize((size, size), Image.Resampling.BOX))
    depth = np.asarray(Image.fromarray(sample.depth_HW).resize((size, size), Image.Resampling.NEAREST))
    parts = np.asarray(Image.fromarray(sample.parts_HW).resize((size, size), Image.Resampling.NEAREST))
    points = sample.points_52 * size / sample.size
    return replace(sample, rgb_HW3=rgb, depth_HW=depth, parts_HW=parts, points_52=points)


def split_by_parent(
    samples: Sequence[Labelled], share: float = 0.2, seed: int = 2023
) -> tuple[list[Labelled], list[Labelled]]:
    """Two lists, the second with about `share` of the originals; variants stay with their parent."""
    families = sorted({sample.family for sample in samples})
    rng = np.random.default_rng(seed)
    held = {families[index] for index in rng.permutation(len(families))[: round(share * len(families))]}
    first = [sample for sample in samples if sample.family not in held]
    return first, [sample for sample in samples if sample.family in held]


class LabelledFormat:
    """Labelled images as one npz on disk (a `runs.once.Format`)."""

    def write(self, value: Sequence[Labelled], folder: Path) -> None:
        """One compressed file without pickles."""
        np.savez_compressed(
            folder / "labelled.npz",
            id=np.array([sample.id for sample in value]),
            task=np.array([str(sample.task) for sample in value]),
            parent=np.array([sample.parent for sample in value]),
            rgb=np.stack([sample.rgb_HW3 for sample in value]),
            depth=np.stack([sample.depth_HW for sample in value]).astype(np.float32),
            parts=np.stack([sample.parts_HW for sample in value]),
            points=np.stack([sample.points_52 for sample in value]),
        )

    def read(self, folder: Path) -> list[Labelled]:
        """The samples, `made` left out."""
        columns = read_npz(folder / "labelled.npz")
        return [
            Labelled(
                str(columns["id"][i]),
                TableTask(str(columns["task"][i])),
                columns["rgb"][i],
                columns["depth"][i],
                columns["parts"][i],
                columns["points"][i],
                str(columns["parent"][i]),
            )
            for i in range(len(columns["id"]))
        ]


def camera_of(sample: Labelled) -> Camera:
    """The camera at the sample's resolution."""
    return Camera(sample.size, CAMERA.height, CAMERA.fovy)
