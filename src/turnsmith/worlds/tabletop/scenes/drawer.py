"""Close a drawer: a cabinet that stands still, a drawer on a slide. The cabinet's x axis points out of it."""

import numpy as np

from turnsmith.worlds.tabletop.scenes.parts import Body
from turnsmith.worlds.tabletop.scenes.scene import Draft, View, clutter, turned
from turnsmith.worlds.tabletop.tasks import HARD_SET

CLOSED = 0.01
"""A gap below this is closed, metres."""


def draft(rng: np.random.Generator, geometry: int) -> Draft:
    """Draw a scene."""
    yaw = -np.pi / 2 + rng.uniform(-0.6, 0.6)
    opened = rng.uniform(0.06, 0.11)
    width = rng.uniform(0.075, 0.095)
    height = rng.uniform(0.075, 0.09)
    out = turned(yaw, 1.0, 0.0)
    front_at = -out * rng.uniform(0.0, 0.06) + turned(yaw, 0.0, rng.uniform(-0.08, 0.08))
    cabinet = Body("cabinet", (float(front_at[0]), float(front_at[1]), 0.0), yaw)
    cabinet.box((0.075, width, height / 2), (-0.075, 0, height / 2))
    drawer = Body(
        "drawer",
        joint=f'type="slide" axis="1 0 0" range="0 0.16" ref="{-0.0:.3f}" damping="4" frictionloss="1"',
    )
    handle = _drawer(drawer, rng, geometry, width - 0.012, height - 0.018, opened)
    cabinet.children.append(drawer)

    def keypoints(view: View) -> np.ndarray:
        target = view.place("drawer", handle)
        along = np.array([*out, 0.0])
        closed = target - (view.joint("drawer") + opened) * along
        return np.stack([target, target, target, target + 0.07 * along, closed - 0.005 * along])

    def succeeded(view: View) -> bool:
        return view.joint("drawer") + opened < CLOSED

    bodies = [cabinet]
    if geometry == HARD_SET:
        lane = [front_at + s * out for s in (-0.12, 0.0, 0.08, 0.16, 0.24)]
        bodies += clutter(rng, lane, 0.13)
    parts = {"open drawer": ["drawer"]}
    return Draft(bodies, parts, keypoints, succeeded, (0.30, 0.0), [("cabinet", "drawer")])


def _drawer(
    body: Body, rng: np.random.Generator, geometry: int, width: float, height: float, opened: float
) -> tuple[float, float, float]:
    """Tray, front and handle, drawn as far out as it is open; returns the handle's centre on top, in its frame."""
    body.joint = body.joint.replace('range="0 0.16" ref="-0.000"', f'range="{-opened:.4f} {0.16 - opened:.4f}"')
    front = opened
    body.box((0.006, width, height / 2), (front + 0.006, 0, height / 2 + 0.004))
    body.box((0.07, width - 0.004, 0.003), (front - 0.07, 0, 0.008))
    for side in (-1, 1):
        body.box((0.07, 0.004, height / 2 - 0.006), (front - 0.07, side * (width - 0.004), height / 2 - 0.002))
    middle = 0.6 * height
    out = front + 0.012
    if geometry == 0:  # a bar on two feet
        for side in (-1, 1):
            body.box((0.010, 0.004, 0.006), (out + 0.010, side * 0.030, middle))
        body.box((0.005, 0.038, 0.006), (out + 0.022, 0, middle))
        return (out + 0.022, 0.0, middle + 0.006)
    if geometry == 1:  # a knob
        body.shape("cylinder", (0.006, 0.008), (out + 0.006, 0, middle)).shape(
            "sphere", (0.014,), (out + 0.022, 0, middle)
        )
        return (out + 0.022, 0.0, middle + 0.014)
    if geometry == 2:  # a lip along the top
        body.box((0.012, 0.05, 0.004), (out + 0.012, 0, height))
        return (out + 0.014, 0.0, height + 0.004)
    if geometry == 3:  # a ring
        for side in range(8):
            a, b = (2 * np.pi * (side + k) / 8 for k in (0, 1))
            body.rod(
                (out + 0.020 + 0.017 * np.cos(a), 0.017 * np.sin(a), middle),
                (out + 0.020 + 0.017 * np.cos(b), 0.017 * np.sin(b), middle),
                0.005,
            )
        return (out + 0.037, 0.0, middle + 0.005)
    side = float(rng.choice([-1.0, 1.0])) * rng.uniform(0.015, 0.03)  # a tab to one side, things inside the tray
    body.box((0.014, 0.010, 0.005), (out + 0.014, side, middle))
    for _ in range(3):
        body.shape("cylinder", (0.010, 0.012), (front - rng.uniform(0.02, 0.07), rng.uniform(-0.05, 0.05), 0.022))
    return (out + 0.018, side, middle + 0.005)
