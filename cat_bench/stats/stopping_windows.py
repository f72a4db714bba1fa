"""Compute the exact expectation of early-stopping self-consistency over random orders.

The rule (ESC; Li et al. 2024, arXiv 2401.10480) samples windows of w rollouts in parallel. It stops
at the first window whose rollouts all give the same answer, and answers that; at the cap it votes
over everything. A rollout without an answer is paid for, breaks its window's unanimity, and does
not vote. If the cap is not a multiple of w, the last window is shorter and cannot stop.

Only clusters with at least w members can fill a window: all other rollouts form the rest. The
chance that none of t windows is unanimous is an inclusion-exclusion over the windows that are. A
window may be anywhere in a random order, so its composition can be fixed first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb, isfinite, perm, prod

import numpy as np
from numpy.typing import NDArray

from cat_bench.stats.stopping import IntArray, Label
from cat_bench.stats.subsets import count_subsets
from cat_bench.stats.wins import win_chances
from cat_bench.types.calls import FloatArray
from cat_bench.types.records import Stopped

COMPOSITIONS = 100_000
"""The most ways to divide a draw among the large clusters and the rest."""
_LOST, _IMPOSSIBLE = 1e-6, 1e-15
"""The largest rounding error of a chance, and the chance of a draw that is not worth one."""


def expect_windows(
    labels: Sequence[Label],
    caps: Sequence[int],
    *,
    window: int,
    tokens: FloatArray,
    compositions: int = COMPOSITIONS,
) -> Stopped:
    """Return the exact expectation at each cap; NaN where it needs too many `compositions`.

    NaN, too, where rounding errors or the number of subsets are too large. `labels` and `tokens`
    have shape (pool,). Sequential tokens are the longest rollout of each window, summed. A cap
    outside of 1..pool gives NaN.
    """
    pool = len(labels)
    sizes = Counter[Label](label for label in labels if label not in (None, ""))
    big = sorted((label for label, size in sizes.items() if size >= window), key=sizes.__getitem__)
    large = _Large(tuple(sizes[label] for label in big), pool, window)
    feasible = [n for n in caps if 1 <= n <= pool and large.feasible(n, compositions)]
    last = max(feasible, default=0)
    of = np.array([big.index(label) if label in big else len(big) for label in labels], dtype=int)
    ordered = _ByTokens(of, np.asarray(tokens, dtype=float), len(big) + 1)
    rounds = large.round(window, last // window)
    whole_longest = rounds.longest(ordered)
    picks, drawn = np.full((2, len(caps), pool), np.nan)
    sequential = np.full(len(caps), np.nan)
    for row, n in enumerate(caps):
        if n not in feasible:
            continue
        windows, rest = divmod(n, window)
        used, longest = rounds.used[:windows].sum(axis=0), whole_longest[:windows].sum()
        if rest:
            short = large.round(rest, windows + 1)
            used, longest = used + short.used[windows], longest + short.longest(ordered)[windows]
        vote, small = large.vote(n, tuple(sorted(sizes.values())))
        won = {label: small[size] for label, size in sizes.items()}
        for k, label in enumerate(big):
            won[label] += vote[k] + rounds.unanimous[:windows, k].sum()
        members = np.bincount(of, minlength=len(big) + 1)
        if np.isnan(longest + vote.sum()):
            continue
        drawn[row] = (used / np.maximum(members, 1))[of]
        picks[row] = [won[label] / sizes[label] if label in sizes else 0.0 for label in labels]
        sequential[row] = longest
    return Stopped(picks, drawn, sequential)


@dataclass(frozen=True, slots=True)
class _ByTokens:
    """The rollouts of each part, by their tokens."""

    part: IntArray
    tokens: FloatArray
    parts: int

    def steps(self) -> tuple[FloatArray, IntArray]:
        """Return the distinct token counts (values,) and the counts up to each (values, parts)."""
        values, place = np.unique(self.tokens, return_inverse=True)
        counts = np.zeros((len(values), self.parts), dtype=np.int64)
        np.add.at(counts, (place, self.part), 1)
        return values, counts.cumsum(axis=0)


@dataclass(frozen=True, slots=True)
class _Round:
    """A window by its place t: what happens while no window before it was unanimous.

    `drawn` (compositions, parts) are the ways to fill it from each large cluster and the rest, and
    `quiet` (compositions, places) the chance that no window before it was unanimous. `used`
    (places, parts) is the expected number of its rollouts, and `unanimous` (places, large clusters)
    the chance that it stops there. `subsets` is the number of sets that it may be.
    """

    drawn: IntArray
    quiet: FloatArray
    used: FloatArray
    unanimous: FloatArray
    subsets: float

    def longest(self, ordered: _ByTokens) -> FloatArray:
        """Return the expected tokens of its longest rollout, shape (places,)."""
        values, below = ordered.steps()
        ways = _choose(below, self.drawn)
        steps = np.diff(ways / self.subsets, axis=0, prepend=0.0)
        expected: FloatArray = (values @ steps) @ self.quiet
        return expected


@dataclass(frozen=True, slots=True)
class _Large:
    """The clusters that can fill a window, in a pool of which everything else is the rest."""

    sizes: tuple[int, ...]
    pool: int
    window: int

    def feasible(self, last: int, most: int) -> bool:
        """Return whether neither a window nor a whole draw has more compositions than `most`.

        False, too, if the subsets of `last` rollouts overflow a float.
        """
        count = len(self.sizes)
        ways = prod(min(size, last) + 1 for size in self.sizes)
        few = ways <= most and comb(self.window + count, count) * self.pool <= 20 * most
        return few and isfinite(count_subsets(self.pool, min(last, self.pool // 2)))

    @lru_cache(maxsize=128)  # noqa: B019 - keyed by sizes, which are small
    def round(self, length: int, places: int) -> _Round:
        """Return a window of `length` rollouts at each of `places`."""
        drawn = self._compositions(length)
        subsets = float(comb(self.pool, length))
        chance = _choose(self._everything(), drawn)[0] / subsets
        quiet = self._miss_all(np.array(self.sizes) - drawn[:, :-1], self.pool - length, places)
        alive = chance[:, None] * quiet
        full = (drawn[:, :-1] == self.window).astype(float)
        return _Round(drawn, quiet, alive.T @ drawn, alive.T @ full, subsets)

    @lru_cache(maxsize=4096)  # noqa: B019 - as above
    def vote(self, n: int, sizes: tuple[int, ...]) -> tuple[FloatArray, Mapping[int, float]]:
        """Return chances to win the vote over n after windows without unanimity.

        The first are the chances of each large cluster if one of them has at least `window` votes:
        no other cluster can lead then. The second, by size, are the chances of any cluster of
        `sizes` if all have fewer votes: no window can have been unanimous, so that is a plain vote.
        """
        chances = win_chances(self.pool, [n], sizes, most=self.window - 1)
        few = {size: float(chance[0]) for size, chance in chances.items()}
        drawn = self._compositions(n)
        drawn = drawn[(drawn[:, :-1] >= self.window).any(axis=1)]
        if not len(drawn):
            return np.zeros(len(self.sizes)), few
        chance = _choose(self._everything(), drawn)[0] / float(comb(self.pool, n))
        missed = self._miss_all(drawn[:, :-1], n, n // self.window + 1)[:, -1]
        chance = chance * np.where(chance < _IMPOSSIBLE, 0.0, missed)
        leads = drawn[:, :-1] == drawn[:, :-1].max(axis=1, keepdims=True)
        return chance @ (leads / leads.sum(axis=1, keepdims=True)), few

    def _everything(self) -> IntArray:
        """Return the rollouts of each large cluster and of the rest, shape (1, parts)."""
        return np.array([[*self.sizes, self.pool - sum(self.sizes)]])

    def _compositions(self, total: int) -> IntArray:
        """Return every way to draw `total` from the large clusters and the rest, which is last."""
        ways = np.zeros((1, 0), dtype=np.int64)
        left = np.full(1, total)
        for size in self.sizes:
            most = np.minimum(left, size)
            parent = np.repeat(np.arange(len(ways)), most + 1)
            drawn = np.arange(len(parent)) - np.repeat(np.cumsum(most + 1) - most - 1, most + 1)
            ways = np.column_stack([ways[parent], drawn])
            left = left[parent] - drawn
        return np.column_stack([ways, left])[left <= self.pool - sum(self.sizes)]

    def _miss_all(self, pools: IntArray, total: int, places: int) -> FloatArray:
        """Return P(none of t windows is unanimous) for t < places, shape (rows, places).

        `pools` (rows, large clusters) are the members among the `total` rollouts to draw from. The
        terms alternate, so they are summed in extended precision; NaN if that does not suffice.
        """
        most = max(places - 1, 0)
        ways = np.zeros((len(pools), most + 1), dtype=np.longdouble)
        ways[:, 0] = 1
        for column in pools.T:
            fills = self._count_fills(column, most)
            shifted = [np.pad(ways, ((0, 0), (m, 0)))[:, : most + 1] for m in range(fills.shape[1])]
            ways = np.einsum("mrk,rm->rk", np.array(shifted), fills)
        terms = np.zeros_like(ways)
        for s in range(most + 1):
            if self.window * s <= total:
                terms[:, s] = ways[:, s] / np.longdouble(perm(total, self.window * s))
        signs = np.zeros((most + 1, places), dtype=np.longdouble)
        for t in range(places):
            for s in range(t + 1):
                signs[s, t] = (-1) ** s * perm(t, s)
        chances: FloatArray = np.clip((terms @ signs).astype(np.float64), 0.0, 1.0)
        lost = np.abs(terms) @ np.abs(signs) * np.finfo(np.longdouble).eps
        return np.where(lost > _LOST, np.nan, chances)

    def _count_fills(self, column: IntArray, most: int) -> NDArray[np.longdouble]:
        """Return the ordered ways, over m!, in which one cluster fills m windows: (rows, m + 1)."""
        fills = min(int(column.max(initial=0)) // self.window, most)
        ways: NDArray[np.longdouble] = np.ones((len(column), fills + 1), dtype=np.longdouble)
        for m in range(1, fills + 1):
            rest = column - self.window * (m - 1)
            orders = np.prod([np.maximum(rest - k, 0) for k in range(self.window)], axis=0)
            ways[:, m] = ways[:, m - 1] * orders.astype(np.longdouble) / m
        return ways


def _choose(available: IntArray, drawn: IntArray) -> FloatArray:
    """Return the ways to draw each row of `drawn` (rows, parts) from each row of (k, parts)."""
    ways = np.ones((len(available), len(drawn)))
    table = _binomials(int(available.max(initial=0)), int(drawn.max(initial=0)))
    for have, want in zip(available.T, drawn.T, strict=True):
        ways *= table[have[:, None], want]
    return ways


@lru_cache(maxsize=4096)
def _binomials(most: int, degree: int) -> FloatArray:
    """Return C(h, k) for h <= `most` and k <= `degree`, shape (most + 1, degree + 1)."""
    rows = [[float(comb(h, k)) for k in range(degree + 1)] for h in range(most + 1)]
    return np.array(rows)
