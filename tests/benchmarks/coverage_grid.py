"""The grid on which intervals and p values are tested.

    python -m tests.benchmarks.coverage_grid      # writes results/coverage_grid.csv

A cell says how the scores of a question arise, the number of questions, the true mean and the
number of draws that a question's value averages; a cell of differences also has the draws of the
other method and the true difference. Every question has a latent ease; draws are independent given
it, so two methods of one ease differ by sampling alone.

- `binary`: ease by a beta distribution of concentration 1, so that most questions are nearly always
  or nearly never solved; a draw is 0 or 1.
- `alike`: every question has the same ease; a draw is 0 or 1.
- `of 16`: concentration 2; a draw has points out of 16.
- `graded`: concentration 4; a draw is beta around the ease, of concentration 8.
- `lognormal`: ease exp(m + 0.8 z); a draw is the ease times exp(0.6 z), at most 1. From a mean of
  0.5 on, 1 less such a draw.
- `sparse`: uniform for a share of the questions, 0 for the others (or 1); a draw as for `graded`.
- `even clusters`: three questions share a cluster, whose ease is as for `binary`; a question's own
  is beta around it, of concentration 6; a draw is 0 or 1.
- `uneven clusters`: the same, and the first cluster has 30 % of all questions, cluster k a k-th of
  that.

A true difference d raises scores where the mean is below 0.9, and lowers them from there on. Where
one draw is 0 or 1, and for sparse scores, it comes from few questions: with probability
d / (1 - mean), or d / mean, all draws of a question are 1, or 0. Elsewhere every question goes the
same share of the way to 1, or 0: means of draws and graded scores have no rare full jump.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from itertools import product
from math import exp, log
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr

from cat_bench.types.calls import FloatArray

PUBLISHED = Path(__file__).parent / "results" / "coverage_grid.csv"
QUESTIONS = (30, 100, 500)
MEANS = (0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.99)
MEANS_OF_PAIRS = (0.01, 0.1, 0.5, 0.9, 0.99)
DRAWS = (1, 4, 16)
PAIRED_DRAWS = ((1, 1), (1, 16), (4, 4), (16, 16))
EFFECT = 0.04
CONTINUOUS = ("of 16", "graded", "lognormal", "of 4", "band", "exponential", "rubric")
"""Families, of the fresh grid too, of which one draw is more than 0 or 1."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell; `other_draws` and `effect` are None where it is about a mean."""

    scores: str
    questions: int
    mean: float
    draws: int
    other_draws: int | None = None
    effect: float | None = None

    @property
    def truth(self) -> float:
        """The true mean, or the true difference."""
        return self.mean if self.effect is None else self.effect


Ease = Callable[[Cell, int, np.random.Generator], FloatArray]
Draw = Callable[[Cell, FloatArray, int, np.random.Generator], FloatArray]


def cells() -> Iterator[Cell]:
    """Every cell of the grid, those of means first."""
    for scores, questions, mean, draws in product(SCORES, QUESTIONS, MEANS, DRAWS):
        yield Cell(scores, questions, mean, draws)
    for scores, questions, mean in product(SCORES, QUESTIONS, MEANS_OF_PAIRS):
        if scores == "sparse" and mean == 0.5:
            continue  # no score would be 0
        for (draws, other), size in product(PAIRED_DRAWS, (0.0, EFFECT)):
            yield Cell(scores, questions, mean, draws, other, size if mean < 0.9 else -size)


def clusters_of(cell: Cell) -> list[str] | None:
    """The cluster of each question; None where questions are independent."""
    if not cell.scores.endswith("clusters"):
        return None
    return [str(k) for k in cluster_ids(cell.scores, cell.questions)]


def data_sets(
    cell: Cell,
    count: int,
    *,
    rng: np.random.Generator,
    families: Mapping[str, tuple[Ease, Draw]] | None = None,
) -> tuple[FloatArray, FloatArray | None]:
    """`count` data sets of a cell, shape (count, questions): the values of one method, or of two.

    The second is None where the cell is about a mean. `families` are those of this grid by default.
    """
    ease, draw = (families or SCORES)[cell.scores]
    latent = ease(cell, count, rng)
    values = draw(cell, latent, cell.draws, rng)
    if cell.other_draws is None:
        return values, None
    other = draw(cell, latent, cell.other_draws, rng)
    top = cell.mean < 0.9
    share = abs(cell.effect or 0.0) / ((1 - cell.mean) if top else cell.mean)
    jumps = cell.scores == "sparse" or (cell.draws == 1 and cell.scores not in CONTINUOUS)
    by = rng.random(values.shape) < share if jumps else share
    return values + by * (float(top) - values), other


def beta_ease(concentration: float) -> Ease:
    """Ease by a beta distribution around the cell's mean."""

    def ease(cell: Cell, count: int, rng: np.random.Generator) -> FloatArray:
        shape = (count, cell.questions)
        return rng.beta(cell.mean * concentration, (1 - cell.mean) * concentration, shape)

    return ease


def same_ease(cell: Cell, count: int, rng: np.random.Generator) -> FloatArray:
    """The cell's mean for every question."""
    return np.full((count, cell.questions), cell.mean)


def _sparse_ease(cell: Cell, count: int, rng: np.random.Generator) -> FloatArray:
    shape = (count, cell.questions)
    low = min(cell.mean, 1 - cell.mean)
    ease = np.where(rng.random(shape) < 2 * low, rng.random(shape), 0.0)
    return ease if cell.mean <= 0.5 else 1 - ease


def _lognormal_ease(cell: Cell, count: int, rng: np.random.Generator) -> FloatArray:
    return np.exp(0.8 * rng.standard_normal((count, cell.questions)))


def _clustered_ease(cell: Cell, count: int, rng: np.random.Generator) -> FloatArray:
    ids = cluster_ids(cell.scores, cell.questions)
    shared = rng.beta(cell.mean, 1 - cell.mean, (count, ids.max() + 1))[:, ids]
    return around(shared, 6, rng)


def around(ease: FloatArray, concentration: float, rng: np.random.Generator) -> FloatArray:
    """A beta draw around each ease."""
    inner = np.clip(ease, 1e-9, 1 - 1e-9)
    return rng.beta(concentration * inner, concentration * (1 - inner))


def binomial_draw(points: int) -> Draw:
    """The mean of `draws` scores out of `points`, as shares."""

    def draw(cell: Cell, ease: FloatArray, draws: int, rng: np.random.Generator) -> FloatArray:
        return rng.binomial(points * draws, ease) / (points * draws)

    return draw


def _beta_draw(cell: Cell, ease: FloatArray, draws: int, rng: np.random.Generator) -> FloatArray:
    inside = (ease > 0) & (ease < 1)
    total = np.sum([around(ease, 8, rng) for _ in range(draws)], axis=0)
    values: FloatArray = np.where(inside, total / draws, ease)
    return values


def _lognormal_draw(
    cell: Cell, ease: FloatArray, draws: int, rng: np.random.Generator
) -> FloatArray:
    scale = exp(_location(min(cell.mean, 1 - cell.mean)))
    noise = (np.exp(0.6 * rng.standard_normal(ease.shape)) for _ in range(draws))
    total = np.sum([np.minimum(scale * ease * each, 1) for each in noise], axis=0)
    values: FloatArray = total / draws
    return values if cell.mean <= 0.5 else 1 - values


@cache
def _location(mean: float) -> float:
    """m for which exp(m + z), z standard normal, has this mean once it is cut at 1."""
    found: float = brentq(lambda m: exp(m + 0.5) * ndtr(-m - 1) + ndtr(m) - mean, log(mean) - 5, 5)
    return found


@cache
def cluster_ids(scores: str, questions: int) -> NDArray[np.int64]:
    """The cluster of each question, by the family's name."""
    if scores == "even clusters":
        return np.arange(questions) // 3
    if scores == "pairs as clusters":
        return np.arange(questions) // 2
    if scores == "ten large clusters":
        ids = np.arange(questions)
        return np.where(ids < questions // 2, ids % 10, ids)
    first = round(0.3 * questions)
    sizes: list[int] = []
    while sum(sizes) < questions:
        size = max(1, first // (len(sizes) + 1))
        sizes.append(min(size, questions - sum(sizes)))
    return np.repeat(np.arange(len(sizes)), sizes)


SCORES: dict[str, tuple[Ease, Draw]] = {
    "binary": (beta_ease(1), binomial_draw(1)),
    "alike": (same_ease, binomial_draw(1)),
    "of 16": (beta_ease(2), binomial_draw(16)),
    "graded": (beta_ease(4), _beta_draw),
    "lognormal": (_lognormal_ease, _lognormal_draw),
    "sparse": (_sparse_ease, _beta_draw),
    "even clusters": (_clustered_ease, binomial_draw(1)),
    "uneven clusters": (_clustered_ease, binomial_draw(1)),
}


def publish(chosen: Iterable[Cell], path: Path) -> None:
    """Write a list of cells."""
    with path.open("w", newline="") as file:
        names = [field.name for field in fields(Cell)]
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(cell) for cell in chosen)


if __name__ == "__main__":
    publish(cells(), PUBLISHED)
