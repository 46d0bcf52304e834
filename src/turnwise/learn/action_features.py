"""Frozen features of (screen, action), each computed once: what Digi-Q's critics read of an action.

Critics ask for thousands of pairs again and again, and most of what reading costs is the image; so features are kept in
a table by content, in memory and on disk, valid for the weights that made them.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from turnwise.agents.frames import Frames
from turnwise.learn.change import ActionReader, Deed, read_actions
from turnwise.learn.screen_features import load_tensors, save_tensors, weights_digest
from turnwise.trace.types import ImageRef

_CHUNK = 64
"""Pairs that are read between two calls of `on_progress`."""


class ActionTable:
    """Features by screen and action; `save` and `load` keep them on disk. What reads is the subclass's.

    Args:
        feature_size: D.
    """

    def __init__(self, feature_size: int) -> None:
        self.feature_size = feature_size
        self._rows: dict[str, int] = {}
        self._table = torch.zeros(0, feature_size)

    @property
    def weights(self) -> str:
        """A name for the weights that read."""
        raise NotImplementedError

    def fresh(self, images: Sequence[ImageRef], deeds: Sequence[Deed]) -> Tensor:
        """Features of these pairs, (N, D), on the CPU, computed now and not kept."""
        raise NotImplementedError

    def __call__(self, images: Sequence[ImageRef], deeds: Sequence[Deed]) -> Tensor:
        """Features of these pairs, (N, D)."""
        self.read(images, deeds)
        return self._table[[self._rows[_key(*pair)] for pair in zip(images, deeds, strict=True)]]

    def unread(self, images: Sequence[ImageRef], deeds: Sequence[Deed]) -> list[int]:
        """The places of those of these pairs that are in no row yet, each once."""
        keys = [_key(image, deed) for image, deed in zip(images, deeds, strict=True)]
        return list({key: i for i, key in enumerate(keys) if key not in self._rows}.values())

    def read(
        self, images: Sequence[ImageRef], deeds: Sequence[Deed], on_progress: Callable[[int], None] | None = None
    ) -> None:
        """Have these pairs at hand; `on_progress` is called with how many more have been read."""
        missing = self.unread(images, deeds)
        made = [self._table]
        for start in range(0, len(missing), _CHUNK):
            part = missing[start : start + _CHUNK]
            made.append(self.fresh([images[i] for i in part], [deeds[i] for i in part]))
            if on_progress is not None:
                on_progress(len(part))
        for i in missing:
            self._rows[_key(images[i], deeds[i])] = len(self._rows)
        self._table = torch.cat(made)

    def save(self, path: Path) -> None:
        """Write all features in one atomic rename."""
        save_tensors(path, {"values": self._table}, {"keys": json.dumps(list(self._rows)), "weights": self.weights})

    def load(self, path: Path) -> bool:
        """Read features that were saved for these very weights; False where there are none."""
        found = load_tensors(path, {"weights": self.weights})
        if found is None:
            return False
        tensors, notes = found
        self._table = tensors["values"]
        self._rows = {key: row for row, key in enumerate(json.loads(notes["keys"]))}
        return True


class ActionFeatures(ActionTable):
    """Features of the small reader of `learn.change`.

    Args:
        reader: frozen.
        frames: where screens come from.
        tokenizer: of typed texts.
    """

    def __init__(self, reader: ActionReader, frames: Frames, tokenizer: Any, batch_size: int = 64) -> None:
        super().__init__(reader.feature_size)
        self.reader, self.frames, self.tokenizer, self.batch_size = reader, frames, tokenizer, batch_size

    @property
    def weights(self) -> str:
        """The digest of the reader's weights."""
        return weights_digest(self.reader)

    def fresh(self, images: Sequence[ImageRef], deeds: Sequence[Deed]) -> Tensor:
        """As in `ActionTable`."""
        made = [torch.zeros(0, self.feature_size)]
        for start in range(0, len(deeds), self.batch_size):
            part = slice(start, start + self.batch_size)
            with torch.inference_mode():
                frames = [self.frames(image) for image in images[part]]
                state = read_actions(self.reader, frames, deeds[part], self.tokenizer)
                made.append(self.reader.features(state).cpu().clone())
        return torch.cat(made)


def _key(image: ImageRef, deed: Deed) -> str:
    return f"{image.digest}/{deed.kind}/{deed.point}/{deed.text}{'/swipe' if deed.swipe else ''}"
