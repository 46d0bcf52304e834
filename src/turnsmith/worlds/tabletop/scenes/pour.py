"""Pour small items from a scoop into a bowl. The scoop's x axis points to its lip; its handle is behind."""

import numpy as np

from turnsmith.worlds.tabletop.scenes.parts import Body
from turnsmith.worlds.tabletop.scenes.scene import Draft, View, clutter, turned
from turnsmith.worlds.tabletop.tasks import HARD_SET

ITEMS = 20
SHARE = 0.7
"""How many of the items must be in the bowl."""
_BALL = 0.006
_RIM = 0.045


def draft(rng: np.random.Generator, geometry: int) -> Draft:
    """Draw a scene."""
    scoop_yaw = rng.uniform(-0.6, 0.6)
    scoop_at = np.array([rng.uniform(-0.20, -0.13), rng.uniform(-0.12, 0.12)])
    bowl_at = np.array([rng.uniform(0.11, 0.18), rng.uniform(-0.12, 0.12)])
    scoop, lip, grid, hold = _scoop(rng, geometry, scoop_at, scoop_yaw)
    bowl, radius = _bowl(rng, geometry, bowl_at)
    balls = [
        Body(f"ball{index}", (*(scoop_at + turned(scoop_yaw, *at)), 0.014 + 0.0125 * (index // len(grid))), 0.0, "free")
        for index, at in enumerate((grid * (ITEMS // len(grid) + 1))[:ITEMS])
    ]
    for ball in balls:
        ball.shape("sphere", (_BALL,), more='mass="0.002" condim="1" priority="2"')
    names = [ball.name for ball in balls]

    def keypoints(view: View) -> np.ndarray:
        target = np.array([*bowl_at, 0.004])
        return np.stack([view.place("scoop", hold), view.place("scoop", lip), target, target, target])

    def succeeded(view: View) -> bool:
        inside = [
            np.hypot(*(view.place(name)[:2] - bowl_at)) < radius + 0.006 and -0.01 < view.place(name)[2] < _RIM
            for name in names
        ]
        return float(np.mean(inside)) >= SHARE

    bodies = [scoop, bowl, *balls]
    if geometry == HARD_SET:
        lane = [scoop_at + turned(scoop_yaw, x, 0) for x in (-0.08, 0.0, 0.08)]
        bodies += clutter(rng, [bowl_at, *lane], 0.13)
    return Draft(bodies, {"scoop": ["scoop", *names], "bowl": ["bowl"]}, keypoints, succeeded)


def _grid(xs: np.ndarray, ys: np.ndarray) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x in xs for y in ys]


def _scoop(rng: np.random.Generator, geometry: int, at: np.ndarray, yaw: float):
    """The scoop; its lip and the middle of its handle in its frame; where balls lie in it."""
    body = Body("scoop", (float(at[0]), float(at[1]), 0.001), yaw, "free")
    handle = rng.uniform(0.045, 0.055)
    bend = 0.0
    if geometry == HARD_SET:
        bend = float(rng.choice([-1.0, 1.0])) * rng.uniform(0.25, 0.4)
    centre = turned(bend, -handle, 0.0)
    body.box((handle, 0.009, 0.012), (float(centre[0]), float(centre[1]), 0.013), bend)
    hold = (float(centre[0]), float(centre[1]), 0.025)
    floor, wall = 0.002, 0.015
    if geometry in (0, HARD_SET):  # a pan
        length, half = 0.040, 0.034
        body.box((length, half, floor), (length, 0, floor)).box((0.003, half, wall), (0.003, 0, wall))
        for side in (-1, 1):
            body.box((length, 0.003, wall), (length, side * half, wall))
        lip = 2 * length
        body.box((0.002, half - 0.003, 0.004), (lip - 0.002, 0, 0.004))
        return body, (lip, 0.0, 0.008), _grid(np.linspace(0.014, 0.066, 4), np.linspace(-0.022, 0.022, 3)), hold
    if geometry == 1:  # a round pan with a gap in front
        radius, sides = 0.036, 10
        body.shape("cylinder", (radius, floor), (radius, 0, floor))
        for side in range(sides):
            turn = 2 * np.pi * side / sides
            low = side == 0
            spot = (radius + radius * np.cos(turn), radius * np.sin(turn), 0.004 if low else wall)
            body.box((0.003, radius * np.tan(np.pi / sides) + 0.001, 0.004 if low else wall), spot, turn)
        return body, (2 * radius, 0.0, 0.008), _grid(np.linspace(0.018, 0.052, 3), np.linspace(-0.018, 0.018, 3)), hold
    if geometry == 2:  # a trough that narrows to a spout
        length = 0.045
        body.box((length, 0.036, floor), (length, 0, floor)).box((0.003, 0.038, wall), (0.003, 0, wall))
        for side in (-1, 1):
            body.box((length + 0.001, 0.003, wall), (length, side * 0.027, wall), -side * 0.20)
        body.box((0.002, 0.016, 0.004), (2 * length - 0.004, 0, 0.004))
        return body, (2 * length, 0.0, 0.008), _grid(np.linspace(0.014, 0.045, 3), np.linspace(-0.018, 0.018, 3)), hold
    length, half, deep = 0.032, 0.032, 0.018  # a square cup, deeper, its front wall lower
    body.box((length, half, floor), (length, 0, floor)).box((0.003, half, deep), (0.003, 0, deep))
    for side in (-1, 1):
        body.box((length, 0.003, deep), (length, side * half, deep))
    body.box((0.002, half - 0.003, 0.0045), (2 * length - 0.002, 0, 0.0045))
    return body, (2 * length, 0.0, 0.009), _grid(np.linspace(0.014, 0.048, 3), np.linspace(-0.018, 0.018, 3)), hold


def _bowl(rng: np.random.Generator, geometry: int, at: np.ndarray) -> tuple[Body, float]:
    """The bowl and its inner radius."""
    body = Body("bowl", (float(at[0]), float(at[1]), 0.0), rng.uniform(0, np.pi))
    radius = rng.uniform(0.058, 0.068)
    sides = {0: 12, 1: 4, 2: 6, 3: 8, 4: 5}[geometry]
    thick = 0.008 if geometry == 3 else 0.004
    body.shape("cylinder", (radius, 0.002), (0, 0, 0.002)).ring(sides, radius, _RIM, thick)
    return body, radius * (1.3 if sides == 4 else 1.1)
