"""Notes beside the results: small JSON records, each written once and never changed, by kind.

What happened to a thing later is another note under the same name.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from cat_bench.cache import schema
from cat_bench.cache.codec import unpack
from cat_bench.cache.store import Cache
from cat_bench.types import JSON


async def note(cache: Cache, kind: str, name: str, record: Mapping[str, JSON]) -> None:
    """Keep a record for good; where one of that name is there, that one stays."""
    await cache.remember(_space(kind), {name: {"name": name, **record}})


def notes(cache: Cache, kind: str) -> dict[str, dict[str, JSON]]:
    """Every record of a kind, by name."""
    columns = schema.derived.c
    with cache.reading() as connection:
        values = connection.scalars(
            sa.select(columns.value).where(columns.namespace == _space(kind))
        )
        records = [unpack(value) for value in values]
    return {record.pop("name"): record for record in records}


def _space(kind: str) -> str:
    return f"note {kind}"
