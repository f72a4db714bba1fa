"""A reward model of known AUROC, and what every method that ranks by it reaches, exactly.

Its number is one of three levels, and a right rollout draws its level from another distribution
than a wrong one. So a pool is one of a few, up to its order, and an expectation is a finite sum.
A rollout is right with probability `SHARE`; all wrong ones agree, the hardest case for a vote.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache as remember
from itertools import combinations_with_replacement
from math import ceil, comb, factorial, log, prod, sqrt

import numpy as np
from scipy.stats import rankdata

from cat_bench.cache import Cache
from cat_bench.models.backends.scripted import Scripted
from cat_bench.models.lending import Roles
from cat_bench.types.calls import FloatArray, Message
from cat_bench.types.records import Pool
from tests import toy

SHARE = 0.4
LEVELS = (0.2, 0.5, 0.8)
OF_RIGHT, OF_WRONG = (0.1, 0.3, 0.6), (0.6, 0.3, 0.1)
"""How likely each level is for a right and for a wrong rollout."""
AT = [SHARE * r + (1 - SHARE) * w for r, w in zip(OF_RIGHT, OF_WRONG, strict=True)]
"""How likely each level is."""
RIGHT_AT = [SHARE * r / a for r, a in zip(OF_RIGHT, AT, strict=True)]
"""How likely a rollout of each level is right."""
AUROC = sum(
    p * q * ((k > j) + (k == j) / 2) for k, p in enumerate(OF_RIGHT) for j, q in enumerate(OF_WRONG)
)
Kind = tuple[bool, int]
"""Whether a rollout is right, and its level."""


def rewarding(messages: Sequence[Message], response: str | Sequence[str]) -> list[float]:
    """The level that a response names."""
    assert isinstance(response, str)
    return [LEVELS[int(response.split()[1])]]


def roles_with_reward(cache: Cache) -> Roles:
    """The reward model; no other model is asked."""
    return toy.roles(cache, reward=Scripted(toy.choosing, identity="levels", rewarding=rewarding))


@dataclass(frozen=True, slots=True)
class Draw:
    """A pool up to the order of its rollouts, and its probability."""

    kinds: tuple[Kind, ...]
    chance: float

    @property
    def right(self) -> FloatArray:
        """1 for each right rollout, shape (n,)."""
        return np.array([float(right) for right, _ in self.kinds])

    @property
    def numbers(self) -> FloatArray:
        """The reward model's numbers, shape (n,)."""
        return np.array([LEVELS[level] for _, level in self.kinds])

    @property
    def pool(self) -> Pool:
        """The rollouts."""
        texts = (f"level {k} = {'right' if right else 'wrong'}" for right, k in self.kinds)
        return toy.pool(*texts)


@remember
def draws(n: int) -> tuple[Draw, ...]:
    """Every pool of n rollouts."""
    chance_of = {(True, k): SHARE * p for k, p in enumerate(OF_RIGHT)}
    chance_of |= {(False, k): (1 - SHARE) * p for k, p in enumerate(OF_WRONG)}
    found = []
    for kinds in combinations_with_replacement(chance_of, n):
        ways = factorial(n) // prod(factorial(kinds.count(kind)) for kind in chance_of)
        found.append(Draw(kinds, ways * prod(chance_of[kind] for kind in kinds)))
    return tuple(found)


def best_of(n: int) -> float:
    """P(the highest level) times P(right | level), over the levels."""
    up_to = np.cumsum([0.0, *AT]) ** n
    return float(np.diff(up_to) @ np.array(RIGHT_AT))


def vote(weigh: Callable[[FloatArray], FloatArray]) -> Callable[[int], float]:
    """The probability that right rollouts outweigh the wrong ones; a tie counts half."""

    def expected(n: int) -> float:
        total = 0.0
        for draw in draws(n):
            lead = round(float(weigh(draw.numbers) @ (2 * draw.right - 1)), 9)
            total += draw.chance * ((lead > 0) + (lead == 0) / 2)
        return total

    return expected


def majority_of_bests(n: int) -> float:
    """The probability that right rollouts win most of the best-of-m; a tie counts half."""
    m, total = ceil(sqrt(n)), 0.0
    for draw in draws(n):
        won, below = 0.0, 0
        for level in range(len(LEVELS)):
            here = [right for right, k in draw.kinds if k == level]
            if here:
                highest = comb(below + len(here), m) - comb(below, m)
                won += highest / comb(n, m) * sum(here) / len(here)
                below += len(here)
        total += draw.chance * ((won > 0.5 + 1e-9) + (abs(won - 0.5) <= 1e-9) / 2)
    return total


def pandora(n: int, *, cost: float = 0.1, doubt: float = 0.1) -> tuple[float, float]:
    """The score and the samples of stopped best-of-n, over the counts of levels seen so far."""
    running: dict[tuple[int, ...], float] = {(0, 0, 0): 1.0}
    score = samples = 0.0
    for t in range(1, n + 1):
        after: dict[tuple[int, ...], float] = {}
        for seen, chance in running.items():
            for level, share in enumerate(AT):
                counts = tuple(count + (k == level) for k, count in enumerate(seen))
                after[counts] = after.get(counts, 0.0) + chance * share
        running = {}
        for counts, chance in after.items():
            if t == n or _stops(counts, cost=cost, doubt=doubt):
                highest = max(k for k, count in enumerate(counts) if count)
                score += chance * RIGHT_AT[highest]
                samples += chance * t
            else:
                running[counts] = chance
    return score, samples


def _stops(counts: Sequence[int], *, cost: float, doubt: float) -> bool:
    """Whether the highest number is worth more than one more sample (see `replay_best`)."""
    seen = [LEVELS[k] for k, count in enumerate(counts) for _ in range(count)]
    scale = float(np.mean(seen)) - seen[0]
    wider = 1 + sqrt(2 * log(1 / doubt) / len(seen))
    return scale > 1e-12 and seen[-1] >= seen[0] + scale * wider * log(wider / cost)


FORMULAS: dict[str, Callable[[int], float]] = {
    "majority": vote(np.ones_like),
    "best_of_n{by=reward_model}": best_of,
    "vote{by=reward_model}": vote(lambda numbers: np.asarray(rankdata(numbers))),
    "vote{by=reward_model,weight=value}": vote(lambda numbers: numbers),
    "majority-of-the-bests": majority_of_bests,
    "pandora": lambda n: pandora(n)[0],
}
"""Methods by the reward model, and what each reaches, averaged over all pools of n rollouts."""
