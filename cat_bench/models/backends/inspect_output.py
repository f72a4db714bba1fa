"""Read Inspect's output or error as records.

This module needs Inspect. Inspect returns some errors as completions and turns null content into an
empty text: both are failures here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from inspect_ai.model import ChatCompletionChoice, ContentReasoning, ContentText, ModelOutput

from cat_bench.errors import one_line
from cat_bench.models.backends import wire
from cat_bench.models.backends.endpoint import MASKED_KEY
from cat_bench.types.calls import JSON, Failure, FloatArray, Reply, Usage

_MARKUP = re.compile(r"\[/?(?:bold|italic|blue|red|yellow|green)\]")
FINISH = {"stop": "stop", "max_tokens": "length", "model_length": "length", "unknown": None}


def read(output: ModelOutput, raw: JSON, seed: int | None) -> list[Reply | Failure]:
    """Return every choice, in order; `raw` is the provider's answer if Inspect kept it."""
    arrays = [_logprobs(choice) for choice in output.choices]
    usages = _usages(output, [None if array is None else len(array) for array in arrays])
    results: list[Reply | Failure] = []
    for index, choice in enumerate(output.choices):
        result = _read(choice, usages[index], null=_is_null(raw, index))
        if isinstance(result, Reply):
            served = output.model or None
            result = replace(result, token_logprobs=arrays[index], served_by=served, seed=seed)
        results.append(result)
    return results or [Failure("malformed", "the completion holds no choices")]


def _read(choice: ChatCompletionChoice, usage: Usage, *, null: bool) -> Reply | Failure:
    text, stop, content = choice.message.text, choice.stop_reason, choice.message.content
    parts = [] if isinstance(content, str) else content
    thoughts = [part for part in parts if isinstance(part, ContentReasoning)]
    reasoning = "\n".join(t.summary or "" if t.redacted else t.reasoning for t in thoughts) or None
    refused = any(part.refusal for part in parts if isinstance(part, ContentText))
    if refused or stop == "content_filter":
        return Failure(
            "refused", f"the model or a filter refused: {one_line(text)}", permanent=True
        )
    if stop == "model_length" and not usage.completion:
        return Failure("context", one_line(text), permanent=True)
    cut_off = reasoning is not None and stop == "max_tokens"
    if not text and (null or stop == "unknown") and not cut_off:
        return Failure("null", f"the reply has no content (stop reason: {stop})")
    return Reply(text=text, reasoning=reasoning, finish=FINISH.get(stop, stop), usage=usage)


def _is_null(raw: JSON, index: int) -> bool:
    """Return whether this choice's content is null in an answer of OpenAI's shape."""
    try:
        (choice,) = [c for c in raw["choices"] if (c.get("index") or 0) == index]
        return choice["message"].get("content") is None
    except (AttributeError, KeyError, TypeError, ValueError):
        return False


def _logprobs(choice: ChatCompletionChoice) -> FloatArray | None:
    if choice.logprobs is None:
        return None
    return np.array([token.logprob for token in choice.logprobs.content], dtype=np.float32)


def _usages(output: ModelOutput, lengths: Sequence[int | None]) -> list[Usage]:
    """Return prompt tokens, also cached ones, per choice; others divided by `wire.shares`."""
    used = output.usage
    if used is None:
        return [Usage(completion=length or 0) for length in lengths]
    cached = (used.input_tokens_cache_read or 0) + (used.input_tokens_cache_write or 0)
    written = wire.shares(used.output_tokens, lengths)
    thought = wire.shares(used.reasoning_tokens, [None] * len(lengths))
    pairs = zip(written, thought, strict=True)
    return [Usage(used.input_tokens + cached, w, t) for w, t in pairs]


def failure(error: Exception) -> Failure:
    """Turn an exception of Inspect, or of the provider's SDK beneath it, into a failure."""
    causes = [cause for cause in _causes(error) if type(cause).__name__ != "RetryError"]
    # Look for the SDK's exceptions first: Inspect's quote the whole request.
    for cause in sorted(causes, key=lambda candidate: getattr(candidate, "response", None) is None):
        if (status := _status(cause)) is not None:
            response = getattr(cause, "response", None)
            raw, headers = getattr(response, "content", None), getattr(response, "headers", None)
            failed = wire.failure(
                status,
                headers if isinstance(headers, Mapping) else {},
                raw if isinstance(raw, bytes) else str(cause).encode("utf-8", "replace"),
            )
            return replace(failed, message=mask(failed.message))
    names = " ".join(type(cause).__name__ for cause in causes)
    kind = "server"
    if "Timeout" in names:
        kind = "timeout"
    elif "Connect" in names:
        kind = "connection"
    elif any(isinstance(cause, ValueError) for cause in causes):
        kind = "malformed"
    return Failure(kind, one_line(mask(f"{type(causes[0]).__name__}: {causes[0]}")))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _status(error: BaseException) -> int | None:
    """Return the HTTP status of an SDK's exception, under any of its names."""
    for name in ("status_code", "code", "status"):
        value = getattr(error, name, None)
        if isinstance(value, int) and value >= 400:
            return value
    return None


def mask(text: str) -> str:
    """Return the text in one line, without possible API keys and Inspect's markup."""
    return MASKED_KEY.sub("[key]", _MARKUP.sub("", " ".join(text.split())))
