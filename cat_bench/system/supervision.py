"""Run a command with limits on its time and output, and end all of its processes.

The kernel enforces the other limits: memory, CPU time, processes.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

Ending = Literal["exited", "time", "output", "broken"]


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one run; memory and CPU time are per process, and processes are few."""

    cpu_s: int = 10
    wall_s: float = 60.0
    memory: int = 1 << 30
    processes: int = 16
    disk: int = 16 << 20
    """Bytes of one file, and of all files in bubblewrap and docker."""
    output: int = 1 << 20
    """Bytes of standard output, and of standard error."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended; `ending` is `exited`, or which limit ended it, or `broken`.

    In a `broken` run the sandbox failed, not the program. `code` is below 0 for a signal.
    """

    ending: Ending
    code: int
    stdout: bytes
    stderr: bytes

    @property
    def succeeded(self) -> bool:
        """Whether the program ended by itself, without an error."""
        return self.ending == "exited" and self.code == 0

    @property
    def problem(self) -> str | None:
        """One line that says why there is no result; None if the program ended without an error."""
        if self.ending == "time":
            return "the limit on waiting time passed"
        if self.ending == "output":
            return "there was too much output"
        if self.code == -signal.SIGXCPU:
            return "the limit on CPU time passed"
        if self.code < 0:
            return f"signal {-self.code} ended it"
        error = self.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return (error or f"its exit status was {self.code}")[:200] if self.code else None


def supervise(
    command: Sequence[str],
    stdin: bytes,
    limits: Limits,
    *,
    inherited: Sequence[int] = (),
    variables: Mapping[str, str] | None = None,
) -> Outcome:
    """Run a command in its own session, and kill all of it at the first limit that it reaches.

    `variables` are its environment; None: this process's.
    """
    with tempfile.TemporaryFile() as stdin_file:
        stdin_file.write(stdin)
        stdin_file.seek(0)
        process = subprocess.Popen(
            command,
            stdin=stdin_file,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=inherited,
            env=variables,
            start_new_session=True,
        )
    with process:
        try:
            ending, texts = _read(process, limits)
        finally:
            _kill(process)
    return Outcome(ending, process.returncode, *texts)


def _read(process: subprocess.Popen[bytes], limits: Limits) -> tuple[Ending, tuple[bytes, bytes]]:
    """Read until both streams end, the wall time is over, or the output is too large."""
    assert process.stdout is not None
    assert process.stderr is not None
    texts = {process.stdout: b"", process.stderr: b""}
    end, ending = time.monotonic() + limits.wall_s, "exited"
    with selectors.DefaultSelector() as selector:
        for stream in texts:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map() and ending == "exited":
            if not (ready := selector.select(max(0.0, end - time.monotonic()))):
                ending = "time"
            for key, _ in ready:
                stream = process.stdout if key.fileobj is process.stdout else process.stderr
                chunk = os.read(stream.fileno(), 1 << 16)
                texts[stream] += chunk
                if not chunk:
                    selector.unregister(stream)
                elif len(texts[stream]) > limits.output:
                    ending = "output"
    if ending == "exited":
        try:
            process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            ending = "time"
    return ending, (texts[process.stdout], texts[process.stderr])  # type: ignore[return-value]


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
