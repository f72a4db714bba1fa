"""Several runs in one paired table: models and methods over the same questions of one task.

Questions are paired by id. All runs must have asked the same questions of the same task; their
digests are compared. Every row is compared with one reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from cat_bench.errors import UnknownName, UsageError
from cat_bench.report.cells import (
    as_cell,
    as_sentence,
    as_table,
    format_interval,
    format_points,
    group_warnings,
    label,
    rows_of,
)
from cat_bench.report.rounding import format_count, p_value, percent
from cat_bench.report.summary import (
    FRAME,
    MAJORITY,
    ORACLE,
    SINGLE,
    choose_opponent,
    correct,
    join_flags,
    stands_alone,
)
from cat_bench.report.values import Key, Values, read_values
from cat_bench.runs.judge_profile import judge_profile
from cat_bench.runs.labels import refuse_unlabelled
from cat_bench.runs.tables import RunTables
from cat_bench.types.calls import JSON

COMPARE_COLUMNS = (
    *("run", "task", "model", "method", "n", "kind", "questions"),
    *("score", "se", "ci_low", "ci_high", "reference"),
    *("diff", "diff_low", "diff_high", "pairs", "p", "p_holm", "questions_needed"),
    *("calls", "tokens", "flag"),
)


def compare(runs: Sequence[RunTables | Path], *, reference: str | None = None) -> pd.DataFrame:
    """Return one row per run × method × n with `COMPARE_COLUMNS`, in the order given.

    A run is named by its model, or by its folder if two runs have the same model. `reference` is
    METHOD (of the first run that has it) or RUN:METHOD, optionally followed by @N; RUN is a run's
    name or its number from 1. The default is the first run's majority, or else its single rollout;
    `summarise` says at which n. `p_holm` corrects over all runs' methods, each at its largest n.

    Raises DataError, UnknownName, and UsageError for runs of other questions or without labels.
    """
    tables = [RunTables.of(run) for run in runs]
    for run in tables:
        refuse_unlabelled(run.record, what="a comparison", some=False)
    by_name = _name_runs(tables)
    values, costs = _join_values(by_name)
    base, fixed = _reference(reference, values, list(by_name))
    rows = []
    for name, run in by_name.items():
        record = run.record
        kinds = {entry["name"]: entry.get("kind", "method") for entry in record["methods"]}
        kinds |= dict.fromkeys((SINGLE, ORACLE), FRAME)
        profile = judge_profile(record)
        judged = f"scored by {record['config'].get('judge')}, with the profile {profile}"
        fixed_n = {entry["name"] for entry in record["methods"] if stands_alone(entry)}
        for method in [m for m in kinds if values.budgets(name, m)]:
            for n in values.budgets(name, method):
                key = (name, method, n)
                row: dict[str, JSON] = {
                    "run": name,
                    "task": record["config"]["task"],
                    "model": record["config"]["model"],
                    "method": method,
                    "n": n,
                    "kind": kinds[method],
                    **values.mean(key),
                    **costs[key],
                }
                opponent = _opponent(values, key, base, fixed, alone=method in fixed_n)
                compared = _difference(values, key, opponent, kind=kinds[method])
                flag = join_flags(row["flag"], compared.pop("flag", None))
                flag = join_flags(flag, judged if profile else None)
                rows.append(row | compared | {"flag": flag})
    correct(rows, by=("run", "method"))
    table = pd.DataFrame(rows, columns=list(COMPARE_COLUMNS))
    table.attrs["differing"] = _list_differing(list(by_name.values()), "The runs differ in: {}.")
    return table


def render_compare(table: pd.DataFrame) -> str:
    """Return the Markdown: each run's methods at their largest n, the best first."""
    last = table.drop_duplicates(["run", "method"], keep="last")
    last = last.assign(frame=last["kind"] == FRAME).sort_values(
        ["frame", "score"], ascending=[True, False], kind="stable", na_position="last"
    )
    rows = rows_of(last)
    columns: dict[str, list[str]] = {
        "run": [as_cell(row["run"]) for row in rows],
        "method": [label(row) for row in rows],
        "n": [f"{row['n']}" for row in rows],
        "score, %": [percent(row["score"]) for row in rows],
        "95 % interval": [format_interval(row) for row in rows],
        "difference, points": [
            "reference" if pd.isna(row["reference"]) else format_points(row, "diff") for row in rows
        ],
        "p (Holm)": [p_value(row["p_holm"]) for row in rows],
        "pairs": [format_count(row["pairs"]) for row in rows],
        "tokens": [format_count(row["tokens"]) for row in rows],
    }
    notes = (
        f"Differences: score minus {_bases(table)}, over the questions that both scored; "
        "Student's t and p by sign flips, or exact if few questions differ; p is Holm-corrected "
        "over all methods.",
        *filter(None, [table.attrs.get("differing")]),
        *map(as_sentence, group_warnings(rows, [row["flag"] for row in rows], _names)),
    )
    runs = table["run"].nunique()
    head = f"# {as_cell(table['task'].iloc[0])}: {runs} run{'s' * (runs != 1)}"
    notes_text = "\n".join(f"- {note}" for note in notes)
    return f"{head}\n\n{as_table(columns, left=('run', 'method'))}\n\n{notes_text}\n"


def _names(rows: Sequence[Mapping[str, JSON]]) -> str:
    return ", ".join(as_cell(f"{row['run']} {row['method']}") for row in rows)


def _bases(table: pd.DataFrame) -> str:
    bases = [str(name) for name in table["reference"].dropna().unique()]
    names = {as_cell(base.rpartition("@")[0]) for base in bases}
    return (
        as_cell(bases[0])
        if len(bases) == 1
        else f"{', '.join(names)}, at the same n or its largest"
    )


def _name_runs(runs: Sequence[RunTables]) -> dict[str, RunTables]:
    """Return the runs by name; raise UsageError for runs that cannot be paired."""
    first = runs[0]
    for run in runs[1:]:
        if run.record["task"].get("digest") != first.record["task"].get("digest"):
            records = (run.record for run in (first, run))
            left, right = (f"{r['config']['task']} ({r['questions']:,})" for r in records)
            parts = _list_differing([first, run], "; they differ in: {}")
            raise UsageError(
                f"{first.folder} and {run.folder} did not ask the same questions: {left} and "
                f"{right}{parts}: compare runs of one task, with the same --limit and data"
            )
    models = [run.record["config"]["model"] for run in runs]
    names = [
        model if models.count(model) == 1 else run.folder.resolve().name
        for model, run in zip(models, runs, strict=True)
    ]
    if len(set(names)) < len(names):
        raise UsageError("two of the runs are the same folder, or have the same name: rename one")
    return dict(zip(names, runs, strict=True))


def _list_differing(runs: Sequence[RunTables], words: str) -> str:
    """Return what the tasks of the runs differ in, formatted by `words`; empty if nothing."""
    digests_of = [run.record["task"].get("digests") for run in runs]
    if not all(digests_of):
        return ""
    kinds = dict.fromkeys(name for digests in digests_of for name in digests)
    names = [name for name in kinds if len({digests.get(name) for digests in digests_of}) > 1]
    return words.format(", ".join(names)) if names else ""


def _join_values(runs: Mapping[str, RunTables]) -> tuple[Values, dict[Key, dict[str, float]]]:
    """Return all runs' values by (run, method, n), and the costs of a use."""
    columns: dict[Key, pd.Series[float]] = {}
    clusters: dict[str, JSON] = {}
    costs: dict[Key, dict[str, float]] = {}
    for name, run in runs.items():
        values, totals = read_values(run)
        index = list(values.questions)
        columns |= {(name, *key): pd.Series(v, index) for key, v in values.columns.items()}
        clusters |= dict(zip(index, values.clusters or [None] * len(index), strict=True))
        means = totals.mean
        tokens = means["prompt_tokens"] + means["completion_tokens"]
        for key in values.columns:
            costs[(name, *key)] = {"calls": means["calls"][key], "tokens": tokens[key]}
    wide = pd.DataFrame(dict(enumerate(columns.values())))
    wide.columns = pd.Index(list(columns), tupleize_cols=False)
    return Values.of(wide, clusters), costs


def _reference(
    name: str | None, values: Values, runs: Sequence[str]
) -> tuple[tuple[str, str], int | None]:
    """Return the run and method to compare with, and its n if the reference names one."""
    keys = {key[:2] for key in values.columns}
    if name is None:
        return (runs[0], MAJORITY if (runs[0], MAJORITY) in keys else SINGLE), None
    spec, at, n = name.rpartition("@")
    for text, fixed in ((name, None), (spec, int(n) if at and n.isdecimal() else None)):
        for base in _read_as(text, runs):
            if base in keys and (fixed is None or (*base, fixed) in values.columns):
                return base, fixed
    raise UnknownName("method of these runs", name, [f"{run}:{method}" for run, method in keys])


def _read_as(text: str, runs: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield every (run, method) that a reference may mean."""
    yield from ((run, text) for run in runs)
    run, _, method = text.rpartition(":")
    yield run, method
    if run.isdecimal() and 1 <= int(run) <= len(runs):
        yield runs[int(run) - 1], method


def _opponent(
    values: Values, key: Key, base: tuple[str, str], fixed: int | None, *, alone: bool
) -> Key | None:
    """Return the row to compare with; None for the row of the reference."""
    budgets = values.budgets(*base)
    if not budgets or (fixed is None and key[:2] == base):
        return None
    n = choose_opponent(base[1], key[-1], budgets, alone=alone) if fixed is None else fixed
    return None if (*base, n) == key else (*base, n)


def _difference(values: Values, key: Key, other: Key | None, *, kind: str) -> dict[str, JSON]:
    if other is None:
        return {}
    paired = values.difference(key, other)
    fields: dict[str, JSON] = {
        "reference": "{}:{}@{}".format(*other),
        "diff": paired.mean,
        "diff_low": paired.low,
        "diff_high": paired.high,
        "pairs": paired.n,
    }
    if kind == FRAME:
        return fields
    return fields | {"p": paired.p, "questions_needed": paired.needed, "flag": paired.flag}
