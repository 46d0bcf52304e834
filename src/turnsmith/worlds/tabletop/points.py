"""The five keypoints of KALIE (arXiv 2409.14066): names, order, and the units in which files and models say them.

Inside Turnsmith keypoints are a float array (5, 2): (x, y) in pixels of the image at hand, x to the right and y down,
rows in the order of `Key`. Pixel (i, j) covers the square from (j, i) to (j + 1, i + 1), so the image's corners are
(0, 0) and (width, height). KALIE's files and prompts say thousandths of the image's width and height instead.
"""

from collections.abc import Mapping
from enum import IntEnum

import numpy as np

SCALE = 1000
"""Thousandths: what KALIE's JSON counts in."""


class Key(IntEnum):
    """The rows of a keypoint array, in the order in which KALIE's annotators click."""

    GRASP = 0
    """On the tool or its handle."""
    FUNCTION = 1
    """The part of the tool that makes contact."""
    TARGET = 2
    """On the object that is acted on (or a free place)."""
    PRE = 3
    """A free place that the function point visits before the target."""
    POST = 4
    """A free place that it visits after."""


NAMES = ("Grasp Point", "Function Point", "Target Point", "Pre-contact Point", "Post-contact Point")
"""What KALIE's JSON calls them."""


def to_thousandths(points_52: np.ndarray, width: float, height: float) -> np.ndarray:
    """Pixels to whole thousandths of the image, kept within 0..999 as the text of a prediction is."""
    thousandths = np.rint(np.asarray(points_52, float) * SCALE / np.array([width, height]))
    return np.clip(thousandths, 0, SCALE - 1).astype(int)


def from_thousandths(thousandths_52: np.ndarray, width: float, height: float) -> np.ndarray:
    """Thousandths of the image to pixels."""
    return np.asarray(thousandths_52, float) * np.array([width, height]) / SCALE


def tie(points_52: np.ndarray, ties: Mapping[Key, Key]) -> np.ndarray:
    """A copy in which tied points are equal: `ties[a] = b` puts a where b is (KALIE's prompts say which are)."""
    tied = np.array(points_52, float)
    for key, same_as in ties.items():
        tied[key] = tied[same_as]
    return tied
