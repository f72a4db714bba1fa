"""The numbers of a run: one row per method × n, each with its interval and its comparisons.

Rows follow the order of `run.json`, then n; `values` defines values and differences.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path

import pandas as pd

from cat_bench.errors import UnknownName
from cat_bench.models.costs import COSTS
from cat_bench.report.rubric import breakdown, extend
from cat_bench.report.values import Key, Totals, Values, read_values
from cat_bench.runs.tables import RunTables
from cat_bench.stats.intervals import Difference, holm
from cat_bench.system.parallel import Executor
from cat_bench.types.calls import JSON, FloatArray

MAJORITY, SINGLE, ORACLE, WORST = "majority", "single", "oracle", "worst"
FRAME = "frame"
ALPHA = 0.05

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
    "se_rollouts",
    "reference",
    "diff",
    "diff_low",
    "diff_high",
    "p",
    "p_holm",
    "questions_needed",
    "diff_single",
    "diff_single_low",
    "diff_single_high",
    "p_single",
    "unlabelled",
    "unscored",
    "failed",
    "score_fallback_0",
    "score_exhausted_out",
    *COSTS,
    "abstained",
    "exhausted",
    "fallback",
    "lost",
    "draws",
    "se_draws",
    "exact",
    "kind",
    "flag",
    "reason",
)
_COUNTS = ["n", "questions", "questions_needed", "unlabelled", "unscored", "failed"]
_TEXTS = ["task", "model", "method", "reference", "kind", "flag", "reason"]


def summarise(
    run: RunTables | Path, *, reference: str | None = None, executor: Executor | None = None
) -> pd.DataFrame:
    """Return one row per method × n of the run, with `COLUMNS`.

    `reference` names the method to compare with, as METHOD or METHOD@N. `executor` does the
    resampling. Raises DataError, UnknownName if the run has no such method.

    - `score`, `se`, `ci_low`, `ci_high`: the mean over `questions`, its standard error and 95 %
      interval, in [0, 1] (a mean of graded scores below 0 shows as 0). `score_fallback_0` is the
      mean if every fallback counted 0, `score_exhausted_out` the mean without answers that
      exhausted the grader, which count 0 in `score`.
    - `se_rollouts`: the standard error of the score over new rollouts of the same questions, from
      values that share no rollout; empty if it is unknown.
    - `diff`: score minus `reference`, over the questions that both have: `majority` at the same n,
      or `single` where the run has no majority; majority at its largest n for a method that reads a
      fixed number of rollouts (greedy). Empty on the row of the reference. `diff_single` likewise
      against `single`. `p` is two-sided; `p_holm` corrects it over the methods, each at its largest
      n. Frame rows, the floor and the ceiling, have no p. `questions_needed`: the total that would
      settle `diff` (5 % two-sided, power 80 %).
    - `unlabelled` and `unscored` count questions, and `failed` draws; `abstained`, `exhausted`,
      `fallback` and `lost` are shares of the draws' weights in [0, 1]. Calls and tokens are means
      per question of one stand-alone use; `sequential_tokens` are written one after another.
    - `draws` is the mean number of draws per question; empty where the value is an exact
      expectation. `se_draws` is the Monte-Carlo standard error of the score against the mean over
      all subsets: 0 if all were drawn, empty if it is unknown. `exact` is the share of questions
      whose value is an expectation without that error.
    - A method that is not available is one row without n, with its `reason`.
    - Where a rubric scored, two more columns: see `extend`.
    """
    run = RunTables.of(run)
    record = run.record
    values, read = read_values(run)
    totals = _read_fields(read)
    base = reference_of(reference, values)
    methods = _methods(record, values)
    values.resample(_pairs(methods, values, base=base), executor)
    out = [row for method in methods for row in _rows(method, values, totals, base=base)]
    correct(out)
    head = {"task": record["config"]["task"], "model": record["config"]["model"]}
    table = pd.DataFrame([{**head, **row} for row in out], columns=list(COLUMNS))
    floats = [name for name in COLUMNS if name not in (*_COUNTS, *_TEXTS)]
    kinds = dict.fromkeys(_COUNTS, "Int64") | dict.fromkeys(floats, "float64")
    table = table.astype(kinds).astype(dict.fromkeys(_TEXTS, "str"))
    return extend(table, values, breakdown(run)) if record["task"].get("graded") else table


@dataclass(frozen=True, slots=True)
class _Method:
    name: str
    kind: str
    reason: str | None
    alone: bool
    """Whether it reads a fixed number of rollouts."""


def _read_fields(totals: Totals) -> dict[Key, dict[str, JSON]]:
    """Return a row's fields besides its score: counts, shares and mean costs over questions."""
    columns = ["score_fallback_0", "score_exhausted_out", *COSTS]
    columns += ["abstained", "exhausted", "fallback", "lost", "draws", "exact"]
    mean, counts = totals.mean, totals.counts
    table = mean[columns].copy()
    for name in ("score_fallback_0", "score_exhausted_out"):
        table[name] = table[name].clip(0, 1)
    table["draws"] = table["draws"].where(table["draws"] > 0)
    table["failed"] = totals.sums["failed"].astype(int)
    table["unlabelled"] = totals.sums["unlabelled"].round().astype(int)
    labelled = totals.sizes - table["unlabelled"]
    for name, column in (("rollout_var", "se_rollouts"), ("draw_var", "se_draws")):
        enough = counts[name] > labelled / 2
        table[column] = ((mean[name] / labelled) ** 0.5).where(enough)
    table["unscored"] = (labelled - counts["value"]).astype(int)
    entries: JSON = table.to_dict("index")
    return {(m, int(n)): entry for (m, n), entry in entries.items()}


def _methods(record: Mapping[str, JSON], values: Values) -> list[_Method]:
    """Return the run's methods in its order, then those that only the scores name: the oracle."""
    entries = {entry["name"]: entry for entry in record["methods"]}
    extra = sorted({str(key[0]) for key in values.columns} - set(entries))
    frames = {SINGLE, ORACLE}
    methods = [
        _Method(
            name,
            FRAME if name in frames else entry.get("kind", "method"),
            entry.get("reason"),
            alone=stands_alone(entry),
        )
        for name, entry in entries.items()
    ]
    return methods + [
        _Method(name, FRAME if name in frames else "method", None, alone=False) for name in extra
    ]


def _rows(
    method: _Method,
    values: Values,
    totals: Mapping[Key, Mapping[str, JSON]],
    *,
    base: tuple[str, int | None],
) -> Iterator[dict[str, JSON]]:
    head = {"method": method.name, "kind": method.kind}
    budgets = values.budgets(method.name)
    if not budgets:
        yield {**head, "reason": method.reason or "no question has enough rollouts"}
        return
    for n in budgets:
        key = (method.name, n)
        mean, compared = values.mean(key), _compare(method, n, values, base=base)
        flag = join_flags(mean["flag"], compared.pop("flag", None))
        yield {**head, "n": n, **mean, **totals[key], **compared, "flag": flag}


def _pairs(
    methods: Sequence[_Method], values: Values, *, base: tuple[str, int | None]
) -> Iterator[tuple[Key, FloatArray]]:
    """Yield the comparisons of `_compare` for all rows."""
    for method in methods:
        for n in values.budgets(method.name):
            for opponent in _choose_others(method, n, values, base=base):
                if opponent is not None:
                    yield (method.name, n), values.columns[opponent]


def reference_of(name: str | None, values: Values) -> tuple[str, int | None]:
    """Return the method to compare with, and its n for METHOD@N.

    The default is majority if the run has it, or else a single rollout. Raises UnknownName.
    """
    if name is None:
        return (MAJORITY if values.budgets(MAJORITY) else SINGLE), None
    methods = {str(key[0]) for key in values.columns}
    method, _, n = name.rpartition("@")
    if name in methods:
        return name, None
    if (method, n) in {(key[0], str(key[1])) for key in values.columns}:
        return method, int(n)
    raise UnknownName("method of this run", name, methods)


def _compare(
    method: _Method, n: int, values: Values, *, base: tuple[str, int | None]
) -> dict[str, JSON]:
    """Return the fields of the comparisons with the reference and with a single rollout."""
    reference, single = _choose_others(method, n, values, base=base)
    fields: dict[str, JSON] = {}
    done: dict[Key, Difference] = {}
    for rival, field, p in ((reference, "diff", "p"), (single, "diff_single", "p_single")):
        if rival is None:
            continue
        difference = done[rival] = done.get(rival) or values.difference((method.name, n), rival)
        fields |= {
            field: difference.mean,
            f"{field}_low": difference.low,
            f"{field}_high": difference.high,
        }
        fields[p] = nan if method.kind == FRAME else difference.p
        if field == "diff" and method.kind != FRAME:
            fields |= {"questions_needed": difference.needed, "flag": difference.flag}
    if reference is not None:
        fields["reference"] = base[0] if reference[1] == n else f"{base[0]}@{reference[1]}"
    return fields


def is_settled(rows: pd.DataFrame) -> pd.Series[bool]:
    """Return whether the interval of `diff` excludes 0 and any p (Holm) is below `ALPHA`."""
    return ((rows["diff_low"] > 0) | (rows["diff_high"] < 0)) & ~(rows["p_holm"] >= ALPHA)


def join_flags(*flags: str | None) -> str | None:
    """Join the warnings about a row's intervals."""
    return "; ".join(flag for flag in flags if flag) or None


def _choose_others(
    method: _Method, n: int, values: Values, *, base: tuple[str, int | None]
) -> tuple[Key | None, Key | None]:
    """Return the rows of the reference and of a single rollout to compare with."""
    name, fixed = base
    reference = _counterpart(name, method, n, values, fixed=fixed)
    return reference, _counterpart(SINGLE, method, n, values)


def _counterpart(
    base: str, method: _Method, n: int, values: Values, *, fixed: int | None = None
) -> Key | None:
    """Return the row of `base` to compare with, unless it is missing or the row itself."""
    budgets = values.budgets(base)
    if not budgets or (base, n if fixed is None else fixed) == (method.name, n):
        return None
    return base, choose_opponent(base, n, budgets, alone=method.alone) if fixed is None else fixed


def choose_opponent(base: str, n: int, budgets: Sequence[int], *, alone: bool) -> int:
    """Return the budget to compare a row at n with: n if possible, else the best one.

    A row is `alone` if other methods lack its n, so that it has no counterpart at n. A single
    rollout is equally good at every n and has the most questions at the smallest.
    """
    if n in budgets and (base == SINGLE or not alone):
        return n
    return min(budgets) if base == SINGLE else max(budgets)


def stands_alone(entry: Mapping[str, JSON]) -> bool:
    """Return whether a method reads a fixed number of rollouts, whatever the run's budgets."""
    return len(entry.get("budgets") or ()) == 1


def correct(rows: Iterable[dict[str, JSON]], *, by: Sequence[str] = ("method",)) -> None:
    """Add Holm's correction over the methods, each at its largest n if it has a p there."""
    last = {tuple(row[name] for name in by): row for row in rows}
    family = [row for row in last.values() if "p" in row]
    for row, p in zip(family, holm([row["p"] for row in family]), strict=True):
        row["p_holm"] = float(p)
