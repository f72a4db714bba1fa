"""The description in a published file's Parquet metadata: a run's record and a format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cat_bench.errors import DataError
from cat_bench.system.json_parts import parse_json
from cat_bench.types.calls import JSON

ABOUT = "cat_bench"
"""The metadata key of the description in a published Parquet file."""
POOL_FORMAT = "cat_bench pool 1"


def read_description(file: Path) -> Mapping[str, JSON]:
    """Return a published file's description, or an empty one. Raises DataError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if file.suffix != ".parquet":
        return {}
    if not file.is_file():
        raise DataError(file, "is missing; check the path")
    try:
        metadata = pq.read_metadata(file).metadata or {}
        description: Mapping[str, JSON] = parse_json(metadata.get(ABOUT.encode(), b"{}"))
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(file, f"cannot be read as Parquet ({reason}); fetch it again") from error
    if not isinstance(description, dict):
        raise DataError(file, "has a description in another form; fetch it again")
    return description
