"""Pairings of tournaments, and the strengths that their results imply. Arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from cat_bench.types.calls import FloatArray

Pair = tuple[int, int]
_STEPS, _CLOSE = 10_000, 1e-10


def rounds_of(players: Sequence[int], count: int) -> list[list[Pair]]:
    """Return the first `count` rounds of a round robin of `players` by the circle method.

    Each player meets each other once in len(players) - 1 rounds in all, or in len(players) rounds
    with one bye each if the number of players is odd.
    """
    seats: list[int | None] = [*players, *([None] if len(players) % 2 else [])]
    rounds = []
    for _ in range(min(count, len(seats) - 1)):
        half = len(seats) // 2
        facing = zip(seats[:half], seats[: half - 1 : -1], strict=True)
        rounds.append([(a, b) for a, b in facing if a is not None and b is not None])
        seats = [seats[0], seats[-1], *seats[1:-1]]
    return rounds


def neighbours(ranked: Sequence[int], met: Collection[Pair]) -> list[Pair]:
    """Return the next Swiss round: each player, best first, meets the next one not met yet.

    `met` holds each earlier pair in either order. A player without an opponent left has a bye.
    """
    unpaired, met_before = list(ranked), {frozenset(pair) for pair in met}
    pairs = []
    while unpaired:
        player = unpaired.pop(0)
        fits = (rival for rival in unpaired if frozenset((player, rival)) not in met_before)
        if (rival := next(fits, None)) is not None:
            unpaired.remove(rival)
            pairs.append((player, rival))
    return pairs


def strengths(wins: FloatArray, *, prior: float = 0.5) -> FloatArray:
    """Return Bradley-Terry strengths in logits, shape (n,), of mean 0, from wins, shape (n, n).

    `wins[i, j]` is how much j won against i; 0 both ways if they did not meet. `prior` is the
    number of wins and losses of each player against an imaginary one of strength 0, so that all
    strengths are finite. Minorisation-maximisation (Hunter 2004, Annals of Statistics 32, eq. 3).
    """
    size = len(wins)
    met, won = wins + wins.T, wins.sum(axis=0) + prior
    odds = np.ones(size)
    for _ in range(_STEPS):
        shared = met / (odds[:, None] + odds[None, :])
        new = won / (shared.sum(axis=1) + 2 * prior / (odds + 1))
        if np.allclose(new, odds, rtol=_CLOSE, atol=0):
            break
        odds = new
    logits: FloatArray = np.log(new)
    logits -= logits.mean()
    return logits
