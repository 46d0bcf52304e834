"""Frozen features of (screen, action), each computed once: what Digi-Q's critics read of an action.

Critics ask for thousands of pairs again and again, and most of what reading costs is the image; so features are kept in
a table by content, valid for the weights that made them.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from turnsmith.agents.frames import Frames
from turnsmith.critics.change import ActionReader, CriticAction, read_actions
from turnsmith.critics.screen_features import weights_digest
from turnsmith.engine.models import ReadsText
from turnsmith.trace.types import ImageRef


class ActionTable:
    """Features by screen and action; What reads is the subclass's.

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

    def _batch(self, images: Sequence[ImageRef], actions: Sequence[CriticAction]) -> Tensor:
        """Features of one batch of pairs, (B, D), on the CPU."""
        raise NotImplementedError

    def fresh(
        self,
        images: Sequence[ImageRef],
        actions: Sequence[CriticAction],
        on_progress: Callable[[int], None] | None = None,
    ) -> Tensor:
        """Features of these pairs, (N, D), on the CPU, computed now and not kept.

        `on_progress` is called with how many more have been read.
        """
        made = [torch.zeros(0, self.feature_size)]
        for start in range(0, len(actions), self.batch_size):
            part = slice(start, start + self.batch_size)
            made.append(self._batch(images[part], actions[part]))
            if on_progress is not None:
                on_progress(len(made[-1]))
        return torch.cat(made)

    def __call__(self, images: Sequence[ImageRef], actions: Sequence[CriticAction]) -> Tensor:
        """Features of these pairs, (N, D)."""
        self.read(images, actions)
        return self._table[[self._rows[pair_key(*pair)] for pair in zip(images, actions, strict=True)]]

    def unread(self, images: Sequence[ImageRef], actions: Sequence[CriticAction]) -> list[int]:
        """The places of those of these pairs that are in no row yet, each once."""
        keys = [pair_key(image, action) for image, action in zip(images, actions, strict=True)]
        return list({key: i for i, key in enumerate(keys) if key not in self._rows}.values())

    def read(
        self,
        images: Sequence[ImageRef],
        actions: Sequence[CriticAction],
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        """Have these pairs at hand; `on_progress` as in `fresh`."""
        missing = self.unread(images, actions)
        if missing:
            made = self.fresh([images[i] for i in missing], [actions[i] for i in missing], on_progress)
            for i in missing:
                self._rows[pair_key(images[i], actions[i])] = len(self._rows)
            self._table = torch.cat([self._table, made])

    def add(self, keys: Sequence[str], values: Tensor) -> None:
        """Take in features (N, D) that were read before, by these very weights; `pair_key` makes the keys."""
        self._rows.update((key, len(self._table) + row) for row, key in enumerate(keys))
        self._table = torch.cat([self._table, values])


class ActionFeatures(ActionTable):
    """Features of the small reader of `critics.change`.

    Args:
        reader: frozen.
        frames: where screens come from.
        tokenizer: of typed texts.
    """

    def __init__(self, reader: ActionReader, frames: Frames, tokenizer: ReadsText, batch_size: int = 64) -> None:
        super().__init__(reader.feature_size, batch_size)
        self.reader, self.frames, self.tokenizer = reader, frames, tokenizer

    @property
    def weights(self) -> str:
        """The digest of the reader's weights."""
        return weights_digest(self.reader)

    def _batch(self, images: Sequence[ImageRef], actions: Sequence[CriticAction]) -> Tensor:
        with torch.inference_mode():
            state = read_actions(self.reader, [self.frames(image) for image in images], actions, self.tokenizer)
            return self.reader.features(state).cpu().clone()


def pair_key(image: ImageRef, action: CriticAction) -> str:
    """A screen and an action by their contents."""
    return f"{image.digest}/{action.kind}/{action.point}/{action.text}{'/swipe' if action.swipe else ''}"
