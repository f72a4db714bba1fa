"""One command as a process of its own, and what it took."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path


def measured(
    folder: Path, *command: str, cache: str | None = None, python: str = sys.executable
) -> dict[str, float]:
    """Seconds (s), CPU seconds (CPU) and peak memory in MB of a Python command in `folder`.

    Its runs go there, and its cache too unless another is named. Python keeps its byte code, as
    in any installation. Ends with what it said if it fails.
    """
    place = {"CAT_BENCH_CACHE": cache or str(folder / "cache.sqlite")}
    place["CAT_BENCH_RESULTS"] = str(folder)
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    with (folder / "said.txt").open("w") as said:
        child = subprocess.Popen(
            [python, *command],
            cwd=folder,
            env={**kept, **place},
            stdout=said,
            stderr=said,
        )
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit((folder / "said.txt").read_text())
    cpu = usage.ru_utime + usage.ru_stime
    return {"s": time.perf_counter() - started, "CPU": cpu, "MB": usage.ru_maxrss / 1024}
