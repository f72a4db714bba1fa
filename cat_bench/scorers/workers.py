"""Grading processes that the kernel kills when a request takes too long.

Each worker runs a module such as `cat_bench.scorers.grading` as a program (`serving`) and answers
JSON lines. Before each request it sets a timer on its CPU time, so that the load of the machine
does not matter, and leaves the timer's signal at its default action, so that a timeout ends the
process in any state, even if this process is gone by then. A request therefore costs at most its
timeout and one worker; the next request starts a new one.

Workers start on first use, share nothing with this process (no fork, no re-import of its main
module, no terminal signals) and end with it.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from queue import Empty, LifoQueue

from cat_bench.errors import CatBenchError
from cat_bench.types.calls import JSON

GRADING = "cat_bench.scorers.grading"
_MOST = 8
_ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class Undecided:
    """A request without a result, and why."""

    reason: str
    exhausted: bool = False
    """Whether the request exceeded its time or memory, which a retry would not change."""
    timed_out: bool = False
    """Whether it was the time."""


@lru_cache
def workers(count: int | None = None, program: str = GRADING) -> Workers:
    """Return this process's pool of `count` workers (None: one for each core, at most 8)."""
    return Workers(count or min(_MOST, os.cpu_count() or 1), program)


class Workers:
    """At most `count` workers; safe to use from several threads and event loops.

    `program` is the module that a worker runs, which must call `serving.serve`.
    """

    def __init__(self, count: int, program: str = GRADING) -> None:
        self._program = program
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="grading")
        self._idle: LifoQueue[_Worker] = LifoQueue()
        atexit.register(self.close)

    async def ask(self, function: str, *answers: str, timeout: float) -> JSON | Undecided:
        """Return a function's result for these answers within `timeout` CPU seconds.

        Raises CatBenchError if workers cannot be started.
        """
        request = json.dumps([timeout, function, *answers])
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._ask, request, timeout)

    def close(self) -> None:
        """End the idle workers; a later request starts new ones."""
        while (worker := self._take()) is not None:
            worker.end()

    def _ask(self, request: str, timeout: float) -> JSON | Undecided:
        status: int | None = None
        for _ in range(_ATTEMPTS):
            worker = self._take() or _Worker(self._program)
            reply = worker.ask(request)
            if reply is not None:
                self._idle.put(worker)
                if "result" in reply:
                    return reply["result"]
                return Undecided(reply["error"], exhausted=reply["exhausted"])
            status = worker.end()
            if status == -signal.SIGPROF:
                reason = f"grading took more than {timeout:g} s"
                return Undecided(reason, exhausted=True, timed_out=True)
        if status == -signal.SIGSEGV:
            return Undecided("grading overflowed the stack of its process", exhausted=True)
        return Undecided(f"the grading worker died (exit status {status})")

    def _take(self) -> _Worker | None:
        try:
            return self._idle.get_nowait()
        except Empty:
            return None


class _Worker:
    def __init__(self, program: str) -> None:
        path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-m", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
        )
        if self._read() is None:
            raise CatBenchError(
                f"the grading worker did not start (exit status {self.end()}); its own message is "
                "on stderr: check that math-verify and highspy are installed"
            )

    def ask(self, request: str) -> JSON | None:
        """Return the reply to one request; None if the worker died."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(request + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return None
        return self._read()

    def end(self) -> int:
        """Kill it and return its exit status, which is negative for a signal."""
        self.process.kill()
        self.process.communicate()
        return self.process.returncode

    def _read(self) -> JSON | None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line.endswith("\n") else None
