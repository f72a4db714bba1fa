"""What a cache promises to those who share it, in one process."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from cat_bench.cache import Cache, Call, Claim, opening, rows, schema, verify
from cat_bench.cache.worker import RETRY_S
from cat_bench.errors import CacheError
from cat_bench.types.calls import Failure, Reply

CALL = Call("generate", "model", ({"role": "user", "content": "1 + 1?"},))
OTHER = Call("generate", "model", ({"role": "user", "content": "1 + 2?"},))
TWO, THREE = Reply(text="2"), Reply(text="3")


async def test_what_is_stored_is_found_by_others_and_later(cache: Cache, location: str) -> None:
    assert (await cache.claim(CALL, range(3))).mine == {0, 1, 2}
    assert await cache.store(CALL, {0: TWO, 2: THREE}) == {0: TWO, 2: THREE}
    async with Cache(location) as other:
        assert await other.lookup(CALL, range(3)) == {0: TWO, 2: THREE}
        assert await other.lookup(OTHER, range(3)) == {}
        claim = await other.claim(CALL, range(4))
    assert claim == Claim({0: TWO, 2: THREE}, frozenset({3}), frozenset({1}))


async def test_a_slot_is_leased_to_one_claim_at_a_time(cache: Cache) -> None:
    claims = await asyncio.gather(*(cache.claim(CALL, range(8)) for _ in range(20)))
    assert sorted(slot for claim in claims for slot in claim.mine) == list(range(8))
    assert all(claim.mine | claim.others == set(range(8)) for claim in claims)


async def test_a_released_slot_is_free_again(cache: Cache, location: str) -> None:
    await cache.claim(CALL, [0, 1])
    await cache.release(CALL, [1])
    async with Cache(location) as other:
        assert (await other.claim(CALL, [0, 1])).mine == {1}
    assert (await cache.claim(CALL, [0, 1])).mine == {1}


async def test_closing_frees_what_was_leased(location: str) -> None:
    async with Cache(location) as first:
        await first.claim(CALL, [0])
    async with Cache(location) as second:
        assert (await second.claim(CALL, [0])).mine == {0}


async def test_a_long_import_keeps_nobody_from_reading(cache: Cache, location: str) -> None:
    await cache.store(CALL, {0: TWO})
    with cache.begin_writing():
        async with Cache(location) as other:
            assert await other.lookup(CALL, [0]) == {0: TWO}


async def test_a_long_import_into_a_file_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "BUSY_S", 0.1)
    async with Cache(tmp_path / "c.sqlite") as importing, Cache(tmp_path / "c.sqlite") as sampling:
        with importing.begin_writing():
            claim = asyncio.create_task(sampling.claim(CALL, [0]))
            done, _ = await asyncio.wait([claim], timeout=3 * RETRY_S)
            assert not done
        assert (await claim).mine == {0}


async def test_the_first_writer_wins_and_the_loser_learns_of_it(
    cache: Cache, location: str
) -> None:
    async with Cache(location) as other:
        await cache.store(CALL, {0: TWO})
        assert await other.store(CALL, {0: THREE, 1: THREE}) == {0: TWO, 1: THREE}
    both = await asyncio.gather(cache.store(OTHER, {0: TWO}), cache.store(OTHER, {0: THREE}))
    assert list(both) == [{0: TWO}, {0: TWO}]


async def test_permanent_failures_stay_and_transient_ones_do_not(cache: Cache) -> None:
    lasting = Failure("context", "too long", permanent=True)
    passing = Failure("rate_limit", "slow down", retry_after=1.0)
    await cache.claim(CALL, [0, 1])
    assert await cache.store(CALL, {0: lasting, 1: passing}) == {0: lasting, 1: passing}
    claim = await cache.claim(CALL, [0, 1])
    assert claim == Claim({0: lasting}, frozenset({1}), frozenset())


async def test_odd_text_survives(cache: Cache) -> None:
    call = Call("generate", {"name": "m\ud800"}, ({"role": "user", "content": "x\0\udc00"},))
    odd = Reply(text="\0\ud800é", finish="\0")
    refused = Failure("context", "\0\ud800", permanent=True)
    await cache.store(call, {0: odd, 1: refused})
    assert await cache.lookup(call, [0, 1]) == {0: odd, 1: refused}
    assert list(verify(cache)) == []


async def test_arrays_come_back_as_float32(cache: Cache) -> None:
    array = np.array([-0.1, np.nan, -np.inf])
    await cache.store(CALL, {0: Reply(text="", token_logprobs=array, token_entropies=array[:0])})
    reply = (await cache.lookup(CALL, [0]))[0]
    assert isinstance(reply, Reply)
    assert reply.token_logprobs is not None
    assert reply.token_entropies is not None
    np.testing.assert_array_equal(reply.token_logprobs, array.astype(np.float32))
    assert reply.token_entropies.shape == (0,)


async def test_the_leases_of_the_living_are_renewed(location: str) -> None:
    async with Cache(location, lease_s=3) as cache:
        await cache.claim(CALL, [0])

        def expires() -> float:
            with cache.begin_reading() as connection:
                return float(connection.scalar(sa.select(schema.leases.c.expires)) or 0)

        first = expires()
        async with asyncio.timeout(300):
            while expires() <= first:
                await asyncio.sleep(0.05)


async def test_an_expired_lease_is_taken_over(location: str) -> None:
    async with Cache(location) as silent, Cache(location) as other:
        await silent.claim(CALL, [0])
        with other.begin_writing() as connection:
            connection.exec_driver_sql("UPDATE leases SET expires = expires - 100")
        assert (await other.claim(CALL, [0])).mine == {0}
        assert await silent.store(CALL, {0: TWO}) == {0: TWO}
        assert await other.store(CALL, {0: THREE}) == {0: TWO}


async def test_a_cancelled_claim_keeps_no_lease(cache: Cache, location: str) -> None:
    for delay in (0.0, 0.0005, 0.001, 0.002, 0.004, 0.008):
        claim = asyncio.create_task(cache.claim(CALL, range(4)))
        await asyncio.sleep(delay)
        claim.cancel()
        with suppress(asyncio.CancelledError):
            await cache.release(CALL, (await claim).mine)
        await cache.release(CALL, [])
        async with Cache(location) as other:
            assert (await other.claim(CALL, range(4))).mine == {0, 1, 2, 3}


async def test_derived_values_are_remembered_once(cache: Cache) -> None:
    await cache.remember("score v1", {"a": {"value": 1.0}, "b\0\ud800": [None, "\ud800"]})
    await cache.remember("score v1", {"a": "another"})
    assert await cache.recall("score v1", ["a", "b\0\ud800", "c"]) == {
        "a": {"value": 1.0},
        "b\0\ud800": [None, "\ud800"],
    }
    assert await cache.recall("score v2", ["a"]) == {}


async def test_thousands_of_calls_at_once_lose_nothing(cache: Cache) -> None:
    calls = [Call("generate", "model", label=str(i)) for i in range(2000)]

    async def fill(call: Call) -> None:
        assert (await cache.claim(call, [0])).mine == {0}
        await cache.store(call, {0: Reply(text=str(call.label))})

    await asyncio.gather(*(fill(call) for call in calls))
    found = await asyncio.gather(*(cache.lookup(call, [0]) for call in calls))
    assert [{0: Reply(text=str(i))} for i in range(2000)] == found


async def test_a_store_whose_waiter_was_cancelled_is_kept(cache: Cache) -> None:
    store = asyncio.create_task(cache.store(CALL, {0: TWO}))
    await asyncio.sleep(0)
    store.cancel()
    await cache.release(OTHER, [0])
    assert await cache.lookup(CALL, [0]) == {0: TWO}


async def test_a_closed_cache_says_so(location: str) -> None:
    cache = Cache(location)
    await cache.close()
    with pytest.raises(CacheError, match="closed"):
        await cache.lookup(CALL, [0])


def test_one_cache_serves_one_event_loop_after_another(location: str) -> None:
    with Cache(location) as cache:
        asyncio.run(cache.store(CALL, {0: TWO}))
        assert asyncio.run(cache.lookup(CALL, [0])) == {0: TWO}


async def test_a_full_disk_is_said_and_the_run_can_go_on(tmp_path: Path) -> None:
    async with Cache(tmp_path / "cache.sqlite") as cache:
        await cache.claim(CALL, [0])
        with cache.begin_writing() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        with pytest.raises(CacheError, match=r"cache\.sqlite: database or disk is full: free"):
            await cache.store(CALL, {0: Reply(text=str(np.random.default_rng(0).bytes(50_000)))})
        assert await cache.lookup(CALL, [0]) == {}
        with cache.begin_writing() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count=1000000")
        assert (await cache.claim(CALL, [0])).mine == {0}
        assert await cache.store(CALL, {0: TWO}) == {0: TWO}


def test_no_lookup_walks_a_table(tmp_path: Path) -> None:
    statements = (rows._RESULTS, rows._DERIVED, rows._KNOWN)
    with Cache(tmp_path / "cache.sqlite") as cache, cache.begin_reading() as connection:
        for statement in statements:
            text = str(statement.compile(dialect=connection.dialect))
            values = ("[]",) * text.count("?")
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values).all()
            assert [step.detail.split()[0] for step in plan] == ["SCAN", "SEARCH"], plan
            assert "VIRTUAL TABLE" in plan[0].detail
