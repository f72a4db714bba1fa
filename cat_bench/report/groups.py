"""Scores by the questions' meta fields: a level, a subject, a theme.

A field is used if it has few values that most questions share; every method is scored on the
questions of each value as on all questions.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from cat_bench.report.values import Values, read_values
from cat_bench.runs.tables import RunTables
from cat_bench.types.calls import JSON

_MOST = 12
COLUMNS = ("field", "group", "method", "n", "questions", "score", "se", "ci_low", "ci_high", "flag")


def groups(run: RunTables | Path) -> pd.DataFrame:
    """Return one row per meta field × value × method × n; empty if no field is used.

    Raises DataError.
    """
    run = RunTables.of(run)
    meta = run.questions.set_index("question")["meta"]
    fields = list(dict.fromkeys(name for entry in meta for name in entry))
    if not fields:
        return pd.DataFrame(columns=list(COLUMNS))
    values, _ = read_values(run)
    rows = [row for field in fields for row in _rows(field, meta, values)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(field: str, meta: pd.Series[JSON], values: Values) -> Iterator[dict[str, JSON]]:
    own = np.array([_value(meta.get(question), field) for question in values.questions], object)
    names = sorted({name for name in own if name is not None}, key=_order)
    if not 2 <= len(names) <= min(_MOST, len(own) / 2):
        return
    for name in names:
        part = values.restrict(own == name)
        for method, n in part.columns:
            found = part.mean((method, n))
            if found["questions"]:
                yield {"field": field, "group": name, "method": method, "n": n, **found}


def _value(entry: JSON, field: str) -> str | None:
    value = entry.get(field) if isinstance(entry, dict) else None
    return str(value) if isinstance(value, str | int | bool) else None


def _order(name: str) -> tuple[bool, float, str]:
    """Return a sort key: numbers by size, then words."""
    try:
        return (False, float(name), name)
    except ValueError:
        return (True, 0.0, name)
