"""Compare methods by cost (tokens, FLOPs, money), and with the reference at equal cost.

A method that calls a model in addition to its n rollouts costs more than n rollouts, so a
comparison at the same n flatters it. Here the reference (majority, or else a single rollout) gets
the same tokens. A majority is exact at any n: it gets the fewest rollouts that cost at least as
much. The curve of another reference is interpolated per question between two budgets, linearly in
the logarithm of tokens, and never extrapolated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan
from pathlib import Path
from typing import Final, Literal, TypeAlias

import pandas as pd

from cat_bench.models.costs import ROLES, Price, flops, price_of
from cat_bench.report.cells import as_cell, as_table, format_interval, format_points, label, rows_of
from cat_bench.report.reference_curve import Curve
from cat_bench.report.rounding import format_count, format_fixed, p_value, percent
from cat_bench.report.summary import FRAME, MAJORITY, ORACLE, SINGLE, reference_of
from cat_bench.report.values import Key, Values, read_values
from cat_bench.runs.tables import RunTables
from cat_bench.stats.intervals import Difference, Interval, quotient
from cat_bench.system.parallel import Executor
from cat_bench.types.calls import JSON, FloatArray, Usage

_COMPARED = ("matched_n", "matched_score", "diff", "diff_low", "diff_high", "p", "questions_needed")
COMPUTE_COLUMNS = (
    *("task", "model", "method", "n", "kind", "score", "ci_low", "ci_high"),
    *("calls", "tokens", "shared_tokens", "flops", "shared_flops", "money"),
    *("front", "gap_closed", "gap_low", "gap_high", "reference", *_COMPARED),
    *(f"shared_{name}" for name in _COMPARED),
    *("sequential_tokens", "sequential_front", *(f"sequential_{name}" for name in _COMPARED)),
)
UNSHARED: Final = "tokens"
SHARED: Final = "shared_tokens"
SEQUENTIAL: Final = "sequential_tokens"
Axis: TypeAlias = Literal["tokens", "sequential_tokens"]
"""A cost: all tokens, or the sequential ones."""
_PREFIXES = {UNSHARED: "", SHARED: "shared_", SEQUENTIAL: "sequential_"}
"""Prefixes of the columns that compare at an equal cost."""
PLAYED = {"policy": "model", "reward": "reward_model"}
"""The name of a role's model in a run's configuration, where it differs from the role's."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates that turn tokens into FLOPs (parameters of the models) and money (prices)."""

    parameters: float | None = None
    prices: Mapping[str, Price] | None = None


def compute(
    run: RunTables | Path,
    *,
    reference: str | None = None,
    rates: Rates | None = None,
    executor: Executor | None = None,
) -> pd.DataFrame:
    """Return one row per method × n with `COMPUTE_COLUMNS`, larger n included if they are free.

    - `tokens`: prompt and completion per question of one use, a prompt counted once per rollout;
      `shared_tokens`: the rollouts' common prompt counted once. `flops` and `money` follow from
      `rates` and are empty without them.
    - `front`: whether no other row scores as high for as few tokens (the oracle is left out).
    - `gap_closed`, `gap_low`, `gap_high`: (score - single) / (oracle - single) at the same n, over
      common questions, with its interval; empty where the gap may be 0.
    - `matched_n` and `matched_score`: the reference at the same `tokens`; `diff` is the score minus
      that, with interval, p and how many questions would settle it; empty where the reference's
      curve does not reach. `shared_...`: the same at equal `shared_tokens`; `sequential_...`: at
      equal `sequential_tokens`, which are written one after another, with a front of their own.

    `executor` resamples. Raises DataError, UnknownName, UsageError if a model has no price.
    """
    run = RunTables.of(run)
    record = run.record
    values, totals = read_values(run, all_n=True)
    base, _ = reference_of(reference, values)
    costs = totals.mean
    table = _price(costs, record, rates or Rates())
    curves = {name: Curve.of(base, values, table[name].to_dict(), run) for name in _PREFIXES}
    curves[SEQUENTIAL] = replace(curves[SEQUENTIAL], exact=None)  # no fixed cost for each rollout
    kinds = {entry["name"]: entry.get("kind", "method") for entry in record["methods"]}
    kinds |= dict.fromkeys((SINGLE, ORACLE), FRAME)
    order = {name: index for index, name in enumerate(kinds)}
    compared = [k for k in values.columns if k[0] != base and kinds.get(k[0]) != FRAME]
    values.resample(_matches(compared, curves, table), executor)
    rows = []
    for key in sorted(values.columns, key=lambda k: (order.get(k[0], len(order)), k)):
        method, n = key
        kind = kinds.get(method, "method")
        closed = _close_gap(method, n, values)
        row: dict[str, JSON] = {
            "task": record["config"]["task"],
            "model": record["config"]["model"],
            "method": method,
            "n": n,
            "kind": kind,
            "reference": base,
            **values.mean(key),
            **table.loc[(method, n)],
            "gap_closed": closed.mean,
            "gap_low": closed.low,
            "gap_high": closed.high,
        }
        if key in compared:
            for cost, prefix in _PREFIXES.items():
                row |= _match(values, key, curves[cost], row[cost], prefix=prefix)
        rows.append(row)
    frame = pd.DataFrame(rows, columns=list(COMPUTE_COLUMNS))
    return frame.assign(front=_front(frame, UNSHARED), sequential_front=_front(frame, SEQUENTIAL))


def _matches(
    keys: Sequence[Key], curves: Mapping[str, Curve], costs: pd.DataFrame
) -> Iterator[tuple[Key, FloatArray]]:
    """Yield the comparisons of `_match` for all rows."""
    for name, curve in curves.items():
        for key in keys:
            if match := curve.at(costs[name][key]):
                yield key, match.values


def equal_tokens(
    run: RunTables | Path,
    method: str,
    *,
    reference: str = MAJORITY,
    axis: Axis = "tokens",
) -> dict[int, Difference | None]:
    """Return, by n, the method minus the reference at equal cost; None beyond its curve."""
    run = RunTables.of(run)
    values, totals = read_values(run, all_n=True)
    costs = totals.mean
    spent = costs[SEQUENTIAL] if axis == SEQUENTIAL else _tokens(costs, "prompt_tokens")
    tokens = spent.to_dict()
    curve = Curve.of(reference, values, tokens, run)
    curve = replace(curve, exact=None) if axis == SEQUENTIAL else curve
    differences: dict[int, Difference | None] = {}
    for n in values.budgets(method):
        match = curve.at(tokens[(method, n)])
        differences[n] = values.against((method, n), match.values) if match else None
    return differences


def _tokens(costs: pd.DataFrame, prompt: str) -> pd.Series[float]:
    """Return the tokens of one use; NaN for a pool without token counts."""
    tokens = costs[prompt] + costs["completion_tokens"]
    return tokens.where(tokens > 0)


def _price(costs: pd.DataFrame, record: Mapping[str, JSON], rates: Rates) -> pd.DataFrame:
    """Return tokens, FLOPs and money per (method, n)."""
    table = pd.DataFrame(
        {
            "calls": costs["calls"],
            UNSHARED: _tokens(costs, "prompt_tokens"),
            SHARED: _tokens(costs, "shared_prompt_tokens"),
            SEQUENTIAL: costs[SEQUENTIAL].where(costs[SEQUENTIAL] > 0),
        }
    )
    if rates.parameters:
        per_token = flops(Usage(completion=1), rates.parameters)
        table["flops"] = table[UNSHARED] * per_token
        table["shared_flops"] = table[SHARED] * per_token
    if rates.prices:
        table["money"] = 0.0
        for role in ROLES:
            tokens, out = costs[f"{role}_tokens"], costs[f"{role}_completion_tokens"]
            if tokens.any():
                price = price_of(record["config"][PLAYED.get(role, role)], rates.prices)
                table["money"] += (price.input * (tokens - out) + price.output * out) / 1e6
        table["money"] = table["money"].where(table[UNSHARED].notna())
    return table


def _match(values: Values, key: Key, curve: Curve, cost: float, *, prefix: str) -> dict[str, JSON]:
    if (match := curve.at(cost)) is None:
        return {}
    difference = values.against(key, match.values)
    fields = {
        "matched_n": match.n,
        "matched_score": match.mean,
        "diff": difference.mean,
        "diff_low": difference.low,
        "diff_high": difference.high,
        "p": difference.p,
        "questions_needed": difference.needed,
    }
    return {prefix + name: value for name, value in fields.items()}


def _close_gap(method: str, n: int, values: Values) -> Interval:
    """Return how much of the gap from a random to the best possible pick the method closes."""
    keys = ((method, n), (SINGLE, n), (ORACLE, n))
    if not all(key in values.columns for key in keys) or method in {SINGLE, ORACLE}:
        return quotient([], [])
    return values.share(*keys)


def _front(rows: pd.DataFrame, axis: Axis) -> list[bool]:
    """Return which rows no other row beats in score and cost; a single rollout counts once."""
    single = (rows["method"] == SINGLE) & (rows["n"] == 1)
    takes_part = ((rows["kind"] != FRAME) | single) & rows["score"].notna() & rows[axis].notna()
    score, tokens = rows["score"].to_numpy(float), rows[axis].to_numpy(float)
    front = []
    for index, enters in enumerate(takes_part):
        as_good = takes_part & (score >= score[index]) & (tokens <= tokens[index])
        better = as_good & ((score > score[index]) | (tokens < tokens[index]))
        front.append(bool(enters and not better.any()))
    return front


def render_compute(table: pd.DataFrame, record: Mapping[str, JSON]) -> str:
    """Return the Markdown: each method at the largest common n, and the reference at its cost.

    `table` comes from `compute`.
    """
    shared = max(record["config"].get("budgets") or table["n"], default=0)
    single = (table["method"] == SINGLE) & (table["n"] > 1)
    last = table[(table["n"] <= shared) & (table["method"] != ORACLE) & ~single]
    last = last.drop_duplicates("method", keep="last").sort_values(
        "score", ascending=False, kind="stable"
    )
    rows = rows_of(last)
    base = as_cell(rows[0]["reference"]) if rows else "The reference"
    measured = {name for name in _COSTS if last[name].notna().any()} | {UNSHARED}
    costs = {name: title for name, title in _COSTS.items() if name in measured}
    curve = table[(table["method"] == table["reference"]) & (table["n"] > 0)]
    least = {name: float(curve[name].min()) for name in _PREFIXES}
    columns = {
        "method": [label(row) for row in rows],
        "n": [f"{row['n']}" for row in rows],
        "score, %": [percent(row["score"]) for row in rows],
        **{title: [_amount(row[name]) for row in rows] for name, title in costs.items()},
        f"{base} at the same tokens": [_opponent(row, least) for row in rows],
        "difference, points": [format_points(row, "diff") for row in rows],
        "p": [p_value(row["p"]) for row in rows],
        "difference, prefix shared": [_format_equal(row, least, SHARED) for row in rows],
        "difference, equal sequential tokens": [
            _format_equal(row, least, SEQUENTIAL) for row in rows
        ],
        "gap closed, %": [_format_gap(row) for row in rows],
    }
    front, quick = (
        [f"{as_cell(row['method'])}@{row['n']}" for row in rows_of(table[table[name]])]
        for name in ("front", "sequential_front")
    )
    notes = [
        f"{base} at the same tokens: for majority, the exact vote of the fewest rollouts that cost "
        "at least as much; for another reference, its curve over n, interpolated per question, "
        "linearly in the logarithm of tokens. *Not reached*: its largest n is cheaper; *below*: "
        "its smallest n costs more.",
        "Tokens: prompt and completion of one use per question. Prefix shared: the rollouts' "
        "common prompt is counted once, as a server with a prefix cache would. Sequential, a "
        "measure of latency: the completion tokens that are written one after another (the longest "
        "of parallel rollouts, plus successive rounds).",
        "Gap closed: (score - single) / (oracle - single), at the same n, with a bootstrap "
        "interval over questions; empty if the gap may be 0.",
        "Pareto front (no other scores as high for less, or higher for as much): "
        f"{', '.join(front) or 'unknown'}. By sequential tokens: {', '.join(quick) or 'unknown'}.",
    ]
    text = [
        f"# {as_cell(record['config']['task'])} · {as_cell(record['config']['model'])}: compute"
    ]
    text += [as_table(columns, left=("method",)), "\n".join(f"- {note}" for note in notes)]
    return "\n\n".join(text) + "\n"


_COSTS = {
    UNSHARED: "tokens",
    SHARED: "tokens, prefix shared",
    "flops": "FLOPs",
    "shared_flops": "FLOPs, prefix shared",
    "money": "money",
    SEQUENTIAL: "sequential tokens",
}


def _format_gap(row: Mapping[str, JSON]) -> str:
    return " ".join(
        text for text in (percent(row["gap_closed"]), format_interval(row, "gap")) if text
    )


def _amount(value: float) -> str:
    if isnan(value):
        return "unknown"
    return format_count(value) if 1 <= value < 1e6 else f"{value:.3g}"


def _opponent(row: Mapping[str, JSON], least: Mapping[str, float]) -> str:
    if row["method"] in {row["reference"], SINGLE}:
        return ""
    if isnan(row["matched_n"]):
        return _locate(row[UNSHARED], least[UNSHARED])
    return f"{percent(row['matched_score'])} (n = {format_fixed(row['matched_n'])})"


def _format_equal(row: Mapping[str, JSON], least: Mapping[str, float], cost: str) -> str:
    """Return the difference from the reference at equal cost, or why it has none."""
    if row["method"] in {row["reference"], SINGLE}:
        return ""
    return format_points(row, f"{_PREFIXES[cost]}diff") or _locate(row[cost], least[cost])


def _locate(cost: float, least: float) -> str:
    """Return on which side of the reference's curve a cost lies; the curve begins at `least`."""
    if isnan(cost):
        return "unknown"
    return "below" if cost < least else "not reached"
