"""The OpenAI protocol as records: a request as a body, a body as replies, an error as a failure.

All functions are pure; none opens a socket. Answers are read strictly:

- A body of another shape, or a count out of range, is a `malformed` failure, never a guess.
- A negative count of tokens is unknown.
- Of several choices with the same index, the first counts.
- Null content is a failure, unless the model ran out of tokens while it was still reasoning. That
  is a reply with an empty text, because dropping it would favour short reasoning.
- An empty text with a finish reason is a reply.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import NoneType

import numpy as np

from cat_bench.cache.reasoning import take_apart
from cat_bench.errors import one_line, printable
from cat_bench.models.backends.advice import page
from cat_bench.system.json_parts import parse_json
from cat_bench.types.calls import (
    JSON,
    TOKENS_MOST,
    Failure,
    FloatArray,
    Message,
    Reply,
    Sampling,
    Usage,
    check_result,
)

SAME_NAME = (
    *("temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty"),
    *("max_tokens", "stop", "reasoning_effort"),
)
TOO_LONG = re.compile(
    r"(context|model'?s?) (length|window|size|limit)|maximum model length|too many tokens"
    r"|(prompt|input) is too long|inputs?` tokens \+",
    re.IGNORECASE,
)
POLICY_CODES = ("content_filter", "content_policy_violation")
NAME_MOST = 256
"""The most characters that are kept of a finish reason or of a served model's name."""
LOGPROB_MOST = 0.01
"""The largest log-probability of a token: 0 plus rounding errors."""
BROKEN = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError)
"""The exceptions that reading JSON of another shape raises."""


def body(
    model: str,
    messages: Sequence[Message],
    sampling: Sampling,
    *,
    seeds: Sequence[int],
    logprobs: bool,
    refused: Collection[str] = (),
) -> dict[str, JSON]:
    """Return the body for `len(seeds)` completions, without the `refused` fields."""
    parameters = sampling.given()
    body: dict[str, JSON] = {"model": model, "messages": messages}
    body.update((name, parameters[name]) for name in SAME_NAME if name in parameters)
    if sampling.thinking is not None:
        body["chat_template_kwargs"] = {"enable_thinking": sampling.thinking}
    if len(seeds) > 1:
        body["n"] = len(seeds)
    body["seed"] = seeds[0]
    if logprobs:
        body["logprobs"] = True
    if "max_tokens" in refused and "max_tokens" in body:
        body["max_completion_tokens"] = body["max_tokens"]
    for name in refused:
        body.pop(name, None)
    for name, value in (sampling.extra or {}).items():
        both = isinstance(value, Mapping) and isinstance(body.get(name), Mapping)
        body[name] = {**body[name], **value} if both else value
    return body


def parse_body(status: int, headers: Mapping[str, str], raw: bytes) -> JSON | Failure:
    """Return the body of an answer, or its failure; routers hide errors inside a 200."""
    if status != 200:
        return failure(status, headers, raw)
    try:
        data = parse_json(raw)
    except ValueError as problem:
        words = page(raw.decode("utf-8", "replace"))
        why = f"{words}; check the base URL, which mostly ends in /v1" if words else problem
        return Failure("malformed", one_line(f"the body is not JSON: {why}"))
    error = data.get("error") if isinstance(data, dict) else None
    if not error:
        return data
    code = error.get("code") if isinstance(error, dict) else None
    return failure(code if isinstance(code, int) and 400 <= code < 600 else 500, headers, raw)


def replies(data: JSON, seed: int | None) -> list[Reply | Failure] | Failure:
    """Return every choice of a chat completion, in order, each index once."""
    try:
        choices = data["choices"]
        if len(choices) > 1:
            choices = _drop_repeats(choices)
        if not choices:
            return Failure("malformed", "the completion has no choices")
        arrays = [_logprobs(choice) for choice in choices]
        usages = _usages(data.get("usage") or {}, [None if a is None else len(a) for a in arrays])
        served = _name(" ".join(filter(None, map(data.get, ("model", "system_fingerprint")))))
        return [
            _reply(choice, array, usage, served, seed)
            for choice, array, usage in zip(choices, arrays, usages, strict=True)
        ]
    except BROKEN as problem:
        wrong = one_line(repr(problem))
        return Failure("malformed", f"this is not the shape of a chat completion: {wrong}")


def read_embedding(data: JSON) -> Reply | Failure:
    """Return the first vector of an answer with embeddings, as a reply without text."""
    try:
        vector = numbers(data["data"][0]["embedding"])
        prompt = _tokens((data.get("usage") or {}).get("prompt_tokens"))
        served = _name(data.get("model"))
    except BROKEN as problem:
        wrong = one_line(repr(problem))
        return Failure("malformed", f"this is not the shape of an embedding: {wrong}")
    if not np.isfinite(vector).all() or not vector.any():
        return Failure("malformed", "the embedding is not a vector with a direction")
    return Reply(text="", usage=Usage(prompt), measures={"embedding": vector}, served_by=served)


def numbers(values: JSON) -> FloatArray:
    """Return a list of numbers as float32; null and infinite values become NaN.

    Raises TypeError for anything else.
    """
    if not isinstance(values, list) or not all(type(v) in (int, float, NoneType) for v in values):
        raise TypeError("not a list of numbers")
    array = np.array([np.nan if v is None else float(v) for v in values], dtype=np.float64)
    array[~(np.abs(array) <= np.finfo(np.float32).max)] = np.nan
    return array.astype(np.float32)


def _drop_repeats(choices: Sequence[JSON]) -> list[JSON]:
    """Return the choices by index; of several with the same index, the first."""
    indexed: dict[int, JSON] = {}
    for place, choice in enumerate(choices):
        index = choice.get("index")
        indexed.setdefault(-1 - place if index is None else int(index), choice)
    return [choice for _, choice in sorted(indexed.items(), key=lambda item: max(item[0], 0))]


def _name(value: JSON) -> str | None:
    """Return a printable name from a server. Raises TypeError for any other type."""
    if not isinstance(value, str | None):
        raise TypeError(f"a name is {type(value).__name__}, not text")
    return printable(value[:NAME_MOST]) if value else None


def _reply(
    choice: JSON, array: FloatArray | None, usage: Usage, served: str | None, seed: int | None
) -> Reply | Failure:
    message, finish = choice["message"], _name(choice.get("finish_reason"))
    text = message.get("content")
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if finish == "content_filter":
        return Failure("refused", "a content filter cut the reply off", permanent=True)
    if text is None and message.get("refusal"):
        return Failure(
            "refused", f"the model refused: {one_line(message['refusal'])}", permanent=True
        )
    if text is None and reasoning and finish == "length":
        text = ""
    if text is None or (not text and finish is None):
        return Failure("null", f"the reply has no content (finish reason: {finish})")
    reply = Reply(
        text=text,
        reasoning=reasoning,
        finish=finish,
        usage=usage,
        token_logprobs=array,
        served_by=served,
        seed=seed,
    )
    return take_apart(check_result(reply))  # a server may have no reasoning parser


def _logprobs(choice: JSON) -> FloatArray | None:
    entries = (choice.get("logprobs") or {}).get("content")
    if entries is None:
        return None
    array = numbers([entry["logprob"] for entry in entries])
    if (array > LOGPROB_MOST).any():
        raise ValueError("a log-probability is positive")
    return array


def _usages(usage: JSON, lengths: Sequence[int | None]) -> list[Usage]:
    """Return the usage of each choice: all prompt tokens, and its share of completion tokens."""
    prompt = _tokens(usage.get("prompt_tokens"))
    thought = _tokens((usage.get("completion_tokens_details") or {}).get("reasoning_tokens"))
    written = usage.get("completion_tokens")
    completion = shares(None if written is None else _tokens(written), lengths)
    reasoning = shares(thought, [None] * len(lengths))
    return [Usage(prompt, c, r) for c, r in zip(completion, reasoning, strict=True)]


def _tokens(count: JSON) -> int:
    """Return a count of tokens, 0 if missing or negative. Raises TypeError, ValueError."""
    if count is None:
        return 0
    if type(count) not in (int, float) or count != count // 1:
        raise TypeError(f"{count!r} tokens")
    if count > TOKENS_MOST:
        raise ValueError("more tokens than there can be")
    return max(0, int(count))


def shares(total: int | None, lengths: Sequence[int | None]) -> list[int]:
    """Divide `total` tokens among choices: known lengths stay, unknown ones share the rest evenly.

    The first unknown length also gets the remainder. A single choice gets the total.
    """
    if total is not None and len(lengths) == 1:
        return [total]
    unknown = lengths.count(None)
    rest = max(0, (total or 0) - sum(length or 0 for length in lengths))
    share, remainder = divmod(rest, unknown) if unknown else (0, 0)
    first = lengths.index(None) if unknown else None
    return [
        share + (remainder if i == first else 0) if length is None else length
        for i, length in enumerate(lengths)
    ]


def failure(status: int, headers: Mapping[str, str], raw: bytes) -> Failure:
    """Return the failure that an error answer means, and whether a retry could help."""
    message, code, field = _error(raw)
    words = page(message)
    text = f"HTTP {status}: {words or one_line(message)}"
    if 300 <= status < 400:
        moved = one_line(headers.get("Location"))
        text = f"HTTP {status}: moved to {moved}; correct the base URL"
    if status in (401, 402, 403) or code == "insufficient_quota":
        return Failure("auth", f"{text}; check the API key and its account")
    if status == 429:
        return Failure("rate_limit", text, retry_after=retry_after(headers))
    if status in (408, 409, 425) or status >= 500:
        return Failure("server", text, retry_after=retry_after(headers))
    if code in POLICY_CODES:
        return Failure("refused", text, permanent=True)
    if code == "context_length_exceeded" or status == 413 or TOO_LONG.search(message):
        return Failure("context", text, permanent=True)
    return Failure("bad_request", text, permanent=status in (400, 422) and not words, refuses=field)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return seconds to wait: `retry-after-ms`, or Retry-After as seconds or as an HTTP date."""
    exact, value = headers.get("retry-after-ms"), headers.get("Retry-After")
    try:
        seconds = float(exact) / 1000 if exact else float(value or "")
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value or "") - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
    return max(0.0, seconds) if np.isfinite(seconds) else None


def _error(raw: bytes) -> tuple[str, str | None, str | None]:
    """Return the message, the code and the field of an error body in any server's form."""
    text = raw.decode("utf-8", "replace")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return text, None, None
    error = data.get("error", data) if isinstance(data, dict) else data
    if not isinstance(error, dict):
        return str(error), None, None
    code, field = error.get("code"), error.get("param")
    parameter = field if isinstance(field, str) and field else None
    return str(error.get("message") or error), None if code is None else str(code), parameter
