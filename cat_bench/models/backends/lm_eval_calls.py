"""The two ways to call lm-eval's model classes; this module needs lm-eval.

`InProcess`: a class that runs in this process gets batches, in the worker thread of the in-process
backend; if a batch fails, each of its requests is tried alone. `OverHttp`: a class that talks to a
server gets single requests in threads, by the method below lm-eval's retry loop. That loop shows a
progress bar for every call and groups requests by their parameters, so that each seed would wait
for the previous one.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import sys
from collections.abc import Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np
import requests
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM, TemplateLM
from lm_eval.models.api_models import TemplateAPI

from cat_bench.cache.reasoning import opens_reasoning, split
from cat_bench.errors import NotAvailable, one_line
from cat_bench.models.backends import wire
from cat_bench.models.backends.endpoint import MASKED_KEY
from cat_bench.models.backends.hf.work import Work
from cat_bench.models.backends.hf.worker import BatchWorkers
from cat_bench.models.backends.scoring import choose_way
from cat_bench.types.calls import JSON, Failure, FloatArray, Message, Reply, Result, Usage

FINISH = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length"}
"""Anthropic's finish reasons."""


def is_served(lm: Any) -> bool:
    """Return whether the class talks to a server."""
    return isinstance(lm, TemplateAPI)


@dataclass(eq=False, kw_only=True)
class CompletionRow(Work[Reply]):
    """A completion to write; rows of the same parameters share a batch."""

    context: str
    parameters: Mapping[str, JSON]
    seed: int

    @property
    def key(self) -> Hashable:
        """The parameters."""
        return json.dumps(self.parameters, sort_keys=True, default=str)

    @property
    def cost(self) -> int:
        """One row."""
        return 1


@dataclass(eq=False, kw_only=True)
class ScoringRow(Work[FloatArray]):
    """A given text to score."""

    context: str
    text: str

    @property
    def key(self) -> Hashable:
        """All texts share batches."""
        return ScoringRow

    @property
    def cost(self) -> int:
        """One row."""
        return 1


def has_own_template(lm: LM) -> bool:
    """Return whether the class of a model applies a chat template."""
    return type(lm).apply_chat_template is not LM.apply_chat_template


class InProcess:
    """A class that runs in this process, used by one thread in batches of at most `batch`."""

    takes_body = False

    def __init__(self, lm: Any, batch: int) -> None:
        self._lm = lm
        tokenizer = getattr(lm, "tokenizer", None)
        has_template = getattr(tokenizer, "chat_template", "the class's own") is not None
        self.takes_chat = has_template and has_own_template(lm)
        self.scores = isinstance(lm, TemplateLM) and tokenizer is not None
        takes = inspect.signature(lm.generate_until).parameters
        self._quiet = {"disable_tqdm": True} if "disable_tqdm" in takes else {}
        self._worker = BatchWorkers(self._run, rows=batch, tokens=batch)

    async def generate(
        self, prompt: str, parameters: Mapping[str, JSON], seeds: Sequence[int]
    ) -> Sequence[Result]:
        """Return one result per seed, in order."""
        asks = [
            CompletionRow(prompt=(), context=prompt, parameters=parameters, seed=seed)
            for seed in seeds
        ]
        self._worker.submit(asks)
        return await asyncio.gather(*(asyncio.wrap_future(ask.future) for ask in asks))

    async def score(self, prompt: str, text: str) -> FloatArray | Failure:
        """Return the text's log-probability, divided evenly among its tokens."""
        row = ScoringRow(prompt=(), context=prompt, text=text)
        self._worker.submit([row])
        return await asyncio.wrap_future(row.future)

    async def close(self) -> None:
        """End the thread."""
        await asyncio.to_thread(self._worker.close)

    def _run(self, rows: Sequence[Work[Any]]) -> None:
        handle: Any = self._score_rows if isinstance(rows[0], ScoringRow) else self._write
        try:
            handle(rows)
        except Exception as error:  # noqa: BLE001 - recorded, or raised again for the row that caused it
            if len(rows) == 1:
                rows[0].settle(failure(error))
                return
            for row in rows:
                self._run([row])

    def _write(self, rows: Sequence[CompletionRow]) -> None:
        rows = [row for row in rows if self._fits(row, row.parameters["max_gen_toks"])]
        if not rows:
            return
        parameters = dict(rows[0].parameters)
        if parameters["do_sample"] and hasattr(self._lm, "AUTO_MODEL_CLASS"):
            # transformers filters to the top 50 by default.
            parameters = {"top_k": 0, **parameters}
        asked = [
            Instance("generate_until", {}, (row.context, copy.deepcopy(parameters)), index)
            for index, row in enumerate(rows)
        ]
        with _seed_torch([row.seed for row in rows]):
            texts = self._lm.generate_until(asked, **self._quiet)
        for row, text in zip(rows, texts, strict=True):
            reasoning, answer = split(text, thinking=opens_reasoning(row.context))
            written = [self._size(part, special=False) for part in (text, reasoning or "")]
            usage = Usage(self._size(row.context), *written)
            row.settle(Reply(text=answer, reasoning=reasoning, usage=usage, seed=row.seed))

    def _score_rows(self, rows: Sequence[ScoringRow]) -> None:
        lm = self._lm
        encoded = [lm.tok_encode(row.text, add_special_tokens=False) for row in rows]
        fitting = [
            (r, ids) for r, ids in zip(rows, encoded, strict=True) if self._fits(r, len(ids))
        ]
        if not fitting:
            return
        # `loglikelihood` would count the prompt's trailing white space as part of the text.
        asked = [((r.context, r.text), lm.tok_encode(r.context), ids) for r, ids in fitting]
        scored = lm._loglikelihood_tokens(asked, disable_tqdm=True)  # noqa: SLF001
        for (row, ids), (total, _) in zip(fitting, scored, strict=True):
            row.settle(_spread_evenly(total, len(ids)))

    def _fits(self, row: CompletionRow | ScoringRow, more: int) -> bool:
        """Return whether a prompt fits; else fail its row, because lm-eval would truncate it."""
        limit, size = getattr(self._lm, "max_length", None), self._size(row.context)
        causal = getattr(self._lm, "backend", "causal") == "causal"
        if limit is None or not causal or size + more <= limit:
            return True
        row.settle(_too_long(size, more, limit))
        return False

    def _size(self, text: str, *, special: bool | None = None) -> int:
        """Return the number of tokens, by default with the class's special ones; 0 if unknown."""
        encode = getattr(self._lm, "tok_encode", None)
        return len(encode(text, add_special_tokens=special)) if encode and text else 0


class OverHttp:
    """A class that talks to a server, used by up to `concurrency` threads."""

    takes_body = True

    def __init__(self, lm: Any, concurrency: int) -> None:
        self._lm = lm
        probe = [{"role": "user", "content": "x"}]
        payload = lm._create_payload(probe, generate=True, gen_kwargs={}, eos=None)  # noqa: SLF001
        self._chats = "messages" in payload
        self.takes_chat = self._chats or bool(lm.tokenized_requests)
        self.scores = not self._chats and lm.tokenizer is not None
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="cat_bench lm-eval")
        self._lock = asyncio.Lock()
        self._trusted = False

    async def generate(
        self, prompt: Any, parameters: Mapping[str, JSON], seeds: Sequence[int]
    ) -> Sequence[Result]:
        """Return one result per seed, in order."""
        run = asyncio.get_running_loop().run_in_executor
        asked = [run(self._threads, self._write, prompt, parameters, seed) for seed in seeds]
        return await asyncio.gather(*asked)

    async def score(self, prompt: str, text: str) -> FloatArray | Failure:
        """Return the text's log-probability, divided evenly; raises NotAvailable if invalid."""
        async with self._lock:
            if not self._trusted:
                way = await choose_way({"loglikelihood": self._score_reply})
                if isinstance(way, Failure):
                    return way
                if isinstance(way, str):
                    self.scores = False
                    raise NotAvailable(f"this server cannot score a given text: {way}")
                self._trusted = True
        return await self._score(prompt, text)

    async def _score_reply(self, messages: Sequence[Message], text: str) -> FloatArray | Failure:
        return await self._score("\n\n".join(message["content"] for message in messages), text)

    async def _score(self, prompt: str, text: str) -> FloatArray | Failure:
        run = asyncio.get_running_loop().run_in_executor
        return await run(self._threads, self._score_text, prompt, text)

    async def close(self) -> None:
        """End the threads; waiting requests are dropped."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

    def _write(self, prompt: Any, parameters: Mapping[str, JSON], seed: int) -> Result:
        lm = copy.copy(self._lm)
        lm._seed = seed  # noqa: SLF001 - reaches the payload if the class's server takes one
        if self._chats and isinstance(prompt, str):
            prompt = lm.apply_chat_template([{"role": "user", "content": prompt}])
        sent = [prompt]
        try:
            if lm.tokenized_requests:
                sent = lm.tok_encode(sent, add_special_tokens=lm.add_bos_token)
            body = lm.model_call(sent, generate=True, gen_kwargs=dict(parameters))
            (text,) = lm.parse_generations(body)
            read = wire.replies(_shape(body, text), seed)
        except Exception as error:  # noqa: BLE001 - recorded
            return failure(error)
        return read if isinstance(read, Failure) else read[0]

    def _score_text(self, prompt: str, text: str) -> FloatArray | Failure:
        lm = self._lm
        try:
            before, ids = lm.tok_encode(prompt), lm.tok_encode(text)
            if len(before) + len(ids) > lm.max_length:
                return _too_long(len(before), len(ids), lm.max_length)
            sent, lengths, _ = lm.batch_loglikelihood_requests([[(None, before, ids)]])
            body = lm.model_call(sent, generate=False)
            ((total, _),) = lm.parse_logprobs(body, tokens=sent, ctxlens=lengths)
        except Exception as error:  # noqa: BLE001 - recorded
            return failure(error)
        return _spread_evenly(total, len(ids))


def failure(error: Exception) -> Failure:
    """Turn an exception of a model class into a failure."""
    problem = one_line(MASKED_KEY.sub("[key]", f"{type(error).__name__}: {error}"))
    match error:
        case requests.HTTPError() if error.response is not None:
            answer = error.response
            failed = wire.failure(answer.status_code, answer.headers, answer.content)
            return replace(failed, message=MASKED_KEY.sub("[key]", failed.message))
        case requests.Timeout():
            return Failure("timeout", problem)
        case requests.ConnectionError():
            return Failure("connection", problem)
        case requests.JSONDecodeError() | LookupError() | AttributeError() | TypeError():
            return Failure("malformed", problem)
        case ValueError():
            return Failure("bad_request", problem, permanent=True)
    return Failure("server", problem)


def _shape(body: JSON, text: str | None) -> JSON:
    """Return a server's answer as a chat completion, with the text that lm-eval read."""
    choice = (body.get("choices") or [{}])[0]
    message = {**(choice.get("message") or {}), "content": text}
    finish = choice.get("finish_reason") or FINISH.get(body.get("stop_reason"))
    used = body.get("usage") or {}
    usage = {
        "prompt_tokens": used.get("input_tokens"),
        "completion_tokens": used.get("output_tokens"),
    }
    shaped = {"index": 0, "message": message, "finish_reason": finish}
    return {"model": body.get("model"), "choices": [shaped], "usage": {**usage, **used}}


def _too_long(size: int, more: int, limit: int) -> Failure:
    message = f"a prompt of {size} tokens and {more} more do not fit max_length, which is {limit}"
    return Failure("context", message, permanent=True)


def _spread_evenly(total: float, count: int) -> FloatArray:
    return np.full(count, total / count, dtype=np.float32)


@contextmanager
def _seed_torch(seeds: Sequence[int]) -> Iterator[None]:
    """Seed torch for one batch, where the class uses it, and leave it as it was."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(int.from_bytes(sha256(repr(list(seeds)).encode()).digest()[:8]) >> 1)
        yield
