"""Each question's value at every method and n, and the comparisons between them.

Invariants:

- A question's value is the mean of its draws; a draw weighs as much as its picks that were scored.
- A question without a value is unscored: means and pairs leave it out.
- Differences are taken over the questions that both sides scored.
- The order in which questions finished has no effect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cat_bench.models.costs import COSTS, TOTALS
from cat_bench.runs.parts import RowsByQuestion
from cat_bench.runs.tables import Reading, RunTables
from cat_bench.stats.exact import draw_error
from cat_bench.stats.intervals import (
    Difference,
    Interval,
    mean_interval,
    paired_difference,
    quotient,
)
from cat_bench.system.parallel import Executor
from cat_bench.types.calls import JSON, FloatArray

Key: TypeAlias = tuple[JSON, ...]
"""(method, n); among several runs (run, method, n)."""
KEY = ["method", "n"]
LEVEL = 0.95
_Pair: TypeAlias = tuple[FloatArray, FloatArray, list[str | None] | None]
COLUMNS = (
    *("question", "cluster", *KEY, "draw", "slots", "subsets", "rollout_var", "draw_se"),
    *("score", "lost", "abstained", "exhausted", "unlabelled", "failed", "fallback"),
    *COSTS,
)
"""The columns of score rows that `per_question` reads, and the question's group."""
_ROUNDING = 1e-9
"""A smaller share is a rounding error."""
ROLES = ("policy", "anchor", "judge")
"""The roles whose calls have token counts, unless their server sends none."""


@dataclass(frozen=True, slots=True)
class Values:
    """Each question's value by `Key`, shapes (questions,); NaN for an unscored question."""

    columns: Mapping[Key, FloatArray]
    questions: tuple[str, ...]
    clusters: tuple[str | None, ...] | None
    known: dict[bytes, Difference] = field(default_factory=dict, repr=False)
    """Computed differences, by a digest of the compared values."""

    @classmethod
    def of(cls, wide: pd.DataFrame, clusters: Mapping[str, JSON]) -> Values:
        """Make values from a table of questions × keys and the clusters of questions."""
        wide = wide.sort_index()
        keys: JSON = wide.columns
        columns = dict(zip(keys, wide.to_numpy(float).T, strict=True))
        questions = tuple(map(str, wide.index))
        cluster_of = [clusters.get(question) for question in questions]
        names = tuple(name if isinstance(name, str) else None for name in cluster_of)
        return cls(columns, questions, names if any(names) else None)

    def budgets(self, *method_key: str) -> list[int]:
        """Return the n at which a method has values; the key is (method,) or (run, method)."""
        return sorted(key[-1] for key in self.columns if key[:-1] == method_key)

    def mean(self, key: Key) -> dict[str, JSON]:
        """Return the fields of a mean and its interval, clipped to [0, 1]."""
        present = ~np.isnan(self.columns[key])
        mean = mean_interval(self.columns[key][present], clusters=self._select_clusters(present))
        score, low, high = np.clip([mean.mean, mean.low, mean.high], 0, 1).tolist()
        interval = {"score": score, "se": mean.se, "ci_low": low, "ci_high": high}
        return {**interval, "questions": mean.n, "flag": mean.flag if mean.n else None}

    def difference(self, a: Key, b: Key, *, level: float = LEVEL) -> Difference:
        """Return the difference a - b over the questions that both scored."""
        return self.against(a, self.columns[b], level=level)

    def against(self, a: Key, other: FloatArray, *, level: float = LEVEL) -> Difference:
        """Return the difference between a and these values, shape (questions,)."""
        pair = self._pair(self.columns[a], other)
        if level != LEVEL:
            return _paired_difference(pair, level=level)
        digest = _digest(pair)
        if digest not in self.known:
            self.known[digest] = _paired_difference(pair)
        return self.known[digest]

    def pair(self, a: FloatArray, b: FloatArray) -> Difference:
        """Return the difference a - b of values by question, where neither is NaN."""
        return _paired_difference(self._pair(a, b))

    def resample(self, pairs: Iterable[tuple[Key, FloatArray]], executor: Executor | None) -> None:
        """Compute differences in parallel, for `against`; without an executor, do nothing."""
        if executor is None:
            return
        pending = {
            _digest(pair): pair
            for pair in (self._pair(self.columns[key], other) for key, other in pairs)
        }
        fresh = {digest: pair for digest, pair in pending.items() if digest not in self.known}
        self.known.update(
            zip(fresh, executor.map(_paired_difference, list(fresh.values())), strict=True)
        )

    def share(self, key: Key, floor: Key, ceiling: Key) -> Interval:
        """Return (key - floor) / (ceiling - floor), over the questions that all three scored."""
        value, low, high = (self.columns[k] for k in (key, floor, ceiling))
        common = ~np.isnan(value + low + high)
        return quotient(
            (value - low)[common], (high - low)[common], clusters=self._select_clusters(common)
        )

    def restrict(self, selected: NDArray[np.bool_]) -> Values:
        """Return the values of some of the questions."""
        columns = {key: column[selected] for key, column in self.columns.items()}
        names = tuple(np.array(self.questions, dtype=object)[selected])
        return Values(
            columns,
            names,
            None if self.clusters is None else tuple(self._select_clusters(selected) or ()),
        )

    def _pair(self, a: FloatArray, b: FloatArray) -> _Pair:
        common = ~(np.isnan(a) | np.isnan(b))
        return a[common], b[common], self._select_clusters(common)

    def _select_clusters(self, selected: NDArray[np.bool_]) -> list[str | None] | None:
        if self.clusters is None:
            return None
        return [self.clusters[index] for index in np.flatnonzero(selected)]


def _paired_difference(pair: _Pair, *, level: float = LEVEL) -> Difference:
    """Return the paired difference; its interval is clipped to [-1, 1] for values in [0, 1]."""
    left, right, clusters = pair
    difference = paired_difference(left, right, clusters=clusters, level=level)
    if any(side.min(initial=0) < 0 or side.max(initial=1) > 1 for side in (left, right)):
        return difference
    return replace(difference, low=max(difference.low, -1.0), high=min(difference.high, 1.0))


def _digest(pair: _Pair) -> bytes:
    left, right, clusters = pair
    hasher = blake2b(left.tobytes(), digest_size=16)
    hasher.update(right.tobytes())
    hasher.update(repr(clusters).encode())
    return hasher.digest()


@dataclass(frozen=True, slots=True)
class Totals:
    """The columns of `per_question`, added up over questions: tables of (method, n) × columns.

    `counts` has the number of values that are not missing, `sizes` the number of questions.
    """

    sums: pd.DataFrame
    counts: pd.DataFrame
    sizes: pd.Series[int]

    @classmethod
    def of(cls, table: pd.DataFrame) -> Totals:
        """Return the totals of one `per_question`."""
        groups = table.groupby(level=KEY, sort=False)
        return cls(groups.sum(), groups.count(), groups.size())

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            self.sums.add(other.sums, fill_value=0),
            self.counts.add(other.counts, fill_value=0),
            self.sizes.add(other.sizes, fill_value=0),
        )

    def where(self, chosen: Callable[[str, int], bool]) -> Totals:
        """Return the totals of some (method, n)."""
        keys = [key for key in self.sums.index if chosen(*key)]
        return Totals(self.sums.loc[keys], self.counts.loc[keys], self.sizes.loc[keys])

    @property
    def mean(self) -> pd.DataFrame:
        """Return the means over the questions that have a value; NaN where none has one."""
        return self.sums / self.counts


class PerQuestion(Reading):
    """Each question's value at every method and n, and the totals of all other columns.

    Memory holds a number for each question, method and n.
    """

    score_columns = COLUMNS

    def __init__(self, record: Mapping[str, JSON]) -> None:
        super().__init__(record)
        self._wide: list[pd.DataFrame] = []
        self._totals: list[Totals] = []
        self._clusters: dict[str, JSON] = {}

    def add_scores(self, rows: pd.DataFrame, pools: RowsByQuestion) -> None:
        """Take in score rows of whole questions."""
        table = per_question(rows)
        self._wide.append(table["value"].unstack(KEY))
        self._totals.append(Totals.of(table))
        clusters = rows.drop_duplicates("question").set_index("question")["cluster"].dropna()
        self._clusters |= {str(name): value for name, value in clusters.items()}

    @cached_property
    def at_all_n(self) -> tuple[Values, Totals]:
        """All values and totals."""
        wide = pd.concat(self._wide)
        keys = [(str(key[0]), int(key[1])) for key in wide.columns.to_flat_index()]
        wide.columns = pd.Index(keys, tupleize_cols=False)
        self._wide.clear()
        return Values.of(wide, self._clusters), sum(self._totals[1:], self._totals[0])

    @cached_property
    def at_budgets(self) -> tuple[Values, Totals]:
        """The values and totals at the run's budgets."""
        values, totals = self.at_all_n
        in_table = budget_test(self.record)
        columns = {key: column for key, column in values.columns.items() if in_table(*key)}
        return replace(values, columns=columns), totals.where(in_table)


def budget_test(record: Mapping[str, JSON]) -> Callable[[str, int], bool]:
    """Return a function that tells whether the run was asked for a method at n.

    Larger n were evaluated because they cost nothing; tables leave them out.
    """
    budgets = list_budgets(record)
    with_own = {entry["name"] for entry in record["methods"] if entry.get("budgets")}
    return lambda method, n: not budgets or method in with_own or n in budgets


def list_budgets(record: Mapping[str, JSON]) -> list[int]:
    """Return a run's budgets, including those of methods without calls; empty if unknown."""
    config = record["config"]
    return sorted({*config.get("budgets", ()), *config.get("free_budgets", ())})


def read_values(run: RunTables | Path, *, all_n: bool = False) -> tuple[Values, Totals]:
    """Return a run's values, and the totals of all other columns over its questions.

    `all_n` keeps the values at larger n than the run's budgets. Raises DataError.
    """
    reading = RunTables.of(run).reading(PerQuestion)
    return reading.at_all_n if all_n else reading.at_budgets


def per_question(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over draws, per method, n and question: values, shares and costs.

    `rollout_var` is how much the value would vary with new rollouts: exact values have it recorded;
    for drawn values it is estimated from draws that share no rollout. `draw_var` is the variance of
    a drawn value over other draws from the same pool, or over other orders. `exact` is 1 if the
    value is an expectation or all subsets were drawn, else 0. Tokens are NaN if a role's calls have
    no token counts.
    """
    rows = rows.sort_values([*KEY, "question", "draw"], kind="stable")
    scored = rows["score"].notna()
    weight = (1 - rows["lost"]).where(scored, 0.0)
    mass = weight * rows["score"].fillna(0.0)
    fell = rows["fallback"].notna() & (rows["abstained"] < 1)
    numbers = ["abstained", "exhausted", "unlabelled", "rollout_var", "draw_se", *COSTS]
    data = rows[[*KEY, "question", *numbers]].assign(
        weight=weight,
        mass=mass,
        without_fallbacks=mass.where(~fell, 0.0),
        not_exhausted=(weight - rows["exhausted"]).clip(lower=0.0),
        lost=(1 - weight).where(rows["unlabelled"] == 0, 0.0),
        fallback=fell.astype(float),
        failed=rows["failed"].notna().astype(float),
        draws=rows["draw"].notna().astype(float),
        disjoint_scores=rows["score"].where(np.array(_disjoint(rows), dtype=bool)),
    )
    groups = data.groupby([*KEY, "question"], sort=False)
    means = groups.mean()
    means["value"] = means["mass"] / means["weight"]
    means["score_fallback_0"] = means["without_fallbacks"] / means["weight"]
    means["score_exhausted_out"] = means["mass"] / means["not_exhausted"].where(
        means["not_exhausted"] > _ROUNDING
    )
    between = groups["disjoint_scores"].var() / groups["disjoint_scores"].count()
    means["rollout_var"] = means["rollout_var"].fillna(between)
    drawn = rows.groupby([*KEY, "question"], sort=False)
    spread, count = drawn["score"].std(), drawn["score"].count()
    error = draw_error(
        spread, draws=count, subsets=drawn["subsets"].first().astype(float).fillna(np.inf)
    )
    drawn_var = pd.Series(error**2, spread.index).where(groups["draws"].sum() > 0)
    means["draw_var"] = drawn_var.fillna(means.pop("draw_se").astype(float) ** 2)
    undrawn = (groups["draws"].sum() == 0) & means["draw_var"].isna()
    means["exact"] = (undrawn | (count >= drawn["subsets"].first())).astype(float)
    for role in ROLES:
        counted = (means[f"{role}_tokens"] > 0) | (means[f"{role}_calls"] == 0)
        unknown = [*TOTALS[1:], f"{role}_tokens", f"{role}_completion_tokens"]
        means[unknown] = means[unknown].where(counted)
    written_before = (means["sequential_tokens"] == 0) & (means["completion_tokens"] > 0)
    means["sequential_tokens"] = means["sequential_tokens"].mask(written_before)
    return means.assign(failed=groups["failed"].sum(), draws=groups["draws"].sum())


def _disjoint(rows: pd.DataFrame) -> list[bool]:
    """Return for each draw whether it shares no rollout with earlier ones of its question."""
    seen: set[int] = set()
    previous: list[JSON] = []
    disjoint = []
    if not rows["draw"].notna().any():
        return [False] * len(rows)
    columns = (rows[name] for name in (*KEY, "question", "slots"))
    for *key, slots in zip(*columns, strict=True):
        if key != previous:
            seen, previous = set(), key
        disjoint.append(len(slots) > 0 and seen.isdisjoint(slots))
        seen.update(slots)
    return disjoint
