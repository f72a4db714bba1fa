"""The forward pass of a Qwen3 checkpoint in NumPy, in single precision.

Qwen3 (arXiv 2505.09388): RMS norms before attention and MLP and over each head's queries and keys,
rotary positions, grouped-query attention without biases, SwiGLU, tied embeddings. A configuration
with other features is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod, sqrt
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float32]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]

MASKED = np.float32(-1e30)
"""Added to the score of a token that must not be attended to."""
EXPECTED: Mapping[str, Any] = {
    "model_type": "qwen3",
    "attention_bias": False,
    "hidden_act": "silu",
    "tie_word_embeddings": True,
    "use_sliding_window": False,
}
"""The configuration that this forward pass implements."""


@dataclass(frozen=True, slots=True)
class Layer:
    """The weights of one layer, ready for `x @ weight`; query, key and value are one matrix."""

    before_attention: Array
    attention: Array
    queries: Array
    keys: Array
    out: Array
    before_mlp: Array
    gate_and_up: Array
    down: Array


class Past:
    """The keys and values of a batch: shape (layers, 2, rows, heads, room, head size)."""

    def __init__(self, network: Network, rows: int, room: int) -> None:
        shape = (len(network.layers), 2, rows, network.kv_heads, room, network.head_size)
        self._buffer = np.empty(shape, dtype=np.float32)

    def reserve(self, room: int) -> None:
        """Make room for `room` tokens in each row."""
        space = self._buffer.shape[4]
        if room > space:
            spare = np.empty((*self._buffer.shape[:4], room - space, self._buffer.shape[5]), "f4")
            self._buffer = np.concatenate([self._buffer, spare], axis=4)

    def take(self, rows: Ints) -> None:
        """Keep only these rows, which may repeat."""
        self._buffer = self._buffer[:, :, rows]

    def write(self, layer: int, rows: slice, start: int, new: tuple[Array, Array]) -> Array:
        """Store a layer's keys and values from `start` on; return all: (2, rows, heads, …)."""
        end = start + new[0].shape[2]
        cells = self._buffer[layer, :, rows]
        cells[0, :, :, start:end], cells[1, :, :, start:end] = new
        return cells[:, :, :, :end]


@dataclass(frozen=True, slots=True)
class Network:
    """The weights of a model and its configuration."""

    embeddings: Array
    layers: tuple[Layer, ...]
    norm: Array
    angles: Array
    heads: int
    kv_heads: int
    head_size: int
    epsilon: np.float32

    @classmethod
    def load(cls, folder: Path) -> Network:
        """Read a checkpoint; raises OSError, ValueError, KeyError for any other folder."""
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        for name, expected in EXPECTED.items():
            if config.get(name) != expected:
                raise ValueError(f"{name} is {config.get(name)!r}, and only {expected!r} is known")
        if config["rope_parameters"]["rope_type"] != "default":
            raise ValueError("its rotary positions are scaled")
        weights = read_weights(folder / "model.safetensors")
        size = config["head_dim"]
        rate = config["rope_parameters"]["rope_theta"] ** -(np.arange(0, size, 2) / size)
        return cls(
            embeddings=weights["model.embed_tokens.weight"],
            layers=tuple(
                _layer(weights, f"model.layers.{index}.", size)
                for index in range(config["num_hidden_layers"])
            ),
            norm=weights["model.norm.weight"],
            angles=np.outer(np.arange(config["max_position_embeddings"]), rate).astype("f4"),
            heads=config["num_attention_heads"],
            kv_heads=config["num_key_value_heads"],
            head_size=size,
            epsilon=np.float32(config["rms_norm_eps"]),
        )

    @property
    def context(self) -> int:
        """The most tokens of prompt and reply together."""
        return len(self.angles)

    @property
    def vocabulary(self) -> int:
        """The number of tokens in the vocabulary."""
        return len(self.embeddings)

    def states(
        self, ids: Ints, *, mask: Bools, positions: Ints, past: Past, rows: slice = slice(None)
    ) -> Array:
        """Run new tokens of some rows and return their final states, shape (rows, new, width).

        `ids` and `positions` have shape (rows, new), `mask` (rows, past and new); the keys and
        values of the new tokens are stored in `past`.
        """
        (count, new), end = ids.shape, mask.shape[1]
        x = self.embeddings[ids]
        angles = self.angles[positions][:, :, None]
        rotation = np.cos(angles), np.sin(angles)
        bias = np.where(mask, np.float32(0), MASKED)[:, None, None, None]
        if new > 1:
            later = np.arange(end) > np.arange(end - new, end)[:, None]
            bias = bias + np.where(later, MASKED, np.float32(0))
        group = self.heads // self.kv_heads
        for index, layer in enumerate(self.layers):
            projected = self._norm(x, layer.before_attention) @ layer.attention
            projected = projected.reshape(count, new, -1, self.head_size)
            queries, keys, values = np.split(
                projected, [self.heads, self.heads + self.kv_heads], axis=2
            )
            queries = _rotate(self._norm(queries, layer.queries), rotation).swapaxes(1, 2)
            keys = _rotate(self._norm(keys, layer.keys), rotation).swapaxes(1, 2)
            stored = past.write(index, rows, end - new, (keys, values.swapaxes(1, 2)))
            queries = queries.reshape(count, self.kv_heads, group, new, self.head_size)
            scores = queries @ stored[0][:, :, None].swapaxes(-1, -2)
            scores += bias
            mixed = softmax(scores) @ stored[1][:, :, None]
            mixed = mixed.reshape(count, self.heads, new, -1).swapaxes(1, 2)
            x = x + mixed.reshape(count, new, -1) @ layer.out
            gate, up = np.split(self._norm(x, layer.before_mlp) @ layer.gate_and_up, 2, axis=-1)
            x = x + (gate / (1 + np.exp(-gate)) * up) @ layer.down
        return np.asarray(x)

    def logits(self, states: Array) -> Array:
        """Return the raw next-token logits after final states: (…, vocabulary)."""
        return np.asarray(self._norm(states, self.norm) @ self.embeddings.T)

    def _norm(self, x: Array, weight: Array) -> Array:
        square = np.einsum("...i,...i->...", x, x)[..., None] / np.float32(x.shape[-1])
        return np.asarray(x / np.sqrt(square + self.epsilon) * weight)


def softmax(scores: Array) -> Array:
    """Return probabilities over the last axis, computed in place."""
    scores -= scores.max(-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(-1, keepdims=True)
    return scores


def _rotate(x: Array, rotation: tuple[Array, Array]) -> Array:
    """Apply rotary positions: the halves of each head are the coordinates of its planes."""
    cosine, sine = rotation
    first, second = np.split(x, 2, axis=-1)
    return np.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=-1)


def _layer(weights: Mapping[str, Array], prefix: str, size: int) -> Layer:
    def of(*names: str) -> Array:
        return np.concatenate([weights[f"{prefix}{name}.weight"] for name in names])

    def product(*names: str) -> Array:
        return np.ascontiguousarray(of(*names).T)

    return Layer(
        before_attention=of("input_layernorm"),
        attention=product("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        queries=of("self_attn.q_norm") / np.float32(sqrt(size)),  # the scale of the scores
        keys=of("self_attn.k_norm"),
        out=product("self_attn.o_proj"),
        before_mlp=of("post_attention_layernorm"),
        gate_and_up=product("mlp.gate_proj", "mlp.up_proj"),
        down=product("mlp.down_proj"),
    )


def read_weights(path: Path) -> dict[str, Array]:
    """Read a safetensors file of bfloat16 or float32 as float32; raises ValueError.

    The format: the length of a JSON header (8 bytes, little-endian), the header, the data. NumPy
    has no bfloat16, which is the upper half of a float32.
    """
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    arrays: dict[str, Array] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        count, offset = prod(entry["shape"]), start + entry["data_offsets"][0]
        if entry["dtype"] == "BF16":
            halves = np.frombuffer(content, "<u2", count, offset)
            values = (halves.astype(np.uint32) << 16).view(np.float32)
        elif entry["dtype"] == "F32":
            values = np.frombuffer(content, "<f4", count, offset)
        else:
            raise ValueError(f"{name} is {entry['dtype']}, and only BF16 and F32 are read")
        arrays[name] = values.reshape(entry["shape"])
    return arrays
