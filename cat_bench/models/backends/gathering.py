"""Gather single requests of concurrent callers into batches."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from cat_bench.errors import PLUGIN_BUGS

T = TypeVar("T")
R = TypeVar("R")


class Gathering(Generic[T, R]):
    """Hands items to `work` in batches of at most `size`, at most `lanes` batches at a time.

    `work` returns one result per item, in order; all callers of a batch get its exception.
    """

    def __init__(
        self, work: Callable[[Sequence[T]], Awaitable[Sequence[R]]], *, size: int, lanes: int
    ) -> None:
        self._work, self._size = work, size
        self._lanes = asyncio.Semaphore(lanes)
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, item: T) -> R:
        """Return the item's result."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if len(self._waiting) == 1:
            self._begin(self._deal())
        return await future

    async def _deal(self) -> None:
        await asyncio.sleep(0)  # callers of the same turn share a batch
        while self._waiting:
            await self._lanes.acquire()
            batch, self._waiting = self._waiting[: self._size], self._waiting[self._size :]
            self._begin(self._settle(batch))

    async def _settle(self, batch: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._work([item for item, _ in batch])
        except PLUGIN_BUGS as error:  # raised again by each caller
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
        else:
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)
        finally:
            self._lanes.release()

    def _begin(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
