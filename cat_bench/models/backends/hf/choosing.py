"""Shape a next-token distribution and draw from it.

Penalties change the raw logits first, as in vLLM; then come temperature, top-k, top-p and min-p, in
transformers' order and with its code. A draw inverts the distribution function at one uniform
number. Gumbel noise would give the same distribution, but takes a number per row, step *and*
vocabulary entry: drawn from one generator per row, that costs more than a step of a small model.
Here a row's number at step t depends only on its seed and t, and is the same on every device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from cat_bench.models.backends.hf.distribution import Distribution

Warper = Callable[[Any, torch.Tensor], torch.Tensor]


def warpers(distribution: Distribution) -> list[Warper]:
    """Return the temperature and filters, in order; none at temperature 0."""
    if distribution.temperature == 0:
        return []
    chosen: list[Warper] = []
    if distribution.temperature != 1:
        chosen.append(TemperatureLogitsWarper(distribution.temperature))
    if distribution.top_k:
        chosen.append(TopKLogitsWarper(distribution.top_k))
    if distribution.top_p < 1:
        chosen.append(TopPLogitsWarper(distribution.top_p))
    if distribution.min_p:
        chosen.append(MinPLogitsWarper(distribution.min_p))
    return chosen


class History:
    """The tokens of each row's prompt, and the count of each written token: (rows, vocabulary)."""

    def __init__(
        self, distribution: Distribution, prompts: Sequence[Sequence[int]], like: torch.Tensor
    ) -> None:
        self._distribution = distribution
        self._counts = torch.zeros_like(like)
        self._prompted = torch.zeros_like(like, dtype=torch.bool)
        for row, prompt in enumerate(prompts):
            self._prompted[row, torch.tensor(prompt, device=like.device)] = True

    def add(self, tokens: torch.Tensor) -> None:
        """Count one more token for each row."""
        self._counts[torch.arange(len(tokens), device=tokens.device), tokens] += 1

    def keep(self, rows: torch.Tensor) -> None:
        """Keep only these rows."""
        self._counts, self._prompted = self._counts[rows], self._prompted[rows]

    def penalise(self, logits: torch.Tensor) -> torch.Tensor:
        """Apply transformers' repetition penalty, and OpenAI's presence and frequency penalties."""
        distribution = self._distribution
        written = self._counts > 0
        if distribution.repetition != 1:
            less = torch.where(
                logits < 0, logits * distribution.repetition, logits / distribution.repetition
            )
            logits = torch.where(self._prompted | written, less, logits)
        return logits - distribution.presence * written - distribution.frequency * self._counts


def draw(probabilities: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """Return one token per row: shapes (rows, vocabulary) and (rows, 1) to (rows,).

    The sum replaces 1, because a float32 sum is not exactly 1. A token of probability 0 is never
    drawn: the search takes the first token whose cumulated mass exceeds the number.
    """
    cumulated = probabilities.cumsum(-1)
    return torch.searchsorted(cumulated, uniforms * cumulated[:, -1:], right=True).squeeze(-1)
