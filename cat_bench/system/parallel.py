"""Work in other processes: on this machine (loky), a Dask cluster or a Ray cluster.

    with open_executor("dask:tcp://scheduler:8786") as executor:
        executor.map(function, items)

Functions are sent by name and items by value, so results are the same as in this process. Every
machine needs the same version of the package. Dask and Ray are imported only when they are named.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from cat_bench.errors import ModelError, UsageError
from cat_bench.system import clusters
from cat_bench.system.clusters import Cluster, Send, find_loss, first_sentence

T = TypeVar("T")
S = TypeVar("S")
Batch = Callable[[Sequence[T]], Sequence[S]]
"""A function that returns a result for each of several items."""
PARTS = 4
"""Batches per process in a round; more of them shorten the wait for the last process."""


@dataclass(slots=True)
class _Job:
    function: Batch[Any, Any]
    item: Any
    answer: asyncio.Future[Any]


class Executor:
    """Work on the processes of a cluster, in rounds. Made by `open_executor`."""

    def __init__(self, cluster: Cluster) -> None:
        self.name = cluster.name
        self.size = cluster.size
        self._cluster = cluster
        self._held = ExitStack()
        self._lost = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="parallel")
        self._queue: list[_Job] = []
        self._rounds: asyncio.Task[None] | None = None
        self._send: Send = self._thread.submit(self._enter).result()

    def _enter(self) -> Send:
        """Start the processes, in the thread that will use them."""
        return self._held.enter_context(self._cluster.start())

    def map(self, function: Callable[[T], S], items: Sequence[T]) -> list[S]:
        """Return `function` of each item, in order; its exceptions are raised here."""
        return self._thread.submit(self._map, function, items).result()

    async def ask(self, function: Batch[T, S], item: T) -> S:
        """Return the result for one item; items that wait at the same time share batches."""
        job = _Job(function, item, asyncio.get_running_loop().create_future())
        self._queue.append(job)
        if self._rounds is None or self._rounds.done():
            self._rounds = asyncio.create_task(self._work())
        answer: S = await job.answer
        return answer

    def close(self) -> None:
        """Release the processes, or what is left of them."""
        try:
            self._thread.submit(self._held.close).result()
        except Exception:
            if not self._lost:
                raise
        finally:
            self._thread.shutdown()

    async def _work(self) -> None:
        """Send rounds of batches for as long as jobs wait."""
        run = asyncio.get_running_loop().run_in_executor
        while self._queue:
            jobs, self._queue = self._queue, []
            try:
                await run(self._thread, self._round, jobs)
            except Exception as error:  # noqa: BLE001 - each who asked gets it
                for job in jobs:
                    if not job.answer.done():
                        job.answer.set_exception(error)

    def _round(self, jobs: Sequence[_Job]) -> None:
        """Answer each job when its batch is done; a slow batch delays only the next round."""
        size = -(-len(jobs) // (PARTS * self.size))
        queue = iter(jobs)
        batches = list(iter(lambda: list(islice(queue, size)), []))
        loop = jobs[0].answer.get_loop()
        for place, answers in self._done(_done, [_pack(batch) for batch in batches]):
            loop.call_soon_threadsafe(_answer, batches[place], answers)

    def _map(self, function: Callable[[T], S], items: Sequence[T]) -> list[S]:
        results = dict(self._done(function, items))
        return [results[place] for place in range(len(items))]

    def _done(self, function: Callable[[T], S], items: Sequence[T]) -> Iterator[tuple[int, S]]:
        """Yield each item's place and result as they arrive; on Ray, once all have arrived.

        If a process dies, new ones do what is left. Raises ModelError if that happens again, and
        what the function raises.
        """
        unfinished = dict(enumerate(items))
        again = not self._cluster.lasting
        while True:
            try:
                for place, result in self._send(function, dict(unfinished)):
                    del unfinished[place]
                    yield place, result
                return
            except Exception as error:
                if (loss := find_loss(error)) is None:
                    raise
                if not again or not self._restarted():
                    self._lost = True
                    raise ModelError(
                        f"--parallel {self.name}: one of its processes died "
                        f"({first_sentence(loss)}), perhaps killed for its memory. What was "
                        "sampled and scored is kept: run the same command again"
                    ) from error
                again = False

    def _restarted(self) -> bool:
        """Replace the processes; return whether the machines for that are still there."""
        try:
            self._held.close()
            self._send = self._enter()
        except Exception:  # noqa: BLE001 - whatever it is, the loss before it is reported
            return False
        return True


def _answer(jobs: Sequence[_Job], answers: Sequence[Any]) -> None:
    for job, answer in zip(jobs, answers, strict=True):
        if not job.answer.done():
            job.answer.set_result(answer)


def _pack(jobs: Sequence[_Job]) -> list[tuple[Batch[Any, Any], Any]]:
    return [(job.function, job.item) for job in jobs]


def _done(work: Sequence[tuple[Batch[Any, Any], Any]]) -> list[Any]:
    """Return the results of a batch, grouped by function; called in the other process."""
    answers: list[Any] = [None] * len(work)
    for function in dict.fromkeys(function for function, _ in work):
        places = [place for place, (requested, _) in enumerate(work) if requested is function]
        results = function([work[place][1] for place in places])
        for place, answer in zip(places, results, strict=True):
            answers[place] = answer
    return answers


@contextmanager
def open_executor(spec: str | int | None) -> Iterator[Executor | None]:
    """Open the processes that `spec` names: N, dask:ADDRESS, ray:ADDRESS, or None for none.

    `ray:local` starts Ray here and stops it at the end. Raises UsageError if the spec is
    malformed, a package is missing, or the address does not answer within seconds.
    """
    if spec is None:
        yield None
        return
    kind, _, address = str(spec).partition(":")
    with ExitStack() as stack:
        if kind in ("dask", "ray") and address:
            reached = clusters.dask(address) if kind == "dask" else clusters.ray(address)
            cluster = stack.enter_context(reached)
        elif re.fullmatch(r"[1-9]\d*", kind) and not address:
            cluster = clusters.here(int(kind))
        else:
            raise UsageError(
                f"--parallel {spec} should be a number of processes, dask:ADDRESS or ray:ADDRESS"
            )
        opened = Executor(cluster)
        stack.callback(opened.close)
        yield opened
