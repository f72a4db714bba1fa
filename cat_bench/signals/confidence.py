"""Confidence along a rollout, and where it drops (DeepConf; Fu et al. 2025, arXiv 2508.15260).

A token's confidence is minus the mean log-probability of the likeliest tokens (here 20); a group's
is the mean over a sliding window of tokens. Section 3.1 of the paper defines four figures: the mean
over the trace, the lowest group, the mean of the lowest 10 % of groups, and the tail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import ClassVar, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from cat_bench.signals.tokens import per_token
from cat_bench.types.calls import FloatArray
from cat_bench.types.plugins import Context
from cat_bench.types.records import Question, Rollout
from cat_bench.types.traits import Need

BOTTOM = 0.1
"""The share of groups that `bottom` averages over."""


@dataclass(frozen=True)
class Confidence:
    """One figure of a rollout's confidences, in nats; NaN for an empty rollout.

    `window` is in tokens (the paper's 2048 suits long reasoning); a shorter rollout is one group.
    `of` names another number per token for models without confidences, which is not in the paper:
    the chosen tokens' log-probabilities, or their entropies with the sign reversed.
    """

    part: Literal["mean", "lowest", "bottom", "tail"] = "bottom"
    window: int = 2048
    of: Literal["confidences", "logprobs", "entropies"] = "confidences"

    reads: ClassVar[Literal["self"]] = "self"

    def __post_init__(self) -> None:
        if self.window < 1:
            raise ValueError("window should be at least 1 token")

    @property
    def needs(self) -> frozenset[Need]:
        """The numbers per token."""
        return frozenset({self.of})

    async def scores(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> list[float]:
        """Return one figure per rollout."""
        return list(map(self._figure, rollouts))

    def groups(self, rollout: Rollout) -> FloatArray:
        """Return each token group's confidence, in order; empty for an empty rollout."""
        tokens = self._numbers(rollout)
        if not tokens.size:
            return tokens
        size = min(self.window, tokens.size)
        means: FloatArray = sliding_window_view(tokens, size).mean(axis=1)
        return means

    def tokens(self, rollout: Rollout) -> int:
        """Return how many tokens have a number."""
        return int(self._numbers(rollout).size)

    def _numbers(self, rollout: Rollout) -> FloatArray:
        sign = -1 if self.of == "entropies" else 1
        numbers: FloatArray = sign * per_token(rollout, self.of)
        return numbers

    def _figure(self, rollout: Rollout) -> float:
        tokens = self._numbers(rollout)
        if not tokens.size:
            return float("nan")
        size = min(self.window, tokens.size)
        groups = np.sort(self.groups(rollout))
        match self.part:
            case "mean":
                return float(tokens.mean())
            case "lowest":
                return float(groups[0])
            case "bottom":
                return float(groups[: ceil(BOTTOM * len(groups))].mean())
            case "tail":
                return float(tokens[-size:].mean())
