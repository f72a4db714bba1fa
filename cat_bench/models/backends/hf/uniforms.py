"""The random numbers for drawing tokens: one uniform number per row and step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cat_bench.types.calls import FloatArray


class Uniforms:
    """One generator per row, read in step order."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [np.random.default_rng(seed % 2**64) for seed in seeds]

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these rows."""
        self._generators = [self._generators[row] for row in rows]

    def next(self, steps: int) -> FloatArray:
        """Return the numbers of the next `steps` steps: shape (rows, steps), in [0, 1)."""
        return np.stack(
            [generator.random(steps, dtype=np.float32) for generator in self._generators]
        )
