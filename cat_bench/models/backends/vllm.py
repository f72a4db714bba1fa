"""A vLLM server that is started for a model, used, and stopped.

Invariants:

- The server starts at the first call that the cache cannot answer, and only once for all callers.
- It ends with this process, however the process ends (`leash.py`).
- If the server does not start, or dies, the run stops with the last lines of the server's log. The
  answers until then are in the cache.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from cat_bench.errors import ConfigError
from cat_bench.models.backends import Request
from cat_bench.models.backends.content import content
from cat_bench.models.backends.hf.adapters import Adapter
from cat_bench.models.backends.openai import OpenAI
from cat_bench.models.backends.vllm_server import Server
from cat_bench.types.calls import JSON, Capability, Failure, FloatArray, Message, Reply, Sampling

PLACEMENT = frozenset(
    {
        *("api_key", "tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size"),
        *("gpu_memory_utilization", "max_num_seqs", "max_num_batched_tokens", "cpu_offload_gb"),
        *("enforce_eager", "enable_prefix_caching", "enable_chunked_prefill", "download_dir"),
    }
)
"""Options of `vllm serve` that do not change the model; all others are part of its identity."""
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""The values that vLLM takes for `--max-lora-rank`."""


class Vllm:
    """A model under `vllm serve`, on a free port of this machine unless `port` names one.

    Further options go to `vllm serve` (`tensor_parallel_size=2`). With `attach`, the base URL of a
    running server, none is started. `startup_s` and `timeout` (per request) are in seconds.
    `gpu="any"` starts without looking for a GPU. The server's output goes to `log`, by default a
    temporary file. `choices` is the number of completions per request. The sampling default is the
    model's `generation_config.json`, which vLLM applies. A folder with a LoRA adapter is served
    with its base model, under the name of the folder (`--lora-modules`).

    Raises ConfigError for server options together with `attach`. The first call raises ModelError
    if the server cannot be started.
    """

    def __init__(
        self,
        name: str,
        *,
        revision: str | None = None,
        attach: str | None = None,
        host: str = "127.0.0.1",
        port: int | None = None,
        startup_s: PositiveFloat = 1800.0,
        executable: str = "vllm",
        gpu: Literal["required", "any"] = "required",
        log: str | None = None,
        timeout: PositiveFloat = 3600.0,
        choices: PositiveInt = 16,
        **serve: JSON,
    ) -> None:
        if attach and serve:
            problem = "cannot be set on a running server: start it with this, or leave `attach` out"
            raise ConfigError("vllm", ", ".join(serve), problem)
        self._name = str(Path(name).expanduser()) if Path(name).expanduser().is_dir() else name
        self._identity = _identity(self._name, revision, serve)
        self._attach, self._timeout, self._choices = attach, timeout, choices
        self._key = serve.get("api_key") or os.environ.get("VLLM_API_KEY") or "none"
        adapter = Adapter.find(Path(self._name))
        self._asked = adapter.folder.name if adapter else self._name
        options = {"revision": revision, **(_lora(adapter) if adapter else {}), **serve}
        self._server = Server(
            [executable, "serve", adapter.base if adapter else self._name, *_flags(options)],
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
        """The capabilities of vLLM."""
        return frozenset({"logprobs", "scoring"})

    @property
    def choices(self) -> int:
        """The number of completions per request."""
        return self._choices

    @property
    def sampling(self) -> Sampling:
        """No parameters: the server applies the model's default."""
        return Sampling()

    async def generate(self, request: Request) -> Sequence[Reply | Failure]:
        """Return one result per seed, in order. Raises ModelError if the server has ended."""
        client = await self._client()
        results = await client.generate(request)
        self._check(*results)
        return results

    async def logprob(self, messages: Sequence[Message], text: str) -> FloatArray | Failure:
        """Return the log-probability in nats of each token of `text` as the reply to `messages`."""
        client = await self._client()
        result = await client.logprob(messages, text)
        self._check(result)
        return result

    async def close(self) -> None:
        """End the server, if it runs; a later call starts another."""
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.cancel()
            await asyncio.wait([opening])
            if not opening.cancelled() and opening.exception() is None:
                await opening.result().close()
        await asyncio.to_thread(self._server.stop)

    async def _client(self) -> OpenAI:
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
        return await asyncio.shield(self._opening)

    async def _open(self) -> OpenAI:
        url = self._attach or await self._server.start()
        key = None if self._attach else self._key
        return OpenAI(
            self._asked,
            base_url=url,
            api_key=key,
            timeout=self._timeout,
            choices=self._choices,
            scoring="prompt_logprobs",
        )

    def _check(self, *results: object) -> None:
        lost = any(
            isinstance(result, Failure) and result.kind == "connection" for result in results
        )
        if lost and self._attach is None:
            self._server.check()


def _identity(name: str, revision: str | None, serve: Mapping[str, JSON]) -> JSON:
    local = content(name)
    which = {"name": name} if local == name else local
    if revision is not None:
        which = {**which, "revision": revision}
    changes = {key: content(value) for key, value in serve.items() if key not in PLACEMENT}
    return {**which, "vllm": changes} if changes else which


def _lora(adapter: Adapter) -> dict[str, JSON]:
    """Return the options of `vllm serve` that add an adapter to its base model."""
    return {
        "enable_lora": True,
        "lora_modules": [f"{adapter.folder.name}={adapter.folder.absolute()}"],
        "max_lora_rank": next((rank for rank in RANKS if rank >= adapter.rank), adapter.rank),
    }


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
