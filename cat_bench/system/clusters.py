"""Start processes on this machine, or reach those of a Dask or a Ray cluster.

Dask and Ray are imported only when they are named.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from logging import ERROR
from typing import Any, TypeVar

from cat_bench.errors import UsageError, one_line
from cat_bench.system.extras import install_command

T = TypeVar("T")
S = TypeVar("S")
Send = Callable[[Callable[[Any], Any], Mapping[int, Any]], Iterable[tuple[int, Any]]]
"""Applies a function to items elsewhere; gives each item's place with its result."""

REACH_S = 5.0
"""Seconds to wait for an address to answer."""
_LOSSES = {
    *("BrokenProcessPool", "TerminatedWorkerError"),  # joblib
    *("KilledWorker", "CommClosedError", "FutureCancelledError"),  # Dask
    "RayError",
}
"""Exceptions for a lost process or cluster, by name: Dask and Ray are extras."""
WATCH_S = 0.5
"""Seconds between checks of a process for its parent."""
LOCAL = ("local", "auto")
TOKEN = (
    " For a cluster that asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN here, too."
)


@dataclass(frozen=True, slots=True)
class Cluster:
    """`size` processes, which `start` starts or reaches.

    If one dies, `start` may be called again, unless `lasting` processes replace it themselves.
    """

    name: str
    size: int
    start: Callable[[], AbstractContextManager[Send]]
    lasting: bool = False


def here(size: int) -> Cluster:
    """Return processes of this machine, which end with this one."""
    watched = {"initializer": _end_with, "initargs": (os.getpid(),)}
    return Cluster(f"{size} processes", size, partial(_joblib, "loky", size, **watched))


@contextmanager
def dask(address: str) -> Iterator[Cluster]:
    """Reach a Dask scheduler. Raises UsageError."""
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
        yield Cluster(f"dask:{address}", size, partial(_distributed, client), lasting=True)


@contextmanager
def ray(address: str) -> Iterator[Cluster]:
    """Reach a Ray cluster, or start one here: `local`. Raises UsageError."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    library, joined = _import_extra("ray", "ray"), _import_extra("ray", "ray.util.joblib")
    spec = f"--parallel ray:{address}"
    options = {"include_dashboard": False} if address == "local" else {}
    try:
        if address not in LOCAL:
            _check_reachable(address)
        library.init(address, log_to_driver=False, logging_level=ERROR, **options)
        joined.register_ray()
        size = int(library.cluster_resources().get("CPU", 1))
    except Exception as error:  # Ray raises bare Exceptions, too, where a start takes too long
        library.shutdown()
        if "ersion mismatch" in str(error):
            raise _mismatch(spec, error) from error
        if address in LOCAL:
            raise UsageError(
                f"{spec}: Ray does not start here ({_line(error)}); run the command again, or "
                "with --parallel N for N processes of this machine"
            ) from error
        raise _connection_error(spec, "Ray", error, TOKEN) from error
    try:
        yield Cluster(f"ray:{address}", size, partial(_joblib, "ray", size))
    finally:
        library.shutdown()


def find_loss(error: BaseException | None) -> BaseException | None:
    """Return the exception of joblib, Dask or Ray for a lost process; None if there is none.

    What they raise while they handle it may be anything: the loss is then its context.
    """
    while error is not None:
        kinds = {kind.__name__ for kind in type(error).__mro__}
        if kinds & _LOSSES:
            return None if "RayTaskError" in kinds else error
        error = error.__cause__ or error.__context__
    return None


def first_sentence(error: BaseException) -> str:
    """Return the first sentence of an error; Ray adds a dozen facts."""
    return _line(error).partition(". ")[0].rstrip(".")


@contextmanager
def _joblib(backend: str, size: int, **options: Any) -> Iterator[Send]:
    """Start processes of a backend of joblib's. Ray's returns only all results together."""
    from joblib import Parallel, delayed, parallel_config

    order = "list" if backend == "ray" else "generator_unordered"
    with (
        parallel_config(backend, n_jobs=size, **options),
        Parallel(batch_size=1, pre_dispatch="all", return_as=order) as parallel,
    ):
        yield lambda function, items: parallel(
            [delayed(_call_at)(place, function, item) for place, item in items.items()]
        )


@contextmanager
def _distributed(client: Any) -> Iterator[Send]:
    """Use Dask's workers. By joblib, work whose workers keep dying would never return."""
    from distributed import as_completed

    def send(function: Callable[[Any], Any], items: Mapping[int, Any]) -> Iterator[Any]:
        futures = [
            client.submit(_call_at, k, function, item, pure=False) for k, item in items.items()
        ]
        try:
            done = as_completed(futures, loop=client.loop, with_results=True)  # type: ignore[no-untyped-call] # a library without types
            yield from (result for _, result in done)
        finally:
            client.cancel(futures)

    yield send


def _call_at(place: int, function: Callable[[T], S], item: T) -> tuple[int, S]:
    return place, function(item)


def _end_with(parent: int) -> None:
    """End this process soon after its parent ends for any reason; called in each process.

    Its own children read from it, and end with it.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()


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


def _line(error: BaseException) -> str:
    return one_line(error) or type(error).__name__
