"""From a group's rewards to what a policy-gradient step weighs each rollout by.

GRPO (Shao et al. 2024, arXiv 2402.03300, section 4.1): (R - mean) / sd within the group. The sd is
that of the group itself (over n, not n - 1), so that a share f of ones has the advantage
sqrt((1 - f) / f). Dr. GRPO (arXiv 2503.20783) leaves the sd out: the signs are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy as np

SAME = 1e-9
"""Rewards that differ by less are equal: what is left of rounding."""


def advantages(values: Sequence[float | None]) -> list[float | None]:
    """Each reward's advantage in its group; unscored rollouts (None) are left out and stay None.

    0 for all where all are equal: such a group teaches nothing.
    """
    there = [value for value in values if value is not None]
    if not there or max(there) - min(there) <= SAME:
        return [None if value is None else 0.0 for value in values]
    mean, sd = fmean(there), float(np.std(there))
    return [None if value is None else (value - mean) / sd for value in values]
