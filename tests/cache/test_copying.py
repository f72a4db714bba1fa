"""A copy is whole, can be taken up again, and changes nothing that was there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from cat_bench.cache import (
    Cache,
    Call,
    copy,
    import_pool,
    info,
    paging,
    pool_rows,
    prune,
    verify,
)
from cat_bench.errors import CacheError, UsageError
from cat_bench.types.calls import Failure, Reply

CALLS = [Call("generate", {"name": "m"}, label=str(number)) for number in range(7)]
ODD = Reply(text="\0\ud800é" * 2000, token_logprobs=np.array([1, np.nan]))


@pytest.fixture
async def source(tmp_path: Path) -> AsyncIterator[Cache]:
    async with Cache(tmp_path / "source.sqlite") as cache:
        for call in CALLS:
            await cache.store(call, {0: Reply(text=str(call.label)), 1: ODD})
        await cache.store(CALLS[0], {2: Failure("context", "no", permanent=True)})
        await cache.remember("score", {"a": 1.0, "b": None})
        file = tmp_path / "pool.jsonl"
        file.write_text(json.dumps({"id": "a", "problem": "?", "responses": ["x", "y"]}))
        import_pool(cache, file, name="p")
        yield cache


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "PAGE", 4)


@pytest.fixture
def target(cache: Cache) -> Cache:
    return cache


def contents(cache: Cache) -> object:
    found = info(cache)
    return found.holdings, found.pools, found.derived


async def test_everything_arrives_as_it_was_and_comes_back(
    source: Cache, target: Cache, tmp_path: Path
) -> None:
    *_, last = copy(source, target)
    assert (last.rows, last.done, last.copied, last.kept) == (29, 29, 29, 0)
    assert contents(target) == contents(source)
    assert await target.lookup(CALLS[3], [0, 1]) == await source.lookup(CALLS[3], [0, 1])
    assert [row.id for row in pool_rows(target, "p")] == ["a"]
    assert list(verify(target)) == []
    with Cache(tmp_path / "back.sqlite") as back:
        assert [*copy(target, back)][-1].copied == last.copied
        assert contents(back) == contents(source)
    assert [*copy(source, target)][-1].copied == 0


async def test_a_copy_that_was_killed_copies_only_what_is_missing(
    source: Cache, target: Cache
) -> None:
    whole = [*copy(source, target)][-1].copied
    prune(target, kind="generate", dry_run=False)
    first = [*islice(copy(source, target), 4)][-1].copied
    assert list(verify(target)) == []
    assert 0 < first < 22
    rest = [*copy(source, target)][-1].copied
    assert first + rest == 15 + 7 < whole
    assert contents(target) == contents(source)


async def test_what_is_there_stays(source: Cache, target: Cache) -> None:
    await target.store(CALLS[0], {0: Reply(text="mine"), 9: Reply(text="more")})
    *_, last = copy(source, target)
    assert last.kept == 1
    assert await target.lookup(CALLS[0], [0, 9]) == {0: Reply(text="mine"), 9: Reply(text="more")}
    assert list(verify(target)) == []


async def test_a_damaged_row_is_not_copied(source: Cache, target: Cache) -> None:
    with source.begin_writing() as connection:
        connection.exec_driver_sql("UPDATE results SET body = x'7b7d' WHERE slot = 2")
    with pytest.raises(CacheError, match=r"source\.sqlite: results \w+ 2: its content differs"):
        [*copy(source, target)]
    assert list(verify(target)) == []


async def test_pools_of_one_name_that_differ_stop_the_copy(
    source: Cache, target: Cache, tmp_path: Path
) -> None:
    file = tmp_path / "other.jsonl"
    file.write_text(json.dumps({"id": "b", "problem": "?", "responses": ["z"]}))
    import_pool(target, file, name="p")
    with pytest.raises(UsageError, match="the caches have different pools 'p': delete one"):
        [*copy(source, target)]
    assert len(info(target).holdings) == 1
    with pytest.raises(UsageError, match="cannot be copied to itself"):
        [*copy(source, source)]
