"""Tests of claims about costs, coverage and rules that stop early.

Each yields a `Part` for every figure, or why there is none. `claims` chooses the methods and n.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from cat_bench.report.claim_parts import FEWEST, Part, Verdict
from cat_bench.report.rounding import percent
from cat_bench.report.values import Key, Values
from cat_bench.runs.tables import RunTables
from cat_bench.stats.intervals import Difference, paired_difference, quotient
from cat_bench.types.calls import FloatArray

RESAMPLES = 500
"""Resamples of the questions for figures without a formula for their interval."""
COST_NAMES = {
    "calls": "calls",
    "tokens": "tokens",
    "sequential_tokens": "sequential tokens",
}
_COLUMNS = ["question", "method", "n", "calls", "prompt_tokens", "completion_tokens"]


def find_named(methods: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Return the methods with the wanted names; without an exact match, with any parameters."""
    return [
        method
        for name in wanted
        for method in methods
        if method == name or (name not in methods and method.partition("{")[0] == name)
    ]


def measure_saving(run: RunTables, key: Key, other: Key, *, cost: str, least: float) -> Part | str:
    """Return the share of the other's cost that a method saves, or why it is not known."""
    costs = read_question_costs(run, cost)
    if not {key, other} <= set(costs.columns) or costs[[key, other]].isna().any(axis=None):
        return f"the {COST_NAMES[cost]} of {key[0]} or {other[0]} at n = {key[1]} are not known"
    ratio = quotient(costs[key], costs[other])
    value, low, high = 1 - ratio.mean, 1 - ratio.high, 1 - ratio.low
    words = f"{percent(value)} % [{percent(low)}, {percent(high)}] fewer {COST_NAMES[cost]} than "
    words += f"{other[0]}, n = {other[1]}"
    return Part(words, value, low, high, threshold=least, questions=ratio.n, flag=ratio.flag)


def compare_gains(values: Values, key: Key, other: Key, *, since: int) -> Difference | str:
    """Return how much more a method gains than another from `since` to its n, or why not."""
    before = [(name, since) for name in (key[0], other[0])]
    if missing := [f"{k[0]}@{k[1]}" for k in (*before, key, other) if k not in values.columns]:
        return f"{', '.join(missing)} was not run"
    columns = values.columns
    return paired_difference(columns[key] - columns[before[0]], columns[other] - columns[before[1]])


def compare_distances(values: Values, key: Key, other: Key, base: Key) -> Difference | str:
    """Return how much farther from `base` one method's mean is than another's, or why not."""
    if missing := [f"{k[0]}@{k[1]}" for k in (key, other, base) if k not in values.columns]:
        return f"{', '.join(missing)} was not run"
    columns = values.columns
    distances = [columns[method] - columns[base] for method in (key, other)]
    signed = [distance * (np.sign(distance.mean()) or 1.0) for distance in distances]
    return paired_difference(signed[0], signed[1])


def correlate_costs(run: RunTables, keys: Sequence[Key]) -> Iterator[Part | str]:
    """Yield minus the rank correlation of tokens and sequential tokens over these methods."""
    tables = [read_question_costs(run, cost) for cost in ("tokens", "sequential_tokens")]
    present = [key for key in keys if all(key in table.columns for table in tables)]
    if len(present) < 3:
        yield "fewer than three of the methods are in this run"
        return
    costs = np.array([table[present].to_numpy(dtype=float).T for table in tables])
    if np.isnan(costs).any():
        yield "the tokens are not known"
        return
    value = -_rank_correlation(costs.mean(axis=2))
    resampled = [-_rank_correlation(sample) for sample in _resampled(costs)]
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
    shares = shares[:, ~np.isnan(shares).any(axis=0)]
    means = shares.mean(axis=1)
    if not ((means > 0) & (means < 1)).all():
        yield "the coverage is 0 or 1 at some n"
        return
    value = measure_misfit(budgets, means)
    resampled = [sample for sample in _resampled(shares) if ((sample > 0) & (sample < 1)).all()]
    misfits = [measure_misfit(budgets, sample) for sample in resampled]
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


def read_question_costs(run: RunTables, cost: str) -> pd.DataFrame:
    """Return each question's cost of a use, a column per (method, n); NaN where it is unknown."""
    rows = run.scores(columns=[*_COLUMNS, "sequential_tokens"])
    if cost == "tokens":
        rows["tokens"] = rows["prompt_tokens"] + rows["completion_tokens"]
    wide = rows.pivot_table(index="question", columns=["method", "n"], values=cost, sort=True)
    wide.columns = pd.Index(wide.columns.to_flat_index(), tupleize_cols=False)
    return wide


def _rank_correlation(costs: FloatArray) -> float:
    return float(spearmanr(costs[0], costs[1]).statistic)


def _resampled(values: FloatArray) -> Iterator[FloatArray]:
    """Yield the means over resampled questions, which are the last axis."""
    count = values.shape[-1]
    rng = np.random.default_rng(0)
    weights = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES) / count
    yield from (values @ row for row in weights)
