"""Summarise, verify and prune a cache."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cat_bench.cache import schema
from cat_bench.cache.flaws import flaw
from cat_bench.cache.location import display_url
from cat_bench.cache.pools import (
    PoolMetadata,
    drop_pool,
    pool_metadata,
    pool_names,
)
from cat_bench.cache.store import Cache
from cat_bench.errors import CacheError, UnknownName, UsageError
from cat_bench.system.json_parts import parse_json
from cat_bench.types.calls import JSON

_calls, _results, _derived = schema.calls.c, schema.results.c, schema.derived.c
_SIZE = (
    sa.func.length(_results.body)
    + sa.func.coalesce(sa.func.length(_results.logprobs), 0)
    + sa.func.coalesce(sa.func.length(_results.entropies), 0)
)


SHOWN = 24
"""The number of characters of a long value that identify a model."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Holding:
    """The amount of one kind of call to one model; `bytes` counts results only."""

    kind: str
    model: JSON
    calls: int
    results: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Info:
    """A cache's contents; `bytes` is the size of its file, None on a server."""

    location: str
    bytes: int | None
    holdings: tuple[Holding, ...]
    pools: tuple[PoolMetadata, ...]
    derived: int
    leased: int
    origins: Mapping[str, int]
    """The files and caches that results came from, each with how many."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """A row that cannot be trusted: where it is and what is wrong."""

    table: str
    key: str
    problem: str


@dataclass(frozen=True, slots=True)
class Pruned:
    """The amounts that a prune deletes, or would delete."""

    calls: int
    results: int
    pools: tuple[str, ...]


def info(cache: Cache) -> Info:
    """Return a summary of the cache's contents."""
    counted = sa.select(
        _calls.kind,
        _calls.model,
        sa.func.count(_calls.key.distinct()),
        sa.func.count(_results.slot),
        sa.func.coalesce(sa.func.sum(_SIZE), 0),
    ).outerjoin(schema.results, _results.key == _calls.key)
    grouped = counted.group_by(_calls.kind, _calls.model).order_by(_calls.kind, _calls.model)
    pools = tuple(pool_metadata(cache, name) for name in pool_names(cache))
    with cache.begin_reading() as connection:
        holdings = tuple(
            Holding(kind, _identity(model), calls, results, int(size))
            for kind, model, calls, results, size in connection.execute(grouped)
        )
        derived = connection.scalar(sa.select(sa.func.count()).select_from(schema.derived))
        origins = dict(tuple(row) for row in connection.execute(_ORIGINS))
        leased = connection.scalar(sa.select(sa.func.count()).select_from(schema.leases))
    where, size = display_url(cache.url), None
    if cache.url.get_backend_name() == "sqlite":
        size = sum(p.stat().st_size for end in ("", "-wal") if (p := Path(where + end)).exists())
    return Info(where, size, holdings, pools, derived or 0, leased or 0, origins)


def verify(cache: Cache) -> Iterator[Flaw]:
    """Recompute every key and every content digest; yields the rows that do not match.

    Raises CacheError if the file is too damaged to be read to its end.
    """
    if cache.url.get_backend_name() == "sqlite":
        yield from _flaws(cache, _STRUCTURE, "file", _wrong_structure)
    for table in (schema.calls, schema.results, schema.derived):
        yield from _flaws(cache, sa.select(table), table.name, partial(flaw, table))
    pools = schema.pools.c
    records = sa.select(pools.name.label("key"), pools.metadata)
    yield from _flaws(cache, records, "pools", partial(flaw, schema.pools))
    orphans = sa.select(_results.key).where(_results.key.not_in(sa.select(_calls.key))).distinct()
    yield from _flaws(cache, orphans, "results", lambda _row: "belongs to no known call")
    rows = schema.pool_questions.c
    lost = sa.select(rows.key).where(rows.key.not_in(sa.select(_calls.key)))
    yield from _flaws(cache, lost, "pool_questions", lambda _row: "its rollouts are gone")


def prune(
    cache: Cache,
    *,
    kind: str | None = None,
    model: str | None = None,
    origin: str | None = None,
    dry_run: bool = True,
) -> Pruned:
    """Delete every result of one kind, one model or both; a dry run only counts.

    `model` is a model's identity or one of its parts, such as the name or the beginning of a
    digest, or an imported pool's name; `origin`, which stands alone, is a file or a cache. Raises
    UsageError if none is given, UnknownName for a model or an origin without a result.
    """
    if origin is not None and kind is None and model is None:
        return _delete_origin(cache, origin, dry_run=dry_run)
    if kind is None and model is None:
        raise UsageError("name what to prune: a model, a pool or a kind")
    with cache.begin_writing() as connection:
        chosen = groups(connection, kind, model)
        counts = [_count(connection, k, m) for k, m in chosen]
        pools = tuple(_pool_of(m) for k, m in chosen if k == "imported")
        if not dry_run:
            for group in chosen:
                _delete(connection, *group)
    if not dry_run:
        _compact(cache)
    calls, results = (sum(column) for column in zip(*counts, strict=True)) if counts else (0, 0)
    return Pruned(calls, results, pools)


def prune_damaged(cache: Cache, *, dry_run: bool = True) -> Pruned:
    """Delete what `verify` cannot trust, to be asked again; a dry run only counts.

    A call whose document is damaged goes with its results. A row of an imported pool stays, because
    no model can give it again.
    """
    imported = sa.select(_calls.key).where(_calls.kind == "imported")
    orphan = _results.key.not_in(sa.select(_calls.key))
    with cache.begin_writing() as connection:
        chosen = connection.execute(
            sa.select(schema.results, orphan.label("orphan")).where(_results.key.not_in(imported))
        )
        results = [(r.key, r.slot) for r in chosen if r.orphan or flaw(schema.results, r)]
        calls = [
            row.key
            for row in connection.execute(sa.select(schema.calls).where(_calls.kind != "imported"))
            if flaw(schema.calls, row)
        ]
        values = [
            (row.namespace, row.key)
            for row in connection.execute(sa.select(schema.derived))
            if flaw(schema.derived, row)
        ]
        of_calls = [
            (row.key, row.slot)
            for key in calls
            for row in connection.execute(
                sa.select(_results.key, _results.slot).where(_results.key == key)
            )
        ]
        places = sorted({*results, *of_calls})
        if not dry_run:
            for table in (schema.results, schema.origins):
                for key, slot in places:
                    at = (table.c.key == key, table.c.slot == slot)
                    connection.execute(sa.delete(table).where(*at))
            for key in calls:
                connection.execute(sa.delete(schema.calls).where(_calls.key == key))
            for space, key in values:
                where = (_derived.namespace == space, _derived.key == key)
                connection.execute(sa.delete(schema.derived).where(*where))
    return Pruned(len({key for key, _ in places} | set(calls)), len(places) + len(values), ())


def _delete_origin(cache: Cache, origin: str, *, dry_run: bool) -> Pruned:
    """Delete the results that came from a file or a cache; raises UnknownName."""
    columns = schema.origins.c
    places = sa.select(columns.key, columns.slot).where(columns.origin == origin)
    keys = sa.select(columns.key).where(columns.origin == origin).distinct()
    with cache.begin_writing() as connection:
        known = dict(tuple(row) for row in connection.execute(_ORIGINS))
        if origin not in known:
            raise UnknownName("origin of cached results", origin, known)
        calls = list(connection.scalars(keys))
        if not dry_run:
            at = sa.tuple_(_results.key, _results.slot)
            connection.execute(sa.delete(schema.results).where(at.in_(places)))
            connection.execute(sa.delete(schema.origins).where(columns.origin == origin))
    if not dry_run:
        _compact(cache)
    return Pruned(len(calls), known[origin], ())


def groups(connection: sa.Connection, kind: str | None, model: str | None) -> list[tuple[str, str]]:
    """Return the matching (kind, model column) pairs. Raises UnknownName for an unknown model."""
    pairs = [(k, m) for k, m in connection.execute(_GROUPS) if kind in (None, k)]
    chosen = [(k, m) for k, m in pairs if model is None or _is_called(m, model)]
    if model is not None and not chosen:
        raise UnknownName("cached model", model, {_names(m)[0] for _, m in pairs})
    return chosen


_ORIGINS = (
    sa.select(schema.origins.c.origin, sa.func.count())
    .group_by(schema.origins.c.origin)
    .order_by(schema.origins.c.origin)
)
_GROUPS = sa.select(_calls.kind, _calls.model).distinct().order_by(_calls.kind, _calls.model)


def _identity(model: str) -> JSON:
    """Return a model column's value; in a damaged cache, the text itself."""
    try:
        return parse_json(model)
    except ValueError:
        return model


def _pool_of(model: str) -> str:
    identity = _identity(model)
    return str(identity.get("pool") if isinstance(identity, dict) else identity)


def _names(model: str) -> list[str]:
    identity = _identity(model)
    parts = identity.values() if isinstance(identity, dict) else [identity]
    return [part for part in parts if isinstance(part, str)] or [model]


def _is_called(model: str, name: str) -> bool:
    """Return whether `name` names the model; the beginning of a digest in `info` is enough."""
    return any(
        part == name or (_DIGEST.fullmatch(part) and len(name) >= SHOWN and part.startswith(name))
        for part in _names(model)
    )


def _select_kind(kind: str, model: str) -> sa.Select[Any]:
    return sa.select(_calls.key).where(_calls.kind == kind, _calls.model == model)


def _count(connection: sa.Connection, kind: str, model: str) -> tuple[int, int]:
    keys = _select_kind(kind, model)
    calls = connection.scalar(sa.select(sa.func.count()).select_from(keys.subquery()))
    results = sa.select(sa.func.count()).where(_results.key.in_(keys))
    return calls or 0, connection.scalar(results) or 0


def _delete(connection: sa.Connection, kind: str, model: str) -> None:
    if kind == "imported":
        drop_pool(connection, _pool_of(model))
        return
    keys = _select_kind(kind, model)
    for table in (schema.results, schema.origins, schema.leases):
        connection.execute(sa.delete(table).where(table.c.key.in_(keys)))
    connection.execute(sa.delete(schema.calls).where(_calls.kind == kind, _calls.model == model))


def _compact(cache: Cache) -> None:
    """Return free space to the disk, unless another process is active; results reuse it later."""
    if cache.url.get_backend_name() == "sqlite":
        with suppress(CacheError), cache.begin_reading() as connection:
            connection.rollback()
            connection.connection.cursor().execute("VACUUM")


def _flaws(
    cache: Cache, select: sa.Executable, table: str, wrong: Callable[[Any], str | None]
) -> Iterator[Flaw]:
    with cache.begin_reading() as connection:
        for row in connection.execution_options(yield_per=256).execute(select):
            if problem := wrong(row):
                slot = f" slot {row.slot}" if hasattr(row, "slot") else ""
                yield Flaw(table, f"{row.key}{slot}", problem)


def _wrong_structure(row: Any) -> str | None:
    return None if row.key == "ok" else "the database file is damaged"


_STRUCTURE = sa.text("SELECT integrity_check AS key FROM pragma_integrity_check").columns(
    key=sa.Text
)
