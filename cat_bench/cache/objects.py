"""The objects of a SQLite file: tables and one index, and nothing that computes what is read.

A colleague's file could hold a view in the place of a table, a trigger, or a column or an index by
an expression. Each is a program that SQLite runs whenever the cache is read or written: it may take
for ever or all memory, or change what was stored.
"""

from __future__ import annotations

import re

import sqlalchemy as sa

from cat_bench.errors import CacheError, one_line

_OBJECTS = "SELECT type, name, rootpage, sql FROM sqlite_master"
_COMPUTES = re.compile(r"\b(CHECK|GENERATED|AS)\s*\(|\bGENERATED\b|\bCOLLATE\b", re.IGNORECASE)
_PLAIN_INDEX = re.compile(r"CREATE INDEX calls_by_model ON calls \(kind, model\)", re.IGNORECASE)


def check_objects(connection: sa.Connection) -> None:
    """Raise CacheError if a SQLite file holds anything that runs when it is read or written."""
    if connection.dialect.name != "sqlite":
        return
    for kind, name, page, sql in connection.exec_driver_sql(_OBJECTS):
        plain = {
            "table": bool(page) and not _COMPUTES.search(sql or ""),
            "index": sql is None or _PLAIN_INDEX.fullmatch(sql) is not None,
        }
        if not plain.get(kind, False):
            raise CacheError(
                f"cache {connection.engine.url.database} holds the {one_line(kind)} "
                f"{one_line(name)!r}, which runs whenever it is read or written, and which no "
                "cat_bench has made: do not use this file"
            )
