"""A judge of known skill, and what the shipped selectors should reach with it, played with coins.

The judge is scripted. It is right with probability `SKILL` where right and wrong candidates stand
side by side, in pairs as in longer lists, and a writer who reads both writes a right response as
often. The simulations share no code with the methods. They take an even number of rollouts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from math import ceil

import numpy as np

from cat_bench.cache import Cache
from cat_bench.models.backends import Request
from cat_bench.models.backends.scripted import Scripted
from cat_bench.models.lending import Roles
from cat_bench.types.calls import FloatArray
from cat_bench.types.plugins import Aggregator
from cat_bench.types.records import Pool
from tests import toy

SKILL = 0.8
RNG = np.random.Generator
Flags = Sequence[bool]
Simulation = Callable[[Flags, RNG], tuple[float, int]]
"""Which rollouts are right → the share of the estimate that is right, and the calls made."""


def coin(prompt: str, seed: int) -> float:
    """A number in [0, 1) that depends on what is asked, and on which draw it is."""
    return int.from_bytes(sha256(f"{prompt}{seed}".encode()).digest()[:6]) / 2**48


def judging(request: Request, seed: int) -> str:
    """Right with probability `SKILL` where right and wrong candidates or drafts are shown."""
    prompt = request.messages[-1]["content"]
    chooses = "<candidate number=" in prompt
    parts = prompt.split("<candidate number=" if chooses else "<draft number=")[1:]
    right = ["= right" in part for part in parts]
    luck, lot = coin(prompt, seed), coin(prompt, ~seed)
    wanted = luck < SKILL if len(set(right)) == 2 else right[0]
    if not chooses:
        return f"written with {lot} = {'right' if wanted else 'wrong'}"
    fits = [place for place, is_right in enumerate(right) if is_right == wanted]
    best = fits[int(lot * len(fits))]
    if "both ratings" in prompt:
        return f"\\boxed{{{'8, 3' if best == 0 else '3, 8'}}}"
    return f"\\boxed{{{best + 1}}}"


def roles_with_judge(cache: Cache) -> Roles:
    """The judge in every role."""
    return toy.roles(cache, Scripted(judging, identity="80"))


def make_pool(flags: Flags, name: str) -> Pool:
    """A question's pool, whose rollouts are right where `flags` is."""
    texts = (f"{name} {k} = {'right' if right else 'wrong'}" for k, right in enumerate(flags))
    return toy.pool(*texts, question=name)


async def reach(method: Aggregator, pool: Pool, roles: Roles, cache: Cache) -> tuple[float, int]:
    """The share of a method's estimate that is right, and the calls made for it."""
    found, ctx = await toy.estimate(method, pool, cache, roles)
    if found.text is not None:
        return float(found.text.endswith("= right")), len(ctx.bill)
    texts = {rollout.slot: rollout.text for rollout in pool.rollouts}
    right = (weight for slot, weight in found.picks if texts[slot].endswith("= right"))
    return float(sum(right)), len(ctx.bill)


def prefers(a: bool, b: bool, rng: RNG) -> bool:
    """Whether the judge prefers a to b."""
    return bool(rng.random() < (SKILL if a else 1 - SKILL) if a != b else rng.random() < 0.5)


def choose(shown: Flags, rng: RNG) -> bool:
    """Whether what the judge chooses among several, or writes from them, is right."""
    return bool(shown[0]) if len(set(shown)) == 1 else bool(rng.random() < SKILL)


def ask_once(flags: Flags, rng: RNG) -> tuple[float, int]:
    """One call that sees all."""
    return float(choose(flags, rng)), 1


def write_in_rounds(*widths: int) -> Simulation:
    """Rounds of several responses, and a last one."""

    def play(flags: Flags, rng: RNG) -> tuple[float, int]:
        for width in (*widths, 1):
            flags = [choose(flags, rng) for _ in range(width)]
        return float(flags[0]), sum(widths) + 1

    return play


def choose_by_windows(window: int) -> Simulation:
    """The best of each window advances."""

    def play(flags: Flags, rng: RNG) -> tuple[float, int]:
        left, calls = shuffle(flags, rng), 0
        while len(left) > 1:
            count = ceil(len(left) / window)
            parts = [left[k::count] for k in range(count)]
            calls += sum(len(part) > 1 for part in parts)
            left = [choose(part, rng) for part in parts]
        return float(left[0]), calls

    return play


def knock_out(flags: Flags, rng: RNG) -> tuple[float, int]:
    """The winner of each pair, asked in both orders, advances."""
    left, calls = shuffle(flags, rng), 0
    while len(left) > 1:
        after = left[len(left) // 2 * 2 :]
        for a, b in zip(left[::2], left[1::2], strict=False):
            votes = prefers(a, b, rng) + prefers(a, b, rng)
            after.append(a if votes == 2 or (votes == 1 and rng.random() < 0.5) else b)
            calls += 2
        left = after
    return float(left[0]), calls


def shuffle(flags: Flags, rng: RNG) -> list[bool]:
    """The flags in a random order."""
    return [bool(flag) for flag in rng.permutation(np.asarray(flags))]


def round_robin(size: int, count: int, rng: RNG) -> list[list[tuple[int, int]]]:
    """The first rounds of a round robin of an even number, by turning all but one in a circle."""
    first, *ring = (int(k) for k in rng.permutation(size))
    rounds = []
    for turn in range(min(count, size - 1)):
        circle = [first, *ring[turn:], *ring[:turn]]
        rounds.append([(circle[k], circle[-1 - k]) for k in range(size // 2)])
    return rounds


def swiss(budget: float) -> Simulation:
    """Two random rounds; then neighbours in rank meet who have not met; one call for a pair."""

    def play(flags: Flags, rng: RNG) -> tuple[float, int]:
        size, left = len(flags), round(budget * len(flags))
        won, played = np.zeros(size), np.zeros(size)
        met: set[frozenset[int]] = set()
        drawn, lots = round_robin(size, 2, rng), rng.random(size)
        while left:
            shares = np.divide(won, played, out=np.full(size, 0.5), where=played > 0).round(9)
            waiting = [] if drawn else sorted(range(size), key=lambda k: (-shares[k], lots[k]))
            pairs = drawn.pop(0) if drawn else []
            while waiting:
                a = waiting.pop(0)
                if others := [b for b in waiting if frozenset((a, b)) not in met]:
                    waiting.remove(others[0])
                    pairs.append((a, others[0]))
            if not pairs:
                break
            for a, b in pairs[:left]:
                met.add(frozenset((a, b)))
                won[a if prefers(flags[a], flags[b], rng) else b] += 1
                played[[a, b]] += 1
            left -= len(pairs[:left])
        return best_by(won / played, flags), len(met)

    return play


def league(matches: int | None) -> Simulation:
    """Random pairs, or all of them, in both orders; the best Bradley-Terry strength."""

    def play(flags: Flags, rng: RNG) -> tuple[float, int]:
        size = len(flags)
        wins = np.zeros((size, size))
        for pairs in round_robin(size, matches or size, rng):
            for a, b in pairs:
                won = prefers(flags[a], flags[b], rng) + prefers(flags[a], flags[b], rng)
                wins[a, b] += won
                wins[b, a] += 2 - won
        return best_by(strengths_by_newton(wins), flags), int(wins.sum())

    return play


def best_by(values: FloatArray, flags: Flags) -> float:
    """The share of the highest that is right."""
    return float(np.mean(np.asarray(flags)[values >= values.max() - 1e-6]))


def strengths_by_newton(wins: FloatArray) -> FloatArray:
    """Bradley-Terry strengths from wins[i, j] of i over j, by Newton's method on the likelihood.

    Each also has half a win and half a loss against strength 0.
    """
    strengths, met = np.zeros(len(wins)), wins + wins.T
    for _ in range(50):
        chance = 1 / (1 + np.exp(strengths[None, :] - strengths[:, None]))
        alone = 1 / (1 + np.exp(-strengths))
        slope = wins.sum(axis=1) - (met * chance).sum(axis=1) + 0.5 - alone
        spread = met * chance * (1 - chance)
        curvature = np.diag(spread.sum(axis=1) + alone * (1 - alone)) - spread
        step: FloatArray = np.linalg.solve(curvature, slope)
        strengths = strengths + step
        if np.abs(step).max() < 1e-10:
            break
    return strengths


SIMULATIONS: dict[str, Simulation] = {
    "judge-select": ask_once,
    "agglm": ask_once,
    "a2r": ask_once,
    "pacore": write_in_rounds(4),
    "genselect": choose_by_windows(8),
    "genselect{window=2}": choose_by_windows(2),
    "knockout": knock_out,
    "swiss": swiss(3.0),
    "bradley-terry": league(4),
}
"""The shipped selectors, and how each is played."""
