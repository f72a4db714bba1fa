"""Handle signals that end a command like Ctrl-C, so that the command cleans up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDINGS = (signal.SIGTERM, signal.SIGHUP)
"""The signals of a scheduler that ends a job, and of a terminal that is closed."""


@contextmanager
def ended_as_interrupted() -> Iterator[None]:
    """Let each of `ENDINGS` do what Ctrl-C does: drafts are removed, leases are freed.

    A signal that is ignored (by `nohup`) stays ignored. Only the main thread receives signals: in
    any other thread, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    changed = [ending for ending in ENDINGS if signal.getsignal(ending) is signal.SIG_DFL]
    for ending in changed:
        signal.signal(ending, _interrupt)
    try:
        yield
    finally:
        for ending in changed:
            signal.signal(ending, signal.SIG_DFL)


def _interrupt(_number: int, frame: FrameType | None) -> None:
    """Call what handles SIGINT; a process in the background has no handler of it."""
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):
        raise KeyboardInterrupt
    handler(signal.SIGINT, frame)
