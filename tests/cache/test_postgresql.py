"""The same code on PostgreSQL, whose rules on text and concurrency differ.

Runs where CAT_BENCH_TEST_POSTGRESQL is the URL of an empty database that may be written to.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from cat_bench.cache import Cache, Call, import_pool, info, pool_rows, prune, verify
from cat_bench.cache.schema import resolve, tables
from cat_bench.types import Failure, Reply

URL = os.environ.get("CAT_BENCH_TEST_POSTGRESQL", "")
pytestmark = pytest.mark.skipif(not URL, reason="CAT_BENCH_TEST_POSTGRESQL names no database")
CALL = Call("generate", {"name": "m\ud800"}, ({"role": "user", "content": "x\0\udc00"},))
SAMPLER = Path(__file__).with_name("sampler.py")


@pytest.fixture(autouse=True)
def empty() -> Iterator[None]:
    engine = sa.create_engine(resolve(URL))
    tables.drop_all(engine)
    yield
    engine.dispose()


async def test_results_leases_and_derived_values() -> None:
    odd = Reply(text="\0\ud800é", token_logprobs=np.array([1, np.nan]))
    refused = Failure("context", "no", permanent=True)
    async with Cache(URL) as first, Cache(URL) as second:
        assert (await first.claim(CALL, range(3))).mine == {0, 1, 2}
        claim = await second.claim(CALL, range(4))
        assert (claim.mine, claim.elsewhere) == (frozenset({3}), frozenset({0, 1, 2}))
        await first.store(CALL, {0: odd, 1: refused})
        assert await second.store(CALL, {0: Reply(text="late")}) == {0: odd}
        await first.release(CALL, [2])
        assert (await second.claim(CALL, [1, 2])).mine == {2}
        with first.writing() as connection:
            connection.execute(sa.text("UPDATE leases SET expires = expires - 1000"))
        assert (await first.claim(CALL, [3])).mine == {3}
        await first.remember("score", {"k\0": [1]})
        assert await second.recall("score", ["k\0", "l"]) == {"k\0": [1]}
        assert list(verify(second)) == []


async def test_pools_come_and_go(tmp_path: Path) -> None:
    file = tmp_path / "pool.jsonl"
    file.write_text(json.dumps({"id": "a\0", "problem": "\0", "responses": ["x", "\ud800"]}))
    async with Cache(URL) as cache:
        import_pool(cache, file, name="p")
        import_pool(cache, file, name="p", seed=1, overwrite=True)
        assert [row.id for row in pool_rows(cache, "p")] == ["a\0"]
        assert info(cache).holdings[0].results == 2
        assert prune(cache, model="p", dry_run=False).results == 2
        assert info(cache).holdings == ()


async def test_processes_share_a_pool() -> None:
    command = [sys.executable, str(SAMPLER), URL, "10", "16", "0.002", "30"]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = [await asyncio.to_thread(worker.communicate) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    made = [line for said, _ in outputs for line in said.splitlines() if line.startswith("call")]
    assert len(made) == len(set(made)) == 160
