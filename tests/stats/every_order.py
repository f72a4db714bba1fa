"""Stopping played by hand, over every order of a small pool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import permutations
from typing import TypeAlias

import numpy as np

from cat_bench.stats.stopping import Label
from cat_bench.types.records import Stopped

Played: TypeAlias = tuple[list[int], "Counter[Label]", float]
"""The slots that were read, the votes, and the tokens one after the other."""


def over_every_order(
    labels: Sequence[Label], caps: Sequence[int], play: Callable[[Sequence[int]], Played]
) -> Stopped:
    """Play every order of the pool, one at a time, up to each cap; ties share the pick."""
    picks, drawn = np.zeros((2, len(caps), len(labels)))
    sequential = np.zeros(len(caps))
    orders = list(permutations(range(len(labels))))
    for order in orders:
        for row, n in enumerate(caps):
            read, votes, tokens = play(order[:n])
            drawn[row, read] += 1 / len(orders)
            sequential[row] += tokens / len(orders)
            top = [label for label, count in votes.items() if count == max(votes.values())]
            for slot, label in enumerate(labels):
                if label in top:
                    share = 1 / len(top) / list(labels).count(label)
                    picks[row, slot] += share / len(orders)
    return Stopped(picks, drawn, sequential)
