"""Signals: numbers that rank rollouts (higher is better); one file per signal.

Input: a question and its rollouts. Output: a number for each rollout or pair, NaN if it is unknown.
A signal never sees the target, and an unknown number is never 0.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, get_args

import numpy as np

from cat_bench.errors import ConfigError
from cat_bench.loading.registry import build, is_file, list_plugins
from cat_bench.loading.validation import split_inline
from cat_bench.models.throttling import gather_all
from cat_bench.signals.imported import Imported
from cat_bench.types.calls import FloatArray
from cat_bench.types.plugins import Context, Pairwise, Signal
from cat_bench.types.records import Question, Rollout
from cat_bench.types.traits import Reads, SignalTraits, traits

READS = get_args(Reads)


class Number(NamedTuple):
    """The key under which a rollout's own number is computed once per question."""

    by: str
    question: str
    slot: int


class Numbers(NamedTuple):
    """The key under which numbers that are read only from these slots' replies are kept."""

    by: str
    question: str
    slots: tuple[int, ...]


def numbers_known(memory: Mapping[Hashable, asyncio.Future[Any]]) -> dict[int, dict[str, float]]:
    """Return the numbers that signals gave single rollouts of a question: slot → signal → number.

    `memory` is the memory of the question's contexts; a number that failed is left out.
    """
    numbers_of: dict[int, dict[str, float]] = {}
    for key, future in memory.items():
        if not (isinstance(key, Number | Numbers) and future.done()):
            continue
        value = future.result()[0]
        if isinstance(key, Number) and isinstance(value, float):
            numbers_of.setdefault(key.slot, {})[key.by] = value
        elif isinstance(key, Numbers) and isinstance(value, list):
            for slot, number in zip(key.slots, value, strict=True):
                numbers_of.setdefault(slot, {})[key.by] = number
    return numbers_of


@lru_cache
def signal(spec: str) -> Signal:
    """Return the signal `NAME{field=value,...}`, or the imported score of that name.

    A name is a registered one or `./file.py:Class`. The check of a method's needs verifies that a
    pool has an imported score. Raises ConfigError for an invalid signal.
    """
    name, params = split_inline(spec, source=f"signal {spec!r}")
    if not (is_file(name) or name in list_plugins("signal")):
        return Imported(spec)
    built: Signal = build("signal", name, params)
    reads = traits(SignalTraits, built).reads
    if reads not in READS:
        problem = f"is {reads!r}, and should be {' or '.join(map(repr, READS))}"
        raise ConfigError(f"signal {spec!r}", "reads", problem)
    for method in ("scores", *(("matrix",) if reads == "pairs" else ())):
        if not callable(getattr(built, method, None)):
            raise ConfigError(f"signal {spec!r}", "", f"has no method `{method}`: add it")
    return built


@lru_cache
def _is_from_replies(spec: str) -> bool:
    return traits(SignalTraits, signal(spec)).from_replies


async def rate(
    by: str, question: Question, rollouts: Sequence[Rollout], ctx: Context
) -> FloatArray:
    """Return each rollout's number by the signal `by`, shape (rollouts,); NaN for none.

    A number of one rollout or one pair is computed once per question, so that further subsets of
    the pool cost no calls.
    """
    chosen = signal(by)
    if _is_from_replies(by):
        slots = tuple(rollout.slot for rollout in rollouts)
        values = await _numbers(chosen, question, rollouts, ctx)
        ctx.keep(Numbers(by, question.id, slots), values)
        return np.array(values, dtype=float)
    if chosen.reads == "self":

        async def alone(rollout: Rollout) -> float:
            key = Number(by, question.id, rollout.slot)
            return await ctx.once(key, lambda lent: compute(rollout, lent))

        async def compute(rollout: Rollout, lent: Context) -> float:
            return (await _numbers(chosen, question, [rollout], lent))[0]

        return np.array(await gather_all(*map(alone, rollouts)), dtype=float)
    if chosen.reads == "pairs":
        return mean_from_others(await rate_pairs(by, question, rollouts, ctx))
    return np.array(await _numbers(chosen, question, rollouts, ctx))


async def _numbers(
    chosen: Signal, question: Question, rollouts: Sequence[Rollout], ctx: Context
) -> list[float]:
    """Return a signal's numbers. Raises ValueError unless there is one for each rollout."""
    numbers = [float(number) for number in await chosen.scores(question, rollouts, ctx)]
    if len(numbers) != len(rollouts):
        raise ValueError(f"the signal gave {len(numbers)} numbers for {len(rollouts)} rollouts")
    return numbers


async def rate_pairs(
    by: str, question: Question, rollouts: Sequence[Rollout], ctx: Context
) -> FloatArray:
    """Return the matrix (n, n) of the pairwise signal `by`, NaN on the diagonal; each pair once.

    Raises TypeError if `by` does not read pairs.
    """
    chosen = signal(by)
    if not isinstance(chosen, Pairwise):
        raise TypeError(f"signal {by!r} has no matrix")
    ordered = sorted(range(len(rollouts)), key=lambda index: rollouts[index].slot)
    matrix = np.full((len(rollouts), len(rollouts)), np.nan)

    async def fill(i: int, j: int) -> None:
        both = (rollouts[i], rollouts[j])
        key = (by, question.id, both[0].slot, both[1].slot)
        block = await ctx.once(key, lambda lent: chosen.matrix(question, both, lent))
        matrix[i, j], matrix[j, i] = block[0, 1], block[1, 0]

    pairs = ((i, j) for k, i in enumerate(ordered) for j in ordered[k + 1 :])
    await gather_all(*(fill(i, j) for i, j in pairs))
    return matrix


def mean_from_others(matrix: FloatArray) -> FloatArray:
    """Return the mean of each column without diagonal and NaN, shape (n,).

    NaN if a column has no other number, and 0 for a single rollout.
    """
    if len(matrix) == 1:
        return np.zeros(1)
    present = ~(np.isnan(matrix) | np.eye(len(matrix), dtype=bool))
    total, count = np.where(present, matrix, 0.0).sum(axis=0), present.sum(axis=0)
    means = np.full(len(matrix), np.nan)
    np.divide(total, count, out=means, where=count > 0)
    return means
