"""Wait for a coroutine or a function, even inside a running event loop such as a notebook's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def wait(coroutine: Coroutine[Any, Any, T], *, on_interrupt: Callable[[], None] | None = None) -> T:
    """Run the coroutine to its end and return its result.

    If the calling thread runs an event loop, the coroutine gets a loop and a thread of its own, and
    the caller's loop waits until it is done. An interrupt (Ctrl-C, a notebook's stop) then calls
    `on_interrupt`, which should make the coroutine end soon, and is raised after that.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    with ThreadPoolExecutor(1) as threads:
        done: Future[T] = threads.submit(asyncio.run, coroutine)
        try:
            return done.result()
        except KeyboardInterrupt:
            if on_interrupt:
                on_interrupt()
            raise


def call_without_loop(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call the function in a thread that runs no event loop, and return its result.

    Inspect's functions patch the process's asyncio where they are called inside a running loop;
    from then on each `asyncio.run` leaves a loop open.
    """
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(function, *args, **kwargs).result()
