"""The numbers of a run: one row per method × n, each with its interval and its comparisons.

Invariants: a question's value is the mean of its draws weighted by what could be scored; a question
without one is unscored, left out of the mean and of pairs, and counted. Differences are taken over
the questions that both sides scored. Rows follow the order of `run.json`, then n.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import nan
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cat_bench.costs import COSTS
from cat_bench.intervals import Difference, holm, mean_interval, paired_difference
from cat_bench.results import read_record, read_scores
from cat_bench.types import JSON, FloatArray

MAJORITY, SINGLE, ORACLE = "majority", "single", "oracle"
FRAME = "frame"

COLUMNS = (
    "task",
    "model",
    "method",
    "n",
    "questions",
    "score",
    "se",
    "ci_low",
    "ci_high",
    "reference",
    "diff",
    "diff_low",
    "diff_high",
    "p",
    "p_holm",
    "diff_single",
    "diff_single_low",
    "diff_single_high",
    "p_single",
    "unscored",
    "failed",
    "score_fallback_0",
    *COSTS,
    "abstained",
    "fallback",
    "lost",
    "draws",
    "kind",
    "flag",
    "reason",
)
_KEY = ["method", "n"]
_COUNTS = ["n", "questions", "unscored", "failed"]
_TEXTS = ["task", "model", "method", "reference", "kind", "flag", "reason"]
_READ = (
    *("question", "cluster", "method", "n", "draw"),
    *("score", "lost", "abstained", "failed", "fallback"),
    *COSTS,
)

Key = tuple[str, int]


def summarise(folder: Path) -> pd.DataFrame:
    """One row per method × n of the run, with `COLUMNS`; raises DataError.

    - `score`, `se`, `ci_low`, `ci_high`: the mean over `questions`, its standard error and 95 %
      interval, in [0, 1] (a mean of graded scores below 0 shows as 0). `score_fallback_0` is the
      mean if every fallback counted 0.
    - `diff`: score less that of `reference`, over the questions that both have: `majority` at the
      same n, or `single` where the run has no majority; `majority@8`, the largest n, for a method
      that reads a number of rollouts of its own (greedy). Empty on the reference's own row.
      `diff_single` likewise against `single`. `p` is two-sided; `p_holm` corrects it over the
      methods, each at its largest n. Frame rows, the floor and the ceiling, have no p.
    - `unscored` counts questions and `failed` draws; `abstained`, `fallback` and `lost` are shares
      of the draws' mass in [0, 1]. Calls and tokens are means per question of one stand-alone use.
    - `draws` is the mean number of draws per question; empty where the value is an exact
      expectation.
    - A method that is not available is one row without n, with its `reason`.
    """
    record = read_record(folder)
    rows = read_scores(folder, columns=_READ)
    unavailable = {entry["name"] for entry in record["methods"] if entry.get("reason")}
    rows = rows[~rows["method"].isin(unavailable)]
    per_question = _per_question(rows)
    values = _values(per_question, rows)
    totals = _totals(per_question)
    methods = _methods(record, values)
    out = [row for method in methods for row in _rows(method, values, totals)]
    _correct(out)
    head = {"task": record["config"]["task"], "model": record["config"]["model"]}
    table = pd.DataFrame([{**head, **row} for row in out], columns=list(COLUMNS))
    floats = [name for name in COLUMNS if name not in (*_COUNTS, *_TEXTS)]
    kinds = dict.fromkeys(_COUNTS, "Int64") | dict.fromkeys(floats, "float64")
    return table.astype(kinds).astype(dict.fromkeys(_TEXTS, "str"))


@dataclass(frozen=True, slots=True)
class _Method:
    name: str
    kind: str
    reason: str | None
    alone: bool
    """Whether it reads a number of rollouts of its own."""


@dataclass(frozen=True, slots=True)
class _Values:
    """Each question's value at every (method, n), shapes (questions,); NaN where it has none."""

    columns: Mapping[Key, FloatArray]
    clusters: tuple[str | None, ...] | None

    def budgets(self, method: str) -> list[int]:
        return sorted(n for name, n in self.columns if name == method)

    def score(self, key: Key) -> dict[str, JSON]:
        """The fields of a mean and its interval, brought into [0, 1]."""
        there = ~np.isnan(self.columns[key])
        data = self.columns[key][there]
        found = mean_interval(data, clusters=self._of(there))
        score, low, high = np.clip([found.mean, found.low, found.high], 0, 1).tolist()
        interval = {"score": score, "se": found.se, "ci_low": low, "ci_high": high}
        return {**interval, "questions": found.n, "flag": found.flag if found.n else None}

    def difference(self, a: Key, b: Key) -> Difference:
        """a - b, over the questions that both scored."""
        there = ~(np.isnan(self.columns[a]) | np.isnan(self.columns[b]))
        left, right = self.columns[a][there], self.columns[b][there]
        return paired_difference(left, right, clusters=self._of(there))

    def _of(self, there: NDArray[np.bool_]) -> list[str | None] | None:
        if self.clusters is None:
            return None
        return [self.clusters[index] for index in np.flatnonzero(there)]


def _per_question(rows: pd.DataFrame) -> pd.DataFrame:
    """The mean over draws, per method, n and question: values, shares and costs.

    Rows are sorted first, so that the order in which questions finished leaves no trace in the
    last digit.
    """
    rows = rows.sort_values([*_KEY, "question", "draw"], kind="stable")
    scored = rows["score"].notna()
    weight = (1 - rows["lost"]).where(scored, 0.0)
    mass = weight * rows["score"].fillna(0.0)
    fell = rows["fallback"].notna() & (rows["abstained"] < 1)
    data = rows[[*_KEY, "question", "abstained", *COSTS]].assign(
        weight=weight,
        mass=mass,
        strict=mass.where(~fell, 0.0),
        lost=1 - weight,
        fallback=fell.astype(float),
        failed=rows["failed"].notna().astype(float),
        draws=rows["draw"].notna().astype(float),
    )
    groups = data.groupby([*_KEY, "question"], sort=False)
    means = groups.mean()
    means["value"] = means["mass"] / means["weight"]
    means["score_fallback_0"] = means["strict"] / means["weight"]
    return means.assign(failed=groups["failed"].sum(), draws=groups["draws"].sum())


def _values(per_question: pd.DataFrame, rows: pd.DataFrame) -> _Values:
    wide = per_question["value"].unstack(_KEY).sort_index()
    named = rows.drop_duplicates("question").set_index("question")["cluster"].reindex(wide.index)
    clusters = tuple(name if isinstance(name, str) else None for name in named)
    methods, budgets = (wide.columns.get_level_values(name) for name in _KEY)
    keys = [(str(m), int(n)) for m, n in zip(methods, budgets, strict=True)]
    columns = dict(zip(keys, wide.to_numpy(float).T, strict=True))
    return _Values(columns, clusters if named.notna().any() else None)


def _totals(per_question: pd.DataFrame) -> dict[Key, dict[str, JSON]]:
    """What a row says beside its score: counts, shares and mean costs over questions."""
    groups = per_question.groupby(level=_KEY, sort=False)
    shown = ["score_fallback_0", *COSTS, "abstained", "fallback", "lost", "draws"]
    table = groups[shown].mean()
    table["score_fallback_0"] = table["score_fallback_0"].clip(0, 1)
    table["draws"] = table["draws"].where(table["draws"] > 0)
    table["failed"] = groups["failed"].sum().astype(int)
    table["unscored"] = groups["value"].size() - groups["value"].count()
    entries: JSON = table.to_dict("index")
    return {(m, int(n)): entry for (m, n), entry in entries.items()}


def _methods(record: Mapping[str, JSON], values: _Values) -> list[_Method]:
    """The run's methods in its order, then what only the scores name: the oracle."""
    listed = {entry["name"]: entry for entry in record["methods"]}
    others = sorted({name for name, _ in values.columns} - set(listed))
    frames = {SINGLE, ORACLE}
    methods = [
        _Method(
            name,
            FRAME if name in frames else entry.get("kind", "method"),
            entry.get("reason"),
            alone=len(entry.get("budgets") or ()) == 1,
        )
        for name, entry in listed.items()
    ]
    return methods + [
        _Method(name, FRAME if name in frames else "method", None, alone=False) for name in others
    ]


def _rows(
    method: _Method, values: _Values, totals: Mapping[Key, Mapping[str, JSON]]
) -> Iterator[dict[str, JSON]]:
    head = {"method": method.name, "kind": method.kind}
    budgets = values.budgets(method.name)
    if not budgets:
        yield {**head, "reason": method.reason or "no question has enough rollouts"}
        return
    for n in budgets:
        key = (method.name, n)
        yield {**head, "n": n, **values.score(key), **totals[key], **_compared(method, n, values)}


def _compared(method: _Method, n: int, values: _Values) -> dict[str, JSON]:
    """The fields of the comparisons with majority and with a single rollout."""
    single = _counterpart(SINGLE, method, n, values)
    reference = single
    if values.budgets(MAJORITY):
        reference = _counterpart(MAJORITY, method, n, values)
    fields: dict[str, JSON] = {}
    known: dict[Key, Difference] = {}
    for other, name, p in ((reference, "diff", "p"), (single, "diff_single", "p_single")):
        if other is None:
            continue
        found = known[other] = known.get(other) or values.difference((method.name, n), other)
        fields |= {name: found.mean, f"{name}_low": found.low, f"{name}_high": found.high}
        fields[p] = nan if method.kind == FRAME else found.p
    if reference is not None:
        base, m = reference
        fields["reference"] = base if m == n else f"{base}@{m}"
    return fields


def _counterpart(base: str, method: _Method, n: int, values: _Values) -> Key | None:
    """The row of `base` to compare with: at the same n, else where it is at its best.

    A single rollout is as good at every n, and has the most questions at the smallest.
    """
    budgets = values.budgets(base)
    if not budgets or method.name == base:
        return None
    if base == SINGLE:
        return base, n if n in budgets else min(budgets)
    return base, n if n in budgets and not method.alone else max(budgets)


def _correct(rows: list[dict[str, JSON]]) -> None:
    """Add Holm's correction over the methods, each at its largest n."""
    family = list({row["method"]: row for row in rows if "p" in row}.values())
    for row, p in zip(family, holm([row["p"] for row in family]), strict=True):
        row["p_holm"] = float(p)
