"""Start, watch and stop one `vllm serve` process.

It ends with this process, however that ends (`leash.py`), and its errors quote the end of its log.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import aiohttp

from cat_bench.errors import ModelError
from cat_bench.models.backends.leash import leashed

GRACE = 10.0
"""Seconds after which a server that was asked to end is killed."""


class Server:
    """One `vllm serve` process; `start` it, `check` that it lives, `stop` it."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        host: str,
        port: int | None,
        startup_s: float,
        needs_gpu: bool,
        log: str | None,
    ) -> None:
        self._command, self._host, self._port = list(command), host, port
        self._startup_s, self._needs_gpu = startup_s, needs_gpu
        self._log = Path(log) if log else None
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> str:
        """Start it, wait until it is healthy, and return its base URL. Raises ModelError."""
        path = shutil.which(self._command[0])
        if path is None:
            raise ModelError(
                f"there is no executable {self._command[0]!r} here: `pip install vllm` on a "
                "machine with a GPU, name its path with {executable=PATH}, or use a server that "
                "runs elsewhere with {attach=http://HOST:8000/v1}"
            )
        if self._needs_gpu and not await asyncio.to_thread(_has_gpu):
            raise ModelError(
                "vLLM was not started because no GPU was found (nvidia-smi lists none): use "
                "hf:NAME on this machine, or {gpu=any} if this vLLM runs without"
            )
        try:
            port = self._launch(path)
            await self._healthy(f"http://{self._host}:{port}/health")
        except BaseException:
            await asyncio.to_thread(self.stop)
            raise
        return f"http://{self._host}:{port}/v1"

    def _launch(self, executable: str) -> int:
        port = _free_port(self._host, self._port)
        self._log = self._log or Path(tempfile.mkdtemp(prefix="cat_bench_vllm_"), "server.log")
        command = [executable, *self._command[1:], "--host", self._host, "--port", str(port)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                leashed(command, grace=GRACE),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return port

    async def _healthy(self, url: str) -> None:
        deadline = time.monotonic() + self._startup_s
        patience = aiohttp.ClientTimeout(total=5)
        async with aiohttp.ClientSession(timeout=patience) as session:
            while True:
                with suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(url) as answer:
                        if answer.status == 200:
                            return self.check()
                self.check()
                if time.monotonic() > deadline:
                    raise ModelError(
                        f"vLLM was not ready within {self._startup_s:g} s; allow more with "
                        f"{{startup_s=SECONDS}}. {self._log_tail()}"
                    )
                await asyncio.sleep(0.2)

    def check(self) -> None:
        """Raise ModelError if the process has ended."""
        status = self._process.poll() if self._process else None
        if status is not None:
            raise ModelError(f"vLLM ended with exit status {status}. {self._log_tail()}")

    def stop(self) -> None:
        """End it, and wait until it has."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait()

    def _log_tail(self) -> str:
        text = self._log.read_text(errors="replace") if self._log else ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return f"Its log, {self._log}, ends: {' | '.join(lines[-12:]) or '(empty)'}"


def _has_gpu() -> bool:
    if Path("/dev/kfd").exists():  # AMD's
        return True
    if not shutil.which("nvidia-smi"):
        return False
    result = subprocess.run(["nvidia-smi", "-L"], capture_output=True, check=False, timeout=60)
    return result.returncode == 0 and bool(result.stdout.strip())


def _free_port(host: str, fixed: int | None) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, fixed or 0))
        except OSError as error:
            raise ModelError(
                f"cannot serve at {host}:{fixed}: {error.strerror}. Leave `port` out for any "
                f"free one, or use what runs there with {{attach=http://{host}:{fixed}/v1}}"
            ) from error
        return int(probe.getsockname()[1])
