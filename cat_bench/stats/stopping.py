"""Compute the expected result of a rule that may stop sampling early, over random orders.

A rule reads the rollouts of a pool one after another and looks at the votes so far: how many
answers have one vote, two votes, and so on. A rollout without an answer is paid for and does not
vote. At each cap n, the rule stops by then or votes over all n.

The expectation is exact. It walks over the vectors of counts that can occur, level by level of
votes. Clusters of equal size are exchangeable, so the vector keeps one multiset of counts for each
size; for answers that were given once, it keeps how many were seen. Where unanswered rollouts lie
in the order does not depend on the order of the votes, so they enter in closed form. A walk ends
after `STATES` vectors: `replay_rule` in `stopping_orders` estimates the caps beyond.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations_with_replacement
from math import comb, prod
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from cat_bench.types.calls import FloatArray
from cat_bench.types.records import Stopped

IntArray: TypeAlias = NDArray[np.int64]
Counts: TypeAlias = NDArray[np.int16]
"""Column c counts the answers that have c votes."""
Label: TypeAlias = int | str | None
"""The cluster that a rollout votes for; None and the empty string mean no answer."""
Rule: TypeAlias = Callable[[Counts], NDArray[np.bool_]]
"""Say for each row whether to stop; entry (row, c) counts the answers that have c votes."""

STATES = 200_000
"""The most vectors of counts that are visited for one question."""
_CODES = 2**62
_LOCAL = 5_000
"""The most multisets of counts within one size of cluster."""


def expect_stop(
    labels: Sequence[Label],
    caps: Sequence[int],
    rule: Rule,
    *,
    tokens: FloatArray,
    states: int = STATES,
) -> Stopped:
    """Return the exact expectation of `rule` at each cap; NaN where it needs too many `states`.

    `labels` and `tokens` have shape (pool,). Rollouts are sampled one at a time, so that all tokens
    are sequential. A cap outside of 1..pool gives NaN.
    """
    sizes = Counter[Label](label for label in labels if label not in (None, ""))
    clusters = tuple(sorted(Counter(sizes.values()).items()))
    chances = _chances(clusters, len(labels), tuple(caps), rule, states)
    place = {size: k for k, (size, _) in enumerate(clusters)}
    silent = len(clusters)
    of = [place[sizes[label]] if label in sizes else silent for label in labels]
    drawn = chances.drawn[:, of]
    return Stopped(chances.picks[:, of], drawn, drawn @ np.asarray(tokens, dtype=float))


@dataclass(frozen=True, slots=True)
class _Chances:
    """The chance at each cap that a rollout is picked, and that it is drawn.

    Shapes (caps, sizes of cluster + 1); the last column is of rollouts without an answer.
    """

    picks: FloatArray
    drawn: FloatArray


@lru_cache(maxsize=4096)
def _chances(
    clusters: tuple[tuple[int, int], ...], pool: int, caps: tuple[int, ...], rule: Rule, states: int
) -> _Chances:
    """Return the chances for clusters of (size, how many have it); NaN beyond so many `states`.

    Questions whose clusters have the same sizes share them: tokens do not matter for votes.
    """
    members = np.array([size * count for size, count in clusters])
    answered = int(members.sum())
    reach = min(answered, max((n for n in caps if n <= pool), default=0))
    ends, alive, walked = _walk(clusters, rule, reach, states)
    votes = votes_after(pool, answered)
    picks, drawn = np.full((2, len(caps), len(clusters) + 1), np.nan)
    for row, n in enumerate(caps):
        if not 1 <= n <= pool or min(n, answered) > walked:
            continue
        exactly = votes[n, : reach + 1]
        by_then = votes[n, ::-1].cumsum()[::-1][: reach + 1]
        picks[row, :-1] = (by_then @ ends.won + exactly @ alive.won) / np.maximum(members, 1)
        drawn[row, :-1] = (by_then @ ends.used + exactly @ alive.used) / np.maximum(members, 1)
        picks[row, -1] = 0.0
        drawn[row, -1] = _count_unanswered(ends.mass, alive.mass, votes, n) / max(
            pool - answered, 1
        )
    return _Chances(picks, drawn)


def votes_after(pool: int, answered: int) -> FloatArray:
    """Return P(v of the first n rollouts voted), shape (pool + 1, answered + 1)."""
    table = np.zeros((pool + 1, answered + 1))
    table[0, 0] = 1
    v = np.arange(answered + 1)
    for n in range(pool):
        yes = np.clip((answered - v) / (pool - n), 0, 1)
        table[n + 1] = table[n] * (1 - yes)
        table[n + 1, 1:] += (table[n] * yes)[:-1]
    return table


def _count_unanswered(ended: FloatArray, alive: FloatArray, votes: FloatArray, n: int) -> float:
    """Return the expected number of unanswered rollouts among those sampled up to the cap n.

    The v-th vote is the rollout t with chance P(v - 1 votes before) x P(t votes).
    """
    pool, answered = len(votes) - 1, votes.shape[1] - 1
    v, t = np.arange(len(ended)), np.arange(1, n + 1)
    before = np.zeros((n, len(v)))
    before[:, 1:] = votes[:n, : len(v) - 1]
    at = before * np.clip(answered - v + 1, 0, None) / (pool - t + 1)[:, None]
    waited = (at * (t[:, None] - v)).sum(axis=0)
    return float(ended @ waited + (alive * votes[n, : len(v)]) @ (n - v))


@dataclass(frozen=True, slots=True)
class _Levels:
    """Mass by number of votes: `mass` (levels,), `won` and `used` (levels, sizes of cluster)."""

    mass: FloatArray
    won: FloatArray
    used: FloatArray

    @classmethod
    def empty(cls, levels: int, sizes: int) -> _Levels:
        return cls(np.zeros(levels), np.zeros((levels, sizes)), np.zeros((levels, sizes)))

    def add(self, level: int, chance: FloatArray, won: FloatArray, used: FloatArray) -> None:
        """Add states with these chances, their picks and their numbers of votes, by size."""
        self.mass[level] = chance.sum()
        self.won[level] = chance @ won
        self.used[level] = chance @ used


def _walk(
    sizes: Sequence[tuple[int, int]], rule: Rule, reach: int, states: int
) -> tuple[_Levels, _Levels, int]:
    """Return the mass that stops and the mass that continues, by votes, and the most votes."""
    ends, alive = (_Levels.empty(reach + 1, len(sizes)) for _ in range(2))
    ways = [comb(size + count, count) for size, count in sizes]
    if max(ways, default=0) > _LOCAL or prod(ways) > _CODES:
        return ends, alive, -1
    parts = [_Part.of(size, count) for size, count in sizes]
    strides = np.cumprod([1, *(len(part.histogram) for part in parts)], dtype=np.int64)[:-1]
    total = sum(size * count for size, count in sizes)
    codes, visited = np.zeros(1, dtype=np.int64), 0
    chance: FloatArray = np.ones(1)
    for level in range(reach + 1):
        local = [codes // s % len(p.histogram) for p, s in zip(parts, strides, strict=True)]
        won: FloatArray = np.zeros((len(codes), len(parts)))
        used: FloatArray = np.zeros((len(codes), len(parts)))
        stops = np.zeros(len(codes), dtype=bool)
        if level:
            histograms = [p.pad(level)[at] for p, at in zip(parts, local, strict=True)]
            votes = sum(histograms[1:], histograms[0])
            stops, won = rule(votes), _winners(histograms, votes)
            used = np.stack([p.votes[at] for p, at in zip(parts, local, strict=True)], axis=1)
        ends.add(level, chance[stops], won[stops], used[stops])
        on = ~stops
        alive.add(level, chance[on], won[on], used[on])
        visited += len(codes)
        if visited > states:
            return ends, alive, level
        if level < reach and on.any():
            moves = _moves(parts, strides, [at[on] for at in local], left=total - level)
            codes, chance = _merge(codes[on], chance[on], moves)
        elif level < reach:
            break
    return ends, alive, reach


def _winners(histograms: Sequence[Counts], votes: Counts) -> FloatArray:
    """Return each size's share of a vote, shape (states, sizes); tied answers share evenly."""
    top = votes.shape[1] - 1 - (votes[:, ::-1] > 0).argmax(axis=1)
    rows = np.arange(len(votes))
    leading = np.stack([part[rows, top] for part in histograms], axis=1)
    shares: FloatArray = leading / leading.sum(axis=1, keepdims=True)
    return shares


def _moves(
    parts: Sequence[_Part], strides: IntArray, local: Sequence[IntArray], *, left: int
) -> Iterator[tuple[IntArray, FloatArray]]:
    """Yield, for each way to draw one more vote, how codes change and with what chance."""
    for part, stride, at in zip(parts, strides, local, strict=True):
        for slot in range(part.step.shape[1]):
            yield part.step[at, slot] * stride, part.weight[at, slot] / left


def _merge(
    codes: IntArray, chance: FloatArray, moves: Iterator[tuple[IntArray, FloatArray]]
) -> tuple[IntArray, FloatArray]:
    """Return the distinct codes that are reached, each with its summed chance."""
    reached: list[IntArray] = []
    weights: list[FloatArray] = []
    for step, share in moves:
        possible = share > 0
        reached.append((codes + step)[possible])
        weights.append((chance * share)[possible])
    distinct, place = np.unique(np.concatenate(reached), return_inverse=True)
    mass = np.bincount(place, np.concatenate(weights), minlength=len(distinct))
    return distinct, mass.astype(float)


@dataclass(frozen=True, slots=True)
class _Part:
    """The clusters of one size: every multiset of their counts, and where a vote leads.

    `histogram` (states, size + 1) counts the clusters by their votes; `step` and `weight` (states,
    ways) are how far the next vote moves the state, and how many rollouts are left to cast it.
    """

    histogram: Counts
    votes: IntArray
    step: IntArray
    weight: FloatArray

    @staticmethod
    @lru_cache(maxsize=512)
    def of(size: int, count: int) -> _Part:
        """Return the part of `count` clusters of `size` rollouts each; state 0 has no votes."""
        states = list(combinations_with_replacement(range(size + 1), count))
        index = {state: k for k, state in enumerate(states)}
        ways = min(count, size)
        step = np.zeros((len(states), ways), dtype=np.int64)
        weight = np.zeros((len(states), ways))
        for k, state in enumerate(states):
            open_counts = [(c, m) for c, m in Counter(state).items() if c < size]
            for way, (c, m) in enumerate(open_counts):
                grown = list(state)
                grown[state.index(c)] += 1
                step[k, way] = index[tuple(sorted(grown))] - k
                weight[k, way] = m * (size - c)
        counted = np.array([np.bincount(s, minlength=size + 1) for s in states])
        votes = counted @ np.arange(size + 1)
        return _Part(counted.astype(np.int16), votes, step, weight)

    def pad(self, most: int) -> Counts:
        """Return the histogram with columns for 0..most votes; no cluster has more than `most`.

        Answers without a vote are not seen, so that column 0 is empty.
        """
        width = min(self.histogram.shape[1], most + 1)
        table = np.zeros((len(self.histogram), most + 1), dtype=np.int16)
        table[:, 1:width] = self.histogram[:, 1:width]
        return table
