"""A second grid, of families that no method was chosen on.

    python -m tests.benchmarks.coverage_fresh     # writes results/coverage_fresh_grid.csv
    python -m tests.benchmarks.coverage --grid fresh

The list of cells was committed before any of them was measured, and no constant was changed after.
Cells, draws and differences are as in `coverage_grid`; means, numbers of questions and of draws are
others, and so are the families:

- `three kinds`: a question is always, never, or half the time solved; a draw is 0 or 1.
- `logit normal`: the logit of the ease is normal with standard deviation 2; a draw is 0 or 1.
- `of 4`: ease beta of concentration 0.5; a draw has points out of 4.
- `band`: ease uniform in the widest band around the mean; a draw is the ease, or one of its two
  neighbours at a third of the way to 0 and to 1 that keep its mean.
- `exponential`: ease exponential; a draw is the ease times a uniform number below 2, at most 1.
  From a mean of 0.5 on, 1 less such a draw.
- `rubric`: ease beta of concentration 3; a draw is the share of 26 points won by six criteria of 1,
  2, 3, 5, 5 and 10 points, each met with that probability.
- `pairs as clusters`: two questions share one ease, beta of concentration 2; a draw is 0 or 1.
- `ten large clusters`: half of the questions are in ten clusters, the others alone; ease as for
  `even clusters`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import norm

from cat_bench.types.calls import FloatArray
from tests.benchmarks.coverage_grid import (
    Cell,
    Draw,
    Ease,
    around,
    beta_ease,
    binomial_draw,
    cluster_ids,
    publish,
)

PUBLISHED = Path(__file__).parent / "results" / "coverage_fresh_grid.csv"
QUESTIONS = (50, 200)
MEANS = (0.02, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 0.98)
MEANS_OF_PAIRS = (0.02, 0.2, 0.6, 0.95)
DRAWS = (1, 2, 8)
PAIRED_DRAWS = ((1, 1), (1, 8), (2, 2))
EFFECT = 0.03
POINTS = np.array([1, 2, 3, 5, 5, 10])


def cells() -> Iterator[Cell]:
    """Every cell of the grid, those of means first."""
    for scores, questions, mean, draws in product(SCORES, QUESTIONS, MEANS, DRAWS):
        yield Cell(scores, questions, mean, draws)
    for scores, questions, mean in product(SCORES, QUESTIONS, MEANS_OF_PAIRS):
        for (draws, other), size in product(PAIRED_DRAWS, (0.0, EFFECT)):
            yield Cell(scores, questions, mean, draws, other, size if mean < 0.9 else -size)


def _three_kinds(cell: Cell, count: int, rng: np.random.Generator) -> FloatArray:
    half = min(cell.mean, 1 - cell.mean)
    odds = (1 - half - (cell.mean - half / 2), half, cell.mean - half / 2)
    return rng.choice([0.0, 0.5, 1.0], (count, cell.questions), p=odds)


def _logit_normal(cell: Cell, count: int, rng: np.random.Generator) -> FloatArray:
    normal = rng.standard_normal((count, cell.questions))
    ease: FloatArray = expit(_logit_location(cell.mean) + 2 * normal)
    return ease


@cache
def _logit_location(mean: float) -> float:
    def excess(at: float) -> float:
        value: float = quad(lambda z: expit(at + 2 * z) * norm.pdf(z), -9, 9)[0]
        return value - mean

    location: float = brentq(excess, -15, 15, xtol=1e-12)
    return location


def _band(cell: Cell, count: int, rng: np.random.Generator) -> FloatArray:
    half = min(cell.mean, 1 - cell.mean)
    return rng.uniform(cell.mean - half, cell.mean + half, (count, cell.questions))


def _neighbour(cell: Cell, ease: FloatArray, draws: int, rng: np.random.Generator) -> FloatArray:
    """Down by a third of the ease with probability (1 - ease) / 3, up likewise: the mean stays."""
    total = np.zeros_like(ease)
    for _ in range(draws):
        luck = rng.random(ease.shape)
        down, up = luck < (1 - ease) / 3, luck > 1 - ease / 3
        total += ease - down * ease / 3 + up * (1 - ease) / 3
    values: FloatArray = total / draws
    return values


def _exponential(cell: Cell, count: int, rng: np.random.Generator) -> FloatArray:
    return rng.exponential(1.0, (count, cell.questions))


def _uniform_share(
    cell: Cell, ease: FloatArray, draws: int, rng: np.random.Generator
) -> FloatArray:
    scale = _exponential_scale(round(min(cell.mean, 1 - cell.mean), 12))
    noise = (rng.uniform(0, 2, ease.shape) for _ in range(draws))
    values: FloatArray = np.sum([np.minimum(scale * ease * each, 1) for each in noise], axis=0)
    return values / draws if cell.mean <= 0.5 else 1 - values / draws


@cache
def _exponential_scale(mean: float) -> float:
    """The scale at which min(scale * E * U, 1) has this mean: E exponential, U uniform to 2."""

    def excess(scale: float) -> float:
        given = quad(lambda u: scale * u * -np.expm1(-1 / (scale * u)), 1e-12, 2)[0] / 2
        return float(given) - mean

    scale: float = brentq(excess, mean / 2, 50)
    return scale


def _weighted(cell: Cell, ease: FloatArray, draws: int, rng: np.random.Generator) -> FloatArray:
    won = [rng.binomial(draws, ease) * points for points in POINTS]
    values: FloatArray = np.sum(won, axis=0) / (draws * POINTS.sum())
    return values


def _shared_ease(cell: Cell, count: int, rng: np.random.Generator) -> FloatArray:
    ids = cluster_ids(cell.scores, cell.questions)
    concentration = 2 if cell.scores.startswith("pairs") else 1
    shape = (count, ids.max() + 1)
    ease = rng.beta(cell.mean * concentration, (1 - cell.mean) * concentration, shape)[:, ids]
    return ease if cell.scores.startswith("pairs") else around(ease, 6, rng)


SCORES: dict[str, tuple[Ease, Draw]] = {
    "three kinds": (_three_kinds, binomial_draw(1)),
    "logit normal": (_logit_normal, binomial_draw(1)),
    "of 4": (beta_ease(0.5), binomial_draw(4)),
    "band": (_band, _neighbour),
    "exponential": (_exponential, _uniform_share),
    "rubric": (beta_ease(3), _weighted),
    "pairs as clusters": (_shared_ease, binomial_draw(1)),
    "ten large clusters": (_shared_ease, binomial_draw(1)),
}


if __name__ == "__main__":
    publish(cells(), PUBLISHED)
