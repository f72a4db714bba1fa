"""Independent units of a mean: questions, or clusters of questions that depend on one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np

from cat_bench.types.calls import FloatArray

Clusters = Sequence[str | None]


@dataclass(frozen=True, slots=True)
class Units:
    """Independent units: sums of values and numbers of questions per unit, shapes (G,).

    `likeness` in [0, 1] is the similarity of a unit's questions: 1 if they have one value, 0 if
    they differ as much as questions of different units.
    """

    sums: FloatArray
    sizes: FloatArray
    likeness: float = 1.0

    @classmethod
    def of(cls, values: FloatArray, clusters: Clusters | None = None) -> Units:
        """Return one unit per cluster, in order of first appearance; None is a cluster of its own.

        Raises ValueError if the numbers of clusters and of values differ.
        """
        if clusters is None:
            return cls(values, np.ones_like(values))
        if len(clusters) != len(values):
            raise ValueError(f"{len(clusters)} clusters are named for {len(values)} questions")
        seen: dict[str | int, int] = {}
        keys = [i if name is None else name for i, name in enumerate(clusters)]
        ids = np.array([seen.setdefault(key, len(seen)) for key in keys], dtype=int)
        sums = np.bincount(ids, weights=values).astype(float)
        sizes = np.bincount(ids).astype(float)
        spare = len(values) - len(sums)
        spread = values.var() if len(values) else 0.0
        if not spare or not spread:
            return cls(sums, sizes)
        within_variance = ((values - (sums / sizes)[ids]) ** 2).sum() / spare
        return cls(sums, sizes, float(np.clip(1 - within_variance / spread, 0, 1)))

    def __len__(self) -> int:
        return len(self.sums)

    @property
    def mean(self) -> float:
        """The mean over questions."""
        return float(self.sums.sum() / self.sizes.sum())

    @property
    def se(self) -> float:
        """The cluster-robust standard error of the mean; sd / sqrt(Q) for clusters of one.

        The residuals are adjusted so that the variance is unbiased under the working model of
        `likeness`: CR2 (Bell and McCaffrey 2002) for a mean.
        """
        if len(self) < 2:
            return nan
        return float(sqrt((self._factors * self.residuals**2).sum()) / self.sizes.sum())

    @property
    def degrees(self) -> float:
        """Satterthwaite's degrees of freedom of `se`; G - 1 where all units have one size."""
        p, tau, factors = self._shares, self._working, self._factors
        spread, roots = factors * tau, np.sqrt(factors)
        a, b, total = roots * tau, roots * p, tau.sum()
        both = a @ b
        diagonal = total * b * b - 2 * a * b
        squares = (
            (spread**2).sum()
            + 2 * (spread * diagonal).sum()
            + 2 * (a @ a) * (b @ b)
            + 2 * both**2
            - 4 * total * both * (b @ b)
            + (total * (b @ b)) ** 2
        )
        return float((spread + diagonal).sum() ** 2 / squares)

    @property
    def skew(self) -> float:
        """The skewness of the units' residuals; 0 where all are equal."""
        spread = (self.residuals**2).mean()
        return float((self.residuals**3).mean() / spread**1.5) if spread > 0 else 0.0

    @property
    def spread_over(self) -> float:
        """The effective number of units behind the spread: about k if k differ by 1, the rest by 0.

        This is the number of units over their kurtosis; 0 if all differ by the same.
        """
        return concentration(self.residuals**2)

    @property
    def residuals(self) -> FloatArray:
        """Each unit's sum minus its share of the mean, shape (G,); rounding is removed."""
        residuals = self.sums - self.mean * self.sizes
        exact: FloatArray = np.where(np.abs(residuals) > rounding_of(self.sums), residuals, 0.0)
        return exact

    @property
    def _shares(self) -> FloatArray:
        shares: FloatArray = self.sizes / self.sizes.sum()
        return shares

    @property
    def _working(self) -> FloatArray:
        """The variance of each unit's part of the mean under the working model, up to scale."""
        separate = (1 - self.likeness) * self._shares / self.sizes.sum()
        variances: FloatArray = self.likeness * self._shares**2 + separate
        return variances

    @property
    def _factors(self) -> FloatArray:
        """The factor by which each squared residual is too small under the working model."""
        p, tau = self._shares, self._working
        part = np.divide(p**2, tau, out=np.ones_like(p), where=tau > 0)  # an empty unit has neither
        factors: FloatArray = 1 / (1 - 2 * p + part * tau.sum())
        return factors


def concentration(amounts: FloatArray) -> float:
    """Return the effective number of amounts: k if k are equal and the rest are 0."""
    squares = float(amounts @ amounts)
    return float(amounts.sum()) ** 2 / squares if squares > 0 else 0.0


def rounding_of(values: FloatArray) -> float:
    """Return the difference below which numbers of this size are equal up to rounding."""
    return 1e-12 * float(np.abs(values).max(initial=0))
