"""The batch that never stands still: rows of a decoding batch that come, go, are set aside and come back.

A batch of any Hugging Face causal LM is a set of rows that are padded on the left and end in the same column. That
stays true here while rows join and leave: the key-value cache is one room of columns a layer, the next column is
written for all rows at once, and a row that joins has its keys copied in so that they end in the current column. What
a model sees is an ordinary left-padded batch, so any architecture with full attention works, the copy head included.

Notable:
- Rows are always the first ones of the room: the last row moves into the place of one that leaves, so nothing is ever
  computed for a row that is done.
- Only the columns of the longest row are shown to the model.
- When the room is full, what is in use moves back to its start (a copy every so many tokens, not one a token).
- `Kept` is a row's keys and values set aside: for a parent that waits for its threads, and for prefixes that several
  threads share. A kept row comes back by a copy, to the same bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from turnsmith.engine.cache import GrowingLayer, new_cache
from turnsmith.engine.forward import forward_options, left_pad
from turnsmith.engine.models import LanguageModel, base_of
from turnsmith.errors import UserError

_SPARE = 96
"""Columns beyond the longest row that the room has at least: one copy of the room every so many tokens."""


def serves(model: LanguageModel) -> bool:
    """Whether rows of this model can come and go: attention in every layer, and positions that are given to it."""
    base = base_of(model)
    rope = getattr(base.config.get_text_config(), "rope_parameters", None) or {}
    layers = new_cache(model).layers
    known = all(type(layer) in (GrowingLayer, DynamicSlidingWindowLayer) for layer in layers)
    return bool(layers) and known and "mrope_section" not in rope


@dataclass(slots=True)
class _Columns:
    """Where the batch stands in its room: shared by all layers."""

    most_rows: int
    capacity: int = 0
    rows: int = 0
    low: int = 0
    at: int = 0


class _RoomLayer(DynamicLayer):
    """One layer's room. `keys` and `values` are what is visible before the present token."""

    columns: _Columns

    def __init__(self, **kwargs: Any) -> None:
        self.key_room: Tensor | None = None
        self.value_room: Tensor | None = None
        super().__init__(**kwargs)

    @property
    def keys(self) -> Tensor | None:  # type: ignore[override]
        return self._visible(self.key_room)

    @keys.setter
    def keys(self, value: Tensor | None) -> None:
        pass

    @property
    def values(self) -> Tensor | None:  # type: ignore[override]
        return self._visible(self.value_room)

    @values.setter
    def values(self, value: Tensor | None) -> None:
        pass

    def _visible(self, room: Tensor | None, after: int = 0) -> Tensor | None:
        where = self.columns
        return None if room is None else room[: where.rows, :, where.low : where.at + after]

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        self.is_initialized = True
        where = self.columns
        self.grow(key_states, value_states)
        assert self.key_room is not None
        assert self.value_room is not None
        self.key_room[: where.rows, :, where.at] = key_states[:, :, 0]
        self.value_room[: where.rows, :, where.at] = value_states[:, :, 0]
        keys, values = self._visible(self.key_room, 1), self._visible(self.value_room, 1)
        assert keys is not None
        assert values is not None
        return keys, values

    def grow(self, key_like: Tensor, value_like: Tensor) -> None:
        """Make the room if there is none yet; heads and sizes are those of these tensors (…, H, n, D)."""
        if self.key_room is None:
            where = self.columns
            self.key_room, self.value_room = (
                like.new_zeros(where.most_rows, like.shape[-3], where.capacity, like.shape[-1])
                for like in (key_like, value_like)
            )

    def get_seq_length(self) -> int:
        return self.columns.at - self.columns.low if self.is_initialized else 0


@dataclass(frozen=True, slots=True)
class Kept:
    """Keys and values of one row, set aside: (H, L, D) a layer."""

    layers: tuple[tuple[Tensor, Tensor], ...]
    length: int

    def first(self, length: int) -> "Kept":
        """A view of the first `length` tokens."""
        if length == self.length:
            return self
        return Kept(tuple((keys[:, :length], values[:, :length]) for keys, values in self.layers), length)


class Rows:
    """A decoding batch of one model.

    Attributes:
        lengths: tokens that each row has in the cache, in the order of the rows.
    """

    def __init__(self, model: LanguageModel, most: int) -> None:
        """An empty batch of at most so many rows.

        Raises:
            UserError: if the model keeps something else than keys and values of full attention.
        """
        self.model, self.most = model, most
        self.lengths: list[int] = []
        self._columns = _Columns(most)
        if not serves(model):
            raise UserError(
                "the engine of threads needs a model that keeps keys and values of attention in every layer and takes "
                "position ids."
            )
        self._layer_type = type("_RoomLayer", (_RoomLayer,), {"columns": self._columns})
        self._cache = DynamicCache()
        self._layers: list[Any] = [self._layer_type() for _ in new_cache(model).layers]
        self._cache.layers = self._layers  # one list: a model with a layer of its own (the copy head) appends to it
        self._cache.layer_class_to_replicate = None
        self._room_for(1)

    # -- rows

    def add(self, kept: Kept | None = None) -> int:
        """A new row, empty or with what was kept; returns its place."""
        row = len(self.lengths)
        if row == self.most:
            raise ValueError("the batch is full")
        self.lengths.append(0 if kept is None else kept.length)
        self._room_for(max(self.lengths))
        if kept is not None and kept.length:
            while len(self._layers) < len(kept.layers):
                self._layers.append(self._layer_type())
            at = self._columns.at
            for layer, (keys, values) in zip(self._layers, kept.layers, strict=True):
                layer.grow(keys, values)
                layer.is_initialized = True
                layer.key_room[row, :, at - kept.length : at] = keys
                layer.value_room[row, :, at - kept.length : at] = values
        return row

    def keep(self, row: int) -> Kept:
        """A copy of a row's keys and values."""
        at, length = self._columns.at, self.lengths[row]
        layers = tuple(
            (layer.key_room[row, :, at - length : at].clone(), layer.value_room[row, :, at - length : at].clone())
            for layer in self._layers
            if layer.key_room is not None
        )
        return Kept(layers, length)

    def remove(self, row: int) -> None:
        """Take a row out; the last row takes its place."""
        last, at = len(self.lengths) - 1, self._columns.at
        length = self.lengths.pop()
        if row == last:
            return
        for layer in self._layers:
            for room in (layer.key_room, layer.value_room):
                if room is not None:
                    room[row, :, at - length : at] = room[last, :, at - length : at]
        self.lengths[row] = length

    # -- the model

    def step(self, ids: Sequence[int]) -> Tensor:
        """Feed one token a row; the logits that follow, (B, V) float32."""
        where = self._columns
        longest = max(self.lengths)
        self._room_for(longest)
        where.rows, where.low = len(self.lengths), where.at - longest
        device = self.model.device
        lengths = torch.tensor(self.lengths, device=device)
        columns = torch.arange(longest + 1, device=device)
        mask = (columns[None, :] >= (longest - lengths)[:, None]).long()
        options = forward_options(self.model, mask, 1, width=1)
        tokens = torch.tensor(ids, device=device)[:, None]
        output = self.model(input_ids=tokens, past_key_values=self._cache, use_cache=True, **options)
        where.at += 1
        self.lengths = [length + 1 for length in self.lengths]
        return output.logits[:, -1].float()

    def prefill(self, prompts: Sequence[Sequence[int]]) -> list[Kept]:
        """Keys and values of whole prompts in one forward pass; equal prompts are computed once."""
        unique = list(dict.fromkeys(tuple(prompt) for prompt in prompts))
        ids, mask = (tensor.to(self.model.device) for tensor in left_pad(unique))
        cache = self._whole_cache()
        self.model(input_ids=ids, past_key_values=cache, use_cache=True, **forward_options(self.model, mask, 1))
        made = {prompt: _row_of(cache, row, len(prompt)) for row, prompt in enumerate(unique)}
        return [made[tuple(prompt)] for prompt in prompts]

    def extend(self, kept: Kept, ids: Sequence[int]) -> Kept:
        """What was kept with these tokens after it, in one forward pass."""
        cache = self._whole_cache()
        layers: list[Any] = cache.layers
        while len(layers) < len(kept.layers):
            layers.append(type(layers[0])())
        for layer, (keys, values) in zip(layers, kept.layers, strict=True):
            layer.update(keys[None], values[None])
        device = self.model.device
        mask = torch.ones(1, kept.length + len(ids), dtype=torch.long, device=device)
        options = forward_options(self.model, mask, 1, width=len(ids))
        tokens = torch.tensor([list(ids)], device=device)
        self.model(input_ids=tokens, past_key_values=cache, use_cache=True, **options)
        return _row_of(cache, 0, kept.length + len(ids))

    def _whole_cache(self) -> DynamicCache:
        """An empty cache that keeps every token; the mask alone narrows what a sliding window sees."""
        cache = DynamicCache()
        layers: list[Any] = [GrowingLayer() for _ in new_cache(self.model).layers]
        cache.layers = layers
        cache.layer_class_to_replicate = None
        return cache

    def _room_for(self, longest: int) -> None:
        """Make sure that the longest row fits before the present column, and that one more token fits after it."""
        where = self._columns
        if longest <= where.at < where.capacity:
            return
        base = -(-max(longest, 1) // 64) * 64
        capacity = max(where.capacity, base + max(_SPARE, base // 2))
        for layer in self._layers:
            for name in ("key_room", "value_room"):
                room = getattr(layer, name)
                if room is None:
                    continue
                held = min(longest, where.at)
                target = room
                if capacity > where.capacity:
                    target = room.new_zeros(*room.shape[:2], capacity, room.shape[3])
                rows = len(self.lengths)
                moved = room[:rows, :, where.at - held : where.at]
                target[:rows, :, base - held : base] = moved.clone() if target is room else moved
                setattr(layer, name, target)
        where.capacity, where.at = capacity, base


def _row_of(cache: DynamicCache, row: int, length: int) -> Kept:
    layers: list[Any] = list(cache.layers)
    pairs = tuple((layer.keys[row, :, -length:].clone(), layer.values[row, :, -length:].clone()) for layer in layers)
    return Kept(pairs, length)
