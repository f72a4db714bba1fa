"""A server on a real socket that speaks the OpenAI protocol, with faults on demand.

It answers /v1/chat/completions, /v1/completions (`echo` and vLLM's `prompt_logprobs` score a given
text), /v1/embeddings, /pooling, /classify and /score of a reward model, /v1/files, /v1/batches,
/v1/models, /health and /stats. Choice i of a request with seed s has seed s + i, or 0 at
temperature 0; `constant_seed` overrules both. Equal seeds give equal texts.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from types import TracebackType
from typing import Self

from aiohttp import web

from cat_bench.testing import protocol, rewards
from cat_bench.testing.batches import Batches
from cat_bench.testing.faults import Fault, Faults
from cat_bench.testing.protocol import ChatRequest, Choice, babble, bag_of_words, error
from cat_bench.testing.rewards import Rating
from cat_bench.types.calls import JSON, Message

NEEDED = {
    "/v1/chat/completions": "messages",
    "/v1/completions": "prompt",
    "/v1/embeddings": "input",
    **rewards.NEEDED,
}
"""The field that a body must hold, by path; `a|b` is one of several."""
BATCH_FAILURES = ("server_error", "rate_limit", "context", "hang", "drop", "die", "truncated")


@dataclass(slots=True)
class Stats:
    """Counts of a server's work so far; `peak` is the largest number of concurrent requests."""

    requests: int = 0
    choices: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    peak: int = 0
    turned_away: int = 0
    faults: Counter[Fault] = field(default_factory=Counter)


@dataclass(kw_only=True, eq=False)
class ChatServer:
    """A server: inside `async with ... as server:` it listens on `server.base_url`.

    `reply` writes each choice, `embed` gives a text's vector, `rating` answers for a reward model.
    `delay` is in seconds per request. Beyond `capacity` requests at once, the answer is 429 with
    the header Retry-After from `retry_after`. `ignores` names features that the server silently
    lacks: `n`, `seed`, `logprobs`, `echo`, `prompt_logprobs`. A body with a field in `refuses` gets
    400, in OpenAI's words or the mapping's; so does a prompt of over `context` tokens. A `die`
    fault closes the socket for `outage` seconds. `recent` holds the last bodies. Fields can change.
    """

    reply: Callable[[ChatRequest], str] = babble
    embed: Callable[[str], Sequence[float]] = bag_of_words
    rating: Rating = field(default_factory=Rating)
    reasoning: Callable[[ChatRequest], str] | None = None
    model: str = "test-model"
    fingerprint: str = "fp_test"
    host: str = "127.0.0.1"
    port: int = 0
    delay: float = 0.0
    capacity: int | None = None
    retry_after: str = "1"
    api_key: str | None = None
    context: int | None = None
    faults: Faults = field(default_factory=Faults)
    ignores: Collection[str] = ()
    refuses: Collection[str] | Mapping[str, str] = ()
    constant_seed: int | None = None
    outage: float = 0.2
    batches: Batches = field(default_factory=Batches)
    stats: Stats = field(default_factory=Stats, init=False)
    recent: deque[JSON] = field(default_factory=lambda: deque(maxlen=256), init=False)

    @property
    def base_url(self) -> str:
        """Where it listens, `/v1` included."""
        return f"http://{self.host}:{self.port}/v1"

    async def __aenter__(self) -> Self:
        self._in_hand = 0
        self._unseeded = count(2**32)
        self._outages: set[asyncio.Task[None]] = set()
        self._web = web.Server(self._handle, handler_cancellation=True, access_log=None)
        await self._listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for outage in self._outages:
            outage.cancel()
        self.batches.stop()
        self._hang_up()
        await self._web.shutdown(0)

    async def die(self) -> None:
        """Cut every connection, refuse new ones for `outage` seconds, then listen again."""
        self._hang_up()
        await asyncio.sleep(self.outage)
        await self._listen()

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._socket = await loop.create_server(
            self._web, self.host, self.port, backlog=1024, reuse_address=True
        )
        self.port = self._socket.sockets[0].getsockname()[1]

    def _hang_up(self) -> None:
        self._socket.close()
        for connection in self._web.connections:
            if isinstance(connection.transport, asyncio.WriteTransport):
                connection.transport.abort()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path == "/health":
            return web.Response()
        if path == "/stats":
            return web.json_response(asdict(self.stats))
        key = request.headers.get("Authorization", "none")
        if self.api_key and key != f"Bearer {self.api_key}":
            return _refusal(401, f"Incorrect API key provided: {key}", "invalid_api_key")
        if path == "/v1/models":
            model = {"id": self.model, "object": "model", "created": 0, "owned_by": "test"}
            return web.json_response({"object": "list", "data": [model]})
        if path.startswith(("/v1/files", "/v1/batches")):
            return await self.batches.handle(request, self._answer_line)
        if path not in NEEDED:
            return _refusal(404, f"there is nothing at {path}", "not_found")
        return await self._admit(request, needed=NEEDED[path])

    async def _admit(self, request: web.BaseRequest, *, needed: str) -> web.StreamResponse:
        if self.capacity is not None and self._in_hand >= self.capacity:
            self.stats.turned_away += 1
            return self._too_many()
        number = self.stats.requests
        self.stats.requests += 1
        self._in_hand += 1
        self.stats.peak = max(self.stats.peak, self._in_hand)
        try:
            body = json.loads(await request.content.read())
            if not isinstance(body, dict) or not any(name in body for name in needed.split("|")):
                return _refusal(400, f"the body lacks {needed!r}")
            self.recent.append(body)
            if fault := self.faults.at(number):
                self.stats.faults[fault] += 1
            await asyncio.sleep(self.delay)
            if spoilt := await self._spoil(fault, request):
                return spoilt
            if request.path in rewards.NEEDED:
                refusal = self._objection(body, self.rating.tokens(body))
                return refusal or self.rating.answer(request.path, body)
            if needed == "input":
                return self._embed(body)
            return self._answer(number, body, fault, chat=needed == "messages")
        except json.JSONDecodeError as problem:
            return _refusal(400, f"the body is not JSON: {problem}")
        finally:
            self._in_hand -= 1

    async def _spoil(
        self, fault: Fault | None, request: web.BaseRequest
    ) -> web.StreamResponse | None:
        """Return the response to a fault that gives no completion at all."""
        match fault:
            case "server_error":
                return _refusal(503, "the server is overloaded", kind="server_error")
            case "rate_limit":
                return self._too_many()
            case "context":
                return _too_long(self.context or 0)
            case "hang":
                await asyncio.Event().wait()
            case "drop" | "die":
                if fault == "die" and not self._outages:
                    outage = asyncio.create_task(self.die())
                    self._outages.add(outage)
                    outage.add_done_callback(self._outages.discard)
                if request.transport:
                    request.transport.abort()
                return web.Response()
        return None

    def _answer_line(self, body: JSON) -> tuple[int, JSON]:
        """Return the answer to a line of a batch: 500 for a fault without a completion."""
        number = self.stats.requests
        self.stats.requests += 1
        self.recent.append(body)
        if fault := self.faults.at(number):
            self.stats.faults[fault] += 1
        if fault in BATCH_FAILURES:
            return 500, error("the server had an error", kind="server_error")
        answer = self._answer(number, body, fault, chat=True)
        return answer.status, json.loads(bytes(answer.body or b""))  # type: ignore[arg-type]

    def _too_many(self) -> web.Response:
        body = error("Rate limit reached", code="rate_limit_exceeded", kind="requests")
        return web.json_response(body, status=429, headers={"Retry-After": self.retry_after})

    def _answer(self, number: int, body: JSON, fault: Fault | None, *, chat: bool) -> web.Response:
        messages = body["messages"] if chat else [Message(role="user", content=body["prompt"])]
        prompt_tokens = (
            protocol.template_count(messages) if chat else protocol.count(body["prompt"])
        )
        refusal = self._objection(body, prompt_tokens)
        if refusal is not None:
            return refusal
        choices = [self._choice(request, fault) for request in self._requests(body, messages)]
        written = sum(protocol.count(c.text or "") for c in choices)
        thought = sum(protocol.count(c.reasoning or "") for c in choices)
        usage = {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": written + thought,
            "total_tokens": prompt_tokens + written + thought,
            "completion_tokens_details": {"reasoning_tokens": thought},
        }
        self.stats.choices += len(choices)
        self.stats.prompt_tokens += prompt_tokens
        self.stats.completion_tokens += written + thought
        write = self._chat_body if chat else self._text_body
        raw = write(number, body, choices, usage)
        if fault == "truncated":
            raw = raw[: len(raw) // 2]
        return web.Response(body=raw, content_type="application/json")

    def _embed(self, body: JSON) -> web.Response:
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        lengths = [protocol.count(text) for text in texts]
        refusal = self._objection(body, max(lengths, default=0))
        if refusal is not None:
            return refusal
        if not all(texts):
            return _refusal(400, "'input' cannot be an empty string.", param="input")
        self.stats.prompt_tokens += sum(lengths)
        vectors = [
            {"object": "embedding", "index": i, "embedding": list(self.embed(text))}
            for i, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": sum(lengths), "total_tokens": sum(lengths)}
        response = {"object": "list", "data": vectors, "model": self.model, "usage": usage}
        return web.json_response(response)

    def _objection(self, body: JSON, prompt_tokens: int) -> web.Response | None:
        if body.get("model") != self.model:
            message = f"The model `{body.get('model')}` does not exist"
            return _refusal(404, message, "model_not_found")
        for name in self.refuses:
            value = body.get(name)
            if value is None or value is False or (name, value) in protocol.TAKEN:
                continue
            if isinstance(self.refuses, Mapping):
                return _refusal(400, self.refuses[name])
            return _refusal(400, *protocol.refusal_of(name, value), param=name)
        if self.context is not None and prompt_tokens > self.context:
            return _too_long(self.context, prompt_tokens)
        return None

    def _requests(self, body: JSON, messages: Sequence[Message]) -> list[ChatRequest]:
        count = 1 if "n" in self.ignores else body.get("n") or 1
        seed = None if "seed" in self.ignores else body.get("seed")
        if self.constant_seed is not None:
            seeds = [self.constant_seed] * count
        elif body.get("temperature") == 0:
            seeds = [0] * count
        elif seed is None:
            seeds = [next(self._unseeded) for _ in range(count)]
        else:
            seeds = [seed + i for i in range(count)]
        return [ChatRequest(tuple(messages), s, i, body) for i, s in enumerate(seeds)]

    def _choice(self, request: ChatRequest, fault: Fault | None) -> Choice:
        body = request.body
        match fault:
            case "null":
                return Choice(None, "stop")
            case "empty":
                return Choice("", "stop")
            case "refusal":
                return Choice(None, "stop", refusal="I cannot help with that.")
            case "content_filter":
                return Choice("I", "content_filter")
        text, finish = protocol.cut(self.reply(request), body)
        measured = body.get("logprobs") and "logprobs" not in self.ignores
        return Choice(
            text,
            finish,
            tokens=protocol.tokens(text) if measured else None,
            top=body.get("top_logprobs") or 0,
            reasoning=self.reasoning(request) if self.reasoning else None,
        )

    def _chat_body(self, number: int, body: JSON, choices: list[Choice], usage: JSON) -> bytes:
        fields: dict[str, JSON] = {"usage": usage, "system_fingerprint": self.fingerprint}
        if self._wants_prompt_logprobs(body):
            ends = bool(body.get("continue_final_message"))
            words = protocol.template(body["messages"], open_end=ends)
            fields["prompt_logprobs"] = protocol.prompt_logprobs(words)
        return protocol.chat_body(number, self.model, choices, **fields)

    def _text_body(self, number: int, body: JSON, choices: list[Choice], usage: JSON) -> bytes:
        prompt = protocol.tokens(body["prompt"])
        echo = prompt if body.get("echo") and "echo" not in self.ignores else None
        asked = None if "logprobs" in self.ignores else body.get("logprobs")
        entries = [
            protocol.text_choice(i, choice, prompt=echo, logprobs=asked)
            for i, choice in enumerate(choices)
        ]
        if self._wants_prompt_logprobs(body):
            entries = [
                {**choice, "prompt_logprobs": protocol.prompt_logprobs(prompt)}
                for choice in entries
            ]
        return protocol.text_body(number, self.model, entries, usage=usage)

    def _wants_prompt_logprobs(self, body: JSON) -> bool:
        return body.get("prompt_logprobs") is not None and "prompt_logprobs" not in self.ignores


def _refusal(
    status: int,
    message: str,
    code: str | None = None,
    *,
    param: str | None = None,
    kind: str | None = None,
) -> web.Response:
    return web.json_response(error(message, code=code, param=param, kind=kind), status=status)


def _too_long(context: int, prompt_tokens: int | None = None) -> web.Response:
    message = f"This model's maximum context length is {context} tokens."
    if prompt_tokens is not None:
        message += f" However, your messages resulted in {prompt_tokens} tokens."
    return _refusal(400, message, "context_length_exceeded", param="messages")
