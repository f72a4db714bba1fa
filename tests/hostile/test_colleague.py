"""A colleague's cache and published calls: loaded before stored, told apart, graded again."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from cat_bench.cache import Cache, Call, calls, copy, info, prune, verify
from cat_bench.cache.call import canonical
from cat_bench.cache.codec import Stored
from cat_bench.cache.schema import LEASE_MOST_S
from cat_bench.errors import CacheError, DataError, UnknownName
from cat_bench.types.calls import JSON, Reply
from tests.conftest import TOY, Workshop

CALL = Call("generate", {"name": "m"})
Row = dict[str, JSON]


async def _published(folder: Path, change: Callable[[Row], None] = lambda row: None) -> Path:
    """A file of two results, the second one changed and sealed again."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = folder / "calls.parquet"
    async with Cache(folder / "theirs.sqlite") as theirs:
        await theirs.store(CALL, {0: Reply(text="a"), 1: Reply(text="b")})
        calls.export_calls(theirs, file, [(CALL.key, 0), (CALL.key, 1)], run={})
    table = pq.read_table(file)
    rows = table.to_pylist()
    change(rows[1])
    for row in rows:
        stored = Stored(row["body"], row["logprobs"], row["entropies"])
        row["digest"] = stored.digest(row["key"], row["slot"])
    lines = "".join(f"{row['key']}/{row['slot']}/{row['digest']}\n" for row in rows)
    whole = sha256(lines.encode()).hexdigest()
    said = {"format": calls.FORMAT, "run": {}, "results": len(rows), "digest": whole}
    sealed = pa.Table.from_pylist(rows, schema=table.schema)
    pq.write_table(sealed.replace_schema_metadata({"cat_bench": json.dumps(said)}), file)
    return file


def _set(name: str, value: JSON) -> Callable[[Row], None]:
    return lambda row: row.update({name: value})


def _body(value: JSON) -> Callable[[Row], None]:
    return _set("body", canonical(value).encode())


BROKEN = [
    _set("body", b"{"),
    _set("body", b"\xff\xfe"),
    _set("logprobs", b"abc"),
    _set("document", b"{}"),
    _set("document", b"nothing"),
    _set("key", "0" * 64),
    _set("slot", -1),
    _body([]),
    _body("text"),
    _body({}),
    _body({"text": "a", "unknown": 1}),
    _body({"text": "a", "usage": [1, 2, 3, 4]}),
    _body({"failure": "server"}),
]


@pytest.mark.parametrize("change", BROKEN)
async def test_what_could_not_be_loaded_later_is_not_imported(
    change: Callable[[Row], None], tmp_path: Path
) -> None:
    file = await _published(tmp_path, change)
    async with Cache(tmp_path / "own.sqlite") as own:
        with pytest.raises(DataError, match=r"calls\.parquet: "):
            calls.import_calls(own, file)
        assert info(own).holdings == ()


async def test_the_origin_of_imported_calls_is_kept_shown_and_pruned(tmp_path: Path) -> None:
    file = await _published(tmp_path)
    async with Cache(tmp_path / "own.sqlite") as own:
        await own.store(CALL, {0: Reply(text="mine"), 2: Reply(text="mine, too")})
        calls.import_calls(own, file)
        (name,) = info(own).origins
        assert name.startswith("calls.parquet ")
        assert info(own).origins == {name: 1}
        with pytest.raises(UnknownName):
            prune(own, origin="other.parquet", dry_run=False)
        assert prune(own, origin=name, dry_run=False).results == 1
        assert sorted(await own.lookup(CALL, [0, 1, 2])) == [0, 2]
        assert info(own).origins == {}
        assert list(verify(own)) == []


async def test_a_copy_leaves_the_origin_and_no_score(tmp_path: Path) -> None:
    async with Cache(tmp_path / "theirs.sqlite") as theirs, Cache(tmp_path / "own.sqlite") as own:
        await theirs.store(CALL, {0: Reply(text="a")})
        await theirs.remember("score", {"a": 1.0})
        list(copy(theirs, own, derived=False))
        assert info(own).derived == 0
        assert info(own).origins == {f"copy of {tmp_path / 'theirs.sqlite'}": 1}
        prune(own, model="m", dry_run=False)
        assert info(own).origins == {}


def test_scores_of_a_strangers_cache_are_graded_again(workshop: Workshop) -> None:
    """Every score of theirs is 1; copied without trust, the run is graded as it deserves."""
    import sqlite3

    from cat_bench.cache.codec import pack, unpack
    from cat_bench.cache.rows import derived_digest

    run = (*TOY, "--pool", "4", "--n", "2", "--method", "majority")
    assert workshop.run(*run, "--out", "before")[0] == 0
    with sqlite3.connect("cache.sqlite") as theirs:
        for space, key, value in theirs.execute("SELECT namespace, key, value FROM derived"):
            if space.startswith("score "):
                forged = pack({**unpack(value), "value": 1.0})
                digest = derived_digest(space, key, forged)
                update = "UPDATE derived SET value = ?, digest = ? WHERE namespace = ? AND key = ?"
                theirs.execute(update, (forged, digest, space, key))
    theirs.close()
    workshop.monkeypatch.delenv("CAT_BENCH_TRUST")
    status, _, err = workshop.run("cache", "copy", "cache.sqlite", "own.sqlite")
    assert status == 0, err
    assert "graded again" in err
    workshop.monkeypatch.setenv("CAT_BENCH_CACHE", "own.sqlite")
    status, _, err = workshop.run(*run, "--out", "after", "--offline")
    assert status == 0, err
    assert Path("after/table.csv").read_text() == Path("before/table.csv").read_text()


async def _changed(file: Path, *statements: str) -> None:
    """A sound cache of two results, in which a colleague's statements were executed."""
    async with Cache(file) as theirs:
        await theirs.store(CALL, {0: Reply(text="a"), 1: Reply(text="b")})
    with closing(sqlite3.connect(file)) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
PROGRAMS = {
    "a view that never ends": (
        "ALTER TABLE results RENAME TO r",
        f"CREATE VIEW results AS {ENDLESS} SELECT 'k' AS key, x AS slot, x'00' AS body,"
        " NULL AS logprobs, NULL AS entropies, 'd' AS digest FROM c",
    ),
    "a trigger that changes what is stored": (
        "CREATE TRIGGER t AFTER INSERT ON results BEGIN"
        " UPDATE results SET body = x'7b7d' WHERE slot = NEW.slot; END",
    ),
    "a trigger that drops what is stored": (
        "CREATE TRIGGER t BEFORE INSERT ON results BEGIN SELECT RAISE(IGNORE); END",
    ),
    "a column that takes all memory": (
        "ALTER TABLE results ADD COLUMN x BLOB GENERATED ALWAYS AS (zeroblob(900000000)) VIRTUAL",
    ),
    "an index by an expression": ("CREATE INDEX i ON results (hex(zeroblob(slot)))",),
    "a check": ("CREATE TABLE t (a CHECK (a > length(hex(zeroblob(a)))))",),
    "a virtual table": ("CREATE VIRTUAL TABLE v USING fts5(a)",),
}


@pytest.mark.parametrize("name", PROGRAMS)
async def test_a_cache_that_runs_something_is_not_opened(name: str, tmp_path: Path) -> None:
    file = tmp_path / "theirs.sqlite"
    await _changed(file, *PROGRAMS[name])
    with pytest.raises(CacheError, match="which runs whenever it is read or written"):
        Cache(file)


@pytest.mark.parametrize("expires", ["1e300", "'never'", "x'ff'", "unixepoch() + 1e6"])
async def test_a_lease_that_never_ends_keeps_nobody(expires: str, tmp_path: Path) -> None:
    file = tmp_path / "theirs.sqlite"
    lease = f"INSERT INTO leases SELECT key, 2, 'elsewhere/1/ab', {expires} FROM calls"
    await _changed(file, lease)
    async with Cache(file) as theirs:
        assert (await theirs.claim(CALL, [2])).mine == {2}


async def test_a_lease_of_another_machine_is_respected(tmp_path: Path) -> None:
    file, until = tmp_path / "theirs.sqlite", time.time() + LEASE_MOST_S / 2
    lease = f"INSERT INTO leases SELECT key, 2, 'elsewhere/1/ab', {until} FROM calls"
    await _changed(file, lease)
    async with Cache(file) as theirs:
        assert (await theirs.claim(CALL, [2])).mine == frozenset()


@pytest.mark.parametrize("process", ["x", "", "-1", "0", "9" * 30, "9" * 5000, "1/2/3"])
async def test_a_lease_of_no_process_is_freed(process: str, tmp_path: Path) -> None:
    from cat_bench.cache.writer import _machine

    file, until = tmp_path / "theirs.sqlite", time.time() + LEASE_MOST_S / 2
    owner = f"{_machine()}/{process}/ab"
    await _changed(file, f"INSERT INTO leases SELECT key, 2, '{owner}', {until} FROM calls")
    async with Cache(file) as theirs:
        assert (await theirs.claim(CALL, [2])).mine == ({2} if "/" not in process else set())


@pytest.mark.parametrize("owner", ["'nobody'", "x'ff'", "''"])
async def test_an_owner_that_is_no_process_ends_no_run(owner: str, tmp_path: Path) -> None:
    file = tmp_path / "theirs.sqlite"
    await _changed(file, f"INSERT INTO leases SELECT key, 2, {owner}, 0 FROM calls")
    async with Cache(file) as theirs:
        assert (await theirs.claim(CALL, [2])).mine == {2}


@pytest.mark.parametrize("version", ["9" * 5000, "99", "-1", "", "1.0", "\x1b[2J", "\u0663"])
async def test_another_schema_version_is_named_in_one_line(version: str, tmp_path: Path) -> None:
    file = tmp_path / "theirs.sqlite"
    await _changed(file, f"UPDATE meta SET value = '{version}'")
    with pytest.raises(CacheError, match="has schema version") as refused:
        Cache(file)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("model", ["{", "[" * 100_000, "9" * 5000, ""])
async def test_a_model_that_is_not_json_is_listed_found_and_pruned(
    model: str, tmp_path: Path
) -> None:
    file = tmp_path / "theirs.sqlite"
    await _changed(file, f"UPDATE calls SET model = '{model}'")
    with Cache(file) as theirs:
        assert [holding.model for holding in info(theirs).holdings] == [model]
        assert [flaw.table for flaw in verify(theirs)] == ["calls"]
        assert prune(theirs, kind="generate", dry_run=False).results == 2


@pytest.mark.parametrize("metadata", ["{", "[]", "[" * 100_000, '{"name": 3}', "null"])
async def test_a_damaged_record_of_a_pool_is_found_and_not_copied(
    metadata: str, tmp_path: Path
) -> None:
    file, own = tmp_path / "theirs.sqlite", tmp_path / "own.sqlite"
    await _changed(file, f"INSERT INTO pools VALUES ('p', CAST('{metadata}' AS BLOB))")
    with Cache(file) as theirs, Cache(own) as mine:
        assert [(flaw.table, flaw.key) for flaw in verify(theirs)] == [("pools", "p")]
        with pytest.raises(CacheError, match="its record of the pool 'p' is damaged"):
            info(theirs)
        with pytest.raises(CacheError, match="pools p: cannot be read"):
            list(copy(theirs, mine))
        assert info(mine).pools == ()
