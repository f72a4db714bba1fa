"""A key-value cache that is written in place.

transformers' own dynamic layer copies the whole past at every token, which dominates the time of a
step of a small model on a CPU.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from transformers import Cache, DynamicCache, PreTrainedConfig
from transformers.cache_utils import DynamicLayer

SPARE = 64
"""The number of tokens by which a full buffer grows."""


class Growable:
    """A tensor (rows, heads, tokens, head size) that grows along its tokens in place."""

    def __init__(self, first: torch.Tensor) -> None:
        self._buffer, self._length = first, first.shape[-2]

    def add(self, new: torch.Tensor) -> torch.Tensor:
        """Append `new` and return a view of the whole."""
        end = self._length + new.shape[-2]
        if end > self._buffer.shape[-2]:
            room = new.new_empty((*new.shape[:-2], end + SPARE, new.shape[-1]))
            room[..., : self._length, :] = self._buffer[..., : self._length, :]
            self._buffer = room
        self._buffer[..., self._length : end, :] = new
        self._length = end
        return self._buffer[..., :end, :]

    def keep(self, rows: torch.Tensor) -> torch.Tensor:
        """Return a view of only these rows, which may repeat."""
        self._buffer = self._buffer.index_select(0, rows)
        return self._buffer[..., : self._length, :]


class InPlaceLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """transformers' dynamic layer, whose `keys` and `values` are views of growable buffers."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append one step's keys and values and return all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._buffers = Growable(key_states), Growable(value_states)
            self.keys, self.values = key_states, value_states
        else:
            self.keys = self._buffers[0].add(key_states)
            self.values = self._buffers[1].add(value_states)
        return self.keys, self.values

    def reorder_cache(self, beam_idx: torch.LongTensor) -> None:
        """Keep only these rows, which may repeat."""
        self.keys, self.values = (buffer.keep(beam_idx) for buffer in self._buffers)


def keep(cache: Cache, rows: torch.Tensor) -> None:
    """Leave only these rows in the cache, which may repeat."""
    cache.reorder_cache(cast(torch.LongTensor, rows))


def make_cache(config: PreTrainedConfig) -> DynamicCache:
    """Return an empty cache for a model; layers with a window or a state are unchanged."""
    cache = DynamicCache(config=config)
    cache.layers = [
        InPlaceLayer() if type(layer) is DynamicLayer else layer  # type: ignore[no-untyped-call]
        for layer in cache.layers
    ]
    return cache
