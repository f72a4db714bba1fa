"""Turn a classifier's labels into a reward: choose the label, and a raw number or a probability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from cat_bench.types.calls import FloatArray, Reply, Usage

Activation: TypeAlias = Literal["raw", "default"]
"""`raw` keeps the model's number. `default` follows the model's configuration: the sigmoid of one
label, the softmax of several, nothing for a regression."""


@dataclass(frozen=True, slots=True)
class Labels:
    """The label that is the reward; None: the only one, or for steps the second of two."""

    label: int | None = None

    def reward_of(self, values: FloatArray) -> float:
        """Return the reward among the numbers of a response, shape (labels,); raises ValueError."""
        if self.label is None and len(values) != 1:
            raise ValueError(f"the model has {len(values)} labels: name the reward by {{label=…}}")
        return self._check(values, self.label or 0)

    def steps_of(self, values: FloatArray) -> FloatArray:
        """Return step probabilities (steps,) from numbers (steps, labels); raises ValueError."""
        if values.size and (values.min() < 0 or values.max() > 1):
            raise ValueError("the numbers of the steps are not probabilities")
        place = values.shape[1] > 1 if self.label is None else self.label
        return np.array([self._check(row, int(place)) for row in values])

    def _check(self, values: FloatArray, label: int) -> float:
        if not -len(values) <= label < len(values):
            raise ValueError(f"the model has {len(values)} labels, and no label {label}")
        if not np.isfinite(value := float(values[label])):
            raise ValueError(f"the model's number is {value}")
        return value


def activate(logits: FloatArray, *, regression: bool = False) -> FloatArray:
    """Return the default activation over the last axis."""
    if regression:
        return logits
    if logits.shape[-1] == 1:
        return 1 / (1 + np.exp(-logits))
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: FloatArray = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def make_reply(numbers: FloatArray | float, *, tokens: int, served_by: str | None = None) -> Reply:
    """Return a reply without text that holds rewards."""
    measures = {"rewards": np.atleast_1d(np.asarray(numbers, dtype=np.float64))}
    return Reply(text="", usage=Usage(tokens), measures=measures, served_by=served_by)
