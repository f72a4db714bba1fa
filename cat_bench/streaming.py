"""A run's tables some thousand rows at a time, so that memory does not grow with its questions.

Invariants: no question is in two parts, and the parts' rows are the table's, in its order. A file
that is no longer than one part, or where a question's rows do not stand together, is one part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cat_bench.errors import DataError
from cat_bench.results import RolloutRow, Row, completed

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow.parquet as pq

PART = 50_000
"""Rows of one part, about."""


def score_parts(folder: Path, *, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    """The run's `Row`s; `columns` hold `question`. Raises DataError."""
    yield from _parts(folder / "scores.parquet", Row, columns)


def rollout_parts(folder: Path, *, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    """The run's `RolloutRow`s; `columns` hold `question`. Raises DataError."""
    yield from _parts(folder / "rollouts.parquet", RolloutRow, columns)


def by_question(parts: Iterator[pd.DataFrame]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each question's rows, one question after another."""
    for part in parts:
        for question, rows in part.groupby("question", sort=False):
            yield str(question), rows


def _parts(path: Path, kind: type, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    import pandas as pd
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            size = PART if _grouped(file) else max(file.metadata.num_rows, 1)
            there = [name for name in columns if name in file.schema_arrow.names]
            held: pd.DataFrame | None = None
            for batch in file.iter_batches(batch_size=size, columns=there):
                rows = batch.to_pandas()
                if held is not None and len(held):
                    last = held["question"] == held["question"].iloc[-1]
                    yield completed(held[~last], kind, columns)
                    rows = pd.concat([held[last], rows])
                held = rows
            if held is None:
                held = file.schema_arrow.empty_table().select(there).to_pandas()
            yield completed(held, kind, columns)
    except (OSError, ValueError) as error:
        raise DataError(path, f"cannot be read: {error}.") from error


def _grouped(file: pq.ParquetFile) -> bool:
    """Whether each question's rows stand together, where that matters."""
    import pyarrow.compute as pc

    if file.metadata.num_rows <= PART:
        return False
    seen, last = set[str](), None
    for batch in file.iter_batches(batch_size=PART, columns=["question"]):
        for name in pc.run_end_encode(batch.column(0)).values.to_pylist():
            if name != last and name in seen:
                return False
            seen.add(name)
            last = name
    return True
