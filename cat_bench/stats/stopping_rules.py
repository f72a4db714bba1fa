"""Decide from the votes so far whether to stop: the published rules, as functions of counts.

Every rule reads an array of shape (states, most + 1), whose entry (state, c) counts the answers
that have c votes; each state has at least one vote. Thresholds and formulas are the papers'.
A threshold always gives the same function, so that expectations can be kept by rule.
"""

from __future__ import annotations

from functools import cache, lru_cache
from math import inf

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, gammainc, gammaln

from cat_bench.stats.stopping import Counts, IntArray, Rule
from cat_bench.types.calls import FloatArray

UNSEEN = 0.3
"""The weight that Best-of-infinity gives to unseen answers."""
_NODES = 96


@lru_cache
def beta(threshold: float) -> Rule:
    """Return Adaptive-Consistency's rule: stop once the top answer is likely to stay ahead.

    With a and b votes for the two, stop where P(p > 1/2) >= threshold for p ~ Beta(a + 1, b + 1)
    (Aggarwal et al. 2023, arXiv 2305.11860).
    """

    def rule(votes: Counts) -> NDArray[np.bool_]:
        top, second = leaders(votes)
        stops: NDArray[np.bool_] = betainc(second + 1, top + 1, 0.5) >= threshold
        return stops

    return rule


@lru_cache
def majority_share(threshold: float) -> Rule:
    """Return the rule that stops once the top answer has this share of at least two votes."""

    def rule(votes: Counts) -> NDArray[np.bool_]:
        top, _ = leaders(votes)
        total = votes @ np.arange(votes.shape[1])
        return (total > 1) & (top >= threshold * total)

    return rule


@lru_cache
def entropy(threshold: float) -> Rule:
    """Return the rule that stops once the votes' entropy falls to this share of its maximum.

    The maximum is the logarithm of the number of answers seen, at least two of them; two votes are
    the fewest that can stop.
    """

    def rule(votes: Counts) -> NDArray[np.bool_]:
        count = np.arange(votes.shape[1])
        total = votes @ count
        seen = votes.sum(axis=1)
        answers = np.where(seen < 2, 2, seen)
        mass = total + (seen < 2)  # a single answer is compared with one of one vote
        logs = count * np.log(np.maximum(count, 1))
        bits = np.log(mass) - (votes @ logs) / mass
        stops: NDArray[np.bool_] = (total > 1) & (bits <= threshold * np.log(answers))
        return stops

    return rule


@lru_cache
def bayes_factor(threshold: float, *, unseen: float = UNSEEN) -> Rule:
    """Return Best-of-infinity's rule: stop by the odds that the leading answer is the likeliest.

    With a Dirichlet posterior over the K answers, where all unseen ones count as one answer of
    `unseen` votes, stop where K P / (1 - P) >= threshold and P is the chance that the leader's
    share is the largest (Komiyama et al. 2025, arXiv 2509.21091). P is computed by quadrature,
    where the paper draws 1,000 samples. Tied leaders never stop.
    """

    def rule(votes: Counts) -> NDArray[np.bool_]:
        packed = np.ascontiguousarray(votes)
        rows = packed.view(np.dtype((np.void, packed.itemsize * packed.shape[1]))).ravel()
        _, first, place = np.unique(rows, return_index=True, return_inverse=True)
        distinct = votes[first]
        chance = leading_chance(distinct, unseen=unseen)
        top, second = leaders(distinct)
        answers = distinct.sum(axis=1) + 1
        odds = np.divide(chance, 1 - chance, out=np.full_like(chance, inf), where=chance < 1)
        stops: NDArray[np.bool_] = (top > second) & (answers * odds >= threshold)
        return stops[place]

    return rule


def leading_chance(votes: Counts, *, unseen: float = UNSEEN) -> FloatArray:
    """Return P(the first answer with the most votes has the largest share), shape (states,).

    Shares are Dirichlet with parameters votes + 1, and `unseen` + 1 for unseen answers. They are
    independent Gamma variables over their sum, so the chance is one integral.
    """
    most = votes.shape[1] - 1
    x, weight, logs, unseen_log = _gamma_table(most, unseen)
    top = most - (votes[:, ::-1] > 0).argmax(axis=1)
    rivals = votes.copy()
    rivals[np.arange(len(votes)), top] -= 1
    density = np.exp(top[:, None] * np.log(x) - x - gammaln(top + 1)[:, None])
    behind = np.exp(rivals[:, 1:] @ logs[1:] + unseen_log)
    chance: FloatArray = np.clip((density * behind) @ weight, 0, 1)
    return chance


@cache
def _legendre() -> tuple[FloatArray, FloatArray]:
    nodes, weight = np.polynomial.legendre.leggauss(_NODES)
    return np.asarray(nodes), np.asarray(weight)


@lru_cache(maxsize=64)
def _gamma_table(most: int, unseen: float) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return nodes and weights on (0, end), and log P(Gamma(c + 1) < node) for c votes, by c."""
    end = most + 1 + 12 * np.sqrt(most + 1) + 40
    nodes, weight = _legendre()
    share = (nodes + 1) / 2
    x = end * share**2  # denser near 0, where few votes live
    with np.errstate(divide="ignore"):
        logs = np.log(gammainc(np.arange(most + 1)[:, None] + 1, x))
        unseen_log = np.log(gammainc(unseen + 1, x))
    return x, weight * end * share, np.maximum(logs, -700.0), np.maximum(unseen_log, -700.0)


def leaders(votes: Counts) -> tuple[IntArray, IntArray]:
    """Return the most and second most votes of any answer, shapes (states,); 0 for no second."""
    width, rows = votes.shape[1], np.arange(len(votes))
    top = width - 1 - (votes[:, ::-1] > 0).argmax(axis=1)
    rest = votes.copy()
    rest[rows, top] -= 1
    rest[:, 0] += 1
    return top, width - 1 - (rest[:, ::-1] > 0).argmax(axis=1)
