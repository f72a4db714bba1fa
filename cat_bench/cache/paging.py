"""Long reads of a cache, in pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from cat_bench.cache.store import Cache

PAGE = 256
"""Rows of a page."""


def pages(
    cache: Cache, select: sa.Select[Any], by: Sequence[sa.ColumnElement[Any]]
) -> Iterator[Sequence[Any]]:
    """Yield a select's rows in the order of the columns `by`, which come first in each row.

    Each page has a transaction of its own: one as long as a run would keep SQLite from
    checkpointing its log.
    """
    following = select = select.order_by(*by).limit(PAGE)
    while True:
        with cache.begin_reading() as connection:
            page = connection.execute(following).all()
        if not page:
            return
        yield page
        following = select.where(sa.tuple_(*by) > sa.tuple_(*page[-1][: len(by)]))
