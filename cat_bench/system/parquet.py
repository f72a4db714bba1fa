"""Parquet files of strangers: measured before they are unpacked, and read a batch at a time.

A file of two kilobytes can hold a text of gigabytes, by compression or as one entry of a dictionary
that every row repeats. Texts stay in their dictionaries until a batch's size is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cat_bench.errors import DataError, one_line

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_MOST = 1 << 28
"""The most bytes of a batch of rows, with every repeated text written out."""
UNPACKED, RATIO = 1 << 28, 200
"""The bytes that any column may unpack to, and the largest ratio for a larger one."""


def check_parquet(path: Path) -> list[str]:
    """Return the paths of a file's columns.

    Raises DataError if a column says that it unpacks to far more than its size, and pyarrow's
    errors or OSError if the file cannot be read.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        footer = file.metadata
    for group in map(footer.row_group, range(footer.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            listed = 8 * column.num_values if column.num_values > group.num_rows else 0
            size = max(column.total_uncompressed_size, listed)
            if size > max(UNPACKED, RATIO * column.total_compressed_size):
                where = one_line(column.path_in_schema)
                raise DataError(path, f"{where!r} unpacks to {size:,} bytes; unpack it yourself")
    return [footer.schema.column(index).path for index in range(len(footer.schema))]


def batches(
    path: Path, *, rows: int, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield batches of at most `rows` rows, with texts as dictionaries.

    Raises DataError, also for a batch of more than `BATCH_MOST` bytes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, read_dictionary=check_parquet(path)) as file:
            for batch in file.iter_batches(batch_size=rows, columns=columns):
                if sum(map(_count_bytes, batch.columns)) > BATCH_MOST:
                    problem = f"{len(batch)} rows hold more than {BATCH_MOST:,} bytes; split them"
                    raise DataError(path, problem)
                yield batch
    except (pa.ArrowException, OSError, ValueError, OverflowError, LookupError) as error:
        problem = f"cannot be read as Parquet ({one_line(error)}); fetch it again"
        raise DataError(path, problem) from error


def _count_bytes(array: Any) -> int:
    """Return the bytes of an array without its dictionaries' sharing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = array.type
    if pa.types.is_dictionary(kind):
        lengths = pc.binary_length(array.dictionary)
        return int(pc.sum(pc.take(lengths, array.indices)).as_py() or 0)
    if pa.types.is_struct(kind):
        return sum(map(_count_bytes, array.flatten()))
    if pa.types.is_map(kind):
        return _count_bytes(array.keys) + _count_bytes(array.items)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _count_bytes(array.flatten())
    return int(array.nbytes)
