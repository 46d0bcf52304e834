"""Screenshots as small arrays: decoded and shrunk once, kept by content.

A policy, its critics and its judges look at the same few thousand screens again and again; what they need is
3 × 190 × 90 bytes of each.
"""

import io
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from turnsmith.trace.types import ImageRef

SIZE = (190, 90)
"""(height, width) of a frame in pixels: a quarter of the local phone's screen in each direction."""


def frame_of(data: bytes, size: tuple[int, int] = SIZE) -> Tensor:
    """An encoded picture as a uint8 tensor (3, height, width), shrunk by averaging."""
    height, width = size
    with Image.open(io.BytesIO(data)) as picture:
        picture.draft("RGB", (2 * width, 2 * height))  # JPEG decodes at a fraction of its size for less
        small = picture.convert("RGB").resize((width, height), Image.Resampling.BOX)
    return torch.from_numpy(np.asarray(small).transpose(2, 0, 1).copy())


class Frames:
    """Frames by content. Not more than `limit` are kept (51 KB each); the least recently used go first."""

    def __init__(
        self,
        fetch: Callable[[str], ImageRef] | None = None,
        size: tuple[int, int] = SIZE,
        limit: int = 40_000,
    ) -> None:
        """
        Args:
            fetch: where the bytes of an image are that carries none (`Store.image`).
            size: (height, width) of a frame.
            limit: how many are kept.
        """
        self.fetch = fetch
        self.size = size
        self.limit = limit
        self._kept: OrderedDict[str, Tensor] = OrderedDict()

    def __call__(self, image: ImageRef) -> Tensor:
        """The frame of an image, uint8 (3, H, W); the same tensor each time. Do not write into it.

        Raises:
            ValueError: if the image has no bytes and there is nowhere to fetch them.
        """
        kept = self._kept.get(image.digest)
        if kept is not None:
            self._kept.move_to_end(image.digest)
            return kept
        frame = frame_of(self.bytes_of(image), self.size)
        self._kept[image.digest] = frame
        if len(self._kept) > self.limit:
            self._kept.popitem(last=False)
        return frame

    def bytes_of(self, image: ImageRef) -> bytes:
        """The encoded picture, which the image carries or which is fetched.

        Raises:
            ValueError: as when called.
        """
        data = image.data
        if data is None and self.fetch is not None:
            data = self.fetch(image.digest).data
        if data is None:
            raise ValueError(f"image {image.digest[:12]} has no bytes here; give Frames a store to fetch it from")
        return data
