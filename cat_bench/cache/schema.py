"""The cache's tables, and how a database is opened.

Opening either gives a database of this schema version or raises a CacheError that says what is
wrong, where, and what to do. SQLite runs in write-ahead-log mode with synchronous=NORMAL: what is
committed survives the death of the process (kill -9 included); only the loss of power can take
back the last commits, never corrupt the file. Every write transaction takes the write lock when it
begins, so that what it read still holds when it commits.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from cat_bench.errors import CacheError

SCHEMA_VERSION = 1
BUSY_S = 30.0
"""How long to wait for another process that writes."""

tables = sa.MetaData()
meta = sa.Table(
    "meta",
    tables,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
calls = sa.Table(
    "calls",
    tables,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False, comment="identity, as ASCII JSON"),
    sa.Column("document", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
results = sa.Table(
    "results",
    tables,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("logprobs", sa.LargeBinary),
    sa.Column("entropies", sa.LargeBinary),
    sa.Column("digest", sa.Text, nullable=False),
)
leases = sa.Table(
    "leases",
    tables,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("expires", sa.Float, nullable=False, comment="seconds since 1970"),
    sqlite_with_rowid=False,
)
pools = sa.Table(
    "pools",
    tables,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("metadata", sa.LargeBinary, nullable=False),
)
pool_questions = sa.Table(
    "pool_questions",
    tables,
    sa.Column("pool", sa.Text, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("key", sa.Text, nullable=False, comment="of the call that holds its rollouts"),
    sa.Column("row", sa.LargeBinary, nullable=False),
)
derived = sa.Table(
    "derived",
    tables,
    sa.Column("namespace", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True, comment="SHA-256 of the caller's key"),
    sa.Column("value", sa.LargeBinary, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)


def resolve(location: str | Path | None) -> sa.URL:
    """The database that is meant: a URL or a file; None: CAT_BENCH_CACHE, else the default file."""
    named = location or os.environ.get("CAT_BENCH_CACHE") or Path(".cat_bench", "cache.sqlite")
    if isinstance(named, str) and "://" in named:
        try:
            return sa.make_url(named)
        except sa.exc.ArgumentError as error:
            raise CacheError(f"{named!r} is no database URL: {error}") from error
    return sa.URL.create("sqlite", database=str(Path(named).expanduser().absolute()))


def connect(url: sa.URL) -> sa.Engine:
    """An engine for the database at `url`, its tables made and its version checked.

    Raises CacheError.
    """
    with translated(url):
        if url.get_backend_name() == "sqlite":
            Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
            engine = _sqlite(url)
        else:
            engine = sa.create_engine(url)
        try:
            with engine.execution_options(write=True).begin() as connection:
                _prepare(connection, url)
        except BaseException:
            engine.dispose()
            raise
    return engine


@contextmanager
def translated(url: sa.URL) -> Iterator[None]:
    """Turn what a database or file system raises into a CacheError of one line."""
    where = url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite":
        where = str(url.database)
    try:
        yield
    except ModuleNotFoundError as error:
        raise CacheError(
            f"cache {where}: its driver {error.name!r} is not installed; "
            f"install it, or name a SQLite file instead"
        ) from error
    except (sa.exc.SQLAlchemyError, sqlite3.Error, OSError) as error:
        cause = getattr(error, "orig", None) or error
        raise CacheError(f"cache {where}: {_explained(cause)}") from error


def insert(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, object]]) -> bool:
    """Insert what is not there yet; whether every row was new (False also where unknown)."""
    return not rows or _all_changed(connection, _inserts[connection.dialect.name, table.name], rows)


def lease(connection: sa.Connection, rows: Sequence[dict[str, object]], now: float) -> bool:
    """Take leases that are free or expired at `now`; whether all were (False also: unknown)."""
    timed = [{**row, "now": now} for row in rows]
    return _all_changed(connection, _takeovers[connection.dialect.name], timed)


def many(
    connection: sa.Connection, statement: sa.Executable, rows: Sequence[dict[str, object]]
) -> int:
    """Execute for each row, and say how many rows of the table changed (-1: unknown).

    A driver that takes positions is handed tuples: SQLAlchemy's own handling of parameters costs
    more than SQLite does.
    """
    text, names = _compiled(connection.dialect, statement)
    options = {"preserve_rowcount": True}
    if names is None:
        return connection.execute(statement, rows, execution_options=options).rowcount
    values = list(map(itemgetter(*names), rows))
    return connection.exec_driver_sql(text, values, execution_options=options).rowcount


@lru_cache
def _compiled(dialect: sa.Dialect, statement: Any) -> tuple[str, Sequence[str] | None]:
    compiled = statement.compile(dialect=dialect)
    return str(compiled), compiled.positiontup


def at_places(*columns: sa.Column[Any]) -> sa.Select[Any]:
    """Select from the rows at `places`, bound as a JSON list of [key, slot].

    One parameter for any number of places is one statement text, prepared once.
    """
    each = _Each("places").table_valued("value")
    c = columns[0].table.c
    at = sa.and_(c.key == _Part(each.c.value, 0), c.slot == sa.cast(_Part(each.c.value, 1), _INT))
    return sa.select(*columns).select_from(each.join(columns[0].table, at))


def at_keys(*columns: sa.Column[Any]) -> sa.Select[Any]:
    """Select from the rows at `keys`, bound as a JSON list of [key]."""
    each = _Each("keys").table_valued("value")
    at = columns[0].table.c.key == _Part(each.c.value, 0)
    return sa.select(*columns).select_from(each.join(columns[0].table, at))


def at_names(*columns: sa.Column[Any]) -> sa.Select[Any]:
    """Select from the rows at `names`, bound as a JSON list of [namespace, key].

    The namespace comes with each key: as a condition of its own it would tempt SQLite to walk the
    whole namespace for every batch.
    """
    each = _Each("names").table_valued("value")
    c = columns[0].table.c
    at = sa.and_(c.namespace == _Part(each.c.value, 0), c.key == _Part(each.c.value, 1))
    return sa.select(*columns).select_from(each.join(columns[0].table, at))


class _Each(FunctionElement[Any]):
    """The elements of a bound JSON list, as rows."""

    name = "each"
    inherit_cache = True

    def __init__(self, parameter: str) -> None:
        super().__init__(sa.bindparam(parameter, type_=sa.Text))


class _Part(FunctionElement[str]):
    """One element of a JSON list, as text."""

    name = "part"
    type = sa.Text()
    inherit_cache = True

    def __init__(self, value: sa.ColumnElement[Any], index: int) -> None:
        super().__init__(value, sa.literal_column(str(index)))


@compiles(_Each, "sqlite")
def _(element: _Each, compiler: SQLCompiler, **kw: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **kw)})"


@compiles(_Part, "sqlite")
def _(element: _Part, compiler: SQLCompiler, **kw: Any) -> str:
    value, index = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"json_extract({value}, '$[{index}]')"


@compiles(_Each, "postgresql")
def _(element: _Each, compiler: SQLCompiler, **kw: Any) -> str:
    return f"jsonb_array_elements(CAST({compiler.process(element.clauses, **kw)} AS jsonb))"


@compiles(_Part, "postgresql")
def _(element: _Part, compiler: SQLCompiler, **kw: Any) -> str:
    value, index = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"({value} ->> {index})"


def _takeover(dialect: Any) -> Any:
    statement = dialect.insert(leases)
    return statement.on_conflict_do_update(
        index_elements=[leases.c.key, leases.c.slot],
        set_={"owner": statement.excluded.owner, "expires": statement.excluded.expires},
        where=leases.c.expires < sa.bindparam("now"),
    )


_INT = sa.Integer()
_PREPARING = 0x636174
_dialects = {"sqlite": sqlite, "postgresql": postgresql}
_takeovers = {name: _takeover(dialect) for name, dialect in _dialects.items()}
_inserts = {
    (name, table.name): dialect.insert(table).on_conflict_do_nothing()
    for name, dialect in _dialects.items()
    for table in tables.sorted_tables
}


def _all_changed(connection: sa.Connection, statement: Any, rows: Sequence[Any]) -> bool:
    return many(connection, statement, rows) == len(rows)


def _sqlite(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_S})

    @sa.event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # transactions begin where `begin` says, below
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous=NORMAL")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        write = connection.get_execution_options().get("write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead logging; two processes that do so at once ignore the busy timeout."""
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def _prepare(connection: sa.Connection, url: sa.URL) -> None:
    if connection.dialect.name == "postgresql":  # CREATE IF NOT EXISTS alone races there
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_PREPARING)))
    found = set(sa.inspect(connection).get_table_names())
    if found and meta.name not in found:
        raise CacheError(f"{url.database} is a database, but no cat_bench cache; name another one")
    tables.create_all(connection)
    insert(connection, meta, [{"name": "schema", "value": str(SCHEMA_VERSION)}])
    version = connection.scalar(sa.select(meta.c.value).where(meta.c.name == "schema"))
    if version != str(SCHEMA_VERSION):
        raise CacheError(
            f"cache {url.database} has schema version {version}, and this cat_bench reads "
            f"{SCHEMA_VERSION}; use the cat_bench that wrote it, or name a new cache"
        )


def _explained(cause: BaseException) -> str:
    problem = " ".join(str(cause).split())
    hints = {
        "unable to open": "not a file that can be written; name one by --cache or CAT_BENCH_CACHE",
        "is a directory": "name a file in it",
        "not a database": "move it away, or name another file",
        "malformed": "it is damaged; restore a copy, or move it away and start anew",
        "readonly": "make it writable, or name another file",
        "disk is full": "free some space and run again; what was stored is kept",
        "disk I/O": "look at the disk and its quota, then run again; what was stored is kept",
        "locked": f"another process held it for more than {BUSY_S:.0f} s; run again",
    }
    hint = next((h for part, h in hints.items() if part in problem), "check the path or URL")
    return f"{problem}: {hint}"
