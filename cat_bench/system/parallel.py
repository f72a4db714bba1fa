"""Work in other processes, by joblib: on this machine (loky), a Dask cluster or a Ray cluster.

    with open_executor("dask:tcp://scheduler:8786") as executor:
        executor.map(function, items)

Functions are sent by name and items by value, so results are the same as in this process. Every
machine needs the same version of the package. Dask and Ray are imported only when they are named.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from logging import ERROR
from typing import Any, TypeVar

from cat_bench.errors import ModelError, UsageError, one_line
from cat_bench.system.extras import install_command

T = TypeVar("T")
S = TypeVar("S")
Batch = Callable[[Sequence[T]], Sequence[S]]
"""A function that returns a result for each of several items."""

REACH_S = 5.0
"""Seconds to wait for an address to answer."""
PARTS = 4
"""Batches per process in a round; more of them shorten the wait for the last process."""
_DEATHS = {"BrokenProcessPool", "KilledWorker", "RayActorError", "WorkerCrashedError"}
"""The exceptions of joblib, Dask and Ray for a lost process; Ray and Dask are extras."""
WATCH_S = 0.5
"""Seconds between checks of a process for its parent."""
LOCAL = ("local", "auto")
TOKEN = (
    " For a cluster that asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN here, too."
)


@dataclass(slots=True)
class _Job:
    function: Batch[Any, Any]
    item: Any
    answer: asyncio.Future[Any]


class Executor:
    """`size` processes reached through joblib's `Parallel`. Made by `open_executor`."""

    def __init__(self, name: str, size: int, backend: str, **options: Any) -> None:
        from joblib import Parallel, parallel_config

        self.name = name
        self.size = size
        self._held = ExitStack()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="parallel")
        self._queue: list[_Job] = []
        self._rounds: asyncio.Task[None] | None = None

        def enter() -> Parallel:
            self._held.enter_context(parallel_config(backend, n_jobs=size, **options))
            as_they_come = "list" if backend == "ray" else "generator_unordered"
            return self._held.enter_context(
                Parallel(batch_size=1, pre_dispatch="all", return_as=as_they_come)
            )

        self._parallel = self._thread.submit(enter).result()

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
        """Release the processes."""
        self._thread.submit(self._held.close).result()
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
        waiting = iter(jobs)
        batches = list(iter(lambda: list(islice(waiting, size)), []))
        loop = jobs[0].answer.get_loop()
        for place, answers in self._done(_done, [_pack(batch) for batch in batches]):
            loop.call_soon_threadsafe(_answer, batches[place], answers)

    def _map(self, function: Callable[[T], S], items: Sequence[T]) -> list[S]:
        results = dict(self._done(function, items))
        return [results[place] for place in range(len(items))]

    def _done(self, function: Callable[[T], S], items: Sequence[T]) -> Iterator[tuple[int, S]]:
        """Yield each item's place and result as they arrive; on Ray, once all have arrived.

        Raises ModelError if a process died, and what the function raised.
        """
        from joblib import delayed

        calls = (delayed(_call_at)(place, function, item) for place, item in enumerate(items))
        try:
            yield from self._parallel(calls)
        except Exception as error:
            if _is_death(error):
                raise ModelError(
                    f"--parallel {self.name}: one of its processes died ({one_line(error)}), "
                    "perhaps killed for its memory. What was sampled and scored is kept: run the "
                    "same command again"
                ) from error
            raise


def _call_at(place: int, function: Callable[[T], S], item: T) -> tuple[int, S]:
    return place, function(item)


def _is_death(error: BaseException) -> bool:
    """Return whether an exception of joblib, Ray or Dask says that a process has died."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return bool(kinds & _DEATHS) and "RayTaskError" not in kinds


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
    malformed, a package is missing or the address does not answer within `REACH_S` seconds.
    """
    if spec is None:
        yield None
        return
    kind, _, address = str(spec).partition(":")
    with ExitStack() as stack:
        if kind in ("dask", "ray") and address:
            opened = stack.enter_context((_dask if kind == "dask" else _ray)(address))
        elif re.fullmatch(r"[1-9]\d*", kind) and not address:
            watched = {"initializer": _end_with, "initargs": (os.getpid(),)}
            opened = Executor(f"{kind} processes", int(kind), "loky", **watched)
        else:
            raise UsageError(
                f"--parallel {spec} should be a number of processes, dask:ADDRESS or ray:ADDRESS"
            )
        stack.callback(opened.close)
        yield opened


def _end_with(parent: int) -> None:
    """End this process soon after its parent ends for any reason; called in each process.

    Its own children read from it, and end with it.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()


@contextmanager
def _dask(address: str) -> Iterator[Executor]:
    distributed = _import_extra("dask", "distributed")
    spec = f"--parallel dask:{address}"
    try:
        _check_reachable(address)
        client = distributed.Client(address, timeout=REACH_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise _connection_error(spec, "a Dask scheduler", error) from error
    with client:
        if not (size := sum(client.ncores().values())):
            raise UsageError(f"{spec}: the scheduler has no worker; start some: dask worker")
        try:
            client.get_versions(check=True)
        except ValueError as error:
            raise _mismatch(spec, error) from error
        yield Executor(f"dask:{address}", size, "dask", client=client)


@contextmanager
def _ray(address: str) -> Iterator[Executor]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray, joined = _import_extra("ray", "ray"), _import_extra("ray", "ray.util.joblib")
    spec = f"--parallel ray:{address}"
    options = {"include_dashboard": False} if address == "local" else {}
    try:
        if address not in LOCAL:
            _check_reachable(address)
        ray.init(address, log_to_driver=False, logging_level=ERROR, **options)
    except RuntimeError as error:
        raise _mismatch(spec, error) from error
    except (OSError, ValueError) as error:
        raise _connection_error(spec, "Ray", error, TOKEN) from error
    try:
        joined.register_ray()
        yield Executor(f"ray:{address}", int(ray.cluster_resources().get("CPU", 1)), "ray")
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Raise OSError at once if nothing listens; Ray itself would keep trying for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    socket.create_connection((host, int(port)), timeout=REACH_S).close()


def _import_extra(extra: str, module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise UsageError(
            f"--parallel {extra}:... needs a package that is not installed ({error.name}): "
            f"{install_command(extra)}"
        ) from error


def _connection_error(spec: str, service: str, error: Exception, hint: str = "") -> UsageError:
    return UsageError(
        f"{spec}: {service} does not answer there ({_line(error)}); is it running, and is the "
        f"address right?{hint}"
    )


def _mismatch(spec: str, error: Exception) -> UsageError:
    return UsageError(
        f"{spec}: its versions differ from those here ({_line(error)}); install the same "
        "versions on both sides"
    )


def _line(error: Exception) -> str:
    return one_line(error) or type(error).__name__
