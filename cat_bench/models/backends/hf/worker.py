"""Threads that run a model on batches of waiting rows with equal `key`.

Invariants: the event loop never waits for the model; the row that has waited longest is in the next
batch, with rows of similar cost; rows times the largest cost of a batch stay within the budget;
every row is settled, perhaps with a `Failure`, and no failure ends a thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from math import ceil
from typing import Any, TypeAlias

from cat_bench.models.backends.hf.work import Work
from cat_bench.types.calls import Failure

LINGER = 0.005
"""Seconds without a new row after which an incomplete batch starts."""
CLOSED = Failure("server", "the model was closed before it had finished")

Row: TypeAlias = Work[Any]


class BatchWorkers:
    """Runs batches of at most `rows` rows and `tokens` tokens of cost by `run`, until `close`.

    `run` settles each row, or raises MemoryError to get the batch again in halves; the budget is
    then halved for good. Each of `threads` threads runs one batch at a time.
    """

    def __init__(
        self, run: Callable[[Sequence[Row]], None], *, rows: int, tokens: int, threads: int = 1
    ) -> None:
        self._run, self._rows, self._tokens = run, rows, tokens
        self._waiting: list[Row] = []
        self._running: dict[int, Sequence[Row]] = {}
        self._closed = False
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, name=f"cat_bench model {number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, rows: Sequence[Row]) -> None:
        """Queue rows; after `close` they fail."""
        with self._changed:
            if not self._closed:
                self._waiting.extend(rows)
                self._changed.notify_all()
                return
        for row in rows:
            row.settle(CLOSED)

    def close(self) -> None:
        """End the threads within a few steps; waiting rows fail."""
        with self._changed:
            self._closed = True
            for row in (*self._waiting, *(r for batch in self._running.values() for r in batch)):
                row.dropped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        for row in self._waiting:
            row.settle(CLOSED)

    def _work(self) -> None:
        while batch := self._next():
            self._attempt(batch)

    def _next(self) -> Sequence[Row]:
        """Return the next batch, once it is full or no row has come for a moment.

        Idle threads share the waiting rows. An empty batch means that the thread should end.
        """
        me = threading.get_ident()
        with self._changed:
            self._running.pop(me, None)
            while not self._closed:
                self._waiting = [row for row in self._waiting if not row.unwanted]
                if not self._waiting:
                    self._changed.wait()
                elif len(self._waiting) < self._rows and self._changed.wait(LINGER):
                    continue
                elif self._waiting:  # another thread may have taken them
                    return self._take(me)
        return ()

    def _take(self, me: int) -> Sequence[Row]:
        share = ceil(len(self._waiting) / (len(self._threads) - len(self._running)))
        batch = pick_rows(self._waiting, rows=min(share, self._rows), tokens=self._tokens)
        picked = set(map(id, batch))
        self._waiting = [row for row in self._waiting if id(row) not in picked]
        self._running[me] = batch
        return batch

    def _attempt(self, batch: Sequence[Row]) -> None:
        """Run a batch; the retry is outside the handler, whose traceback holds the memory."""
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


def pick_rows(queue: Sequence[Row], *, rows: int, tokens: int) -> list[Row]:
    """Return the first row and the rows of equal key and most similar cost, within the budget.

    The first row is always taken.
    """
    first = queue[0]
    like = [row for row in queue if row.key == first.key]
    like.sort(key=lambda row: abs(row.cost - first.cost))
    largest = 0
    for count, row in enumerate(like[:rows]):
        largest = max(largest, row.cost)
        if count and largest * (count + 1) > tokens:
            return like[:count]
    return like[:rows]
