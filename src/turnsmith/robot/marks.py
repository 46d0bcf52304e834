"""Mark selection in the manner of MOKA: candidate points on what stands out, and a grid of tiles for waypoints.

MOKA draws marks P[i] (and Q[i]) on objects and 5 x 5 tiles over the image, and a vision-language model answers with
`grasp_keypoint, function_keypoint, target_keypoint, pre_contact_tile, post_contact_tile`. Here the marks are made the
same way (farthest points on each object's outline and its middle, at most 6 an object) from colour and depth of the
observation; who chooses is either a chooser of yours (an endpoint) or the geometric rule below, which needs no model.

Notable: objects are found by depth (what is raised above the table), not by the simulator's masks.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from turnsmith.errors import ParseError
from turnsmith.worlds.tabletop.camera import Camera
from turnsmith.worlds.tabletop.points import Key, tie
from turnsmith.worlds.tabletop.tasks import SPECS, TableTask

TILES = 5
CANDIDATES = 6
_RAISED = 0.006
_MARK = re.compile(r"([PQ])\[?(\d+)\]?")


@dataclass(frozen=True)
class Marks:
    """What a chooser may choose from.

    Attributes:
        objects: marks of each object, (M, 2) pixels, the largest object first; its middle is the first mark.
        size: side of the image.
    """

    objects: tuple[np.ndarray, ...]
    size: int

    def named(self) -> dict[str, np.ndarray]:
        """Marks by name: P1… on the first object (MOKA's tool), Q1… on the others in turn."""
        names = {f"P{i + 1}": mark for i, mark in enumerate(self.objects[0])} if self.objects else {}
        others = [mark for marks in self.objects[1:] for mark in marks]
        return names | {f"Q{i + 1}": mark for i, mark in enumerate(others)}

    def tile(self, name: str) -> np.ndarray:
        """The middle of a tile such as "b3": letters are columns a to e, numbers rows 1 to 5 from the top.

        Raises:
            ParseError: if there is no such tile.
        """
        if not re.fullmatch(r"[a-e][1-5]", name.strip().lower()):
            raise ParseError(f"{name!r} is not a tile; tiles are a1 to e5")
        column, row = ord(name.strip().lower()[0]) - ord("a"), int(name.strip()[1]) - 1
        return (np.array([column, row]) + 0.5) * self.size / TILES


Chooser = Callable[[TableTask, np.ndarray, Marks], Mapping[str, str]]
"""Task, image and marks to MOKA's answer: keypoint names to marks ("P3"), tile names to tiles ("c2")."""


def make_marks(depth_HW: np.ndarray, camera: Camera) -> Marks:
    """Marks on everything that is raised above the table and large enough."""
    height = ndimage.gaussian_filter(camera.height - depth_HW, 0.7)
    labels, count = ndimage.label(height > _RAISED)
    least = 0.0005 * depth_HW.size
    sizes = ndimage.sum_labels(np.ones_like(labels), labels, range(1, count + 1)) if count else []
    order = [index + 1 for index in np.argsort(sizes)[::-1] if sizes[index] >= least]
    return Marks(tuple(_on(labels == label) for label in order[:4]), depth_HW.shape[1])


def _on(mask_HW: np.ndarray) -> np.ndarray:
    """The middle, and the points of the mask that are farthest from it and from each other."""
    rows, columns = np.nonzero(mask_HW)
    places = np.stack([columns + 0.5, rows + 0.5], 1)
    marks = [places[np.argmin(np.linalg.norm(places - places.mean(0), axis=1))]]
    while len(marks) < CANDIDATES:
        nearest = np.min([np.linalg.norm(places - mark, axis=1) for mark in marks], axis=0)
        marks.append(places[np.argmax(nearest)])
    return np.array(marks)


def read_choice(task: TableTask, answer: Mapping[str, str], marks: Marks) -> np.ndarray:
    """Keypoints (5, 2) from MOKA's answer.

    Raises:
        ParseError: if it names a mark or tile that is not there.
    """
    named = marks.named()

    def mark(key: str) -> np.ndarray:
        match = _MARK.fullmatch(str(answer.get(key, "")).strip().upper())
        if match is None or match[1] + match[2] not in named:
            raise ParseError(f"{key}: {answer.get(key)!r} is not one of the marks {', '.join(named)}")
        return named[match[1] + match[2]]

    points = np.zeros((5, 2))
    points[Key.GRASP] = mark("grasp_keypoint")
    points[Key.FUNCTION] = mark("function_keypoint") if answer.get("function_keypoint") else points[Key.GRASP]
    target = answer.get("target_keypoint")
    points[Key.TARGET] = mark("target_keypoint") if target else marks.tile(str(answer.get("target_tile", "")))
    points[Key.PRE] = marks.tile(str(answer.get("pre_contact_tile", "")))
    points[Key.POST] = marks.tile(str(answer.get("post_contact_tile", "")))
    return tie(points, SPECS[task].ties)


def rule(task: TableTask, image: np.ndarray, marks: Marks) -> dict[str, str]:
    """Choices by common sense, without a model: which object is the tool by size, points by direction.

    The same for every scene of a task; written before any of its results were seen.
    """
    named = marks.named()
    names = list(named)
    if not names:
        return {}
    middles = [f"Q{1 + CANDIDATES * index}" for index in range(len(marks.objects) - 1)]
    other = middles[0] if middles else names[0]
    first = np.asarray(named["P1"])
    there = np.asarray(named[other])
    mine = [name for name in names if name.startswith("P")]
    theirs = [name for name in names if name.startswith("Q")] or mine

    def nearest(options: Sequence[str], to: np.ndarray) -> str:
        return min(options, key=lambda name: float(np.linalg.norm(named[name] - to)))

    def farthest(options: Sequence[str], to: np.ndarray) -> str:
        return max(options, key=lambda name: float(np.linalg.norm(named[name] - to)))

    def tile(place: np.ndarray) -> str:
        column, row = np.clip((place * TILES / marks.size).astype(int), 0, TILES - 1)
        return f"{'abcde'[column]}{row + 1}"

    side = marks.size / TILES
    if task is TableTask.SWEEP:  # the brush is the larger thing; the trash is pushed to the right
        return {
            "grasp_keypoint": farthest(mine, there),
            "function_keypoint": nearest(mine, there),
            "target_keypoint": other,
            "pre_contact_tile": tile(there - np.array([side, 0])),
            "post_contact_tile": tile(np.array([marks.size - 1, there[1]])),
        }
    if task is TableTask.DRAWER:  # the lowest mark is the front; push it upwards
        front = max(mine, key=lambda name: named[name][1])
        at = np.asarray(named[front])
        return {
            "grasp_keypoint": front,
            "target_keypoint": front,
            "pre_contact_tile": tile(at + np.array([0, side])),
            "post_contact_tile": tile(at - np.array([0, side])),
        }
    if task is TableTask.TOWEL:  # the cloth is on the left; over the middle of the other thing
        left = first[0] < there[0]
        cloth, rack = (mine, theirs) if left else (theirs, mine)
        middle = there if left else first
        return {
            "grasp_keypoint": nearest(cloth, middle),
            "target_keypoint": nearest(rack, middle),
            "pre_contact_tile": tile(middle - np.array([side, 0])),
            "post_contact_tile": tile(middle + np.array([side, 0])),
        }
    if task is TableTask.POUR:  # the bowl is the larger thing
        return {
            "grasp_keypoint": farthest(theirs, first),
            "function_keypoint": nearest(theirs, first),
            "target_keypoint": "P1",
            "pre_contact_tile": tile(first),
            "post_contact_tile": tile(first),
        }
    end = farthest(mine, first)  # the stick ends in what sticks out most; pull it further out
    out = np.asarray(named[end]) - first
    away = np.asarray(named[end]) + side * out / max(float(np.linalg.norm(out)), 1e-6)
    return {
        "grasp_keypoint": end,
        "target_tile": tile(np.clip(away, 0, marks.size - 1)),
        "pre_contact_tile": tile(np.asarray(named[end])),
        "post_contact_tile": tile(np.clip(away, 0, marks.size - 1)),
    }


def select_marks(
    task: TableTask, image: np.ndarray, depth_HW: np.ndarray, camera: Camera, chooser: Chooser = rule
) -> np.ndarray:
    """Keypoints by choosing marks; the image's middle where nothing can be chosen."""
    marks = make_marks(depth_HW, camera)
    try:
        return read_choice(task, chooser(task, image, marks), marks)
    except ParseError:
        return np.full((5, 2), marks.size / 2)


def random_candidates(task: TableTask, depth_HW: np.ndarray, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Random marks for what lies on objects, random tiles for waypoints."""
    marks = make_marks(depth_HW, camera)
    named = list(marks.named().values()) or [np.full(2, marks.size / 2)]
    points = np.array([named[rng.integers(len(named))] for _ in range(5)])
    for key in (Key.PRE, Key.POST):
        points[key] = (rng.integers(0, TILES, 2) + 0.5) * marks.size / TILES
    return tie(points, SPECS[task].ties)
