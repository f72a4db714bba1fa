"""From a group's rewards to the weight of each rollout in a policy-gradient step.

GRPO (Shao et al. 2024, arXiv 2402.03300, section 4.1): (R - mean) / sd within the group; Dr. GRPO
(Liu et al. 2025, arXiv 2503.20783): R - mean. The sd is that of the group itself (over n, not n -
1), so that a share f of ones has the advantage sqrt((1 - f) / f).
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Literal, TypeAlias

import numpy as np

Norm: TypeAlias = Literal["grpo", "dr_grpo"]
SAME = 1e-9
"""Rewards that differ by less are equal: rounding."""


def advantages(values: Sequence[float | None], *, norm: Norm = "grpo") -> list[float | None]:
    """Each reward's advantage in its group; unscored rollouts (None) are left out and stay None.

    0 for all where all are equal: such a group teaches nothing.
    """
    there = [value for value in values if value is not None]
    if not there or max(there) - min(there) <= SAME:
        return [None if value is None else 0.0 for value in values]
    mean, unit = fmean(there), float(np.std(there)) if norm == "grpo" else 1.0
    return [None if value is None else (value - mean) / unit for value in values]
