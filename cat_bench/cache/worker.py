"""A thread that does the event loop's database work in batches.

Jobs queued while a batch is under way make up the next one, so that they share the cost of a
transaction. A job is done when its batch is done, which means committed for writes. Jobs are
batched in the order in which they were queued, including those whose waiter was cancelled.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from cat_bench.cache.opening import NotNow
from cat_bench.errors import CacheError

GATHER_S = 0.001
"""Seconds that a batch waits for more jobs, for each job of the previous batch."""
GATHER_MOST_S = 0.02
"""The most seconds to wait, which is far less than the time of a model call. A killed process loses
the calls in flight and those that arrived while a batch waited or was written."""
ENOUGH = 256
"""The number of jobs at which a batch stops waiting."""
BATCH = 1024
"""The most jobs in one batch, which keeps transactions short for other processes."""
AWAY_S = 60.0
"""Seconds that a database may be unreachable before jobs fail; a restart takes less."""
RETRY_S = 0.5


@dataclass(slots=True, eq=False)
class Job:
    """Work for the thread; made in an event loop, where `done` resolves."""

    done: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future(), init=False
    )


_J = TypeVar("_J", bound=Job)


class Worker(Generic[_J]):
    """Runs `work` on batches of jobs, one batch after another, in its own thread.

    With `tick_s`, `work` is called at least that often, even without a job; errors of such calls
    are dropped, because nobody waits for them.
    """

    def __init__(
        self, work: Callable[[Sequence[_J]], None], *, name: str, tick_s: float | None = None
    ) -> None:
        self._work = work
        self._tick_s = tick_s
        self._jobs: list[_J] = []
        self._changed = threading.Condition()
        self._closed = False
        self._gather_s = GATHER_S
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def post(self, job: _J) -> asyncio.Future[None]:
        """Queue a job. Its future raises the error of its batch."""
        with self._changed:
            if self._closed:
                raise CacheError("the cache is closed: open it again")
            if self._thread.ident is None:
                self._thread.start()
            self._jobs.append(job)
            if len(self._jobs) in (1, ENOUGH):
                self._changed.notify()
        return job.done

    def close(self) -> None:
        """Finish the queued jobs and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            error: Exception | None = None
            try:
                self._work_patiently(batch)
            except Exception as caught:  # noqa: BLE001 - raised where the jobs are waited for
                error = caught
            _settle(batch, error)

    def _work_patiently(self, batch: Sequence[_J]) -> None:
        deadline = time.monotonic() + AWAY_S
        while True:
            try:
                return self._work(batch)
            except NotNow:
                if time.monotonic() > deadline:
                    raise
            with self._changed:
                if self._changed.wait_for(lambda: self._closed, RETRY_S):
                    deadline = 0.0  # closing should not take long: try one last time

    def _next(self) -> list[_J] | None:
        """Return the next batch, empty after `tick_s` without a job; None once closed and done."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed, self._tick_s)
            if not self._jobs:
                return None if self._closed else []
            self._changed.wait_for(
                lambda: len(self._jobs) >= ENOUGH or self._closed, self._gather_s
            )
            batch, self._jobs = self._jobs[:BATCH], self._jobs[BATCH:]
        self._gather_s = min(len(batch) * GATHER_S, GATHER_MOST_S)
        return batch


def _settle(jobs: Sequence[Job], error: Exception | None) -> None:
    """Resolve the futures in their event loops, with one wake-up per loop, not per job."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Job]] = {}
    for job in jobs:
        by_loop.setdefault(job.done.get_loop(), []).append(job)
    for loop, group in by_loop.items():
        with suppress(RuntimeError):  # that loop is closed
            loop.call_soon_threadsafe(_resolve, group, error)


def _resolve(jobs: Sequence[Job], error: Exception | None) -> None:
    for job in jobs:
        if job.done.done():
            continue
        if error is None:
            job.done.set_result(None)
        else:
            job.done.set_exception(error)
