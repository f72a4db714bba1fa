"""Copies the contents of one cache into another, whatever kind of database either is.

Invariants:

- Rows of the target never change.
- A row counts as copied when it was read back from the target and its key and digest match.
- Rows are copied a page at a time, each page in one transaction. No result is copied without its
  call, and a pool is visible only when it is complete.
- A copy that was killed resumes with the missing rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import sqlalchemy as sa

from cat_bench.cache import schema
from cat_bench.cache.flaws import flaw
from cat_bench.cache.location import display_url
from cat_bench.cache.paging import pages
from cat_bench.cache.private import copy_marks
from cat_bench.cache.store import Cache
from cat_bench.errors import CacheError, UsageError

"""Rows in one transaction: a few megabytes."""
_ORDER = (schema.results, schema.calls, schema.derived, schema.pool_questions, schema.pools)
Key: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Copied:
    """The progress of a copy: `done` of the source's `rows` were read.

    `copied` counts the rows that are new in the target; `kept` counts the rows that differ in the
    target and were left unchanged.
    """

    rows: int
    done: int = 0
    copied: int = 0
    kept: int = 0


def copy(source: Cache, target: Cache, *, derived: bool = True) -> Iterator[Copied]:
    """Copy every result, derived value and pool; yield the progress after each page.

    Without `derived`, derived values such as scores are not copied; a run computes them again. The
    source is recorded as the origin of every result that is new in the target.

    Raises UsageError if both are the same cache, or have different pools with the same name;
    CacheError if a row of the source is damaged, or cannot be read back from the target.
    """
    order = [table for table in _ORDER if derived or table is not schema.derived]
    if source.url == target.url:
        raise UsageError("a cache cannot be copied to itself: name another file or URL")
    _check_pools(source, target)
    copy_marks(source, target)
    counts = [sa.select(sa.func.count()).select_from(table) for table in order]
    with source.begin_reading() as connection:
        state = Copied(sum(connection.scalar(count) or 0 for count in counts))
    yield state
    for table in order:
        for page in _pages(source, table):
            calls = {key: key for key in {at[:1] for at in page}} if table is schema.results else {}
            new, _ = _bring(source, target, schema.calls, calls)
            copied, differing = _bring(source, target, table, page)
            state = Copied(
                rows=state.rows,
                done=state.done + len(page),
                copied=state.copied + new + copied,
                kept=state.kept + differing,
            )
            yield state


def _pages(source: Cache, table: sa.Table) -> Iterator[dict[Key, object]]:
    """Yield pages of the table's primary keys in order, each key with its row's mark."""
    columns = list(table.primary_key)
    for rows in pages(source, sa.select(*columns, _mark(table)), columns):
        page = {tuple(row[:-1]): row[-1] for row in rows}
        if any(isinstance(part, bytes) for key in page for part in key):
            problem = f"{table.name} has a key that is no text; run `cat-bench cache verify`"
            raise CacheError(f"{display_url(source.url)}: {problem}")
        yield page


def _mark(table: sa.Table) -> sa.ColumnElement[Any]:
    """Return the column that differs when rows with one key differ; for a call, that is its key."""
    marks = {"calls": "key", "pool_questions": "row", "pools": "metadata"}  # else its digest
    return table.c[marks.get(table.name, "digest")]


def _bring(
    source: Cache, target: Cache, table: sa.Table, page: Mapping[Key, object]
) -> tuple[int, int]:
    """Copy the rows that the target lacks; return how many were new, and how many differ there."""
    if not page:
        return 0, 0
    existing = _marks(target, table, list(page))
    differing = sum(mark != page[key] for key, mark in existing.items())
    missing = [key for key in page if key not in existing]
    if not missing:
        return 0, differing
    rows = _read_whole(source, table, missing)
    with target.begin_writing() as connection:
        schema.insert(connection, table, [dict(row) for row in rows.values()])
        if table is schema.results:
            origin = f"copy of {display_url(source.url)}"
            origins = [{"key": key, "slot": slot, "origin": origin} for key, slot in rows]
            schema.insert(connection, schema.origins, origins)
    lost = sum(row != rows[key] for key, row in _read_whole(target, table, missing).items())
    return len(missing) - lost, differing + lost


def _marks(cache: Cache, table: sa.Table, keys: Sequence[Key]) -> dict[Key, object]:
    """Return the marks of the existing rows by primary key."""
    wanted = schema.select_rows(table).with_only_columns(*table.primary_key, _mark(table))
    with cache.begin_reading() as connection:
        rows = connection.execute(wanted, {"rows": json.dumps(keys)})
        return {tuple(row[:-1]): row[-1] for row in rows}


def _read_whole(cache: Cache, table: sa.Table, keys: Sequence[Key]) -> dict[Key, dict[str, object]]:
    """Return these rows, after a check of their keys and digests. Raises CacheError."""
    names = [column.name for column in table.primary_key]
    with cache.begin_reading() as connection:
        rows = connection.execute(schema.select_rows(table), {"rows": json.dumps(keys)}).all()
    read = {}
    for row in rows:
        fields = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
        key = tuple(fields[name] for name in names)
        if problem := flaw(table, row):
            where = f"{display_url(cache.url)}: {table.name} {' '.join(map(str, key))}"
            raise CacheError(f"{where}: {problem}; run `cat-bench cache verify`")
        read[key] = fields
    if lost := len(keys) - len(read):
        raise CacheError(f"{lost} rows of {table.name} disappeared during the copy: copy again")
    return read


def _check_pools(source: Cache, target: Cache) -> None:
    pools = schema.pools.c
    named = sa.select(pools.name, pools.metadata)
    with source.begin_reading() as source_rows, target.begin_reading() as target_rows:
        existing = {row.name: row.metadata for row in target_rows.execute(named)}
        for name, data in source_rows.execute(named):
            if existing.get(name, data) != data:
                raise UsageError(
                    f"the caches have different pools {name!r}: delete one of them "
                    f"(`cat-bench cache prune --model {name} --yes`), or import one again"
                )
