"""The threads' scheduling: what shares a batch, what a failure does."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

import pytest

from cat_bench.models.backends.hf.work import Work
from cat_bench.models.backends.hf.worker import CLOSED, BatchWorkers, pick_rows
from cat_bench.types.calls import Failure


@dataclass(eq=False, kw_only=True)
class Item(Work[int]):
    """A row that stands for its prompt's length."""

    kind: str = "a"

    @property
    def key(self) -> Hashable:
        return self.kind

    @property
    def cost(self) -> int:
        return len(self.prompt)


def item(cost: int, kind: str = "a") -> Item:
    return Item(prompt=range(cost), kind=kind)


Run = Callable[[Sequence[Work[int]]], None]


@pytest.fixture
def start() -> Iterator[Callable[[Run], BatchWorkers]]:
    started_workers: list[BatchWorkers] = []

    def started(run: Run) -> BatchWorkers:
        started_workers.append(BatchWorkers(run, rows=8, tokens=1000))
        return started_workers[-1]

    yield started
    for workers in started_workers:
        workers.close()


def answer(batch: Sequence[Work[int]]) -> None:
    for row in batch:
        row.settle(len(row.prompt))


def results(items: Sequence[Item]) -> list[int | Failure]:
    return [item.future.result(timeout=60) for item in items]


def test_a_batch_is_of_one_kind_and_of_near_costs() -> None:
    first, near, far, other = item(10), item(11), item(90), item(10, "b")
    assert pick_rows([first, far, other, near], rows=2, tokens=1000) == [first, near]
    assert pick_rows([other, far, first], rows=9, tokens=1000) == [other]


def test_rows_times_the_largest_cost_stay_within_the_budget() -> None:
    rng = random.Random(0)
    waiting = [item(rng.randint(1, 50)) for _ in range(100)]
    taken = pick_rows(waiting, rows=64, tokens=300)
    assert waiting[0] in taken
    assert 1 < len(taken) * max(row.cost for row in taken) <= 300


def test_a_row_beyond_the_budget_runs_alone() -> None:
    huge = item(5000)
    assert pick_rows([huge, item(4999)], rows=8, tokens=1000) == [huge]


def test_idle_threads_share_what_waits() -> None:
    together = threading.Barrier(2)
    sizes: list[int] = []

    def run(batch: Sequence[Work[int]]) -> None:
        together.wait(300)
        sizes.append(len(batch))
        answer(batch)

    workers = BatchWorkers(run, rows=100, tokens=10_000, threads=2)
    items = [item(cost) for cost in range(1, 13)]
    workers.submit(items)
    assert results(items) == list(range(1, 13))
    workers.close()
    assert sizes == [6, 6]


def test_a_batch_that_does_not_fit_the_memory_is_halved(
    start: Callable[[Run], BatchWorkers],
) -> None:
    sizes: list[int] = []

    def run(batch: Sequence[Work[int]]) -> None:
        sizes.append(len(batch))
        batch[0].settle(0)
        if len(batch) > 2:
            raise MemoryError("full")
        answer(batch)

    items = [item(3) for _ in range(8)]
    start(run).submit(items)
    assert [result for result in results(items) if result not in (0, 3)] == []
    assert sizes[0] == 8
    assert max(sizes[1:]) <= 4


def test_one_row_that_does_not_fit_is_a_failure(start: Callable[[Run], BatchWorkers]) -> None:
    def run(batch: Sequence[Work[int]]) -> None:
        if any(len(row.prompt) > 5 for row in batch):
            raise MemoryError("full")
        answer(batch)

    items = [item(3), item(9), item(4)]
    start(run).submit(items)
    small, large, other = results(items)
    assert (small, other) == (3, 4)
    assert isinstance(large, Failure)
    assert "out of memory" in large.message


def test_an_error_fails_its_batch_and_the_thread_lives_on(
    start: Callable[[Run], BatchWorkers],
) -> None:
    def run(batch: Sequence[Work[int]]) -> None:
        if isinstance(batch[0], Item) and batch[0].kind == "bad":
            raise ZeroDivisionError("oh")
        answer(batch)

    workers = start(run)
    bad = [item(1, "bad"), item(2, "bad")]
    workers.submit(bad)
    assert results(bad) == [Failure("server", "ZeroDivisionError: oh")] * 2
    good = item(7)
    workers.submit([good])
    assert results([good]) == [7]


def test_rows_whose_callers_left_are_not_run(start: Callable[[Run], BatchWorkers]) -> None:
    entered, go = threading.Event(), threading.Event()
    seen: list[Work[int]] = []

    def run(batch: Sequence[Work[int]]) -> None:
        seen.extend(batch)
        entered.set()
        assert go.wait(300)
        answer(batch)

    workers = start(run)
    first, left, last = item(1), item(2), item(3)
    workers.submit([first])
    assert entered.wait(300)
    workers.submit([left, last])
    left.future.cancel()
    go.set()
    assert results([first, last]) == [1, 3]
    assert left not in seen


def test_rows_that_come_after_the_end_fail() -> None:
    workers = BatchWorkers(answer, rows=8, tokens=1000)
    workers.close()
    late = item(1)
    workers.submit([late])
    assert results([late]) == [CLOSED]
