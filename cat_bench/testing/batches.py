"""The test server's files and batches: /v1/files and /v1/batches, as OpenAI's batch API has them.

A batch is checked, then waits. Its lines are answered like live requests, with the same faults. At
its end, lines that succeeded are in an output file, and lines that failed in an error file. If a
batch expires or is cancelled, unanswered lines are in the error file, with a code that says so.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import TypeAlias

from aiohttp import BodyPartReader, web

from cat_bench.testing.protocol import error
from cat_bench.types.calls import JSON

Answer: TypeAlias = Callable[[JSON], tuple[int, JSON]]
"""Status and body of the answer to one chat completion's body."""
EXPIRED = {"code": "batch_expired", "message": "This request could not be executed in time."}
CANCELLED = {"code": "batch_cancelled", "message": "This batch was cancelled."}
"""The errors of lines that were not answered."""
ENDED = ("completed", "expired", "cancelled", "failed")


@dataclass(slots=True, kw_only=True)
class Batches:
    """`delay` is in seconds per batch; `expires` is the number of lines answered before it expires.

    The reply to a creation is sent `hesitation` seconds after the batch exists; from the number
    `sound` on it is a 502, though the batch exists. `most` and `largest` are the limits of a file,
    in requests and bytes.
    """

    delay: float = 0.0
    hesitation: float = 0.0
    sound: int | None = None
    expires: int | None = None
    most: int = 50_000
    largest: int = 200_000_000
    files: dict[str, bytes] = field(default_factory=dict, init=False)
    batches: dict[str, dict[str, JSON]] = field(default_factory=dict, init=False)
    _number: count[int] = field(default_factory=count, init=False)
    _running: set[asyncio.Task[None]] = field(default_factory=set, init=False)

    async def handle(self, request: web.BaseRequest, answer: Answer) -> web.Response:
        """Return the answer to a request below /v1/files or /v1/batches."""
        kind, *rest = request.path.removeprefix("/v1/").split("/")
        match request.method, kind, rest:
            case "POST", "files", []:
                return await self._upload(request)
            case "GET", "files", [name, "content"] if name in self.files:
                return web.Response(body=self.files[name])
            case "POST", "batches", []:
                created = self._create(json.loads(await request.content.read()), answer)
                await asyncio.sleep(self.hesitation)
                if self.sound is not None and len(self.batches) > self.sound:
                    return web.json_response(error("bad gateway"), status=502)
                return created
            case "GET", "batches", []:
                newest = list(reversed(self.batches.values()))
                return web.json_response({"object": "list", "data": newest, "has_more": False})
            case "GET", "batches", [name] if name in self.batches:
                return web.json_response(self.batches[name])
            case "POST", "batches", [name, "cancel"] if name in self.batches:
                if self.batches[name]["status"] not in ENDED:
                    self.batches[name]["status"] = "cancelled"
                return web.json_response(self.batches[name])
        return web.json_response(error(f"there is nothing at {request.path}"), status=404)

    def stop(self) -> None:
        """Stop answering lines."""
        for task in self._running:
            task.cancel()

    async def _upload(self, request: web.BaseRequest) -> web.Response:
        parts: dict[str, bytes] = {}
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            parts[part.name or ""] = bytes(await part.read())
        if parts.get("purpose") != b"batch" or len(parts["file"]) > self.largest:
            return web.json_response(
                error("the purpose is not `batch`, or the file is too large"), status=400
            )
        return web.json_response(self._file(parts["file"], purpose="batch"))

    def _file(self, data: bytes, *, purpose: str) -> JSON:
        name = f"file-{next(self._number)}"
        self.files[name] = data
        entry = {"id": name, "object": "file", "bytes": len(data), "created_at": 0}
        return {**entry, "filename": "batch.jsonl", "purpose": purpose, "status": "processed"}

    def _create(self, body: JSON, answer: Answer) -> web.Response:
        name = f"batch_{next(self._number)}"
        lines = [json.loads(line) for line in self.files[body["input_file_id"]].splitlines()]
        counts = {"total": len(lines), "completed": 0, "failed": 0}
        batch = {"id": name, "object": "batch", "created_at": 0, **body, "request_counts": counts}
        self.batches[name] = batch
        ids = {line["custom_id"] for line in lines}
        if len(lines) > self.most or len(ids) < len(lines):
            fault = {"code": "invalid", "message": "too many requests, or a custom_id twice"}
            batch |= {"status": "failed", "errors": {"object": "list", "data": [fault]}}
        else:
            batch["status"] = "in_progress"
            task = asyncio.create_task(self._work(batch, lines, answer))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return web.json_response(batch)

    async def _work(self, batch: dict[str, JSON], lines: list[JSON], answer: Answer) -> None:
        await asyncio.sleep(self.delay)
        good: list[str] = []
        bad: list[str] = []
        most = len(lines) if self.expires is None else self.expires
        for number, line in enumerate(lines):
            if (cancelled := batch["status"] == "cancelled") or number >= most:
                bad.append(_result_line(line, None, CANCELLED if cancelled else EXPIRED))
                continue
            status, body = answer(line["body"])
            response = {"status_code": status, "request_id": "req", "body": body}
            (good if status == 200 else bad).append(_result_line(line, response, None))
        for kind, entries in (("output_file_id", good), ("error_file_id", bad)):
            if entries:
                batch[kind] = self._file("\n".join(entries).encode(), purpose="batch_output")["id"]
        batch["request_counts"] |= {"completed": len(good), "failed": len(bad)}
        if batch["status"] != "cancelled":
            batch["status"] = "completed" if most >= len(lines) else "expired"


def _result_line(request: Mapping[str, JSON], response: JSON, fault: JSON) -> str:
    ids = {"id": f"batch_req_{request['custom_id']}", "custom_id": request["custom_id"]}
    return json.dumps({**ids, "response": response, "error": fault})
