"""The loop of a worker process: answer JSON lines, and die on a timeout.

`workers.Workers` starts the process. The kernel limits its memory, and a timer whose signal ends
the process limits each request's CPU time.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress

MEMORY = 4 << 30
"""The most bytes of address space of one worker."""


def serve(functions: Mapping[str, Callable[..., object]], *, work: str = "grading") -> None:
    """Answer ``[timeout, function, *texts]`` lines until stdin ends; die on a timeout.

    Import libraries beforehand, so that the first request's time does not include it.
    """
    replies = os.dup(1)
    os.dup2(2, 1)  # a library's output must not be mistaken for a reply
    _limit_memory()
    sys.set_int_max_str_digits(0)
    logging.disable()
    with suppress(BrokenPipeError):  # the caller was killed
        os.write(replies, b'{"ready": true}\n')
        for line in sys.stdin:
            reply = _reply(functions, work, *json.loads(line))
            os.write(replies, json.dumps(reply).encode() + b"\n")


def _reply(
    functions: Mapping[str, Callable[..., object]],
    work: str,
    timeout: float,
    function: str,
    *texts: str,
) -> dict[str, object]:
    signal.setitimer(signal.ITIMER_PROF, timeout)
    try:
        return {"result": functions[function](*texts)}
    except MemoryError:
        return {"error": f"{work} took more than {MEMORY >> 30} GiB", "exhausted": True}
    except Exception as error:  # noqa: BLE001 - any failure is this request's record
        return {"error": f"{work} failed: {type(error).__name__}", "exhausted": False}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _limit_memory() -> None:
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    soft = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
    with suppress(ValueError):  # macOS refuses the limit
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
