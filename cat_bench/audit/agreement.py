"""How well yes/no verdicts agree: F1 of both classes, Cohen's kappa, bias, with intervals.

A pair is one verdict and one label of the same thing. Pairs of one example are not independent: the
bootstrap draws whole examples. Undefined figures are NaN, for instance the F1 of a class that
neither side ever names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from cat_bench.types.calls import FloatArray

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Pair:
    """One verdict beside one label of the same thing."""

    verdict: bool
    label: bool
    example: str


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement over `pairs` from `examples`.

    `figures` holds `macro_f1` (the mean of `f1_met` and `f1_not_met`), `kappa` (Cohen 1960), `bias`
    (share of verdicts minus share of labels that say met) and `agreed`, the share of equal pairs.
    """

    pairs: int
    examples: int
    figures: Mapping[str, Figure]


def agreement(pairs: Iterable[Pair]) -> Agreement:
    """Return the agreement of all pairs; intervals are percentiles over resampled examples."""
    pairs = list(pairs)
    counts = _counts(pairs)
    observed = _figures(counts.sum(axis=0))
    rng = np.random.default_rng(0)
    spread: dict[str, FloatArray] = {}
    if (groups := len(counts)) > 1:
        drawn = rng.multinomial(groups, np.full(groups, 1 / groups), size=RESAMPLES)
        spread = _figures(drawn @ counts)
    return Agreement(
        len(pairs),
        groups,
        {name: Figure(float(v), *_interval(spread.get(name))) for name, v in observed.items()},
    )


def between_annotators(labels: Iterable[tuple[str, Sequence[bool]]]) -> list[Pair]:
    """Return pairs of labels by different people of the same thing, in both orders.

    `labels` holds an example and all labels of one thing. In both orders, the bias is 0.
    """
    return [
        Pair(first, second, example)
        for example, votes in labels
        for first, second in permutations(votes, 2)
    ]


def _counts(pairs: Sequence[Pair]) -> NDArray[np.int64]:
    """Count each example's pairs: both met, verdict only, label only, neither; (examples, 4)."""
    examples = {name: row for row, name in enumerate(dict.fromkeys(p.example for p in pairs))}
    counts = np.zeros((len(examples), 4), dtype=np.int64)
    for pair in pairs:
        counts[examples[pair.example], 2 * (not pair.verdict) + (not pair.label)] += 1
    return counts


def _figures(counts: NDArray[np.int64]) -> dict[str, FloatArray]:
    """Return every figure of these counts, shape (..., 4)."""
    both, verdict, label, neither = np.moveaxis(counts.astype(float), -1, 0)
    total, differing = both + verdict + label + neither, verdict + label
    with np.errstate(invalid="ignore", divide="ignore"):
        agreed = (both + neither) / total
        labelled, judged = (both + label) / total, (both + verdict) / total
        chance = labelled * judged + (1 - labelled) * (1 - judged)
        f1_met = 2 * both / (2 * both + differing)
        f1_not = 2 * neither / (2 * neither + differing)
        return {
            "macro_f1": (f1_met + f1_not) / 2,
            "f1_met": f1_met,
            "f1_not_met": f1_not,
            "kappa": (agreed - chance) / (1 - chance),
            "bias": judged - labelled,
            "agreed": agreed,
        }


def _interval(values: FloatArray | None) -> tuple[float, float]:
    finite = np.empty(0) if values is None else values[np.isfinite(values)]
    if not len(finite):
        return np.nan, np.nan
    low, high = np.quantile(finite, (0.025, 0.975))
    return float(low), float(high)
