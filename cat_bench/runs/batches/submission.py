"""Order the rollouts of a run that the cache lacks."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from cat_bench.cache import Call
from cat_bench.cache.orders import Order, on_order, record_end, record_id, record_order
from cat_bench.cache.rows import drop_damaged
from cat_bench.errors import ModelError, UsageError
from cat_bench.models.backends import Request
from cat_bench.models.backends.openai import OpenAI
from cat_bench.models.cached import OUT_OF_REACH, seed_of
from cat_bench.runs.batches.service import PATH, TAG, line_name, openai_only, service
from cat_bench.runs.config import RunConfig
from cat_bench.runs.open_models import Environment
from cat_bench.runs.opening import Opened, open_run
from cat_bench.types.calls import Failure

MAX_REQUESTS, MAX_BYTES = 50_000, 200_000_000
"""The most requests and bytes of one file."""


@dataclass(frozen=True, slots=True)
class _Line:
    key: str
    slots: list[int]
    text: bytes


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    lines: int
    slots: dict[str, list[int]] = field(default_factory=dict)


async def submit(
    config: RunConfig,
    *,
    environment: Environment | None = None,
    max_requests: int = MAX_REQUESTS,
    max_bytes: int = MAX_BYTES,
) -> list[Order]:
    """Order missing rollouts; one order per file within the limits.

    The first request is sent live, at the full price, so that a refusal shows at once and not
    tomorrow. Raises UsageError if the model has no batch API, ModelError if it fails or refuses.
    """
    async with open_run(config, ordering=True, environment=environment) as ready:
        backend = openai_only(ready.bench.roles.policy.model.backend)
        ordered = on_order(ready.cache)
        await _try_first(ready, ordered)
        claimed: list[tuple[Call, list[int]]] = []
        try:
            for sample in ready.samples():
                call = ready.call(sample.question)
                free = [s for s in range(ready.bench.settings.pool) if (call.key, s) not in ordered]
                claim = await ready.cache.claim(call, free)
                if claim.mine:
                    claimed.append((call, sorted(claim.mine)))
            with TemporaryDirectory() as folder:
                lines = _lines(claimed, ready, seed=config.seed)
                files = _files(lines, Path(folder), max_requests=max_requests, max_bytes=max_bytes)
                return await _send_all(ready, config, backend, files)
        finally:
            for call, slots in claimed:
                await ready.cache.release(call, slots)


async def _send_all(
    ready: Opened, config: RunConfig, backend: OpenAI, files: Iterator[_File]
) -> list[Order]:
    """Send each file; raise ModelError at the first that fails, with the number sent before."""
    sent: list[Order] = []
    for file in files:
        try:
            sent.append(await _send(ready, config, backend, file))
        except ModelError as error:
            if not sent:
                raise
            listed = f"{len(sent)} were sent before, which `cat-bench batch status` lists"
            raise ModelError(f"a batch was not sent ({listed}): {error}") from error
    return sent


async def _try_first(ready: Opened, ordered: Collection[tuple[str, int]]) -> None:
    """Sample the first missing request live; raise ModelError if that fails."""
    policy, slots = ready.bench.roles.policy, range(ready.bench.settings.pool)
    for sample in ready.samples():
        call = ready.call(sample.question)
        stored = drop_damaged(await ready.cache.lookup(call, slots))
        free = [s for s in slots if s not in stored and (call.key, s) not in ordered]
        if free:
            first = free[: policy.model.backend.choices]
            drawn = await policy.model.draw(sample.question.messages, first, policy.sampling)
            for result in drawn.values():
                if isinstance(result, Failure) and (
                    result.retryable or result.kind in OUT_OF_REACH
                ):
                    raise ModelError(f"no batch was sent, as a request failed: {result.message}")
            return


def _lines(
    claimed: Sequence[tuple[Call, list[int]]], ready: Opened, *, seed: int
) -> Iterator[_Line]:
    """Yield each request as a line of a file."""
    policy = ready.bench.roles.policy
    backend = openai_only(policy.model.backend)
    sampling = policy.sampling.over(backend.sampling)
    for call, slots in claimed:
        for start in range(0, len(slots), backend.choices):
            part = slots[start : start + backend.choices]
            seeds = tuple(seed_of(call.key, slot, seed) for slot in part)
            body = backend.body(Request(call.messages, sampling, seeds))
            name = line_name(call.key, part)
            line = {"custom_id": name, "method": "POST", "url": PATH, "body": body}
            yield _Line(call.key, part, json.dumps(line).encode() + b"\n")


def _files(
    lines: Iterator[_Line], folder: Path, *, max_requests: int, max_bytes: int
) -> Iterator[_File]:
    """Yield files within the limits, each when it is complete."""
    line = next(lines, None)
    for number in count():
        if line is None:
            return
        path, written = folder / f"{number}.jsonl", 0
        slots: dict[str, list[int]] = {}
        with path.open("wb") as file:
            while line and written < max_requests and file.tell() + len(line.text) <= max_bytes:
                slots.setdefault(line.key, []).extend(line.slots)
                file.write(line.text)
                written, line = written + 1, next(lines, None)
        if not written:
            problem = f"one request is larger than the limit of {max_bytes:,} bytes per file"
            raise UsageError(f"{problem}: use `cat-bench run` instead")
        yield _File(path, written, slots)
        path.unlink()


async def _send(ready: Opened, config: RunConfig, backend: OpenAI, file: _File) -> Order:
    """Record the order, send it, and record the server's id."""
    from openai import APIStatusError

    settings = config.model_dump(mode="json", exclude_defaults=True, exclude={"out", "parallel"})
    order = Order(secrets.token_hex(6), time.time(), file.lines, settings, file.slots)
    await record_order(ready.cache, order)
    async with service(backend) as client:
        try:
            uploaded = await client.files.create(file=file.path, purpose="batch")
            once = client.with_options(max_retries=0)  # a second batch would be paid for, too
            batch = await once.batches.create(
                input_file_id=uploaded.id,
                endpoint=PATH,
                completion_window="24h",
                metadata={TAG: order.tag},
            )
        except APIStatusError as error:
            if error.status_code < 500:  # after any other error it may have arrived
                await record_end(ready.cache, order, "refused")
            raise
    return await record_id(ready.cache, order, batch.id)
