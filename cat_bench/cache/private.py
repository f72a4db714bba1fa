"""Marks the models that were asked about a private task, so that their calls are not exported.

A call in the cache does not name its task. The mark stays with the cache, and
with every copy of it.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from cat_bench.cache import schema
from cat_bench.cache.rows import model_column, read_derived
from cat_bench.cache.store import Cache
from cat_bench.cache.upkeep import groups
from cat_bench.types.calls import JSON

NAMESPACE = "private"


async def mark_private(cache: Cache, models: Iterable[JSON], *, task: str) -> None:
    """Note that the models of these identities are asked about the private task."""
    await cache.remember(NAMESPACE, {model_column(model): task for model in models})


def find_private(cache: Cache, model: str) -> list[str]:
    """Return private tasks that the model was asked about, one for each of its identities.

    Raises UnknownName if the cache holds nothing of the model.
    """
    with cache.begin_reading() as connection:
        names = [(NAMESPACE, column) for _, column in groups(connection, "generate", model)]
        return sorted(set(read_derived(connection, names).values()))


def copy_marks(source: Cache, target: Cache) -> None:
    """Copy every mark."""
    select = sa.select(schema.derived).where(schema.derived.c.namespace == NAMESPACE)
    with source.begin_reading() as connection:
        rows = [dict(row) for row in connection.execute(select).mappings()]
    with target.begin_writing() as connection:
        schema.insert(connection, schema.derived, rows)
