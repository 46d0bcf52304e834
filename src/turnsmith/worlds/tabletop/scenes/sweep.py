"""Sweep trash off the table: a brush with a handle, something to sweep, an edge. Its x axis points to its head."""

import numpy as np

from turnsmith.worlds.tabletop.scenes.parts import Body
from turnsmith.worlds.tabletop.scenes.scene import Draft, View, clutter, turned
from turnsmith.worlds.tabletop.tasks import HARD_SET


def draft(rng: np.random.Generator, geometry: int) -> Draft:
    """Draw a scene."""
    edge, turn = rng.uniform(0.20, 0.25), rng.uniform(-0.12, 0.12)
    trash_at = turned(turn, edge - rng.uniform(0.085, 0.13), rng.uniform(-0.12, 0.12))
    brush_yaw = turn + rng.uniform(-0.6, 0.6)
    brush_at = turned(turn, rng.uniform(-0.21, -0.14), rng.uniform(-0.14, 0.14))
    brush, front = _brush(rng, geometry, brush_at, brush_yaw)
    trash, radius, top = _trash(rng, geometry, trash_at)
    towards = turned(turn, 1.0, 0.0)

    def keypoints(view: View) -> np.ndarray:
        target = view.place("trash", (0, 0, top))
        left = edge - target[:2] @ towards
        along = np.array([*towards, 0.0])
        return np.stack(
            [
                view.place("brush", (-0.01, 0.0, 0.026)),
                view.place("brush", front),
                target,
                target - (radius + 0.045) * along,
                target + (left + 0.05) * along,
            ]
        )

    def succeeded(view: View) -> bool:
        at = view.place("trash")
        return bool(at[2] < -0.03 or at[:2] @ towards > edge)

    bodies = [brush, trash]
    if geometry == HARD_SET:
        head = brush_at + turned(brush_yaw, 0.1, 0.0)
        lane = [trash_at + s * towards for s in (-0.12, -0.06, 0.0, 0.06, 0.12)]
        bodies += clutter(rng, [brush_at, head, *lane], 0.1)
    return Draft(bodies, {"brush": ["brush"], "trash": ["trash"]}, keypoints, succeeded, (edge, turn))


def _brush(
    rng: np.random.Generator, geometry: int, at: np.ndarray, yaw: float
) -> tuple[Body, tuple[float, float, float]]:
    """The brush, and its front (function point) in its own frame."""
    body = Body("brush", (float(at[0]), float(at[1]), 0.001), yaw, "free")
    length = rng.uniform(0.055, 0.065)
    body.box((length, 0.010, 0.0125), (-0.005, 0, 0.0125))
    end = length - 0.005
    if geometry == 0:  # a bar across: a T
        body.box((0.014, 0.05, 0.016), (end + 0.012, 0, 0.016))
        return body, (end + 0.024, 0.0, 0.032)
    if geometry == 1:  # a duster: a round bunch
        for x, y, r in ((0.02, 0, 0.022), (0.03, 0.022, 0.016), (0.03, -0.022, 0.016), (0.042, 0, 0.016)):
            body.shape("cylinder", (r, 0.015), (end + x, y, 0.015))
        return body, (end + 0.052, 0.0, 0.030)
    if geometry == 2:  # a whisk: seven rods fanned out
        for spread in np.linspace(-0.75, 0.75, 7):
            tip = (end + 0.055 * np.cos(spread), 0.055 * np.sin(spread), 0.008)
            body.rod((end, 0, 0.008), tip, 0.007)
        return body, (end + 0.052, 0.0, 0.014)
    if geometry == 3:  # a C: an open frame
        body.box((0.010, 0.045, 0.014), (end + 0.008, 0, 0.014))
        for side in (-1, 1):
            body.box((0.020, 0.007, 0.014), (end + 0.034, side * 0.040, 0.014), side * 0.15)
        return body, (end + 0.018, 0.0, 0.028)
    side = rng.choice([-1.0, 1.0])  # a squeegee whose blade sits to one side
    body.box((0.007, 0.045, 0.014), (end + 0.006, side * 0.028, 0.014), side * 0.12)
    return body, (end + 0.012, side * 0.028, 0.028)


def _trash(rng: np.random.Generator, geometry: int, at: np.ndarray) -> tuple[Body, float, float]:
    """The trash, its radius and the height of its top."""
    body = Body("trash", (float(at[0]), float(at[1]), 0.001), rng.uniform(0, np.pi), "free")
    size = rng.uniform(0.013, 0.018)
    if geometry == 0:
        body.box((size, size, 0.014), (0, 0, 0.014))
        return body, size, 0.028
    if geometry == 1:
        body.shape("cylinder", (size, 0.014), (0, 0, 0.014))
        return body, size, 0.028
    if geometry == 2:  # crumpled
        for _ in range(4):
            half = rng.uniform(0.006, 0.010, 2)
            body.box((half[0], half[1], 0.012), (*rng.uniform(-0.008, 0.008, 2), 0.012), rng.uniform(0, np.pi))
        return body, size, 0.024
    if geometry == 3:  # a bar
        body.box((0.024, 0.009, 0.013), (0, 0, 0.013))
        return body, 0.02, 0.026
    body.box((0.020, 0.007, 0.012), (0, 0, 0.012)).box((0.007, 0.020, 0.012), (0, 0, 0.012))  # a cross
    return body, 0.02, 0.024
