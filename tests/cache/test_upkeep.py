"""A cache is checked against its own hashes, and pruned only as far as was said."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import numpy as np
import pytest

from cat_bench.cache import Cache, Call, import_pool, info, pool_names, prune, verify
from cat_bench.cache.upkeep import SHOWN
from cat_bench.errors import CacheError, UnknownName, UsageError
from cat_bench.types.calls import Reply

CALL = Call("generate", {"name": "big", "revision": "1"})
SMALL = Call("generate", "small")
SCORED = Call("logprob", "small", text="2")


@pytest.fixture
async def cache(tmp_path: Path) -> AsyncIterator[Cache]:
    async with Cache(tmp_path / "cache.sqlite") as cache:
        array = np.zeros(10)
        await cache.store(CALL, {0: Reply(text="2", token_logprobs=array), 1: Reply(text="3")})
        await cache.store(SMALL, {0: Reply(text="4")})
        await cache.store(SCORED, {0: Reply(text="", token_logprobs=array)})
        await cache.remember("score", {"a": 1.0})
        file = tmp_path / "pool.jsonl"
        file.write_text(json.dumps({"id": "a", "problem": "?", "responses": ["x", "y"]}))
        import_pool(cache, file, name="pool")
        yield cache


async def test_info_counts_by_kind_and_model(cache: Cache) -> None:
    await cache.claim(CALL, [5])
    found = info(cache)
    counted = [(h.kind, h.model, h.calls, h.results) for h in found.holdings]
    assert counted == [
        ("generate", "small", 1, 1),
        ("generate", CALL.model, 1, 2),
        ("imported", {"pool": "pool"}, 1, 2),
        ("logprob", "small", 1, 1),
    ]
    assert found.holdings[1].bytes == len('{"text":"2"}') * 2 + 40
    assert (found.derived, found.leased) == (1, 1)
    assert [pool.name for pool in found.pools] == ["pool"]
    assert found.bytes is not None
    assert found.bytes > 10_000


async def test_a_sound_cache_has_no_flaw(cache: Cache) -> None:
    assert list(verify(cache)) == []


@pytest.mark.parametrize(
    ("change", "table", "problem"),
    [
        (
            "UPDATE results SET body = CAST(replace(body, '2', '5') AS BLOB)",
            "results",
            "differs from its digest",
        ),
        ("UPDATE results SET logprobs = x'00' WHERE slot = 0", "results", "differs from its"),
        ("UPDATE results SET slot = 9 WHERE slot = 1", "results", "differs from its digest"),
        (
            "UPDATE calls SET document = CAST(replace(document, 'big', 'bag') AS BLOB)",
            "calls",
            "another key",
        ),
        ("UPDATE calls SET document = x'78'", "calls", "cannot be read"),
        ("UPDATE results SET body = 'text'", "results", "cannot be read"),
        ("UPDATE results SET key = x'00' WHERE rowid = 1", "results", "differs from its digest"),
        ("UPDATE calls SET model = '\"other\"' WHERE kind = 'logprob'", "calls", "model is not"),
        ("DELETE FROM calls WHERE kind = 'generate'", "results", "belongs to no known call"),
        ("DELETE FROM calls WHERE kind = 'imported'", "pool_questions", "rollouts are gone"),
        ("UPDATE derived SET value = x'32'", "derived", "differs from its digest"),
    ],
)
async def test_a_flaw_is_found_where_it_is(
    change: str, table: str, problem: str, cache: Cache
) -> None:
    with cache.begin_writing() as connection:
        connection.exec_driver_sql(change)
    flaws = list(verify(cache))
    assert any(flaw.table == table and problem in flaw.problem for flaw in flaws)


async def test_a_flipped_byte_in_the_file_is_found(cache: Cache, tmp_path: Path) -> None:
    await cache.close()
    file = tmp_path / "cache.sqlite"
    data = file.read_bytes()
    assert data.count(b'{"text":"3"}') == 1
    file.write_bytes(data.replace(b'{"text":"3"}', b'{"text":"2"}'))
    with Cache(file) as again:
        [flaw] = verify(again)
    assert (flaw.table, flaw.key) == ("results", f"{CALL.key} slot 1")


async def test_pages_that_are_damaged_anywhere_are_said(cache: Cache, tmp_path: Path) -> None:
    """Either the cache cannot be opened and read to its end, or what is wrong is listed."""
    for number in range(200):
        call = Call("generate", {"name": "big"}, label=str(number))
        await cache.store(call, {0: Reply(text=f"{number} " * 30)})
    await cache.close()
    data, rng, flawed = (tmp_path / "cache.sqlite").read_bytes(), Random(0), 0
    pages = [data[at : at + 4096] for at in range(0, len(data), 4096)]
    unreadable: list[str] = []
    for number, whole in enumerate(pages):
        others = [page for page in pages if page != whole]
        for page in (bytes(4096), rng.randbytes(4096), rng.choice(others)):
            file = tmp_path / f"damaged{flawed + len(unreadable)}.sqlite"
            file.write_bytes(b"".join([*pages[:number], page, *pages[number + 1 :]]))
            try:
                with Cache(file) as damaged:
                    assert list(verify(damaged)), (number, page[:20])
                    flawed += 1
            except CacheError as error:
                unreadable.append(str(error))
    assert flawed
    assert unreadable
    assert [said for said in unreadable if "damaged" not in said and "no cache" not in said] == []


async def test_a_dry_prune_deletes_nothing(cache: Cache) -> None:
    gone = prune(cache, model="big")
    assert (gone.calls, gone.results, gone.pools) == (1, 2, ())
    assert len(await cache.lookup(CALL, range(2))) == 2


async def test_a_prune_takes_what_was_named_and_no_more(cache: Cache) -> None:
    prune(cache, model="small", kind="logprob", dry_run=False)
    assert await cache.lookup(SCORED, [0]) == {}
    assert len(await cache.lookup(SMALL, [0])) == 1
    prune(cache, model="big", dry_run=False)
    assert await cache.lookup(CALL, range(2)) == {}
    assert prune(cache, model="pool", dry_run=False).pools == ("pool",)
    assert pool_names(cache) == []
    assert [holding.model for holding in info(cache).holdings] == ["small"]
    assert list(verify(cache)) == []


async def test_a_prune_of_a_kind_takes_every_pool(cache: Cache) -> None:
    assert prune(cache, kind="imported", dry_run=False).pools == ("pool",)
    assert prune(cache, kind="imported").results == 0


async def test_a_prune_gives_space_back(cache: Cache) -> None:
    noise = np.random.default_rng(0).normal(size=100_000)
    await cache.store(SMALL, {1: Reply(text="", token_logprobs=noise)})
    before = info(cache).bytes
    prune(cache, model="small", dry_run=False)
    await cache.close()
    with Cache(str(cache.url.database)) as again:
        after = info(again).bytes
    assert before is not None
    assert after is not None
    assert after < before / 2


async def test_a_prune_of_nothing_or_of_a_stranger_is_refused(cache: Cache) -> None:
    with pytest.raises(UsageError, match="name what to prune"):
        prune(cache)
    with pytest.raises(UnknownName, match="Did you mean 'small'"):
        prune(cache, model="smal")


async def test_what_info_shows_of_a_digest_names_its_model(cache: Cache) -> None:
    digest = "6d93" * 16
    await cache.store(Call("generate", {"folder": digest}), {0: Reply(text="5")})
    assert prune(cache, model=digest[:SHOWN]).results == 1
    with pytest.raises(UnknownName):
        prune(cache, model=digest[: SHOWN - 1])
