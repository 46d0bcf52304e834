"""From a depth image and a predicted grasp point to a grasp: where the fingers go, how they are turned, how deep.

Candidates are antipodal: from a place on something raised, rays along the closing direction look for the edge where the
surface falls away on both sides; the grasp is midway between the two contacts. A contact counts when the edge's normal
lies within the friction cone of the closing direction (KALIE's sampler: friction 1, width at most 7 cm).

Notable: closing fingers turn a handle until it lies in them, so an error of yaw becomes an error of the tool's heading.
Candidates are therefore preferred across the middle line of what is narrow around them (or the principal axis of what
is raised, where there is no such line); and a candidate whose fingers would come down on something is out (a stick
beside its laptop). Only depth is read: no parts, no poses.
"""

from dataclasses import dataclass

import numpy as np

from turnsmith.worlds.tabletop.camera import Camera, smooth_depth
from turnsmith.worlds.tabletop.scenes.parts import PAD_HALF, PADS_BELOW

MAX_WIDTH = 0.07
DROP = 0.004
"""A surface that falls by this much ends what is raised, metres."""
YAWS = np.linspace(0, np.pi, 24, endpoint=False)
_AXIS_RADIUS = 0.034
_STEP = 0.0018
_CLEARANCE = 0.006


@dataclass(frozen=True)
class Grasp:
    """Where the gripper goes to grasp.

    Attributes:
        at_3: tool centre point in the world.
        yaw: of the gripper, within -pi/2..pi/2; the fingers close along its y axis.
        width: between the contacts, metres.
        found: False when no candidate was there and the fingers simply go to the point with yaw 0.
    """

    at_3: np.ndarray
    yaw: float
    width: float
    found: bool = True


class HeightMap:
    """Heights of a depth image, smoothed, to be read at places of the world."""

    def __init__(self, camera: Camera, depth_HW: np.ndarray) -> None:
        self.camera = camera
        self.height_HW = camera.height - smooth_depth(depth_HW)

    def at(self, places_N2: np.ndarray, seen_from_z: float) -> np.ndarray:
        """Height (N,) of what the camera sees along the rays through these places at height `seen_from_z`."""
        places = np.asarray(places_N2, float)
        flat = places.reshape(-1, 2)
        world = np.concatenate([flat, np.full((len(flat), 1), seen_from_z)], axis=1)
        pixels = np.clip(self.camera.project(world).astype(int), 0, self.camera.size - 1)
        return self.height_HW[pixels[:, 1], pixels[:, 0]].reshape(places.shape[:-1])

    def point(self, pixel_2: np.ndarray) -> np.ndarray:
        """The point of the world (3,) that a pixel shows; pixels outside the image are moved to its border."""
        pixel = np.clip(np.asarray(pixel_2, float), 0, self.camera.size - 1e-3)
        column, row = pixel.astype(int)
        return self.camera.at_height(pixel, float(self.height_HW[row, column]))


def plan_grasp(heights: HeightMap, pixel_2: np.ndarray, radius: float = 12.0) -> Grasp:
    """The best grasp near a predicted point.

    Args:
        heights: of the scene.
        pixel_2: the predicted grasp point.
        radius: candidates' midpoints lie within so many pixels of it.
    """
    camera = heights.camera
    wanted = heights.point(pixel_2)
    scale = (camera.height - wanted[2]) / camera.focal
    grid = np.arange(-radius, radius + 1e-9, 2.0) * scale
    offsets = np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2)
    places = wanted[:2] + offsets[np.hypot(*offsets.T) <= radius * scale]
    tops = heights.at(places, wanted[2])
    keep = tops > DROP
    if not keep.any():
        return Grasp(_reach(wanted, 0.0), 0.0, 0.0, found=False)
    places, tops = places[keep], tops[keep]
    chosen = _best(heights, places, tops, wanted, radius * scale)
    if chosen is None:
        return Grasp(_reach(wanted, 0.0), 0.0, 0.0, found=False)
    return chosen


def _best(
    heights: HeightMap, places_P2: np.ndarray, tops_P: np.ndarray, wanted_3: np.ndarray, radius: float
) -> Grasp | None:
    """The cheapest of the candidates at all places and yaws; None where there is none."""
    closing_A2 = np.stack([-np.sin(YAWS), np.cos(YAWS)], axis=1)
    steps = np.arange(1, int(MAX_WIDTH / _STEP) + 1) * _STEP
    ends = []
    for sign in (1, -1):  # (P, A): how far it is to where the surface falls away
        rays = places_P2[:, None, None] + sign * steps[None, None, :, None] * closing_A2[None, :, None]
        low = heights.at(rays, float(np.median(tops_P))) < tops_P[:, None, None] - DROP
        ends.append(np.where(low.any(axis=2), steps[low.argmax(axis=2)], 1.0))  # 1 m: never
    width, shift = ends[0] + ends[1], (ends[0] - ends[1]) / 2
    middle = places_P2[:, None] + shift[..., None] * closing_A2[None]
    away = np.hypot(*np.moveaxis(middle - wanted_3[:2], -1, 0))
    good = (width <= MAX_WIDTH) & (away <= radius)
    if not good.any():
        return None
    floor = _finger_floor(heights, middle, width, closing_A2, tops_P)
    depth = np.maximum(tops_P[:, None] - 0.014, 0.003)  # where the pads' lower ends would be
    good &= floor < depth
    if not good.any():
        return None
    axis = _medial_axis(middle, width, places_P2, tops_P, wanted_3)
    if axis is None:
        axis = _principal_axis(heights, wanted_3)
    aligned = np.abs(closing_A2 @ axis)  # 0: closes across the axis
    cost = away / 0.02 + 2.5 * aligned[None] ** 2 + width / 0.06
    cost = np.where(good, cost, np.inf)
    place, turn = np.unravel_index(np.argmin(cost), cost.shape)
    yaw = _refined_yaw(float(YAWS[turn]), axis)
    at = np.array([*middle[place, turn], tops_P[place]])
    return Grasp(_reach(at, float(floor[place, turn])), yaw, float(width[place, turn]))


def _finger_floor(
    heights: HeightMap, middle_PA2: np.ndarray, width_PA: np.ndarray, closing_A2: np.ndarray, tops_P: np.ndarray
) -> np.ndarray:
    """The highest thing under either finger, (P, A)."""
    forward_A2 = np.stack([closing_A2[:, 1], -closing_A2[:, 0]], axis=1)
    highest = np.full(width_PA.shape, -1.0)
    for sign in (1, -1):
        for across in (_CLEARANCE, _CLEARANCE + 2 * PAD_HALF[1]):
            for along in (-PAD_HALF[0], 0.0, PAD_HALF[0]):
                reach = sign * (np.minimum(width_PA, MAX_WIDTH) / 2 + across)
                under = middle_PA2 + reach[..., None] * closing_A2 + along * forward_A2
                highest = np.maximum(highest, heights.at(under, float(np.median(tops_P)) / 2))
    return highest


def _medial_axis(
    middle_PA2: np.ndarray, width_PA: np.ndarray, places_P2: np.ndarray, tops_P: np.ndarray, wanted_3: np.ndarray
) -> np.ndarray | None:
    """Direction (2,) of the line along the middle of what is narrow here; None where there is too little of it.

    The middles of the narrowest chords of a bar lie on its centre line, whatever wide thing it is plugged into.
    """
    narrowest, turn = width_PA.min(axis=1), width_PA.argmin(axis=1)
    apart = np.linalg.norm(places_P2 - wanted_3[:2], axis=1)
    nearest = np.argsort(apart)[:5]
    here = float(np.median(narrowest[nearest]))
    like = (narrowest <= 1.4 * here + 0.004) & (narrowest >= here / 1.4 - 0.001)  # not a cable that hangs on it
    level = np.abs(tops_P - float(np.median(tops_P[nearest]))) < 0.008
    chosen = np.flatnonzero(like & level & (apart <= _AXIS_RADIUS) & (narrowest <= MAX_WIDTH))
    if len(chosen) < 4:
        return None
    centred = middle_PA2[chosen, turn[chosen]]
    centred = centred - centred.mean(axis=0)
    spreads, axes = np.linalg.eigh(centred.T @ centred / len(chosen))
    return axes[:, 1] if spreads[1] > max(4 * spreads[0], 0.005**2) else None


def _principal_axis(heights: HeightMap, wanted_3: np.ndarray) -> np.ndarray:
    """Direction (2,) in which the raised region around a place is longest."""
    grid = np.arange(-_AXIS_RADIUS, _AXIS_RADIUS + 1e-9, 0.0025)
    offsets = np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2)
    offsets = offsets[np.hypot(*offsets.T) <= _AXIS_RADIUS]
    top = float(heights.at(wanted_3[None, :2], wanted_3[2])[0])
    seen = heights.at(wanted_3[:2] + offsets, wanted_3[2])
    raised = offsets[(seen > max(top - 0.008, DROP)) & (seen < top + 0.012)]
    if len(raised) < 5:
        return np.array([1.0, 0.0])
    centred = raised - raised.mean(axis=0)
    return np.linalg.eigh(centred.T @ centred)[1][:, 1]


def _refined_yaw(yaw: float, axis_2: np.ndarray) -> float:
    """A yaw within -pi/2..pi/2, moved onto the axis where it is near it: forward is along the handle."""
    along = float(np.arctan2(axis_2[1], axis_2[0]))
    apart = (yaw - along + np.pi / 2) % np.pi - np.pi / 2
    if abs(apart) < 0.35:
        yaw = along
    return float((yaw + np.pi / 2) % np.pi - np.pi / 2)


def _reach(top_3: np.ndarray, floor: float) -> np.ndarray:
    """The tool centre point for something whose top is here, its pads clear of the floor under them."""
    lowest = max(floor, 0.0) + PADS_BELOW + 0.002
    return np.array([top_3[0], top_3[1], max(top_3[2] - 0.012, lowest)])
