"""Reads a table of a run in parts, so that memory does not grow with its questions.

Invariants: no question is split between parts, and the parts follow the table's order. A short file
is one part, and so is a file in which a question's rows are not adjacent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from cat_bench.errors import DataError
from cat_bench.runs.folder import fill_columns, schema_of
from cat_bench.runs.shape import check_columns
from cat_bench.system.parquet import check_parquet
from cat_bench.types.calls import JSON

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow.parquet as pq
    from numpy.typing import NDArray

    IntArray = NDArray[np.intp]

PART = 20_000
"""Rows of one part, approximately."""
SLICE = 500
"""Rows that are turned into mappings together."""
T = TypeVar("T")


def parts(path: Path, kind: type, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Yield a table of this record type in parts; `columns` include `question`.

    A column that the file lacks holds its default. Raises DataError.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        check_parquet(path)
        with pq.ParquetFile(path) as file:
            check_columns(file.schema_arrow, kind, path, schema=schema_of(kind))
            size = PART if _is_grouped(file) else max(file.metadata.num_rows, 1)
            present = [name for name in columns if name in file.schema_arrow.names]
            rest: pd.DataFrame | None = None
            for batch in file.iter_batches(batch_size=size, columns=present):
                rows = batch.to_pandas()
                if rest is not None and len(rest):
                    last = rest["question"] == rest["question"].iloc[-1]
                    if not last.all():
                        yield fill_columns(rest[~last], kind, columns)
                    rows = pd.concat([rest[last], rows])
                rest = rows
            if rest is None:
                rest = file.schema_arrow.empty_table().select(present).to_pandas()
            yield fill_columns(rest, kind, columns)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(path, f"cannot be read: {error}") from error


def _is_grouped(file: pq.ParquetFile) -> bool:
    """Return whether each question's rows are adjacent, or the file is one part anyway."""
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


def places_by_question(rows: pd.DataFrame) -> list[tuple[str, IntArray]]:
    """Return each question with the places of its rows in a table, in the table's order."""
    places: JSON = rows.groupby("question", sort=False).indices
    return sorted(places.items(), key=lambda item: int(item[1][0]))


def group_by_question(parts: Iterator[pd.DataFrame]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each question's rows, one question after another."""
    for part in parts:
        for question, rows in part.groupby("question", sort=False):
            yield str(question), rows


def records_by_question(
    parts: Iterator[pd.DataFrame],
) -> Iterator[tuple[str, list[dict[str, JSON]]]]:
    """Yield each question's rows as mappings, one question after another.

    They are made in slices: pandas takes as long for the rows of one question as for a hundred.
    """
    for part in parts:
        number = part.groupby("question", sort=False).ngroup()
        ordered = part.iloc[number.argsort(kind="stable")]
        slices = (ordered.iloc[k : k + SLICE] for k in range(0, len(ordered), SLICE))
        rows: Iterator[JSON] = (row for some in slices for row in some.to_dict("records"))
        for question, held in groupby(rows, key=itemgetter("question")):
            yield str(question), list(held)


class _ByQuestion(Generic[T]):
    """What single questions have, to be read in roughly the order of the table."""

    def __init__(self, groups: Iterator[tuple[str, T]]) -> None:
        self._groups = groups
        self._held: dict[str, T] = {}

    def of(self, question: str) -> T | None:
        """Return the question's rows, or None if it has none; each question is returned once."""
        while question not in self._held:
            group = next(self._groups, None)
            if group is None:
                return None
            self._held[group[0]] = group[1]
        return self._held.pop(question)


class RowsByQuestion(_ByQuestion["pd.DataFrame"]):
    """The rows of single questions as tables."""

    def __init__(self, parts: Iterator[pd.DataFrame]) -> None:
        super().__init__(group_by_question(parts))


class RecordsByQuestion(_ByQuestion[list[dict[str, JSON]]]):
    """The rows of single questions as mappings."""

    def __init__(self, parts: Iterator[pd.DataFrame]) -> None:
        super().__init__(records_by_question(parts))
