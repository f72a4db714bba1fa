"""A vLLM server that is started for a model, talked to, and ended.

Invariants: nothing is started before the first call that the cache cannot answer, and then once,
whoever calls at the same time; the server ends with this process however that ends (`leash.py`);
a server that does not start, or dies, stops the run with the end of its log: what it had answered
is in the cache.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

import aiohttp

from cat_bench.backends import Request
from cat_bench.backends.content import content
from cat_bench.backends.leash import leashed
from cat_bench.backends.openai import OpenAI
from cat_bench.errors import ConfigError, ModelError
from cat_bench.types import JSON, Capability, Failure, FloatArray, Message, Reply, Sampling

GRACE = 10.0
"""Seconds that a server has to end before it is killed."""
PLACEMENT = frozenset(
    {
        *("api_key", "tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size"),
        *("gpu_memory_utilization", "max_num_seqs", "max_num_batched_tokens", "max_model_len"),
        *("cpu_offload_gb", "swap_space", "download_dir", "enforce_eager", "block_size"),
        *(
            "enable_prefix_caching",
            "enable_chunked_prefill",
            "async_scheduling",
            "uvicorn_log_level",
        ),
    }
)
"""Options of `vllm serve` that say how a model is run, not which: every other one identifies it."""


class Vllm:
    """A model under `vllm serve`, on a free port of this machine unless `port` names one.

    Further options are those of `vllm serve` (`tensor_parallel_size=2`). With `attach`, the base
    URL of a server that runs already, no other is started. `startup_s` and `timeout` (per request)
    are in seconds. `gpu="any"` starts without looking for a GPU. The server's output goes to
    `log`, by default a file among the temporary ones. `choices` is how many completions share a
    request. The sampling default is the model's `generation_config.json`, which vLLM applies.

    Raises ConfigError for server options together with `attach`. The first call raises ModelError
    where the server cannot be started.
    """

    def __init__(
        self,
        name: str,
        *,
        revision: str | None = None,
        attach: str | None = None,
        host: str = "127.0.0.1",
        port: int | None = None,
        startup_s: float = 1800.0,
        executable: str = "vllm",
        gpu: Literal["required", "any"] = "required",
        log: str | None = None,
        timeout: float = 3600.0,
        choices: int = 16,
        **serve: JSON,
    ) -> None:
        if attach and serve:
            problem = "cannot be told to a running server: start it so, or leave `attach` out"
            raise ConfigError("vllm", ", ".join(serve), problem)
        self._name = str(Path(name).expanduser()) if Path(name).expanduser().is_dir() else name
        self._identity = _identity(self._name, revision, serve)
        self._attach, self._timeout, self._choices = attach, timeout, choices
        self._key = serve.get("api_key") or os.environ.get("VLLM_API_KEY") or "none"
        self._server = Server(
            [executable, "serve", self._name, *_flags({"revision": revision, **serve})],
            host=host,
            port=port,
            startup_s=startup_s,
            needs_gpu=gpu == "required",
            log=log,
        )
        self._opening: asyncio.Task[OpenAI] | None = None

    @property
    def identity(self) -> JSON:
        """The name and revision, or the folder's digest, and the options that change the model."""
        return self._identity

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What vLLM can do."""
        return frozenset({"logprobs", "scoring"})

    @property
    def choices(self) -> int:
        """How many completions share a request."""
        return self._choices

    @property
    def pool(self) -> None:
        """It stands for no imported pool."""

    @property
    def sampling(self) -> Sampling:
        """Nothing: the server applies the model's own default."""
        return Sampling()

    async def generate(self, request: Request) -> Sequence[Reply | Failure]:
        """One result per seed, in order. Raises ModelError where there is no server any more."""
        client = await self._client()
        results = await client.generate(request)
        self._check(*results)
        return results

    async def logprob(self, messages: Sequence[Message], text: str) -> FloatArray | Failure:
        """Log-probability in nats of each token of `text` as the reply to `messages`."""
        client = await self._client()
        result = await client.logprob(messages, text)
        self._check(result)
        return result

    async def close(self) -> None:
        """End the server, if there is one; a later call starts another."""
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.cancel()
            with suppress(asyncio.CancelledError, ModelError):
                await (await opening).close()
        await asyncio.to_thread(self._server.stop)

    async def _client(self) -> OpenAI:
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
        return await asyncio.shield(self._opening)

    async def _open(self) -> OpenAI:
        url = self._attach or await self._server.start()
        key = None if self._attach else self._key
        return OpenAI(
            self._name,
            base_url=url,
            api_key=key,
            timeout=self._timeout,
            choices=self._choices,
            scoring="prompt_logprobs",
        )

    def _check(self, *results: object) -> None:
        lost = any(isinstance(each, Failure) and each.kind == "connection" for each in results)
        if lost and self._attach is None:
            self._server.check()


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
        """Start it and wait until it is healthy; its base URL. Raises ModelError."""
        found = shutil.which(self._command[0])
        if found is None:
            raise ModelError(
                f"there is no executable {self._command[0]!r} here: `pip install vllm` on a "
                "machine with a GPU, name its path with {executable=PATH}, or use a server that "
                "runs elsewhere with {attach=http://HOST:8000/v1}"
            )
        if self._needs_gpu and not await asyncio.to_thread(_gpu):
            raise ModelError(
                "vLLM was not started because no GPU was found (nvidia-smi lists none): use "
                "hf:NAME on this machine, or {gpu=any} if this vLLM runs without"
            )
        try:
            port = self._launch(found)
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
                        f"{{startup_s=SECONDS}}. {self._last_words()}"
                    )
                await asyncio.sleep(0.2)

    def check(self) -> None:
        """Raise ModelError where the process has ended."""
        status = self._process.poll() if self._process else None
        if status is not None:
            raise ModelError(f"vLLM ended with exit status {status}. {self._last_words()}")

    def stop(self) -> None:
        """End it, and wait until it has."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait()

    def _last_words(self, count: int = 12) -> str:
        text = self._log.read_text(errors="replace") if self._log else ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return f"Its log, {self._log}, ends: {' | '.join(lines[-count:]) or '(empty)'}"


def _identity(name: str, revision: str | None, serve: Mapping[str, JSON]) -> JSON:
    local = content(name)
    which = {"name": name} if local == name else local
    if revision is not None:
        which = {**which, "revision": revision}
    changes = {key: content(value) for key, value in serve.items() if key not in PLACEMENT}
    return {**which, "vllm": changes} if changes else which


def _flags(options: Mapping[str, JSON]) -> list[str]:
    flags: list[str] = []
    for name, value in options.items():
        dashed = name.replace("_", "-")
        match value:
            case None:
                continue
            case bool():
                flags.append(f"--{dashed}" if value else f"--no-{dashed}")
            case dict():
                flags += [f"--{dashed}", json.dumps(value)]
            case list():
                flags += [f"--{dashed}", *map(str, value)]
            case _:
                flags += [f"--{dashed}", str(value)]
    return flags


def _gpu() -> bool:
    if Path("/dev/kfd").exists():  # AMD's
        return True
    if not shutil.which("nvidia-smi"):
        return False
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, check=False, timeout=60)
    return listed.returncode == 0 and bool(listed.stdout.strip())


def _free_port(host: str, wanted: int | None) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, wanted or 0))
        except OSError as error:
            raise ModelError(
                f"cannot serve at {host}:{wanted}: {error.strerror}. Leave `port` out for any "
                f"free one, or use what runs there with {{attach=http://{host}:{wanted}/v1}}"
            ) from error
        return int(probe.getsockname()[1])
