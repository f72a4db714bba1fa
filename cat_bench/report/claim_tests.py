"""Tests of claims about costs, coverage and rules that stop early.

Each gives a `Part` or a difference per figure, or a sentence that says why there is none. Questions
without a value are left out, and questions of one group count together. `claims` chooses the
methods and n.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from cat_bench.report.claim_parts import FEWEST, Part, Verdict
from cat_bench.report.rounding import percent
from cat_bench.report.values import COLUMNS, KEY, Key, Values, per_question
from cat_bench.runs.tables import RunTables
from cat_bench.stats.intervals import Difference, quotient
from cat_bench.stats.units import Clusters, Units
from cat_bench.types.calls import FloatArray

RESAMPLES = 500
"""Resamples of the questions for figures without a formula for their interval."""


def find_named(methods: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Return the methods of the wanted names; if none matches exactly, those with parameters."""
    return [
        method
        for name in wanted
        for method in methods
        if method == name or (name not in methods and method.partition("{")[0] == name)
    ]


def measure_saving(run: RunTables, key: Key, other: Key, *, cost: str, least: float) -> Part | str:
    """Return the share of the other's cost that a method saves, or why it is not known."""
    name, costs = cost.replace("_", " "), read_question_costs(run, cost)
    if not {key, other} <= costs.columns.keys():
        return f"the {name} of {key[0]} or {other[0]} at n = {key[1]} are not known"
    ratio = quotient(costs.columns[key], costs.columns[other], clusters=costs.clusters)
    value, low, high = 1 - ratio.mean, 1 - ratio.high, 1 - ratio.low
    words = f"{percent(value)} % [{percent(low)}, {percent(high)}] fewer {name} than "
    words += f"{other[0]}, n = {other[1]}"
    return Part(words, value, low, high, threshold=least, questions=ratio.n, flag=ratio.flag)


def compare_gains(values: Values, key: Key, other: Key, *, since: int) -> Difference | str:
    """Return the gain of a method since n = `since` minus the gain of another, or why not."""
    before = [(name, since) for name in (key[0], other[0])]
    if missing := [f"{k[0]}@{k[1]}" for k in (*before, key, other) if k not in values.columns]:
        return f"{', '.join(missing)} was not run"
    gains = (
        values.columns[k] - values.columns[b] for k, b in zip((key, other), before, strict=True)
    )
    return values.pair(*gains)


def compare_distances(values: Values, key: Key, other: Key, base: Key) -> Difference | str:
    """Return |key - base| minus |other - base|, distances of means, or why not.

    Each distance has the sign of its estimate, so near 0 both are a little too large.
    """
    if missing := [f"{k[0]}@{k[1]}" for k in (key, other, base) if k not in values.columns]:
        return f"{', '.join(missing)} was not run"
    distances = np.array([values.columns[k] - values.columns[base] for k in (key, other)])
    distances[:, np.isnan(distances).any(axis=0)] = np.nan
    if np.isnan(distances).all():
        return "no question was scored by all of the methods"
    return values.pair(*(each * (np.sign(np.nanmean(each)) or 1.0) for each in distances))


def correlate_costs(run: RunTables, keys: Sequence[Key]) -> Iterator[Part | str]:
    """Yield minus the rank correlation of tokens and sequential tokens over these methods."""
    tables = [read_question_costs(run, cost) for cost in ("tokens", "sequential_tokens")]
    present = [key for key in keys if all(key in table.columns for table in tables)]
    if len(present) < 3:
        yield "fewer than three of the methods are in this run with known tokens"
        return
    costs = np.array([[table.columns[key] for key in present] for table in tables])
    value = -_rank_correlation(costs.mean(axis=2))
    resampled = [-_rank_correlation(sample) for sample in _resample(costs, tables[0].clusters)]
    low, high = np.quantile(resampled, [0.025, 0.975]).tolist()
    words = f"rank correlation {-value:.2f} [{-high:.2f}, {-low:.2f}] over {len(present)} methods"
    yield Part(words, value, low, high, questions=costs.shape[2])


def measure_power_law(values: Values, method: str, *, margin: float) -> Iterator[Part | str]:
    """Yield the largest distance of the coverage from the best-fitting curve exp(a n^b)."""
    budgets = values.budgets(method)
    if len(budgets) < 4:
        yield f"{method} was run at fewer than four n"
        return
    shares = np.array([values.columns[(method, n)] for n in budgets])
    scored = values.restrict(~np.isnan(shares).any(axis=0))
    if not scored.questions:
        yield f"no question was scored at every n of {method}"
        return
    shares = np.array([scored.columns[(method, n)] for n in budgets])
    means = shares.mean(axis=1)
    if not ((means > 0) & (means < 1)).all():
        yield "the coverage is 0 or 1 at some n"
        return
    value = measure_misfit(budgets, means)
    resampled = list(_resample(shares, scored.clusters))
    fitted = [sample for sample in resampled if ((sample > 0) & (sample < 1)).all()]
    if len(fitted) < 0.95 * len(resampled):
        yield "the coverage is so near 0 or 1 at some n that there is no interval"
        return
    misfits = [measure_misfit(budgets, sample) for sample in fitted]
    low, high = np.quantile(misfits, [0.025, 0.975]).tolist()
    verdict: Verdict = "undecided"
    if shares.shape[1] >= FEWEST:
        verdict = "supported" if high < margin else "contradicted" if low > margin else verdict
    words = f"at most {100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}] points from the curve, "
    words += f"n = {budgets[0]} to {budgets[-1]}, margin {100 * margin:g}"
    yield Part(words, value, low, high, threshold=margin, decided=verdict)


def measure_misfit(budgets: Sequence[int], coverage: FloatArray) -> float:
    """Return the largest distance from exp(a n^b), fitted to log(-log coverage) over log n."""
    logs = np.log(-np.log(coverage))
    slope, level = np.polyfit(np.log(budgets), logs, 1)
    fitted = np.exp(-np.exp(level + slope * np.log(budgets)))
    return float(np.abs(fitted - coverage).max())


def read_question_costs(run: RunTables, cost: str) -> Values:
    """Return each question's cost of one use, for every (method, n) whose cost is known."""
    rows = run.scores(columns=COLUMNS)
    means = per_question(rows)
    if cost == "tokens":
        means[cost] = means["prompt_tokens"] + means["completion_tokens"]
    wide = means[cost].unstack(KEY).dropna(axis=1)
    wide.columns = pd.Index(wide.columns.to_flat_index(), tupleize_cols=False)
    shared = rows.drop_duplicates("question").set_index("question")["cluster"].dropna()
    return Values.of(wide, {str(name): value for name, value in shared.items()})


def _rank_correlation(costs: FloatArray) -> float:
    return float(spearmanr(costs[0], costs[1]).statistic)


def _resample(values: FloatArray, clusters: Clusters | None) -> Iterator[FloatArray]:
    """Yield the means over resampled groups of questions; questions are the last axis."""
    rows = values.reshape(-1, values.shape[-1])
    units = [Units.of(row, clusters) for row in rows]
    sums, sizes = np.array([unit.sums for unit in units]), units[0].sizes
    count = len(sizes)
    rng = np.random.default_rng(0)
    for drawn in rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES):
        yield (sums @ drawn / (sizes @ drawn)).reshape(values.shape[:-1])
