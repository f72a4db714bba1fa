"""The curve of a method over its costs: exact at its budgets, interpolated between them.

Majority is not interpolated: between its budgets it is exact at every whole n, rounded up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import ceil, isclose, log2, nan

import numpy as np

from cat_bench.report.summary import MAJORITY
from cat_bench.report.values import Values
from cat_bench.report.votes import Votes
from cat_bench.runs.tables import RunTables
from cat_bench.types.calls import JSON, FloatArray

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Match:
    """The reference at a given cost: its n there, and its values, shape (questions,)."""

    n: float
    values: FloatArray

    @property
    def mean(self) -> float:
        """The mean over the questions that have a value."""
        present = self.values[~np.isnan(self.values)]
        return float(present.mean()) if len(present) else nan


@dataclass(frozen=True, slots=True)
class Curve:
    """A method's budgets, their costs in tokens per question, and the values there."""

    budgets: Sequence[int]
    costs: Sequence[float]
    values: Sequence[FloatArray]
    exact: Callable[[int], FloatArray] | None = None
    """Computes exact values at any n; None if values are known at the budgets only."""

    @classmethod
    def of(cls, method: str, values: Values, costs: Mapping[JSON, float], run: RunTables) -> Curve:
        """Return the curve of a method over its budgets; each cost is tokens per question."""
        budgets = [n for n in values.budgets(method) if n > 0]
        keys = [(method, n) for n in budgets]
        votes = run.reading(Votes) if method == MAJORITY else None
        exact = partial(votes.at, questions=values.questions) if votes and votes.pools else None
        columns = [values.columns[key] for key in keys]
        return cls(budgets, [costs[key] for key in keys], columns, exact)

    def at(self, cost: float) -> Match | None:
        """Return the curve at this cost; None outside its range.

        None, too, if the curve reaches this cost several times: a larger budget costs less if only
        questions with short texts reach it.
        """
        for n, price, values in zip(self.budgets, self.costs, self.values, strict=True):
            if isclose(price, cost):  # even if the next budget lacks questions
                return Match(n, values)
        if not self.costs or not self.costs[0] < cost < self.costs[-1]:
            return None
        steps = enumerate(pairwise(self.costs), 1)
        right, *more = [k for k, step in steps if min(step) < cost < max(step)]
        if more:
            return None
        low, high = self.costs[right - 1], self.costs[right]
        if self.exact:  # each further rollout costs the same
            before, after = self.budgets[right - 1], self.budgets[right]
            whole_n = before + ceil((after - before) * (cost - low) / (high - low) - _ROUNDING)
            return Match(whole_n, self.values[right] if whole_n == after else self.exact(whole_n))
        share = log2(cost / low) / log2(high / low)
        n = self.budgets[right - 1] ** (1 - share) * self.budgets[right] ** share
        return Match(n, (1 - share) * self.values[right - 1] + share * self.values[right])
