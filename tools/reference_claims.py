"""Check papers' claims on every pool of the reference table.

`claims.csv` has a row per claim and pool, and one per claim and task over all its models. A claim
about means of differences is checked over models by `average_over_models`; for other figures,
the models are a sample, and the interval is Student's over them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from cat_bench.report.claim_tests import find_named
from cat_bench.report.claims import Claim, Claims, check, read_claims
from cat_bench.report.summary import MAJORITY
from cat_bench.runs.tables import RunTables
from cat_bench.stats.intervals import mean_interval
from cat_bench.stats.meta import average_over_models
from cat_bench.types.calls import JSON, FloatArray

LISTS = (
    *("self-consistency", "large-language-monkeys", "adaptive-consistency", "early-stopping"),
    *("best-of-infinity", "ensembles", "majority-of-the-bests", "cat-bench", "two-costs"),
)
VERDICTS = {
    "supported": "holds",
    "contradicted": "does not",
    "undecided": "cannot be told",
    "not measured": "not testable here",
}
ALL = "all models"
FEWEST_MODELS = 3
Row: TypeAlias = dict[str, object]


def pool_claims(folder: Path) -> pd.DataFrame:
    """Return the rows of the pool whose run is in this folder."""
    task, _, model = folder.name.partition("__")
    rows, run = [], RunTables(folder)
    for name in LISTS:
        for result in check(run, read_claims(name)):
            row: Row = {"list": name, "claim": result.id, "task": task, "model": model}
            row |= {"verdict": VERDICTS[result.verdict], "value": result.value}
            rows.append(row | {"low": result.low, "high": result.high, "measured": result.measured})
    return pd.DataFrame(rows)


def task_claims(
    task: str, pools: pd.DataFrame, scores: Sequence[pd.DataFrame], ensembles: pd.DataFrame
) -> pd.DataFrame:
    """Return a row per claim over all models of a task.

    `pools` holds the rows of `pool_claims`, `scores` each model's scores, questions × (method, n),
    and `ensembles` the rows of `reference_ensembles`.
    """
    rows = []
    for name in LISTS:
        listed = read_claims(name)
        for claim in listed.claims:
            measured = pools[(pools["list"] == name) & (pools["claim"] == claim.id)]
            row: Row = {"list": name, "claim": claim.id, "task": task, "model": ALL}
            rows.append(row | _over(listed, claim, measured, scores, ensembles))
    return pd.DataFrame(rows)


def _over(
    listed: Claims,
    claim: Claim,
    measured: pd.DataFrame,
    scores: Sequence[pd.DataFrame],
    ensembles: pd.DataFrame,
) -> Row:
    """Return verdict and figures of one claim over all models of a task."""
    if listed.method.startswith("ensemble"):
        return _of_ensemble(listed.method, ensembles)
    tables = list(_differences(listed, claim, scores))
    if tables:
        parts = [average_over_models(table) for table in tables]
        verdicts = [_verdict(claim, part.low, part.high) for part in parts]
        worst = min(range(len(parts)), key=lambda k: (_ORDER.index(verdicts[k]), parts[k].low))
        part = parts[worst]
        return _row(verdicts[worst], part.mean, part.low, part.high, "points", scale=100)
    values = measured["value"].dropna()
    if len(values) < FEWEST_MODELS:
        return {"verdict": VERDICTS["not measured"], "measured": measured["measured"].iloc[0]}
    of = mean_interval(values)
    low, high = (of.mean, of.mean) if np.ptp(values) == 0 else (of.low, of.high)
    if claim.test == "power_law":
        verdict = _verdict_of(claim.margin - high, claim.margin - low)
        return _row(verdict, of.mean, low, high, "points from the curve", scale=100)
    threshold = claim.least if claim.test == "saves" else 0.0
    verdict = _verdict_of(low - threshold, high - threshold)
    if claim.test == "saves":
        return _row(verdict, of.mean, low, high, f"% fewer {claim.cost}", scale=100)
    return _row(verdict, -of.mean, -high, -low, "rank correlation", scale=1)


_ORDER = ("does not", "cannot be told", "holds")


def _differences(
    listed: Claims, claim: Claim, scores: Sequence[pd.DataFrame]
) -> Iterator[FloatArray]:
    """Yield models × questions tables of what the claim says is above 0, or about 0."""
    columns: JSON = scores[0].columns
    keys = [(str(method), int(n)) for method, n in columns]
    budgets = sorted({n for method, n in keys if method == listed.method})
    if not budgets or claim.test not in {"above", "equal", "more", "outgrows", "outweighs"}:
        return
    n = claim.n or budgets[-1]
    scored = _table(scores, listed.method, n)
    if claim.test == "more":
        yield scored - _table(scores, listed.method, budgets[0])
        return
    methods = list(dict.fromkeys(method for method, _ in keys))
    for other in find_named(methods, claim.against):
        at = n if (other, n) in keys else 1
        differences = scored - _table(scores, other, at)
        if claim.test == "outgrows":
            since = claim.since
            before = _table(scores, listed.method, since) - _table(scores, other, since)
            differences = differences - before
        elif claim.test == "outweighs":
            base = _table(scores, MAJORITY, n)
            left, right = scored - base, _table(scores, other, n) - base
            differences = left * (np.sign(left.mean()) or 1) - right * (np.sign(right.mean()) or 1)
        yield differences


def _table(scores: Sequence[pd.DataFrame], method: str, n: int) -> FloatArray:
    return np.array([table[(method, n)].to_numpy(dtype=float) for table in scores])


def _of_ensemble(method: str, ensembles: pd.DataFrame) -> Row:
    """Return the verdict on all models of the task together, in the limit of many samples."""
    kind = method.removeprefix("ensemble{weights=").removesuffix("}")
    rows = ensembles[(ensembles["n"] == 0) & (ensembles["weights"] == kind)]
    row = rows.sort_values("size").iloc[-1]
    low, high = float(row["diff_chosen_low"]), float(row["diff_chosen_high"])
    words = "points above the member that is best on the other questions"
    return _row(_verdict_of(low, high), float(row["diff_chosen"]), low, high, words, scale=100)


def _verdict(claim: Claim, low: float, high: float) -> str:
    if isnan(low):
        return VERDICTS["undecided"]
    if claim.test == "equal":
        inside = -claim.margin < low and high < claim.margin
        outside = low > claim.margin or high < -claim.margin
        return VERDICTS["supported" if inside else "contradicted" if outside else "undecided"]
    return _verdict_of(low, high)


def _verdict_of(low: float, high: float) -> str:
    return VERDICTS["supported" if low > 0 else "contradicted" if high < 0 else "undecided"]


def _row(verdict: str, value: float, low: float, high: float, words: str, *, scale: float) -> Row:
    digits = 1 if scale > 1 else 2
    ends = [f"{round(scale * number, digits) + 0.0:.{digits}f}" for number in (value, low, high)]
    measured = f"{ends[0]} [{ends[1]}, {ends[2]}] {words}"
    row: Mapping[str, object] = {"verdict": verdict, "value": value, "low": low, "high": high}
    return {**row, "measured": measured if not isnan(low) else f"{ends[0]} {words}"}
