"""The reference: the one text of an estimator that rewards compare rollouts with.

An estimate may tie several rollouts; a reward needs one text. It is drawn with the estimate's
weights by a hash of the question's id and of the tied rollouts' answers or texts, so that it
depends neither on the group's order nor on earlier draws. `single` draws one rollout in this way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from math import isclose, log
from typing import ClassVar

from cat_bench.loading.catalog import method
from cat_bench.stats.subsets import shuffle_slots
from cat_bench.types.calls import JSON
from cat_bench.types.plugins import GroupContext
from cat_bench.types.records import Estimate, Marks, Question, Rollout
from cat_bench.types.traits import Need

load_estimator = lru_cache(method)
"""Return the method of that name; raises UnknownName."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The text, with notes about it; None if the estimator abstained or wrote nothing."""

    text: str | None
    notes: Mapping[str, JSON] = field(default_factory=dict)

    def rewards_nobody(self, size: int) -> Marks:
        """Return the marks for a group without a reference text: 0 for each rollout."""
        return Marks([0.0] * size, None, self.notes)


@dataclass(frozen=True)
class ReferenceReward(ABC):
    """A reward that compares every rollout with the reference of the `estimator`."""

    estimator: str = "cat"

    compares_with: ClassVar[frozenset[Need]] = frozenset()
    """What the comparison needs beside the estimator's own needs."""

    def __post_init__(self) -> None:
        load_estimator(self.estimator)

    @property
    def needs(self) -> frozenset[Need]:
        """What the estimator and the comparison need."""
        return load_estimator(self.estimator).needs | self.compares_with

    async def rewards(
        self, question: Question, rollouts: Sequence[Rollout], ctx: GroupContext
    ) -> Marks:
        """Return `compare` with the estimator's reference for the group."""
        target = await reference(self.estimator, question, rollouts, ctx)
        return await self.compare(target, question, rollouts, ctx)

    @abstractmethod
    async def compare(
        self, target: Reference, question: Question, rollouts: Sequence[Rollout], ctx: GroupContext
    ) -> Marks:
        """Return one reward per rollout for this reference."""


async def reference(
    name: str, question: Question, rollouts: Sequence[Rollout], ctx: GroupContext
) -> Reference:
    """Return an estimator's reference for a group; rewards that use it share one computation.

    The estimator gets the group in the same order as in a run, so that the two share calls; an
    estimator with `budgets` gets as many rollouts as its largest budget that fits. Raises the
    estimator's errors, and ValueError for an invalid estimate.
    """
    by_slot = {r.slot: r for r in rollouts}
    handed = [by_slot[slot] for slot in shuffle_slots(question.id, by_slot)]
    chosen = load_estimator(name)
    if chosen.budgets is not None:
        if problem := explain_misfit(name, len(handed)):
            raise ValueError(problem)
        handed = handed[: max(n for n in chosen.budgets if n <= len(handed))]
    key = ("reference", name, question.id, *sorted(by_slot))
    estimate = await ctx.once(key, lambda lent: chosen.aggregator.aggregate(question, handed, lent))
    settled = await _settle(estimate, question, handed, ctx)
    if settled.text is None or settled.text.strip():
        return settled
    return Reference(None, {**settled.notes, "abstained": "the reference is empty"})


def explain_misfit(estimator: str, size: int) -> str | None:
    """Return why an estimator cannot read a group of `size` rollouts, or None."""
    budgets = load_estimator(estimator).budgets
    if budgets is None or any(n <= size for n in budgets):
        return None
    return f"estimator {estimator!r} reads at least {min(budgets)} rollouts; a group has {size}"


async def _settle(
    estimate: Estimate, question: Question, rollouts: Sequence[Rollout], ctx: GroupContext
) -> Reference:
    """Return the estimate as one text."""
    notes = {"fallback": estimate.fallback} if estimate.fallback else {}
    if estimate.abstained:
        return Reference(None, {**notes, "abstained": estimate.reason or "no reason given"})
    if estimate.text is not None:
        return Reference(estimate.text, notes)
    texts = {r.slot: r.text for r in rollouts}
    weights = dict(estimate.picks)
    if not (set(weights) <= set(texts) and isclose(sum(weights.values()), 1)):
        raise ValueError(f"picks {estimate.picks} are not shares of the rollouts that it was given")
    keys = dict(zip(texts, await ctx.keys(rollouts), strict=True))
    mass = _sum((keys[slot], weight) for slot, weight in weights.items())
    key = weighted_draw(question.id, mass)
    masses = _sum((texts[slot], w) for slot, w in weights.items() if keys[slot] == key)
    count = sum(weight > 0 for weight in mass.values())
    tied: dict[str, JSON] = {"tied": count} if count > 1 else {}
    return Reference(weighted_draw(question.id, masses), {**notes, **tied})


def _sum(weighted: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Return the summed weight of each key."""
    sums: dict[str, float] = {}
    for key, weight in weighted:
        sums[key] = sums.get(key, 0.0) + weight
    return sums


def weighted_draw(seed: str, weights: Mapping[str, float]) -> str:
    """Draw one key with chances in proportion to the weights, by the hash of seed and key.

    It is a race of exponential clocks (Efraimidis and Spirakis 2006): equal weights have equal
    chances, and a key's clock does not depend on the other keys.
    """

    def clock(key: str) -> tuple[float, str]:
        return -log(uniform(f"{seed}\0{key}")) / weights[key], key

    return min((key for key, weight in weights.items() if weight > 0), key=clock)


def uniform(seed: str) -> float:
    """Map the seed's SHA-256 to a number between 0 and 1, uniform over seeds."""
    digest = sha256(seed.encode("utf-8", "surrogatepass")).digest()
    return (int.from_bytes(digest[:8]) + 0.5) / 2**64
