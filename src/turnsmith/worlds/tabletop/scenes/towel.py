"""Hang a cloth over a bar: a strip of hinged links, a rack that stands still. The rack's x axis crosses its bar."""

import numpy as np

from turnsmith.worlds.tabletop.scenes.parts import Body
from turnsmith.worlds.tabletop.scenes.scene import Draft, View, clutter, turned
from turnsmith.worlds.tabletop.tasks import HARD_SET

BAR = 0.16
"""Height of the bar, metres."""
LINKS = 14
LINK = 0.02
"""Length of a link, metres."""
_THICK = 0.004


def draft(rng: np.random.Generator, geometry: int) -> Draft:
    """Draw a scene."""
    yaw = rng.uniform(-0.35, 0.35)
    at = np.array([rng.uniform(0.08, 0.14), rng.uniform(-0.10, 0.10)])
    across = turned(yaw, 1.0, 0.0)
    rack = Body("rack", (float(at[0]), float(at[1]), 0.0), yaw)
    reach = _rack(rack, rng, geometry)
    cloth_yaw = rng.uniform(-0.4, 0.4)
    near = np.array([rng.uniform(-0.09, -0.05), rng.uniform(-0.14, 0.14)])  # the end that is nearer to the rack
    width = {0: 0.022, 1: 0.018, 2: 0.024, 3: 0.021, 4: 0.016}[geometry]
    cloth, names = _cloth(near, cloth_yaw, width, geometry)

    def keypoints(view: View) -> np.ndarray:
        bar = np.array([*at, BAR + reach])
        along = np.array([*across, 0.0])
        grasp = view.place(names[1], (-0.8 * LINK, 0, _THICK))
        return np.stack([grasp, grasp, bar, bar - 0.09 * along, bar + 0.12 * along])

    def succeeded(view: View) -> bool:
        middle = np.mean([view.place(name)[2] for name in names])
        held = view.touching("left", "cloth") or view.touching("right", "cloth")
        return view.touching("rack", "cloth") and bool(middle > 0.05) and not held

    bodies = [rack, cloth]
    if geometry == HARD_SET:
        tail = near - turned(cloth_yaw, 0.14, 0.0)
        lane = [at + s * across for s in (-0.12, 0.0, 0.12)]
        bodies += clutter(rng, [near, tail, (near + tail) / 2, tail - (near - tail), *lane], 0.13)
    return Draft(bodies, {"cloth": names, "rack": ["rack"]}, keypoints, succeeded)


def _rack(body: Body, rng: np.random.Generator, geometry: int) -> float:
    """Bar and stand; returns the bar's radius."""
    half = rng.uniform(0.085, 0.10)
    if geometry == 0:  # two posts
        body.rod((0, -half, BAR), (0, half, BAR), 0.008)
        for side in (-1, 1):
            body.box((0.006, 0.006, BAR / 2), (0, side * half, BAR / 2)).box(
                (0.03, 0.012, 0.004), (0, side * half, 0.004)
            )
        return 0.008
    if geometry == 1:  # a T on one post
        body.box((0.008, half, 0.006), (0, 0, BAR)).shape("cylinder", (0.008, BAR / 2 - 0.01), (0, 0, BAR / 2 - 0.01))
        body.shape("cylinder", (0.04, 0.004), (0, 0, 0.004))
        return 0.006
    if geometry == 2:  # an arch on a plate
        body.box((0.035, half + 0.01, 0.004), (0, 0, 0.004)).rod((0, -0.7 * half, BAR), (0, 0.7 * half, BAR), 0.010)
        for side in (-1, 1):
            body.rod((0, side * 0.7 * half, BAR), (0, side * half, 0.01), 0.008)
        return 0.010
    if geometry == 3:  # an arm that sticks out of a tower
        body.box((0.03, 0.02, BAR / 2 + 0.01), (0, half + 0.015, BAR / 2 + 0.01)).rod(
            (0, -half, BAR), (0, half, BAR), 0.007
        )
        body.shape("sphere", (0.012,), (0, -half, BAR))
        return 0.007
    for x, z in ((0.0, BAR), (0.05, 0.09)):  # two rungs, the near one higher: a clothes horse
        body.rod((x, -half, z), (x, half, z), 0.007)
    for side in (-1, 1):
        body.rod((0, side * half, BAR), (-0.035, side * half, 0.008), 0.006)
        body.rod((0, side * half, BAR), (0.06, side * half, 0.008), 0.006)
    return 0.007


def _cloth(near: np.ndarray, yaw: float, width: float, geometry: int) -> tuple[Body, list[str]]:
    """The strip, from its near end backwards, and the names of its links."""
    first = Body("cloth0", (float(near[0]), float(near[1]), _THICK + 0.001), yaw, "free")
    names, body = ["cloth0"], first
    for index in range(LINKS):
        wide = width
        if geometry == 3 and index % 4 == 3:  # notched
            wide = 0.7 * width
        if geometry == 4 and index > 9:  # it widens to the far end
            wide = 1.5 * width
        body.box((LINK / 2 - 0.0003, wide, _THICK), (-LINK / 2, 0, 0), more='mass="0.002" friction="0.9 0.005 0.0001"')
        if index + 1 < LINKS:
            child = Body(
                f"cloth{index + 1}",
                (-LINK, 0, 0),
                joint='type="hinge" axis="0 1 0" damping="0.0006" armature="0.00002"',
            )
            body.children.append(child)
            names.append(child.name)
            body = child
    return first, names
