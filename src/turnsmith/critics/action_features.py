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

from turnsmith.agents.frames import Frames
from turnsmith.critics.change import ActionReader, Deed, read_actions
from turnsmith.critics.screen_features import load_tensors, save_tensors, weights_digest
from turnsmith.trace.types import ImageRef


class ActionTable:
    """Features by screen and action; `save` and `load` keep them on disk. What reads is the subclass's.

    Args:
        feature_size: D.
        batch_size: pairs that are read at once.
    """

    def __init__(self, feature_size: int, batch_size: int) -> None:
        self.feature_size, self.batch_size = feature_size, batch_size
        self._rows: dict[str, int] = {}
        self._table = torch.zeros(0, feature_size)

    @property
    def weights(self) -> str:
        """A name for the weights that read."""
        raise NotImplementedError

    def _batch(self, images: Sequence[ImageRef], deeds: Sequence[Deed]) -> Tensor:
        """Features of one batch of pairs, (B, D), on the CPU."""
        raise NotImplementedError

    def fresh(
        self, images: Sequence[ImageRef], deeds: Sequence[Deed], on_progress: Callable[[int], None] | None = None
    ) -> Tensor:
        """Features of these pairs, (N, D), on the CPU, computed now and not kept.

        `on_progress` is called with how many more have been read.
        """
        made = [torch.zeros(0, self.feature_size)]
        for start in range(0, len(deeds), self.batch_size):
            part = slice(start, start + self.batch_size)
            made.append(self._batch(images[part], deeds[part]))
            if on_progress is not None:
                on_progress(len(made[-1]))
        return torch.cat(made)

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
        """Have these pairs at hand; `on_progress` as in `fresh`."""
        missing = self.unread(images, deeds)
        if missing:
            made = self.fresh([images[i] for i in missing], [deeds[i] for i in missing], on_progress)
            for i in missing:
                self._rows[_key(images[i], deeds[i])] = len(self._rows)
            self._table = torch.cat([self._table, made])

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
    """Features of the small reader of `critics.change`.

    Args:
        reader: frozen.
        frames: where screens come from.
        tokenizer: of typed texts.
    """

    def __init__(self, reader: ActionReader, frames: Frames, tokenizer: Any, batch_size: int = 64) -> None:
        super().__init__(reader.feature_size, batch_size)
        self.reader, self.frames, self.tokenizer = reader, frames, tokenizer

    @property
    def weights(self) -> str:
        """The digest of the reader's weights."""
        return weights_digest(self.reader)

    def _batch(self, images: Sequence[ImageRef], deeds: Sequence[Deed]) -> Tensor:
        with torch.inference_mode():
            state = read_actions(self.reader, [self.frames(image) for image in images], deeds, self.tokenizer)
            return self.reader.features(state).cpu().clone()


def _key(image: ImageRef, deed: Deed) -> str:
    return f"{image.digest}/{deed.kind}/{deed.point}/{deed.text}{'/swipe' if deed.swipe else ''}"
