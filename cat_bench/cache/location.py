"""Where a cache is: a file or a database's URL, and how a message names it without its secrets."""

from __future__ import annotations

import os
import re
from pathlib import Path

import sqlalchemy as sa

from cat_bench.errors import CacheError, printable, suggest

_SHOWN = ("host", "port", "dbname", "user", "service", "sslmode", "target_session_attrs")
"""The parameters of a URL that a message may show: any other could hold a secret."""
_SHAPE = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
_URL = re.compile(r"://|^\s*\w[\w+]+:|^(postgres|sqlite)\w*//|^\s*//[^/]*@")
"""The pattern of a URL; write a file with such a name as `./NAME`."""
_LIBPQ = re.compile(r"(?:^|\s)(?:host|hostaddr|dbname|user|password|service)\s*=", re.IGNORECASE)
"""The pattern of libpq's connection string, `host=… password=…`."""
_VALUE = re.compile(r"\s*=\s*('[^']*'|\S+)")
"""The pattern of a value in such a string, each of which could hold a secret."""
_SECRET = re.compile(
    r"((?:pass|pwd|secret|token|key)\w*\s*(?:=|%3D)\s*)('[^']*'|[^&\s]*)", re.IGNORECASE
)
"""The pattern of a possible password in a text that is not a URL."""


def resolve(location: str | Path | None) -> sa.URL:
    """Return the URL of a location; None means CAT_BENCH_CACHE, else the default file."""
    named = location or os.environ.get("CAT_BENCH_CACHE") or Path(".cat_bench", "cache.sqlite")
    if "\0" in str(named):
        raise CacheError(f"{_censor(printable(str(named)))!r} cannot name a file: it holds a NUL")
    if isinstance(named, str) and _URL.search(named):
        return _url(named)
    if isinstance(named, str) and _LIBPQ.search(named) and not Path(named).exists():
        raise CacheError(
            f"{_VALUE.sub('=…', named)!r} is a connection string of libpq, not a file: write it as "
            f"{_SHAPE}"
        )
    return sa.URL.create("sqlite", database=str(Path(named).expanduser().absolute()))


def display_url(url: sa.URL) -> str:
    """Return the file, or the URL without its secrets."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    plain = url.difference_update_query([name for name in url.query if name not in _SHOWN])
    shown = plain.render_as_string(hide_password=True)
    return _SECRET.sub(r"\1…", shown.replace("postgresql+psycopg://", "postgresql://"))


def hide_values(text: str, url: sa.URL) -> str:
    """Return a driver's message, which quotes parts of a URL, without its possible secrets."""
    values = [v for name in url.query.keys() - _SHOWN for v in url.normalized_query[name]]
    for value in (url.password, *values):
        text = text.replace(str(value), "…") if value else text
    return text


def _url(named: str) -> sa.URL:
    """Parse a text that looks like a URL; raises CacheError, without showing a password."""
    try:
        url = sa.make_url(named)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise CacheError(
            f"{_censor(named)!r} is not a database URL: write it as {_SHAPE}, "
            "or a file of that name as ./NAME"
        ) from error
    kind, _, driver = url.drivername.lower().partition("+")
    if kind not in {"sqlite", "postgresql", "postgres"}:
        hint = suggest(kind, ["sqlite", "postgresql"])
        problem = f"a cache cannot be kept in {kind!r}.{hint} Name a file, or {_SHAPE}"
        raise CacheError(f"cache {display_url(url)}: {problem}")
    if kind == "sqlite":
        if url.database in {None, "", ":memory:"}:
            raise CacheError(f"{_censor(named)!r} is in-memory; a cache must be a file")
        if url.query or url.host:
            problem = "names more than a file: write it as sqlite:///FILE"
            raise CacheError(f"{_censor(named)!r} {problem}")
        return url
    if "@" in (url.host or ""):
        raise CacheError(f"{_censor(named)!r} has two @: write one in a password as %40")
    return url.set(drivername=f"postgresql+{driver or 'psycopg'}")


def _censor(text: str) -> str:
    """Return an invalid URL without anything that could be a password."""
    hidden = re.sub(r"(:/*|//).*@", r"\1…@", text, flags=re.DOTALL)
    return _SECRET.sub(r"\1…", hidden)
