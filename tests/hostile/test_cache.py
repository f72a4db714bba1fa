"""A cache whose bits flip, whose rows were poisoned before, or whose file goes away."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cat_bench.cache import Cache, Call, export_calls, import_pool, verify
from cat_bench.cache.codec import Stored, pack
from cat_bench.cli.cache import commands
from cat_bench.errors import CacheError
from cat_bench.models.backends import ImportedPool
from cat_bench.models.backends.replay import Replay
from cat_bench.models.backends.scripted import Scripted
from cat_bench.models.cached import Model
from cat_bench.types.calls import Failure, Message, Reply, Sampling
from cat_bench.types.records import Question

MESSAGES: tuple[Message, ...] = ({"role": "user", "content": "2 + 2?"},)
SLOTS = range(16)


def scripted() -> Scripted:
    return Scripted(lambda request, seed: f"so {seed} \\boxed{{{seed % 5}}}")


async def drawn(file: Path, *, offline: bool = False) -> tuple[dict[int, Any], Scripted, int]:
    """The results of all slots, the model that was asked, and how many rows were damaged."""
    async with Cache(file) as cache:
        backend = scripted()
        model = Model("m", backend, cache=cache, offline=offline)
        found = await model.draw(MESSAGES, SLOTS, Sampling())
        return dict(found), backend, len(cache.damaged)


def changed(file: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(file)) as database:
        database.execute(statement, values)
        database.commit()


def flipped(file: Path, chance: random.Random) -> int:
    """Flip one bit in the text of one result; the slot."""
    with closing(sqlite3.connect(file)) as database:
        rows = database.execute("SELECT slot, body FROM results").fetchall()
    slot, body = chance.choice(rows)
    place = chance.randrange(len(body) * 8)
    data = bytearray(body)
    data[place // 8] ^= 1 << place % 8
    changed(file, "UPDATE results SET body = ? WHERE slot = ?", bytes(data), slot)
    return int(slot)


def poison(file: Path, slot: int, body: dict[str, Any]) -> None:
    """What an earlier version stored: its digest is right, its content cannot be a reply."""
    with closing(sqlite3.connect(file)) as database:
        (key,) = database.execute("SELECT DISTINCT key FROM results").fetchone()
    data = Stored(pack(body), None, None)
    where = "UPDATE results SET body = ?, digest = ? WHERE slot = ?"
    changed(file, where, data.body, data.digest(key, slot), slot)


POISONS: list[dict[str, Any]] = [
    {"text": "4", "usage": [10**30, 1, 0]},
    {"text": "4", "usage": ["1", 1, 0]},
    {"text": "4", "usage": 3},
    {"text": "4", "finish": {"an": "object"}},
    {"text": "4", "reasoning": ["a", "list"]},
    {"text": {"an": "object"}},
    {"text": "4", "seed": "x"},
    {"text": "4", "measures": {"confidences": "%%%"}},
    {"text": "4", "unknown": 1},
    {"text": "4", "scores": {"rm": "high"}},
    {"text": "4", "scores": [1]},
]


async def test_a_flipped_bit_is_never_served(tmp_path: Path) -> None:
    file, chance = tmp_path / "c.sqlite", random.Random(7)
    before, _, _ = await drawn(file)
    for _ in range(40):
        slot = flipped(file, chance)
        found, backend, damaged = await drawn(file)
        assert found == before
        assert (backend.completions, damaged) == (1, 1), slot
    found, backend, damaged = await drawn(file)
    assert (found, backend.completions, damaged) == (before, 0, 0)


async def test_a_flipped_bit_offline_is_a_failure_that_says_so(tmp_path: Path) -> None:
    file = tmp_path / "c.sqlite"
    before, _, _ = await drawn(file)
    slot = flipped(file, random.Random(3))
    found, _, damaged = await drawn(file, offline=True)
    assert isinstance(found[slot], Failure)
    assert "cache verify" in found[slot].message
    assert damaged == 1
    assert {s: r for s, r in found.items() if s != slot} == {
        s: r for s, r in before.items() if s != slot
    }


async def test_a_flipped_bit_in_an_imported_pool_is_a_failure(tmp_path: Path) -> None:
    file, rows = tmp_path / "c.sqlite", tmp_path / "p.jsonl"
    row = {"id": "a", "problem": "2 + 2?", "answer": "4", "responses": ["4"] * 8}
    rows.write_text(json.dumps(row) + "\n")
    with Cache(file) as cache:
        import_pool(cache, rows, name="p")
    slot = flipped(file, random.Random(5))
    async with Cache(file) as cache:
        model = Model("p", Replay(ImportedPool("p", 8)), cache=cache)
        pool = await model.rollouts(Question("a", MESSAGES, "2 + 2?"), 8, Sampling())
    assert list(pool.failures) == [slot]
    assert len(pool.rollouts) == 7


@pytest.mark.parametrize("body", POISONS, ids=str)
async def test_a_poisoned_row_is_asked_again(body: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "c.sqlite"
    before, _, _ = await drawn(file)
    poison(file, 3, body)
    found, backend, damaged = await drawn(file)
    assert (found, backend.completions, damaged) == (before, 1, 1)


@pytest.mark.parametrize("body", POISONS, ids=str)
async def test_a_poisoned_row_is_found_and_pruned(body: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "c.sqlite"
    await drawn(file)
    poison(file, 3, body)
    with Cache(file) as cache:
        assert [flaw.key.split()[-1] for flaw in verify(cache)] == ["3"]
    told = CliRunner().invoke(commands, ["--cache", str(file), "prune", "--damaged"])
    assert "Would delete 1 results" in told.output, told.output
    told = CliRunner().invoke(commands, ["--cache", str(file), "prune", "--damaged", "--yes"])
    assert told.exit_code == 0
    with Cache(file) as cache:
        assert list(verify(cache)) == []
    _, backend, _ = await drawn(file)
    assert backend.completions == 1


async def test_a_changed_verdict_is_computed_again(tmp_path: Path) -> None:
    file = tmp_path / "c.sqlite"
    async with Cache(file) as cache:
        await cache.remember("verdicts", {"a": 0.0, "b": 1.0})
    changed(file, "UPDATE derived SET value = ? WHERE value = ?", b"1.0", b"0.0")
    async with Cache(file) as cache:
        assert await cache.recall("verdicts", ["a", "b"]) == {"b": 1.0}
        await cache.remember("verdicts", {"a": 0.0})
        assert await cache.recall("verdicts", ["a", "b"]) == {"a": 0.0, "b": 1.0}
        assert list(verify(cache)) == []


async def test_a_damaged_result_is_not_published(tmp_path: Path) -> None:
    file = tmp_path / "c.sqlite"
    await drawn(file)
    slot = flipped(file, random.Random(11))
    call = Call.generated(scripted().identity, MESSAGES, Sampling())
    with Cache(file) as cache, pytest.raises(CacheError, match=f"slot {slot} is damaged"):
        export_calls(
            cache, tmp_path / "calls.parquet", [(call.key, s) for s in SLOTS], run={"task": "t"}
        )


async def test_calls_without_a_result_are_not_published(tmp_path: Path) -> None:
    file = tmp_path / "c.sqlite"
    await drawn(file)
    call = Call.generated(scripted().identity, MESSAGES, Sampling())
    published = tmp_path / "calls.parquet"
    with Cache(file) as cache, pytest.raises(CacheError, match=r"has no result .* slot 99"):
        export_calls(cache, published, [(call.key, 0), (call.key, 99)], run={})
    assert not published.exists()


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_cache_that_is_deleted_under_a_run_ends_it(replaced: bool, tmp_path: Path) -> None:
    file = tmp_path / "c.sqlite"
    async with Cache(file) as cache:
        model = Model("m", scripted(), cache=cache)
        for end in ("", "-wal", "-shm"):
            Path(f"{file}{end}").unlink(missing_ok=True)
        if replaced:
            file.write_bytes(b"")
        for slot in range(4):
            with pytest.raises(CacheError, match="deleted or replaced"):
                await model.draw(MESSAGES, [slot], Sampling())
        assert model.meter.made == 0


def test_reply_is_what_a_row_gives_back(tmp_path: Path) -> None:
    """A sound row stays sound: the check refuses nothing that a server can send."""
    from cat_bench.cache.codec import dump, load

    reply = Reply(text="\ud800\x00", finish="length", seed=2**31, scores={"rm": float("nan")})
    again = load(dump(reply))
    assert isinstance(again, Reply)
    assert again.text == reply.text


@pytest.mark.parametrize(
    "named",
    [
        "host=db.example user=me password=s3cret dbname=cats",
        "password = 's3 s3cret' host=db.example",
        "postgres:me:s3cret@db.example/cats",
        "me:s3cret@db.example/cats",
        "postgresql//me:s3cret@db.example",
        "mysql://me:s3cret@db.example/cats",
        "postgresql://me:s3cret@db@example/cats",
        "host=db.example passwd=s3cret",
        "//me:s3cret@db.example/cats",
        "sqlite:///c.sqlite?password=s3cret",
        "postgresql://127.0.0.1:1/cats?PASSWORD=s3cret",
        "postgresql://me@127.0.0.1:1/cats?options=-c%20password%3Ds3cret",
        "c\0 password=s3cret",
        "postgresql://127.0.0.1:1/cats;password=s3cret",
        "postgresql://me:s3cret@127.0.0.1:1/cats?connect_timeout=s3cret",
        "user=me:s3cret host=db.example",
        "service=cats PASSWORD=s3cret",
    ],
)
def test_no_message_about_a_cache_holds_its_password(named: str) -> None:
    with pytest.raises(CacheError) as refused:
        Cache(named)
    assert "s3cret" not in str(refused.value)


DROPPED = "-dac_override,-dac_read_search"
LIMITED = ["setpriv", f"--bounding-set={DROPPED}", f"--inh-caps={DROPPED}"]
READS = """
import asyncio, sys
from cat_bench.cache import Cache, verify
from cat_bench.cache.call import Call
from cat_bench.errors import CacheError
from cat_bench.types.calls import Reply

async def main():
    call = Call("generate", {"name": "m"})
    async with Cache(sys.argv[1]) as cache:
        print(sorted(await cache.lookup(call, range(4))), list(verify(cache)))
        print((await cache.claim(call, [0, 1])).mine)
        await cache.remember("verdicts", {"a": 1.0})
        try:
            await cache.claim(call, [3])
        except CacheError as error:
            print(error)

asyncio.run(main())
"""


@pytest.mark.parametrize("whole", [True, False], ids=["folder", "file"])
async def test_a_cache_that_can_only_be_read_is_read(whole: bool, tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    file = folder / "c.sqlite"
    async with Cache(file) as cache:
        await cache.store(Call("generate", {"name": "m"}), {0: Reply(text="a"), 1: Reply(text="b")})
    file.chmod(0o444)
    folder.chmod(0o555 if whole else 0o755)
    as_root = os.geteuid() == 0
    if as_root and shutil.which("setpriv") is None:
        pytest.skip("root may write every file, and there is no setpriv to forbid it")
    command = [*(LIMITED if as_root else []), sys.executable, "-c", READS, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    folder.chmod(0o755)
    if as_root and "setpriv" in done.stderr:
        pytest.skip(f"setpriv may not be used here: {done.stderr}")
    found, mine, refused = done.stdout.splitlines() or [done.stderr, "", ""]
    assert (found, mine) == ("[0, 1] []", "frozenset()")
    assert "it can only be read: copy it by `cat-bench cache copy`" in refused
