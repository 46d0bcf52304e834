"""How alike two pictures of pages are, without any model: structural similarity at several scales, in colour.

SSIM (Wang et al. 2004) compares mean, contrast and pattern of small windows. Here both pages are scaled to the same
width and the shorter one is continued in white, SSIM of each colour channel is averaged over the page at four scales
from 320 pixels of width down to 40, and negative similarity counts as none. It is 1 exactly for equal pictures and
symmetric. It sees layout and colours; it does not know what a picture shows, which CLIP does. It is no substitute for
the paper's figure, and never called so: its name in every verdict is `structure`.
"""

import io
from typing import Protocol

import numpy as np
from PIL import Image

_WIDTH, _TALLEST, _SCALES, _WINDOW = 320, 2400, 4, 7
_C1, _C2 = 0.01**2, 0.03**2

Array = np.ndarray


class Similarity(Protocol):
    """Says how alike two pictures are.

    Attributes:
        name: of the measure, as it stands in verdicts and tables.
    """

    @property
    def name(self) -> str: ...

    def compare(self, first: bytes, second: bytes) -> float:
        """At most 1, and 1 for equal pictures (PNG or JPEG)."""
        ...


class StructuralSimilarity:
    """See the module's docstring."""

    name = "structure"

    def compare(self, first: bytes, second: bytes) -> float:
        """Mean over scales of the mean SSIM over windows and colours, in [0, 1]."""
        one, other = _pair(first, second)
        found = []
        for _ in range(_SCALES):
            found.append(float(_ssim(one, other).mean()))
            if min(one.shape[:2]) < 2 * _WINDOW:
                break
            one, other = _half(one), _half(other)
        return min(1.0, max(0.0, sum(found) / len(found)))


def black(width: int = 224, height: int = 224) -> bytes:
    """What stands for a page that gives no picture."""
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, "PNG")
    return out.getvalue()


def _pair(first: bytes, second: bytes) -> tuple[Array, Array]:
    """Both pictures as (H, W, 3) in [0, 1], of one size: scaled to one width, the shorter continued in white."""
    scaled = []
    for data in (first, second):
        image = Image.open(io.BytesIO(data)).convert("RGB")
        height = min(_TALLEST, max(_WINDOW, round(image.height * _WIDTH / image.width)))
        scaled.append(np.asarray(image.resize((_WIDTH, height), Image.Resampling.BOX), dtype=np.float64) / 255)
    tallest = max(len(picture) for picture in scaled)
    one, other = (np.pad(i, ((0, tallest - len(i)), (0, 0), (0, 0)), constant_values=1.0) for i in scaled)
    return one, other


def _half(image: Array) -> Array:
    rows, columns = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
    return image[:rows, :columns].reshape(rows // 2, 2, columns // 2, 2, 3).mean(axis=(1, 3))


def _ssim(one: Array, other: Array) -> Array:
    """SSIM of every window and colour, (H − 6, W − 6, 3)."""
    mean_a, mean_b = _windows(one), _windows(other)
    var_a, var_b = _windows(one * one) - mean_a**2, _windows(other * other) - mean_b**2
    covariance = _windows(one * other) - mean_a * mean_b
    likeness = (2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)
    return likeness / ((mean_a**2 + mean_b**2 + _C1) * (var_a + var_b + _C2))


def _windows(image: Array) -> Array:
    """Mean over each window of 7 by 7."""
    total = np.pad(image.cumsum(0).cumsum(1), ((1, 0), (1, 0), (0, 0)))
    w = _WINDOW
    return (total[w:, w:] - total[:-w, w:] - total[w:, :-w] + total[:-w, :-w]) / w**2
