"""Choose the slots of a pool that each draw reads: one plan for all methods, so they stay paired.

Invariants:

- Block j at budget n is slots [jn, (j+1)n): disjoint, and a larger pool only appends blocks, so a
  call that was paid for on a block is never paid for again.
- More `draws` only append subsets; at `draws` >= C(pool, n) every subset is included.
- An extra draw prefers slots in an order that depends only on (question, n, draw, slot). A larger
  pool changes it only where a new slot precedes an old one or the counts for the balance have
  changed; otherwise new slots would never be read.
- Everything comes from hash digests, not from a generator, a seed, history or a library version.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Collection, Sequence
from itertools import chain, combinations
from math import comb, inf

import numpy as np
from numpy.typing import NDArray

Subset = tuple[int, ...]


def blocks(pool: int, n: int, *, draws: int | None = None) -> list[Subset]:
    """Return the first `draws` (None: all) disjoint blocks of n out of `pool` slots.

    Empty where n > pool; n = 0 has one block, the empty one. Raises ValueError on negative counts.
    """
    if min(pool, n, draws or 0) < 0:
        raise ValueError(f"pool={pool}, n={n}, draws={draws}: none of them may be negative")
    count = pool // n if n else 1
    count = count if draws is None else min(count, draws)
    return [tuple(range(j * n, (j + 1) * n)) for j in range(count)]


def count_subsets(pool: int, n: int) -> float:
    """Return C(pool, n); infinity if it is too large for a float."""
    count = comb(pool, n)
    return float(count) if count <= sys.float_info.max else inf


def subsets(pool: int, n: int, *, question: str, draws: int) -> list[Subset]:
    """Return at most `draws` different n-subsets of `pool` slots, sorted: blocks, then extras.

    An extra takes the n least used slots and breaks ties in a pseudo-random order keyed by
    (question, n, draw), so that slots are read equally often (to within one, until subsets run
    short). Returns all C(pool, n) subsets if there are at most `draws`, and none if n > pool.
    """
    plan = blocks(pool, n, draws=draws)
    if comb(pool, n) <= draws:
        return list(dict.fromkeys(chain(plan, combinations(range(pool), n))))
    if len(plan) < draws:
        keys = np.stack([_keys(question, n, slot=slot, draws=draws) for slot in range(pool)])
        used = np.bincount(list(chain.from_iterable(plan)), minlength=pool)
        seen = set(plan)
        for key in keys.T[len(plan) :]:
            subset = _find_new(np.lexsort((key, used)).tolist(), n, seen=seen)
            used[list(subset)] += 1
            seen.add(subset)
            plan.append(subset)
    return plan


def shuffle_slots(question: str, slots: Collection[int]) -> Subset:
    """Return the order in which these slots are handed to an aggregator.

    A pseudo-random permutation keyed by (question, sorted slots): the same subset is always the
    same prompt, whatever the run's seed and the order that `slots` come in.
    """
    ordered = sorted(map(int, slots))
    return tuple(
        sorted(ordered, key=lambda slot: hashlib.sha256(_bytes(question, ordered, slot)).digest())
    )


def _find_new(order: Sequence[int], n: int, *, seen: Collection[Subset]) -> Subset:
    """Return the n-subset that comes first in `order` and is not in `seen`."""
    candidates = (tuple(sorted(chosen)) for chosen in combinations(order, n))
    return next(subset for subset in candidates if subset not in seen)


def _keys(question: str, n: int, *, slot: int, draws: int) -> NDArray[np.uint64]:
    """Return this slot's sort key in each draw; more draws only append to SHAKE's stream."""
    stream = hashlib.shake_256(_bytes(question, n, slot)).digest(8 * draws)
    return np.frombuffer(stream, dtype="<u8")


def _bytes(*key: object) -> bytes:
    return json.dumps(key).encode()
