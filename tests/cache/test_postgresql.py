"""What only a database server has: passwords, other machines, clocks that differ."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from cat_bench.cache import Cache, Call, Claim, info, schema, verify, worker
from cat_bench.cache.codec import unpack
from cat_bench.cache.worker import RETRY_S
from cat_bench.errors import CacheError
from cat_bench.runs.folder import read_record
from cat_bench.system.extras import install_command
from cat_bench.testing import ChatServer
from cat_bench.types.calls import Reply
from tests import postgresql
from tests.conftest import Workshop

CALL = Call("generate", "model")
MACHINES, QUESTIONS, SLOTS, REQUESTS, LEASE_S = 4, 240, 8, 4, 20.0
PROGRAM = (
    "from cat_bench.cache import Cache; from cat_bench.cli import main;"
    f"Cache.__init__.__kwdefaults__['lease_s'] = {LEASE_S}; main()"
)


@pytest.fixture
def restartable(postgres: postgresql.Server) -> Iterator[postgresql.Server]:
    """A server of its own, which is not running yet."""
    del postgres  # where there can be none, it says so
    there = postgresql.programs()
    assert there is not None
    with postgresql.installed(there) as server:
        yield server


def refusal(url: str) -> str:
    with pytest.raises(CacheError) as caught:
        Cache(url)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_wrong_password_is_said_and_not_shown(postgres: postgresql.Server) -> None:
    said = refusal(postgres.url(password="hunter2"))
    assert said.endswith("check the user and the password, in the URL or in ~/.pgpass")
    assert "password authentication failed" in said
    assert "hunter2" not in said
    assert "hunter2" not in refusal(postgres.url().partition("://")[0] + "://a:hunter2@h:x/db")
    assert "hunter2" not in refusal("postgresql://me@127.0.0.1:9/db?password=hunter2")


def test_a_database_a_host_and_a_port_that_are_none(postgres: postgresql.Server) -> None:
    assert 'database "nowhere" does not exist: create it' in refusal(postgres.url("nowhere"))
    assert refusal("postgresql://a:b@127.0.0.1:9/db").endswith(
        "start the server, or check host and port"
    )
    assert "check the host's name" in refusal("postgresql://a:b@no.such.host.invalid/db")


def test_another_database_is_left_alone(database: str) -> None:
    engine = sa.create_engine(database.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE mine (x int)"))
    engine.dispose()
    assert "is a database, but no cat_bench cache" in refusal(database)


def test_a_missing_driver_is_named(database: str) -> None:
    program = (
        "import sys; sys.modules['psycopg'] = None;"
        "from cat_bench.cache import Cache; Cache(sys.argv[1])"
    )
    command = [sys.executable, "-c", program, database]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert install_command("postgresql") in done.stderr


def test_info_shows_no_password(postgres: postgresql.Server, database: str) -> None:
    with Cache(database) as cache:
        where = info(cache).location
    assert postgres.password not in where
    assert where.startswith(f"postgresql://{postgresql.USER}:***@127.0.0.1:{postgres.port}/")


async def test_a_clock_that_is_wrong_takes_no_lease(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Cache(database) as first, Cache(database) as second:
        assert (await first.claim(CALL, [0])).mine == {0}
        monkeypatch.setattr(time, "time", lambda: 1e10)
        assert (await second.claim(CALL, [0])).others == {0}


async def test_batches_that_cross_do_not_block_each_other(database: str) -> None:
    """Each wants what the other holds and frees what the other wants, many times over."""
    calls = [Call("generate", "model", label=str(n)) for n in range(40)]

    async def work(cache: Cache, order: Sequence[Call]) -> None:
        async def one(call: Call) -> None:
            claim = await cache.claim(call, range(4))
            await cache.remember("score", {str(call.label): 1, "a": 1, "z": 1})
            await cache.release(call, claim.mine)

        for _ in range(3):
            await asyncio.gather(*map(one, order))

    async with Cache(database) as first, Cache(database) as second:
        await asyncio.gather(work(first, calls), work(second, calls[::-1]))
        assert info(first).leased == 0


async def test_a_long_import_keeps_nobody_from_sampling(database: str) -> None:
    async with Cache(database) as importing, Cache(database) as sampling:
        with importing.begin_writing():
            assert (await sampling.claim(CALL, [0])).mine == {0}
            await sampling.store(CALL, {0: Reply(text="kept")})
        assert await importing.lookup(CALL, [0]) == {0: Reply(text="kept")}


async def test_a_server_that_restarts_is_waited_for(restartable: postgresql.Server) -> None:
    """Also by what is stored meanwhile; and what was under way is neither lost nor taken twice."""
    with restartable.running():
        url = restartable.database()
        cache, other = Cache(url), Cache(url)
        assert (await cache.claim(CALL, [0])).mine == {0}
    waiting = asyncio.gather(
        cache.store(CALL, {0: Reply(text="kept")}),
        cache.claim(CALL, [1, 2]),
        other.lookup(CALL, [0]),
    )
    done, _ = await asyncio.wait([waiting], timeout=3 * RETRY_S)
    assert not done
    with restartable.running():
        stored, claim, _ = await waiting
        assert stored == {0: Reply(text="kept")}
        assert claim.mine == {1, 2}
        assert await other.claim(CALL, [0, 1]) == Claim(stored, frozenset(), frozenset({1}))
        await cache.close()
        await other.close()


async def test_a_server_that_stays_away_is_said(
    restartable: postgresql.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "AWAY_S", 0.0)
    with restartable.running():
        cache = Cache(restartable.database())
        assert (await cache.claim(CALL, [0])).mine == {0}
    with pytest.raises(CacheError, match=r"refused.*: start the server"):
        await cache.store(CALL, {0: Reply(text="late")})
    with restartable.running():
        assert (await cache.claim(CALL, [0])).mine == {0}
        assert await cache.store(CALL, {0: Reply(text="kept")}) == {0: Reply(text="kept")}
        await cache.close()


@dataclass(frozen=True, slots=True)
class Site:
    """Where everybody reaches the servers, and what starts a program on each machine."""

    host: str
    machines: Sequence[Sequence[str]]


@contextmanager
def namespaces() -> Iterator[Site]:
    """Network namespaces, each with a cable to a bridge that this machine listens on."""
    tag = secrets.token_hex(3)
    bridge, net = f"cat{tag}", f"10.213.{secrets.randbelow(250)}"
    made = subprocess.run(
        ["ip", "link", "add", bridge, "type", "bridge"], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"network namespaces cannot be made here ({made.stderr.strip()})")
    with ExitStack() as stack:
        stack.callback(_ip, f"link del {bridge}")
        _ip(f"addr add {net}.1/24 dev {bridge}")
        _ip(f"link set {bridge} up")
        names = [f"cat{tag}-{number}" for number in range(MACHINES)]
        for number, name in enumerate(names, 2):
            _ip(f"netns add {name}")
            stack.callback(_ip, f"netns del {name}")
            _ip(f"link add v{tag}{number} type veth peer name eth0 netns {name}")
            _ip(f"link set v{tag}{number} master {bridge} up")
            _ip(f"-n {name} addr add {net}.{number}/24 dev eth0")
            _ip(f"-n {name} link set eth0 up")
        yield Site(f"{net}.1", [["ip", "netns", "exec", name] for name in names])


def _ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True)


@pytest.fixture(params=["processes", "namespaces"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    if request.param == "processes":
        yield Site("127.0.0.1", [[]] * MACHINES)
        return
    with namespaces() as made:
        yield made


@asynccontextmanager
async def running(
    site: Site, url: str, servers: Sequence[ChatServer]
) -> AsyncIterator[list[asyncio.subprocess.Process]]:
    """One `cat-bench run` on each machine, all of the same pool, each with a server of its own."""
    words = ["run", "toy/task.yaml", "--model", "openai:test-model", "--method", "single"]
    words += ["--pool", str(SLOTS), "--set", f"concurrency={REQUESTS}"]
    env = {**os.environ, "CAT_BENCH_CACHE": url, "OPENAI_API_KEY": "none"}
    workers = []
    for number, (prefix, server) in enumerate(zip(site.machines, servers, strict=True)):
        own = ["--base-url", server.base_url, "--out", f"run{number}"]
        command = (*prefix, sys.executable, "-c", PROGRAM, *words, *own)
        pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        workers.append(
            await asyncio.create_subprocess_exec(*command, env=env, stdout=null, stderr=pipe)
        )
    try:
        yield workers
    finally:
        for worker in workers:
            if worker.returncode is None:
                worker.kill()
                await worker.wait()


def asked(servers: Sequence[ChatServer]) -> list[tuple[str, int]]:
    """Every request that these servers had: one asks for all slots of a question."""
    return [(body["messages"][0]["content"], body["seed"]) for s in servers for body in s.recent]


def kept(url: str) -> Counter[str]:
    """How many results each server wrote, of those in the cache."""
    with Cache(url) as cache:
        assert list(verify(cache)) == []
        with cache.begin_reading() as connection:
            bodies = connection.scalars(sa.select(schema.results.c.body))
            return Counter(unpack(body)["served_by"].split()[-1] for body in bodies)


async def test_machines_fill_one_pool_once_and_one_of_them_dies(
    site: Site, workshop: Workshop, postgres: postgresql.Server
) -> None:
    there = postgresql.programs()
    assert there is not None
    ids = range(QUESTIONS)
    rows = [f'{{"id": "q{k}", "problem": "Is it {k}?", "answer": "yes"}}\n' for k in ids]
    (workshop.folder / "toy" / "rows.jsonl").write_text("".join(rows))
    async with AsyncExitStack() as stack:
        own = site.host != postgres.host
        base = stack.enter_context(postgresql.serving(there, host=site.host)) if own else postgres
        url = base.database()
        servers = [ChatServer(host=site.host, delay=0.1, fingerprint=f"{k}") for k in range(4)]
        for server in servers:
            server.recent = deque()
            await stack.enter_async_context(server)
        workers = await stack.enter_async_context(running(site, url, servers))
        while len(asked(servers)) < QUESTIONS // 2 or len(servers[0].recent) < REQUESTS + 1:
            await asyncio.sleep(0.01)
        doomed, *others = workers
        doomed.kill()
        said = [(await worker.communicate())[1].decode() for worker in others]
        stored = kept(url)
    assert [worker.returncode for worker in others] == [0, 0, 0], said
    by_dead, by_others = asked(servers[:1]), asked(servers[1:])
    in_flight = set(by_dead) & set(by_others)
    assert len(by_others) == len(set(by_others))
    assert stored.total() == QUESTIONS * SLOTS
    assert len(by_dead) * SLOTS == stored["0"] + len(in_flight) * SLOTS
    assert all(server.stats.choices for server in servers)
    records = [read_record(Path(f"run{number}")) for number in range(1, MACHINES)]
    assert len({record["pool_digest"] for record in records}) == 1
    assert all(record["rollouts"]["failed"] == 0 for record in records)
    written = "".join(path.read_text() for path in workshop.folder.rglob("run.json"))
    assert base.password not in written + "".join(said)
