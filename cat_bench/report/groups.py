"""Scores by the questions' meta fields: a level, a subject, a theme.

A field is used if most questions have it and it has few values, each shared by two questions on
average. A method's score on a group is computed as on all questions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite, nan
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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
    values, _ = read_values(run)
    fields = find_groups(run, values.questions)
    rows = [row for field, labels in fields.items() for row in _rows(field, labels, values)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def find_groups(run: RunTables, questions: Sequence[str]) -> dict[str, NDArray[np.object_]]:
    """Return the group of each question (None: no group) by each field that is used."""
    known = dict(zip(run.questions["question"], run.questions["meta"], strict=True))
    meta = [known.get(question) or {} for question in questions]
    fields = dict.fromkeys(name for entry in meta for name in entry)
    by_field = {
        field: np.array([_value(entry.get(field)) for entry in meta], object) for field in fields
    }
    return {field: groups for field, groups in by_field.items() if _is_used(groups)}


def _is_used(groups: NDArray[np.object_]) -> bool:
    have = sum(name is not None for name in groups)
    return have > len(groups) / 2 and 2 <= len(sort_groups(groups)) <= min(_MOST, len(groups) / 2)


def sort_groups(groups: NDArray[np.object_]) -> list[str]:
    """Return the distinct groups: numbers by size, then words."""
    return sorted({name for name in groups if name is not None}, key=_order)


def _rows(field: str, labels: NDArray[np.object_], values: Values) -> Iterator[dict[str, JSON]]:
    for name in sort_groups(labels):
        part = values.restrict(labels == name)
        for method, n in part.columns:
            mean = part.mean((method, n))
            if mean["questions"]:
                yield {"field": field, "group": name, "method": method, "n": n, **mean}


def _value(value: JSON) -> str | None:
    """Return the name of a value's group; 2.0, as pandas writes 2 beside a missing value, is 2."""
    if isinstance(value, float):
        return (str(int(value)) if value.is_integer() else str(value)) if isfinite(value) else None
    return str(value) if isinstance(value, str | int | bool) else None


def _order(name: str) -> tuple[bool, float, str]:
    """Return a sort key: numbers by size, then words."""
    try:
        number = float(name)
    except ValueError:
        number = nan
    return (False, number, name) if isfinite(number) else (True, 0.0, name)
