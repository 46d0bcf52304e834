"""Pull a USB stick out of a laptop: a stick that is held by friction in a slide. The port's x axis points out of it."""

import numpy as np

from turnsmith.worlds.tabletop.scenes.parts import Body
from turnsmith.worlds.tabletop.scenes.scene import Draft, View, clutter, turned
from turnsmith.worlds.tabletop.tasks import HARD_SET

CLEAR = 0.03
"""How far out the stick must be, metres."""


def draft(rng: np.random.Generator, geometry: int) -> Draft:
    """Draw a scene."""
    yaw = np.pi + rng.uniform(-0.6, 0.6)
    port_at = np.array([rng.uniform(0.0, 0.08), rng.uniform(-0.10, 0.10)])
    out = turned(yaw, 1.0, 0.0)
    laptop = Body("laptop", (float(port_at[0]), float(port_at[1]), 0.0), yaw)
    _laptop(laptop, rng, geometry)
    stick = Body("stick", (0, 0, 0), joint='type="slide" axis="1 0 0" range="0 0.14" damping="2" frictionloss="3"')
    hold = _stick(stick, rng, geometry)
    laptop.children.append(stick)

    def keypoints(view: View) -> np.ndarray:
        grasp = view.place("stick", hold)
        along = np.array([*out, 0.0])
        return np.stack([grasp, grasp, grasp + 0.08 * along, grasp + 0.04 * along, grasp + 0.12 * along])

    def succeeded(view: View) -> bool:
        return view.joint("stick") >= CLEAR

    bodies = [laptop]
    if geometry == HARD_SET:
        bodies += clutter(rng, [port_at + s * out for s in (-0.14, -0.07, 0.0, 0.07, 0.14, 0.2)], 0.12)
    parts = {"usb stick": ["stick"], "laptop": ["laptop"]}
    return Draft(bodies, parts, keypoints, succeeded, (0.30, 0.0), [("laptop", "stick")])


def _laptop(body: Body, rng: np.random.Generator, geometry: int) -> None:
    if geometry == 0:  # a slab with a keyboard's field
        wide, deep = rng.uniform(0.08, 0.10), rng.uniform(0.06, 0.075)
        body.box((deep, wide, 0.014), (-deep, rng.uniform(-0.03, 0.03), 0.014))
    elif geometry == 1:  # a round hub
        radius = rng.uniform(0.055, 0.065)
        body.shape("cylinder", (radius, 0.015), (-radius + 0.004, 0, 0.015))
    elif geometry == 2:  # an L
        body.box((0.035, 0.09, 0.014), (-0.035, 0.03, 0.014)).box((0.04, 0.03, 0.014), (-0.11, 0.09, 0.014))
    elif geometry == 3:  # a tower, higher
        body.box((0.045, 0.05, 0.022), (-0.045, rng.uniform(-0.02, 0.02), 0.022))
    else:  # an open laptop: base and a raised lid
        body.box((0.055, 0.085, 0.013), (-0.055, rng.uniform(-0.03, 0.03), 0.013)).box(
            (0.008, 0.085, 0.05), (-0.118, 0, 0.05)
        )


def _stick(body: Body, rng: np.random.Generator, geometry: int) -> tuple[float, float, float]:
    """The stick, plugged; returns the middle of what shows of it, on top."""
    z = 0.016
    if geometry == 0:  # a box
        length = rng.uniform(0.026, 0.032)
        body.box((length, 0.009, 0.007), (length - 0.008, 0, z))
        return (length - 0.002, 0.0, z + 0.007)
    if geometry == 1:  # a round one
        body.rod((-0.01, 0, z), (0.046, 0, z), 0.008)
        return (0.028, 0.0, z + 0.008)
    if geometry == 2:  # a T: a cap across its end
        body.box((0.020, 0.007, 0.006), (0.014, 0, z)).box((0.007, 0.017, 0.008), (0.041, 0, z))
        return (0.028, 0.0, z + 0.006)
    if geometry == 3:  # with a ring for keys
        body.box((0.022, 0.009, 0.006), (0.014, 0, z))
        for side in range(8):
            a, b = (2 * np.pi * (side + k) / 8 for k in (0, 1))
            body.rod(
                (0.050 + 0.014 * np.cos(a), 0.014 * np.sin(a), z),
                (0.050 + 0.014 * np.cos(b), 0.014 * np.sin(b), z),
                0.003,
            )
        return (0.024, 0.0, z + 0.006)
    body.box((0.018, 0.008, 0.007), (0.010, 0, z)).rod(
        (0.026, 0, z), (0.075, rng.uniform(-0.03, 0.03), z - 0.008), 0.004
    )
    return (0.017, 0.0, z + 0.007)  # a short one with a cable
