"""Write batches of jobs, each in one transaction, and keep the leases of this process.

`held` mirrors this process's leases: it changes only once a batch is committed. When a batch fails,
the places that it should have freed count as free here; their leases in the database, which this
process keeps renewing, can then be claimed only by this process. Once a place is stored its lease
is idle, because every claim looks for results first. Idle leases are freed together, a little
later.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeAlias

import sqlalchemy as sa

from cat_bench.cache import opening, schema
from cat_bench.cache.call import Call
from cat_bench.cache.rows import (
    DAMAGED,
    Place,
    Row,
    insert_calls,
    keep_derived,
    keep_results,
    results_at,
)
from cat_bench.cache.worker import Job
from cat_bench.types.calls import Result

IDLE_MOST = 512
"""The most idle leases before they are freed together; freeing each would write a page."""

Open: TypeAlias = Callable[[], AbstractContextManager[sa.Connection]]


@dataclass(slots=True, eq=False)
class ClaimJob(Job):
    """Lease the free ones of these places; `mine` is filled in place."""

    places: Sequence[Place]
    found: dict[Place, Result] = field(default_factory=dict)
    mine: list[Place] = field(default_factory=list)
    others: set[Place] = field(default_factory=set)
    """The places that other claims hold, as far as known."""

    @property
    def wanted(self) -> set[Place]:
        """Places that may be free."""
        return {place for place in self.places if place not in self.found} - self.others


@dataclass(slots=True, eq=False)
class StoreJob(Job):
    """Store these rows, then free the places; `found` are earlier results, which won."""

    call: Call
    rows: Mapping[Place, Row]
    places: Sequence[Place]
    found: dict[Place, Result] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class ReleaseJob(Job):
    """Free these places."""

    places: Sequence[Place]


@dataclass(slots=True, eq=False)
class RememberJob(Job):
    """Insert these rows of derived results."""

    rows: Sequence[Row]


class Writer:
    """Writes batches of jobs, each in a transaction from `begin`; `read` opens one to read.

    Stored results are read first, so that a run from the cache writes nothing. Once another process
    was seen, its leases are read as well, so that waiting for it writes nothing either. The places
    of damaged results that it meets are added to `damaged`.
    """

    def __init__(
        self, read: Open, begin: Open, *, lease_s: float, damaged: set[Place] | None = None
    ) -> None:
        self._read = read
        self._begin = begin
        self._lease_s = lease_s
        self._damaged = set() if damaged is None else damaged
        self._owner = f"{_machine()}/{os.getpid()}/{secrets.token_hex(4)}"
        self._freed_dead = False
        self._contended = False
        self._held: set[Place] = set()
        self._idle: set[Place] = set()
        self._renew_at = 0.0

    def write(self, batch: Sequence[Job]) -> None:
        """Write a batch, claims first: a release must not overtake an earlier claim."""
        claims = [job for job in batch if isinstance(job, ClaimJob)]
        stores = [job for job in batch if isinstance(job, StoreJob)]
        ended = [job.places for job in batch if isinstance(job, StoreJob | ReleaseJob)]
        try:
            self._look(claims)
            due = bool(self._held) and time.monotonic() >= self._renew_at
            tidy = due or len(self._idle) >= IDLE_MOST or (not batch and bool(self._idle))
            open_claims = [job for job in claims if job.wanted]
            if not tidy and not open_claims and len(claims) == len(batch):
                return
            with self._begin() as connection:
                if due:
                    self._renew(connection)
                leased = self._grant(connection, open_claims)
                _keep(connection, stores)
                remembered = [r for j in batch if isinstance(j, RememberJob) for r in j.rows]
                keep_derived(connection, remembered)
                idle = {place for job in stores for place in job.rows}
                self._free(connection, {place for group in ended for place in group} - idle)
                idle |= self._idle - leased
                if tidy:
                    self._free(connection, idle)
            self._held |= leased
            self._idle = set() if tidy else idle
        finally:
            self._held.difference_update(*ended)

    def close(self) -> None:
        """Free every lease of this process."""
        if self._held or self._idle:
            with self._begin() as connection:
                connection.execute(sa.delete(schema.leases).where(_OWNED), {"me": self._owner})
            self._held.clear()
            self._idle.clear()

    def _look(self, jobs: Sequence[ClaimJob]) -> None:
        """Fill in the results that are stored already."""
        if not jobs:
            return
        for job in jobs:
            job.mine.clear()  # from a first try that failed
        with self._read() as connection:
            results = self._read_sound(connection, {place for job in jobs for place in job.places})
            for job in jobs:
                job.found = {place: results[place] for place in job.places if place in results}
            if self._contended and (open_places := {p for job in jobs for p in job.wanted}):
                asked: Row = {"places": json.dumps([*open_places]), "me": self._owner}
                asked["now"] = opening.clock(connection)
                leased = {(key, slot) for key, slot in connection.execute(_THEIRS, asked)}
                for job in jobs:
                    job.others = job.wanted & leased

    def _grant(self, connection: sa.Connection, jobs: Sequence[ClaimJob]) -> set[Place]:
        """Lease first, then look for results, so that results of other processes are seen."""
        wanted = {place: job for job in reversed(jobs) for place in job.wanted}
        if not wanted:
            return set()
        if not self._freed_dead:
            self._free_dead(connection)
        leased = self._lease(connection, sorted(wanted.keys() - self._held))
        results = self._read_sound(connection, wanted)
        self._free(connection, leased & results.keys())
        for job in jobs:
            job.found |= {place: results[place] for place in job.places if place in results}
        for place in leased - results.keys():
            wanted[place].mine.append(place)
        return leased - results.keys()

    def _read_sound(
        self, connection: sa.Connection, places: Iterable[Place]
    ) -> dict[Place, Result]:
        """Return the results at these places; damaged ones are left out, to be made again."""
        results = results_at(connection, places)
        bad = {place for place, result in results.items() if result is DAMAGED}
        self._damaged |= bad
        return {place: results[place] for place in results.keys() - bad} if bad else results

    def _free_dead(self, connection: sa.Connection) -> None:
        """Free the leases of killed processes of this machine, once."""
        owners = connection.scalars(sa.select(_lease.owner).distinct())
        dead = [owner for owner in owners if _is_dead(owner)]
        connection.execute(sa.delete(schema.leases).where(_lease.owner.in_(dead)))
        self._freed_dead = True

    def _lease(self, connection: sa.Connection, places: Sequence[Place]) -> set[Place]:
        """Lease the places that no other process holds, and return those leased."""
        if not places:
            return set()
        if not self._held:
            self._renew_at = time.monotonic() + self._lease_s / 3
        now = opening.clock(connection)
        until = now + self._lease_s
        if schema.lease(connection, places, owner=self._owner, until=until, now=now):
            return set(places)
        self._contended = True
        parameters = {"places": json.dumps(places), "me": self._owner}
        return {(key, slot) for key, slot in connection.execute(_OURS, parameters)}

    def _renew(self, connection: sa.Connection) -> None:
        connection.execute(
            _RENEWAL, {"me": self._owner, "until": opening.clock(connection) + self._lease_s}
        )
        self._renew_at = time.monotonic() + self._lease_s / 3

    def _free(self, connection: sa.Connection, places: Iterable[Place]) -> None:
        if freed := sorted(places):
            connection.execute(_FREE, {"places": json.dumps(freed), "me": self._owner})


def _is_dead(owner: str) -> bool:
    """Return whether an owner was a process of this machine that has ended, or is no process."""
    host, _, process = str(owner).rpartition("/")[0].rpartition("/")
    if host != _machine():
        return False
    if not re.fullmatch(r"[1-9][0-9]{0,8}", process, re.ASCII):
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


@cache
def _machine() -> str:
    """Identify machine and process namespace: host names repeat, containers renumber processes."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
        return f"{socket.gethostname()} {boot} {Path('/proc/self/ns/pid').readlink()}"
    return socket.gethostname()


def _keep(connection: sa.Connection, jobs: Sequence[StoreJob]) -> None:
    rows: dict[Place, Row] = {}
    for job in reversed(jobs):
        rows.update(job.rows)
    if not rows:
        return
    insert_calls(connection, {job.call.key: job.call for job in jobs if job.rows})
    all_new = keep_results(connection, rows)
    if all_new and len(rows) == sum(len(job.rows) for job in jobs):
        return
    results = results_at(connection, rows)
    for job in jobs:
        job.found = {place: results[place] for place in job.rows}


_lease = schema.leases.c
_OWNED = _lease.owner == sa.bindparam("me")
_OURS = schema.select_places(_lease.key, _lease.slot).where(_OWNED)
_THEIRS = schema.select_places(_lease.key, _lease.slot).where(
    sa.not_(_OWNED), sa.not_(schema.is_free(sa.bindparam("now")))
)
_RENEWAL = sa.update(schema.leases).where(_OWNED).values(expires=sa.bindparam("until"))
_FREE = sa.delete(schema.leases).where(
    _OWNED, sa.tuple_(_lease.key, _lease.slot).in_(schema.each_place())
)
