"""The one thread that runs a model: it takes what is waiting in batches of like rows.

Invariants: the event loop never waits for the model; the row that has waited longest is in the
next batch, with those of the nearest cost; rows times the largest cost of a batch stay within the
budget; every row is settled, with a `Failure` if need be, and no failure ends the thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias

from cat_bench.backends.hf.work import Work
from cat_bench.errors import ModelError
from cat_bench.types import Failure

LINGER = 0.005
"""Seconds without anything new after which a batch that is not full starts."""
CLOSED = Failure("server", "the model was closed before it had finished")

Row: TypeAlias = Work[Any]


class Worker:
    """Runs batches of at most `rows` rows and `tokens` tokens of cost by `run`, until `close`.

    `run` settles each row, or raises MemoryError to get the batch again in halves; the budget is
    then halved for good.
    """

    def __init__(self, run: Callable[[Sequence[Row]], None], *, rows: int, tokens: int) -> None:
        self._run, self._rows, self._tokens = run, rows, tokens
        self._incoming: SimpleQueue[Sequence[Row] | None] = SimpleQueue()
        self._running: Sequence[Row] = ()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="cat_bench model", daemon=True)
        self._thread.start()

    def submit(self, rows: Sequence[Row]) -> None:
        """Queue rows; raises ModelError after `close`."""
        if self._closed:
            raise ModelError("the model has been closed; open it again")
        self._incoming.put(rows)

    def close(self) -> None:
        """End the thread, within a few steps of what it is doing; what waits is failed."""
        if not self._closed:
            self._closed = True
            self._incoming.put(None)
            for row in self._running:
                row.dropped = True
        self._thread.join()

    def _work(self) -> None:
        waiting: list[Row] = []
        while self._gather(waiting):
            waiting = [row for row in waiting if not row.unwanted]
            if waiting:
                batch = picked(waiting, rows=self._rows, tokens=self._tokens)
                taken = set(map(id, batch))
                waiting = [row for row in waiting if id(row) not in taken]
                self._attempt(batch)
        for row in waiting:
            row.settle(CLOSED)

    def _gather(self, waiting: list[Row]) -> bool:
        """Add what has come, waiting for a first row and briefly for more; False: to be closed."""
        block = not waiting
        while True:
            few = len(waiting) < self._rows
            try:
                came = self._incoming.get(block or few, None if block else LINGER)
            except Empty:
                return True
            if came is None:
                return False
            waiting.extend(came)
            block = False

    def _attempt(self, batch: Sequence[Row]) -> None:
        """Run a batch; the retry is outside the handler, whose traceback holds the memory."""
        self._running = batch
        problem, retry = CLOSED, list[Row]()
        if not self._closed:
            try:
                self._run(batch)
            except MemoryError as error:
                problem = Failure("server", f"out of memory with a single row: {error}")
                retry = [row for row in batch if not row.settled]
            except Exception as error:  # noqa: BLE001 - recorded in every row; the thread lives on
                problem = Failure("server", f"{type(error).__name__}: {error}")
        if len(retry) > 1:
            self._tokens = max(1, self._tokens // 2)
            for half in (retry[: len(retry) // 2], retry[len(retry) // 2 :]):
                self._attempt(half)
        for row in batch:
            row.settle(problem)


def picked(waiting: Sequence[Row], *, rows: int, tokens: int) -> list[Row]:
    """The next batch: the first row and the like ones of nearest cost, as far as the budget goes.

    The first row is taken whatever it costs.
    """
    first = waiting[0]
    like = [row for row in waiting if row.key == first.key]
    like.sort(key=lambda row: abs(row.cost - first.cost))
    largest = 0
    for count, row in enumerate(like[:rows]):
        largest = max(largest, row.cost)
        if count and largest * (count + 1) > tokens:
            return like[:count]
    return like[:rows]
