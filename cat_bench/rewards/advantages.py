"""Turn a group's rewards into the weights of its rollouts in a policy-gradient step.

GRPO (Shao et al. 2024, arXiv 2402.03300, section 4.1): (R - mean) / sd within the group. The sd is
the group's (over n, not n - 1), so that a share f of ones has the advantage sqrt((1 - f) / f). Dr.
GRPO (arXiv 2503.20783) leaves the sd out: the signs are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy as np

SAME = 1e-9
"""Rewards that differ by less, from rounding, are equal."""


def advantages(values: Sequence[float | None]) -> list[float | None]:
    """Return each reward's advantage in its group; unscored rollouts (None) stay None.

    All are 0 if all rewards are equal: such a group teaches nothing.
    """
    scored = [value for value in values if value is not None]
    if not scored or max(scored) - min(scored) <= SAME:
        return [None if value is None else 0.0 for value in values]
    mean, sd = fmean(scored), float(np.std(scored))
    return [None if value is None else (value - mean) / sd for value in values]
