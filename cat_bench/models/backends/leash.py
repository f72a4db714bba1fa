"""Run a command so that its process group never outlives the process that started it.

`python leash.py PARENT GRACE COMMAND...` runs a command in a new session and supervises it: five
times a second it checks whether its parent is still its parent, and it ends the whole group when
that has changed, when it is told to stop, or when the command has ended. This covers an exception,
a signal, `kill -9` and a normal exit. (The kernel's parent death signal would reach the command but
not *its* children, which hold the GPU's memory, and it fires when the thread that started the
command ends.) Standard library only: it starts at once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

PERIOD = 0.2
"""Seconds between checks."""


def leashed(command: Sequence[str], *, grace: float) -> list[str]:
    """Return the command that runs `command` under the supervision of this process.

    A process that does not end within `grace` seconds of being asked is killed.
    """
    return [sys.executable, "-I", __file__, str(os.getpid()), str(grace), *command]


def main(parent: int, grace: float, command: Sequence[str]) -> int:
    """Run `command` until it or the parent ends, and return its exit status."""
    signals: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _: signals.append(received))
    child = subprocess.Popen(command, start_new_session=True)
    while child.poll() is None and not signals and os.getppid() == parent:
        time.sleep(PERIOD)
    _signal(child, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        child.wait(grace)
    _signal(child, signal.SIGKILL)
    status = child.wait()
    return status if status >= 0 else 128 - status


def _signal(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, number)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
