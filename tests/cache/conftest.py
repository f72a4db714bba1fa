"""Caches on both kinds of database: a SQLite file, and a real PostgreSQL server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cat_bench.cache import Cache


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty cache may be made, as CAT_BENCH_CACHE takes it."""
    if request.param == "sqlite":
        return str(tmp_path / "new" / "folder" / "cache.sqlite")
    database: str = request.getfixturevalue("database")
    return database


@pytest.fixture
def cache(location: str) -> Iterator[Cache]:
    """An empty cache."""
    with Cache(location) as opened:
        yield opened
