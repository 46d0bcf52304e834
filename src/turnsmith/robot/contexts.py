"""Context maps: what a generator is told about the shape of an object while its looks are made anew.

KALIE uses soft edges (PiDiNet there); depth, segmentation and canny are its ablations. Each is a map (H, W) in 0..1
computed from the original image once.
"""

import numpy as np
from scipy import ndimage

from turnsmith.robot.settings import Context

CONTEXTS: tuple[Context, ...] = ("softedge", "depth", "segmentation", "canny")


def context_map(kind: Context, rgb_HW3: np.ndarray, depth_HW: np.ndarray, parts_HW: np.ndarray) -> np.ndarray:
    """The map of a kind, float32 (H, W) in 0..1.

    Args:
        kind: which.
        rgb_HW3: uint8.
        depth_HW: metres.
        parts_HW: part of each pixel, 0 for none.
    """
    if kind == "softedge":
        return soft_edges(rgb_HW3)
    if kind == "canny":
        return canny(rgb_HW3)
    if kind == "depth":
        near, far = np.quantile(depth_HW, [0.005, 0.9])
        return np.clip((far - depth_HW) / max(far - near, 1e-6), 0, 1).astype(np.float32)
    most = max(int(parts_HW.max()), 1)
    return (parts_HW / most).astype(np.float32)


def _gradient(rgb_HW3: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Row and column derivative of the channel that changes most at each pixel."""
    image = rgb_HW3.astype(np.float32) / 255
    down = np.stack([ndimage.gaussian_filter(image[..., c], sigma, order=(1, 0)) for c in range(3)])  # pyright: ignore[reportArgumentType]
    right = np.stack([ndimage.gaussian_filter(image[..., c], sigma, order=(0, 1)) for c in range(3)])  # pyright: ignore[reportArgumentType]
    strongest = np.argmax(down**2 + right**2, axis=0)[None]
    return np.take_along_axis(down, strongest, 0)[0], np.take_along_axis(right, strongest, 0)[0]


def soft_edges(rgb_HW3: np.ndarray, sigma: float = 0.8) -> np.ndarray:
    """Strength of colour edges, smooth, in 0..1: a gradient magnitude where KALIE has a learned detector."""
    down, right = _gradient(rgb_HW3, sigma)
    strength = np.hypot(down, right)
    return np.clip(strength / max(float(np.quantile(strength, 0.98)), 0.02), 0, 1).astype(np.float32)


def canny(rgb_HW3: np.ndarray, low: float = 0.25, high: float = 0.6) -> np.ndarray:
    """Thin binary edges: maxima along the gradient above `low` that hang together with one above `high` (Canny 1986).

    Thresholds are shares of the 98 % quantile of the gradient.
    """
    down, right = _gradient(rgb_HW3, 1.0)
    strength = np.hypot(down, right)
    strength = strength / max(float(np.quantile(strength, 0.98)), 0.02)
    octant = np.round(np.arctan2(down, right) / (np.pi / 4)).astype(int) % 4
    steps = ((0, 1), (1, 1), (1, 0), (1, -1))
    thin = np.zeros(strength.shape, bool)
    padded = np.pad(strength, 1)
    rows, columns = strength.shape
    for index, (dy, dx) in enumerate(steps):
        ahead = padded[1 + dy : 1 + dy + rows, 1 + dx : 1 + dx + columns]
        behind = padded[1 - dy : 1 - dy + rows, 1 - dx : 1 - dx + columns]
        thin |= (octant == index) & (strength >= ahead) & (strength >= behind)
    weak = thin & (strength > low)
    labels, count = ndimage.label(weak, np.ones((3, 3)))  # pyright: ignore[reportGeneralTypeIssues]
    if not count:
        return np.zeros(strength.shape, np.float32)
    strong = np.unique(labels[weak & (strength > high)])
    return (np.isin(labels, strong[strong > 0])).astype(np.float32)
