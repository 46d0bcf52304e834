"""Procedural textures: what tables and objects are covered with, and what composite synthesis paints into them."""

import colorsys

import numpy as np

KINDS = ("plain", "noise", "stripes", "checks", "grain", "dots")


def random_colour(rng: np.random.Generator, value: tuple[float, float] = (0.15, 1.0)) -> np.ndarray:
    """A colour (3,) in 0..1, with its brightness in `value`."""
    return np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.0, 0.9), rng.uniform(*value)))


def value_noise(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Smooth noise (size, size) in 0..1 with about `cells` bumps along a side."""
    grid = rng.random((cells + 1, cells + 1))
    at = np.linspace(0, cells, size, endpoint=False)
    low = at.astype(int)
    part = at - low
    part = part * part * (3 - 2 * part)
    rows = grid[low] * (1 - part)[:, None] + grid[low + 1] * part[:, None]
    return rows[:, low] * (1 - part) + rows[:, low + 1] * part


def texture(rng: np.random.Generator, size: int = 64, kinds: tuple[str, ...] = KINDS) -> np.ndarray:
    """A random texture, uint8 (size, size, 3): two colours in a random pattern, with a little noise."""
    first = random_colour(rng)
    second = np.clip(first + rng.normal(0, 0.18, 3), 0, 1) if rng.random() < 0.6 else random_colour(rng)
    kind = str(rng.choice(kinds))
    y, x = np.mgrid[0:size, 0:size] / size
    turn = rng.uniform(0, np.pi)
    along = np.cos(turn) * x + np.sin(turn) * y
    waves = rng.integers(2, 7)
    if kind == "plain":
        mix = np.zeros((size, size))
    elif kind == "noise":
        mix = value_noise(rng, size, int(rng.integers(2, 10)))
    elif kind == "stripes":
        mix = (np.sin(2 * np.pi * waves * along) > rng.uniform(-0.5, 0.5)).astype(float)
    elif kind == "checks":
        mix = ((x * waves).astype(int) + (y * waves).astype(int)) % 2
    elif kind == "grain":
        mix = 0.5 + 0.5 * np.sin(2 * np.pi * (waves * along + 1.5 * value_noise(rng, size, 4)))
    else:
        mix = ((x * waves % 1 - 0.5) ** 2 + (y * waves % 1 - 0.5) ** 2 < 0.08).astype(float)
    image = first * (1 - mix[..., None]) + second * mix[..., None]
    image = image + rng.normal(0, 0.015, (size, size, 1))
    return (255 * np.clip(image, 0, 1)).astype(np.uint8)
