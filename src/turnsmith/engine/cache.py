"""What a model keeps of the tokens it has read, by whatever name it asks for it: keys and values, or states.

Keys and values of full attention stand in a layer that grows in steps instead of being copied for every token.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from turnsmith.engine.models import LanguageModel, keeps_states

ROOM = 64
"""Tokens of spare room that a layer allocates beyond what it must hold."""


class GrowingLayer(DynamicLayer):
    """`DynamicLayer` with spare room: adding a token writes into it, and only every `ROOM` tokens are keys copied.

    The stock layer concatenates, which copies the whole cache at every token: on CPU as dear as the model itself.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._key_room: Tensor | None = None
        self._value_room: Tensor | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        held = self.get_seq_length()
        length = held + key_states.shape[-2]
        self._key_room = _with_room(self._key_room, self.keys if held else None, key_states, length)
        self._value_room = _with_room(self._value_room, self.values if held else None, value_states, length)
        self._key_room[..., held:length, :] = key_states
        self._value_room[..., held:length, :] = value_states
        self.keys, self.values = self._key_room[..., :length, :], self._value_room[..., :length, :]
        return self.keys, self.values

    def reorder_cache(self, beam_idx: Tensor) -> None:
        super().reorder_cache(beam_idx)  # type: ignore[arg-type]
        self._key_room = self._value_room = None

    def crop(self, tokens_to_remove: int) -> None:
        super().crop(tokens_to_remove)
        self._key_room = self._value_room = None


def _with_room(room: Tensor | None, held: Tensor | None, new: Tensor, length: int) -> Tensor:
    if room is not None and room.shape[-2] >= length:
        return room
    grown = new.new_empty(*new.shape[:-2], length + ROOM, new.shape[-1])
    if held is not None:
        grown[..., : held.shape[-2], :] = held
    return grown


def new_cache(model: LanguageModel) -> DynamicCache:
    """An empty cache for this model; its full-attention layers grow in place, others (sliding windows) are stock."""
    cache = DynamicCache(config=model.config)
    cache.layers = [GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def cache_options(model: LanguageModel, cache: DynamicCache) -> dict[str, Any]:
    """Keyword arguments that hand a model its cache: state-space models call it `cache_params`, all others
    `past_key_values`; a model that was given the wrong one forgets everything it read."""
    return {"cache_params" if keeps_states(model) else "past_key_values": cache, "use_cache": True}


def select_rows(cache: DynamicCache, rows: Tensor) -> None:
    """Keep these rows of the batch, in this order; a row may be taken several times."""
    with torch.inference_mode():
        for layer in cache.layers:  # not `batch_select_indices`, which layers with states lack or do by halves
            layer.reorder_cache(rows)  # type: ignore[arg-type]
