"""A cache that cannot be opened says what is wrong, where, and what to do: in one line."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from cat_bench.cache import Cache, Call
from cat_bench.cache.opening import SCHEMA_VERSION
from cat_bench.cache.rows import DAMAGED
from cat_bench.errors import CacheError
from cat_bench.types.calls import Reply

CALL = Call("generate", "model")


def refusal(location: str | Path) -> str:
    with pytest.raises(CacheError) as caught:
        Cache(location)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_folder_is_no_cache(tmp_path: Path) -> None:
    assert refusal(tmp_path) == (
        f"cache {tmp_path}: unable to open database file: "
        f"not a file that can be written; name one by --cache or CAT_BENCH_CACHE"
    )


def test_a_path_under_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert str(tmp_path / "file" / "cache.sqlite") in refusal(tmp_path / "file" / "cache.sqlite")


def test_a_place_that_takes_no_file_is_refused() -> None:
    assert "cache /proc/none/cache.sqlite" in refusal("/proc/none/cache.sqlite")


def test_another_kind_of_file_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("my notes, which are long enough to be looked at" * 50)
    assert "file is not a database: move it away, or name another file" in refusal(file)
    assert file.read_text().startswith("my notes")


def test_another_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "mine.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    assert f"{file} is a database, but no cat_bench cache" in refusal(file)


async def test_an_older_cache_is_brought_up_to_date(location: str) -> None:
    async with Cache(location) as cache:
        await cache.store(CALL, {0: Reply(text="kept")})
        with cache.begin_writing() as connection:
            connection.exec_driver_sql("DROP INDEX calls_by_model")
            connection.exec_driver_sql("DROP TABLE origins")
            connection.exec_driver_sql("UPDATE meta SET value = '1' WHERE name = 'schema'")
    for _ in range(2):
        async with Cache(location) as cache:
            with cache.begin_reading() as connection:
                (index,) = sa.inspect(connection).get_indexes("calls")
                version = connection.exec_driver_sql("SELECT value FROM meta").scalar_one()
            assert (index["name"], index["column_names"]) == ("calls_by_model", ["kind", "model"])
            assert version == str(SCHEMA_VERSION)
            assert await cache.lookup(CALL, [0]) == {0: Reply(text="kept")}


def test_another_schema_version_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "cache.sqlite"
    with Cache(file) as cache, cache.begin_writing() as connection:
        connection.exec_driver_sql("UPDATE meta SET value = '99' WHERE name = 'schema'")
    assert "has schema version 99, and this cat_bench reads 3; use" in refusal(file)


async def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    file = tmp_path / "cache.sqlite"
    async with Cache(file) as cache:
        for number in range(200):
            await cache.store(CALL, {number: Reply(text=f"{number} " * 100)})
    data = bytearray(file.read_bytes())
    data[4096:] = b"\x7f" * (len(data) - 4096)
    file.write_bytes(data)
    assert f"cache {file}: database disk image is malformed: it is damaged" in refusal(file)


async def test_a_damaged_result_is_no_reply(tmp_path: Path) -> None:
    async with Cache(tmp_path / "cache.sqlite") as cache:
        await cache.store(CALL, {0: Reply(text="2")})
        with cache.begin_writing() as connection:
            connection.exec_driver_sql("UPDATE results SET body = x'00ff'")
        assert await cache.lookup(CALL, [0]) == {0: DAMAGED}
        assert cache.damaged == {(CALL.key, 0)}


def test_urls_and_the_environment_name_a_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Cache(f"sqlite:///{tmp_path}/by-url.sqlite"):
        assert (tmp_path / "by-url.sqlite").is_file()
    monkeypatch.setenv("CAT_BENCH_CACHE", str(tmp_path / "by-name.sqlite"))
    with Cache():
        assert (tmp_path / "by-name.sqlite").is_file()
    monkeypatch.delenv("CAT_BENCH_CACHE")
    monkeypatch.chdir(tmp_path)
    with Cache():
        assert (tmp_path / ".cat_bench" / "cache.sqlite").is_file()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (
            "postgress://me:hunter2@host/db",
            "kept in 'postgress'. Did you mean 'postgresql'?",
        ),
        ("mysql://me:hunter2@host/db", "mysql://me:***@host/db: a cache cannot be kept in"),
        ("postgresql+nosuch://host/db", "postgresql+nosuch://host/db"),
        ("postgresql:/me:hunter2@host/db", "write it as postgresql://USER"),
        ("postgresql//me:hunter2@host/db", "is not a database URL"),
        ("://", "is not a database URL"),
        ("postgresql://me:hunter2@p@host/db", "has two @: write one in a password as %40"),
        ("sqlite://", "is in-memory"),
        ("sqlite:///:memory:", "is in-memory"),
    ],
)
def test_a_url_that_names_no_cache_is_refused(
    url: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = refusal(url)
    assert problem in said
    assert "hunter2" not in said
    assert not [*tmp_path.iterdir()]


def test_the_scheme_of_a_url_may_be_written_in_capitals() -> None:
    assert "refused" in refusal("POSTGRES://me:hunter2@127.0.0.1:9/db")


def test_a_file_may_have_a_colon_in_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Cache("./a:b.sqlite"):
        assert (tmp_path / "a:b.sqlite").is_file()


def test_a_password_is_never_shown() -> None:
    assert "hunter2" not in refusal("postgresql://me:hunter2@127.0.0.1:9/db")
