"""The cache's tables, and the statements that differ between SQLite and PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

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
)
by_model = sa.Index("calls_by_model", calls.c.kind, calls.c.model)
"""Summaries of a cache read this index instead of `calls`, whose documents are long."""
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
origins = sa.Table(
    "origins",
    tables,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("origin", sa.Text, nullable=False, comment="the file or cache that it came from"),
    sqlite_with_rowid=False,
)
"""The results that were not sampled into this cache."""
LEASE_MOST_S = 86_400.0
"""The longest lease that others respect."""
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


def insert(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, object]]) -> bool:
    """Insert the rows that are missing; return False if some were not, or if this is unknown."""
    if not rows:
        return True
    statement = _inserts[connection.dialect.name, table.name]
    return execute_many(connection, statement, rows) == len(rows)


def lease(
    connection: sa.Connection,
    places: Sequence[tuple[str, int]],
    *,
    owner: str,
    until: float,
    now: float,
) -> bool:
    """Take leases that are free or expired at `now`; return True only if all were taken."""
    values = {"places": json.dumps(places), "owner": owner, "until": until, "now": now}
    statement = _takeovers[connection.dialect.name]
    options = {"preserve_rowcount": True}
    taken = connection.execute(statement, values, execution_options=options).rowcount
    return taken == len(places)


def execute_many(
    connection: sa.Connection, statement: sa.Executable, rows: Sequence[dict[str, object]]
) -> int:
    """Execute for each row and return the number of changed table rows (-1: unknown).

    A driver with positional parameters is given tuples: SQLAlchemy's own parameter handling costs
    more than SQLite does.
    """
    text, names = _compile(connection.dialect, statement)
    options = {"preserve_rowcount": True}
    if names is None:
        return connection.execute(statement, rows, execution_options=options).rowcount
    values = list(map(itemgetter(*names), rows))
    return connection.exec_driver_sql(text, values, execution_options=options).rowcount


@lru_cache
def _compile(dialect: sa.Dialect, statement: Any) -> tuple[str, Sequence[str] | None]:
    compiled = statement.compile(dialect=dialect)
    return str(compiled), compiled.positiontup


def select_places(*columns: sa.Column[Any]) -> sa.Select[Any]:
    """Select from the rows at `places`, bound as a JSON list of [key, slot].

    With one parameter for any number of places, the statement is prepared only once.
    """
    return _select("places", ("key", "slot"), columns)


def select_keys(*columns: sa.Column[Any]) -> sa.Select[Any]:
    """Select from the rows at `keys`, bound as a JSON list of [key]."""
    return _select("keys", ("key",), columns)


def select_names(*columns: sa.Column[Any]) -> sa.Select[Any]:
    """Select from the rows at `names`, bound as a JSON list of [namespace, key].

    Each key comes with its namespace: with a separate condition, SQLite might scan the whole
    namespace for every batch.
    """
    return _select("names", ("namespace", "key"), columns)


@lru_cache
def select_rows(table: sa.Table) -> sa.Select[Any]:
    """Select whole rows of a table at `rows`, bound as a JSON list of primary keys."""
    return _select("rows", [column.name for column in table.primary_key], list(table.c))


def _select(parameter: str, by: Sequence[str], columns: Sequence[sa.Column[Any]]) -> sa.Select[Any]:
    table = columns[0].table
    keys, items = _each(parameter, [table.c[name] for name in by])
    at = [table.c[name] == key for name, key in zip(by, keys, strict=True)]
    return sa.select(*columns).select_from(items.join(table, sa.and_(*at)))


def each_place() -> sa.Select[Any]:
    """Select the `places` themselves, bound as a JSON list of [key, slot]."""
    keys, items = _each("places", [leases.c.key, leases.c.slot])
    return sa.select(*keys).select_from(items)


def _each(
    parameter: str, columns: Sequence[sa.Column[Any]]
) -> tuple[list[sa.ColumnElement[Any]], sa.TableValuedAlias]:
    """Return values for these columns, and the bound JSON list that they are read from."""
    items = _Each(parameter).table_valued("value")
    parts = [_Part(items.c.value, index) for index in range(len(columns))]
    whole = [isinstance(column.type, sa.Integer) for column in columns]
    return [sa.cast(p, _INT) if w else p for p, w in zip(parts, whole, strict=True)], items


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


def is_free(now: sa.BindParameter[float]) -> sa.ColumnElement[bool]:
    """Return the condition that a lease has expired, or expires too late to be genuine.

    Such a lease would make every run wait.
    """
    longest = sa.literal_column(str(LEASE_MOST_S), sa.Float)
    return sa.or_(leases.c.expires < now, leases.c.expires > now + longest)


def _takeover(dialect: Any) -> Any:
    whose = sa.bindparam("owner", type_=sa.Text), sa.bindparam("until", type_=sa.Float)
    places = each_place().add_columns(*whose).where(sa.true())  # else SQLite reads a join's ON
    statement = dialect.insert(leases).from_select(list(leases.c), places)
    return statement.on_conflict_do_update(
        index_elements=[leases.c.key, leases.c.slot],
        set_={"owner": statement.excluded.owner, "expires": statement.excluded.expires},
        where=is_free(sa.bindparam("now")),
    )


_INT = sa.Integer()
_dialects = {"sqlite": sqlite, "postgresql": postgresql}
_takeovers = {name: _takeover(dialect) for name, dialect in _dialects.items()}
_inserts = {
    (name, table.name): dialect.insert(table).on_conflict_do_nothing()
    for name, dialect in _dialects.items()
    for table in tables.sorted_tables
}
