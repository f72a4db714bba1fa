"""Open a cache's database: connect, create its tables or migrate them.

Opening either gives a database of this schema version or raises a CacheError that says what is
wrong, where, and what to do; no message holds a password. SQLite runs in write-ahead-log mode with
synchronous=NORMAL: commits survive the death of the process (kill -9 included); a loss of power can
undo the last commits but not corrupt the file. Every write transaction takes a write lock when it
begins, so that its reads still hold when it commits. SQLite has one such lock, PostgreSQL two, so
that a long import does not block sampling.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa

from cat_bench.cache import schema
from cat_bench.cache.location import display_url, hide_values
from cat_bench.cache.objects import check_objects
from cat_bench.errors import CacheError, one_line
from cat_bench.system.extras import install_command
from cat_bench.system.files import few_files_left

SCHEMA_VERSION = 3
BUSY_S = 30.0
"""Seconds to wait for another process that writes."""
LOG_PAGES = 4096
"""16 MiB of log before a checkpoint: keys are random, so the same pages are written often."""
CONNECT_S = 15
"""Seconds to wait for a database server."""
SAMPLING, UPKEEP = 0x636174_00, 0x636174_01
"""The two write locks: one for short batches of calls, one for everything else."""


class NotNow(CacheError):
    """A transient error: the server does not answer, or another process holds the file."""


def connect(url: sa.URL) -> sa.Engine:
    """Return an engine for the database at `url`, with its tables and version checked.

    Raises CacheError.
    """
    with translate_errors(url):
        if url.get_backend_name() == "sqlite":
            Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
            engine = _read_only(url) if is_read_only(url) else _sqlite(url)
        else:
            engine = _server(url)
        try:
            with engine.begin() as connection:
                check_objects(connection)
                version = _version(connection, url)
            if version < SCHEMA_VERSION:
                with engine.execution_options(write=UPKEEP).begin() as connection:
                    _prepare(connection, url)
        except BaseException:
            engine.dispose()
            raise
    return engine


def is_read_only(url: sa.URL) -> bool:
    """Return whether this process may read the cache's file, but not write it or its folder."""
    if url.get_backend_name() != "sqlite":
        return False
    file = Path(url.database or "")
    return file.is_file() and not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK))


def file_identity(url: sa.URL) -> tuple[int, int] | None:
    """Return the identity of a cache's file, however named; None for a server or no file."""
    if url.get_backend_name() != "sqlite":
        return None
    try:
        state = Path(url.database or "").stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino


def check_there(url: sa.URL, opened: tuple[int, int] | None) -> None:
    """Raise CacheError if the opened file no longer exists there, because writes would be lost."""
    if opened is not None and file_identity(url) != opened:
        raise CacheError(
            f"cache {display_url(url)}: the file was deleted or replaced while it was in use; "
            "nothing more is stored. Put it back, then run again"
        )


def clock(connection: sa.Connection) -> float:
    """Return seconds since 1970 by the database server's clock, which all users share."""
    if connection.dialect.name == "postgresql":
        return float(connection.execute(_NOW).scalar_one())
    return time.time()


@contextmanager
def translate_errors(url: sa.URL) -> Iterator[None]:
    """Turn errors of the database or file system into a CacheError of one line."""
    try:
        yield
    except ModuleNotFoundError as error:
        extra = f"install it: {install_command('postgresql')}"
        hint = extra if error.name == "psycopg" else "install it, or name a SQLite file instead"
        problem = f"its driver {error.name!r} is not installed; {hint}"
        raise CacheError(f"cache {display_url(url)}: {problem}") from error
    except (sa.exc.SQLAlchemyError, sqlite3.Error, OSError) as error:
        cause = getattr(error, "orig", None) or error
        kind = NotNow if _may_pass(error) else CacheError
        raise kind(f"cache {display_url(url)}: {_explain(cause, url)}") from error


def _sqlite(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_S})

    @sa.event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # `begin` below starts transactions
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
        connection.execute("PRAGMA trusted_schema=OFF")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        write = connection.get_execution_options().get("write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _read_only(url: sa.URL) -> sa.Engine:
    """Return an engine that only reads.

    If SQLite cannot make the index of a log beside the file, and there is no log, the file is read
    as it stands.
    """
    file = Path(url.database or "")
    log = file.with_name(f"{file.name}-wal")
    as_it_stands = not (os.access(file.parent, os.W_OK) or log.exists())
    how = {"immutable": "1"} if as_it_stands else {"mode": "ro"}
    plain = url.set(database=f"file:{quote(str(file))}").update_query_dict({**how, "uri": "true"})
    engine = sa.create_engine(plain, connect_args={"timeout": BUSY_S})

    @sa.event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # `begin` below starts transactions

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        if connection.get_execution_options().get("write"):
            raise sqlite3.OperationalError("the file is readonly")
        connection.exec_driver_sql("BEGIN")

    return engine


def _server(url: sa.URL) -> sa.Engine:
    given = {"connect_timeout": CONNECT_S} if "connect_timeout" not in url.query else {}
    engine = sa.create_engine(url, connect_args=given, pool_pre_ping=True)

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        if lock := connection.get_execution_options().get("write"):
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({lock})")

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


def _version(connection: sa.Connection, url: sa.URL) -> int:
    """Return the version of the tables, 0 for an empty database. Raises CacheError."""
    tables = set(sa.inspect(connection).get_table_names())
    if tables and schema.meta.name not in tables:
        raise CacheError(f"{url.database} is a database, but no cat_bench cache; name another one")
    version = connection.scalar(_VERSION) if tables else None
    if version is None:
        return 0
    if version not in map(str, range(1, SCHEMA_VERSION + 1)):
        raise CacheError(
            f"cache {url.database} has schema version {one_line(version)}, and this cat_bench "
            f"reads {SCHEMA_VERSION}; use the cat_bench that wrote it, or name a new cache"
        )
    return int(version)


def _prepare(connection: sa.Connection, url: sa.URL) -> None:
    """Make or update the tables, unless another process just did."""
    if not (version := _version(connection, url)):
        schema.tables.create_all(connection)
        row: dict[str, object] = {"name": "schema", "value": str(SCHEMA_VERSION)}
        schema.insert(connection, schema.meta, [row])
        return
    for old in range(version, SCHEMA_VERSION):
        _MIGRATIONS[old](connection)
        connection.execute(_RISEN, {"to": str(old + 1)})


def _index_models(connection: sa.Connection) -> None:
    """Update from version 1, so that a cache is summarised without reading every document."""
    schema.by_model.create(connection)


def _keep_origins(connection: sa.Connection) -> None:
    """Update from version 2: results get an origin if they were not sampled here."""
    schema.origins.create(connection)


def _may_pass(error: BaseException) -> bool:
    """Return whether an error is about the server, the connection or a lock, not the query."""
    if not isinstance(error, sa.exc.OperationalError):
        return False
    if isinstance(error.orig, sqlite3.Error):
        return "locked" in str(error.orig)
    state: str | None = getattr(error.orig, "sqlstate", None)
    return state is None or state.startswith(_AWAY)


def _explain(cause: BaseException, url: sa.URL) -> str:
    problem = hide_values(" ".join(str(cause).split()), url)
    if few_files_left():
        return f"{problem}: raise the limit of open files (ulimit -n) and run again"
    hint = next((h for part, h in _HINTS.items() if part in problem), "check the path or URL")
    return f"{problem}: {hint}"


_meta = schema.meta.c
_NOW = sa.select(sa.extract("epoch", sa.func.clock_timestamp()))
_VERSION = sa.select(_meta.value).where(_meta.name == "schema")
_RISEN = sa.update(schema.meta).where(_meta.name == "schema").values(value=sa.bindparam("to"))
_MIGRATIONS: Mapping[int, Callable[[sa.Connection], None]] = {1: _index_models, 2: _keep_origins}
"""The functions that update a database to the next version."""
_AWAY = ("08", "53300", "57P")
"""SQLSTATEs: the connection failed, there are too many, the server is stopping or starting."""
_DAMAGED = "it is damaged; restore a copy, or move it away and start afresh"
_HINTS = {
    "unable to open": "not a file that can be written; name one by --cache or CAT_BENCH_CACHE",
    "is a directory": "name a file in it",
    "not a database": "move it away, or name another file",
    "malformed": _DAMAGED,
    "decode": _DAMAGED,
    "readonly": "it can only be read: copy it by `cat-bench cache copy`, and name the copy",
    "disk is full": "free some space and run again; what was stored is kept",
    "disk I/O": "look at the disk and its quota, then run again; what was stored is kept",
    "locked": f"another process held it for more than {BUSY_S:.0f} s; run again",
    "password": "check the user and the password, in the URL or in ~/.pgpass",
    'database "': "create it (`createdb`), or name another one",
    "permission denied": "let the user create tables there: make it the database's owner",
    "pg_hba.conf": "let the server accept this user from this machine",
    "too many clients": "raise max_connections, or run fewer processes",
    "connection slots": "raise max_connections, or run fewer processes",
    "resolve": "check the host's name",
    "refused": "start the server, or check host and port",
    "timeout": "check host, port and firewall",
    "timed out": "check host, port and firewall",
    "read-only transaction": "it is a standby: name the primary server",
    "No space left": "free some space on the server and run again; what was stored is kept",
    "connection": "run again when the server is back; what was stored is kept",
}
