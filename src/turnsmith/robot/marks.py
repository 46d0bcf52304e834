"""Mark selection in the manner of MOKA: candidate points on what stands out, and a grid of tiles for waypoints.

MOKA draws marks P[i] (and Q[i]) on objects and 5 x 5 tiles over the image, and a vision-language model answers with
`grasp_keypoint, function_keypoint, target_keypoint, pre_contact_tile, post_contact_tile`. Here the marks are made the
same way (farthest points on each object's outline and its middle, at most 6 an object) from colour and depth of the
observation; who chooses is either a chooser of yours (an endpoint) or the geometric rule below, which needs no model.

Notable: objects are found by depth (what is raised above the table), not by the simulator's masks.
"""

import re
from collections.abc import Callable, Mapping
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
    labels, count = ndimage.label(height > _RAISED)  # pyright: ignore[reportGeneralTypeIssues]
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


@dataclass(frozen=True)
class _Table:
    """What the rule sees: names of the marks on the largest object, on the second, and where all of them are."""

    first: list[str]
    second: list[str]
    at: dict[str, np.ndarray]
    size: int

    def nearest(self, names: list[str], to: np.ndarray) -> str:
        return min(names, key=lambda name: float(np.linalg.norm(self.at[name] - to)))

    def farthest(self, names: list[str], to: np.ndarray) -> str:
        return max(names, key=lambda name: float(np.linalg.norm(self.at[name] - to)))

    def tile(self, place: np.ndarray) -> str:
        """The tile of a place, the nearest one where it is outside."""
        column, row = np.clip((place * TILES / self.size).astype(int), 0, TILES - 1)
        return f"{'abcde'[column]}{row + 1}"

    def waypoints(self, before: np.ndarray, after: np.ndarray) -> dict[str, str]:
        return {"pre_contact_tile": self.tile(before), "post_contact_tile": self.tile(after)}


def rule(task: TableTask, image: np.ndarray, marks: Marks) -> dict[str, str]:
    """Choices by common sense, without a model: which object is the tool by size, points by direction.

    The same for every scene of a task; written before any of its results were seen.
    """
    at = marks.named()
    if not at:
        return {}
    first = [name for name in at if name.startswith("P")]
    second = [f"Q{number}" for number in range(1, CANDIDATES + 1) if f"Q{number}" in at] or first
    table = _Table(first, second, at, marks.size)
    return _RULES[task](table, at[first[0]], at[second[0]], marks.size / TILES)


def _sweep(table: _Table, first: np.ndarray, second: np.ndarray, side: float) -> dict[str, str]:
    """The brush is the larger thing; the trash is pushed to the right."""
    return {
        "grasp_keypoint": table.farthest(table.first, second),
        "function_keypoint": table.nearest(table.first, second),
        "target_keypoint": table.second[0],
        **table.waypoints(second - np.array([side, 0]), np.array([table.size - 1, second[1]])),
    }


def _close(table: _Table, first: np.ndarray, second: np.ndarray, side: float) -> dict[str, str]:
    """The lowest mark in the picture is the front; it is pushed upwards."""
    front = max(table.first, key=lambda name: float(table.at[name][1]))
    step = np.array([0, side])
    return {
        "grasp_keypoint": front,
        "target_keypoint": front,
        **table.waypoints(table.at[front] + step, table.at[front] - step),
    }


def _hang(table: _Table, first: np.ndarray, second: np.ndarray, side: float) -> dict[str, str]:
    """The cloth is on the left; it goes over the middle of the other thing."""
    left = first[0] < second[0]
    cloth, rack = (table.first, table.second) if left else (table.second, table.first)
    middle, step = second if left else first, np.array([side, 0])
    return {
        "grasp_keypoint": table.nearest(cloth, middle),
        "target_keypoint": table.nearest(rack, middle),
        **table.waypoints(middle - step, middle + step),
    }


def _pour(table: _Table, first: np.ndarray, second: np.ndarray, side: float) -> dict[str, str]:
    """The bowl is the larger thing."""
    return {
        "grasp_keypoint": table.farthest(table.second, first),
        "function_keypoint": table.nearest(table.second, first),
        "target_keypoint": table.first[0],
        **table.waypoints(first, first),
    }


def _unplug(table: _Table, first: np.ndarray, second: np.ndarray, side: float) -> dict[str, str]:
    """The stick is what sticks out most; it is pulled further out."""
    end = table.farthest(table.first, first)
    out = table.at[end] - first
    away = table.at[end] + side * out / max(float(np.linalg.norm(out)), 1e-6)
    return {"grasp_keypoint": end, "target_tile": table.tile(away), **table.waypoints(table.at[end], away)}


_RULES = {
    TableTask.SWEEP: _sweep,
    TableTask.DRAWER: _close,
    TableTask.TOWEL: _hang,
    TableTask.POUR: _pour,
    TableTask.UNPLUG: _unplug,
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
