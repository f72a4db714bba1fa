"""The call cache: every model call's results, by call and number of the draw (slot).

Invariants: a result is stored once, the first writer wins, and it never expires. `store` returns
once the results would survive the death of the process. A slot is leased to one claim at a time,
across all processes. A live process renews its leases, and those of a dead one expire, so that the
number of model calls is at most the slots plus those that a dead worker had in flight or was
storing. Machines that share a database server use its clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import sqlalchemy as sa

from cat_bench.cache import opening
from cat_bench.cache.call import Call, Claim
from cat_bench.cache.location import resolve
from cat_bench.cache.rows import (
    DAMAGED,
    Name,
    Place,
    derived_row,
    read_derived,
    result_row,
    results_at,
)
from cat_bench.cache.worker import Job, Worker
from cat_bench.cache.writer import ClaimJob, ReleaseJob, RememberJob, StoreJob, Writer
from cat_bench.types.calls import JSON, Failure, Result

LEASE_S = 30.0
"""Seconds until others may claim the slots of a dead process."""


@dataclass(slots=True, eq=False)
class _Lookup(Job):
    places: Sequence[Place]
    found: dict[Place, Result] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class _Recall(Job):
    names: Sequence[Name]
    found: dict[str, JSON] = field(default_factory=dict)


class Cache:
    """A cache in a SQLite file or a PostgreSQL database.

    `location` is a path or a URL (`sqlite:///…`, `postgresql://…`); None: the environment's
    CAT_BENCH_CACHE, else `./.cat_bench/cache.sqlite`. Opening creates a missing database and its
    folder. A cache that this process may only read returns what it holds. Every method raises
    CacheError. Close it, or use it in a `with` statement.
    """

    def __init__(self, location: str | Path | None = None, *, lease_s: float = LEASE_S) -> None:
        self.url = resolve(location)
        self._engine = opening.connect(self.url)
        self._file = opening.file_identity(self.url)
        self._read_only = opening.is_read_only(self.url)
        self.damaged: set[Place] = set()
        """The places of damaged results that were met; those that can be, are made again."""
        self._leases = Writer(
            self.begin_reading, self._begin_sampling, lease_s=lease_s, damaged=self.damaged
        )
        self._reader = Worker[_Lookup | _Recall](self._read, name="cat-bench-cache-reader")
        self._writer = Worker[Job](
            self._leases.write, name="cat-bench-cache-writer", tick_s=lease_s / 3
        )

    async def lookup(self, call: Call, slots: Sequence[int]) -> dict[int, Result]:
        """Return the stored results of these slots; a damaged one is the failure `DAMAGED`."""
        job = _Lookup([(call.key, slot) for slot in slots])
        await self._reader.post(job)
        return {slot: result for (_, slot), result in job.found.items()}

    async def claim(self, call: Call, slots: Sequence[int]) -> Claim:
        """Return the stored results of these slots, and lease the free ones of the others.

        Leases are renewed as long as this process lives: end each by `store` or `release`. A
        cancelled claim keeps no lease.
        """
        job = ClaimJob([(call.key, slot) for slot in slots])
        try:
            await self._writer.post(job)
        except asyncio.CancelledError:
            self._writer.post(ReleaseJob(job.mine))
            raise
        done = {slot: result for (_, slot), result in job.found.items()}
        leased = frozenset(slot for _, slot in job.mine)
        return Claim(done, leased, frozenset(slots).difference(leased, done))

    async def store(self, call: Call, results: Mapping[int, Result]) -> dict[int, Result]:
        """Store results permanently and free their leases; returns the results that are now valid.

        If another process was first, its result is valid. A transient failure is not stored: it is
        returned unchanged, and its slot is free again.
        """
        places = {(call.key, slot): result for slot, result in results.items()}
        rows = {place: result_row(place, r) for place, r in places.items() if _lasts(r)}
        job = StoreJob(call, rows, list(places))
        await self._writer.post(job)
        return {place[1]: job.found.get(place, result) for place, result in places.items()}

    async def release(self, call: Call, slots: Iterable[int]) -> None:
        """Free the leases of slots that were claimed and will not be stored."""
        await self._writer.post(ReleaseJob([(call.key, slot) for slot in slots]))

    async def recall(self, namespace: str, keys: Sequence[str]) -> dict[str, JSON]:
        """Return the values stored under these keys: results derived from texts, such as scores."""
        job = _Recall([(namespace, key) for key in keys])
        await self._reader.post(job)
        return job.found

    async def remember(self, namespace: str, values: Mapping[str, JSON]) -> None:
        """Store JSON values permanently; a key keeps its first value.

        A cache that can only be read keeps none: they are computed again in the next run.
        """
        if self._read_only:
            return
        rows = [derived_row(namespace, key, values[key]) for key in sorted(values)]
        await self._writer.post(RememberJob(rows))

    async def close(self) -> None:
        """Finish queued work, free this process's leases and close the database."""
        await asyncio.to_thread(self._close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @contextmanager
    def begin_reading(self) -> Iterator[sa.Connection]:
        """Yield a connection that reads one consistent state of the database, in any thread."""
        opening.check_there(self.url, self._file)
        with opening.translate_errors(self.url), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def begin_writing(self) -> Iterator[sa.Connection]:
        """Yield one write transaction: all of it is kept, or nothing. For use in any thread."""
        with self._begin_locked(opening.UPKEEP) as connection:
            yield connection

    @contextmanager
    def _begin_sampling(self) -> Iterator[sa.Connection]:
        with self._begin_locked(opening.SAMPLING) as connection:
            yield connection

    @contextmanager
    def _begin_locked(self, lock: int) -> Iterator[sa.Connection]:
        engine = self._engine.execution_options(write=lock)
        opening.check_there(self.url, self._file)
        with opening.translate_errors(self.url), engine.begin() as connection:
            yield connection

    def _close(self) -> None:
        self._writer.close()
        self._reader.close()
        self._leases.close()
        self._engine.dispose()

    def _read(self, batch: Sequence[_Lookup | _Recall]) -> None:
        lookups = [job for job in batch if isinstance(job, _Lookup)]
        recalls = [job for job in batch if isinstance(job, _Recall)]
        with self.begin_reading() as connection:
            results = results_at(connection, {place for job in lookups for place in job.places})
            values = read_derived(connection, {name for job in recalls for name in job.names})
        self.damaged |= {place for place, result in results.items() if result is DAMAGED}
        for lookup in lookups:
            lookup.found = {place: results[place] for place in lookup.places if place in results}
        for recall in recalls:
            recall.found = {name[1]: values[name] for name in recall.names if name in values}


def _lasts(result: Result) -> bool:
    return not isinstance(result, Failure) or result.permanent
