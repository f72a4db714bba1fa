"""The OpenAI protocol as the test server speaks it: toy tokens, toy log-probabilities, bodies.

A token is a word with the space before it, so that counting spaces counts tokens. Its
log-probability depends only on its letters, so that a text scores the same whether the server wrote
or received it, and ordinary words score higher than garbled ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from zlib import crc32

from cat_bench.types.calls import JSON, Message

WORDS = tuple(
    "so then we add both sides and see that each term must be even or else no such pair "  # noqa: SIM905
    "can hold but this one does hence let us try to solve it for all real roots in turn "
    "by hand once more from here until only three remain after which sum is their half".split()
)

TAKEN = (("n", 1), ("temperature", 1))
"""Values that a server takes even if it refuses all others of their fields."""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One requested completion, with its seed and its `index` among the choices."""

    messages: tuple[Message, ...]
    seed: int
    index: int
    body: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class Choice:
    """One completion of a response.

    `tokens` is None if no log-probabilities are asked; `top` is how many alternatives go with
    each, the token itself first.
    """

    text: str | None
    finish: str
    tokens: Sequence[str] | None = None
    top: int = 0
    reasoning: str | None = None
    refusal: str | None = None


def babble(request: ChatRequest) -> str:
    """Return words and a boxed digit, a function of messages and seed."""
    content = "\x1f".join(message["content"] for message in request.messages)
    rng = Random(crc32(content.encode("utf-8", "replace")) << 64 | request.seed % 2**64)
    return f"{' '.join(rng.choices(WORDS, k=10))} \\boxed{{{rng.randrange(10)}}}"


def tokens(text: str) -> list[str]:
    """Return the words of a text, each with the space before it; joined, they are the text."""
    first, *rest = text.split(" ")
    return ([first] if first else []) + [" " + word for word in rest]


def count(text: str) -> int:
    """Return `len(tokens(text))` without making the tokens."""
    return text.count(" ") + (text[:1] not in ("", " "))


def cut(text: str, body: JSON) -> tuple[str, str]:
    """Return the text up to a stop string or the token limit, and why it ended."""
    stops = body.get("stop") or ()
    for stop in [stops] if isinstance(stops, str) else stops:
        text = text.split(stop)[0]
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    if limit is None or count(text) <= limit:
        return text, "stop"
    return "".join(tokens(text)[:limit]), "length"


def template(messages: Sequence[Message], *, open_end: bool) -> list[str]:
    """Return the tokens of a conversation; `open_end`: its last message is to be continued."""
    parts = [[f"<{m['role']}>", *tokens(m["content"]), "<end>"] for m in messages]
    flat = [token for part in parts for token in part]
    return flat[:-1] if open_end else [*flat, "<assistant>"]


def template_count(messages: Sequence[Message]) -> int:
    """Return `len(template(messages, open_end=False))` without making it."""
    return 1 + sum(2 + count(m["content"]) for m in messages)


def bag_of_words(text: str) -> list[float]:
    """Return an embedding: how many words, case aside, fall on each of 64 places by their hash."""
    counts = [0.0] * 64
    for word in text.lower().split():
        counts[crc32(word.encode("utf-8", "replace")) % 64] += 1
    return counts


@lru_cache(maxsize=65536)
def logprob(token: str) -> float:
    """Return a log-probability in nats: highest for frequent letters, lowest for other signs."""
    costs = (0.1 if c in " etaoinshrdlu" else 0.3 if c.isalpha() else 0.8 for c in token)
    return -round(0.05 + sum(costs), 4)


def chat_body(number: int, model: str, choices: Sequence[Choice], **more: JSON) -> bytes:
    """Return a chat completion; `more` holds `usage` and the other fields at the top."""
    simple = all(c.tokens is None and c.reasoning is c.refusal is None for c in choices)
    form = _plain_chat_choice if simple else _chat_choice
    parts = ",".join(form(i, choice) for i, choice in enumerate(choices))
    return _frame("chat.completion", number, model, parts, more)


def text_body(number: int, model: str, choices: Sequence[JSON], **more: JSON) -> bytes:
    """Return a text completion of choices made by `text_choice`."""
    parts = ",".join(json.dumps(choice) for choice in choices)
    return _frame("text_completion", number, model, parts, more)


def _frame(kind: str, number: int, model: str, choices: str, more: Mapping[str, JSON]) -> bytes:
    rest = json.dumps(more)[1:-1]
    return (
        f'{{"id":"cmpl-{number}","object":"{kind}","created":1700000000,"model":"{model}",'
        f'"choices":[{choices}],{rest}}}'
    ).encode()


def _plain_chat_choice(index: int, choice: Choice) -> str:
    return (
        f'{{"index":{index},"message":{{"role":"assistant","refusal":null,'
        f'"content":{json.dumps(choice.text)}}},"logprobs":null,"finish_reason":"{choice.finish}"}}'
    )


def _chat_choice(index: int, choice: Choice) -> str:
    message = {"role": "assistant", "content": choice.text, "refusal": choice.refusal}
    if choice.reasoning is not None:
        message["reasoning_content"] = choice.reasoning
    entries = None if choice.tokens is None else [_chat_entry(t, choice.top) for t in choice.tokens]
    return json.dumps(
        {
            "index": index,
            "message": message,
            "logprobs": None if entries is None else {"content": entries, "refusal": None},
            "finish_reason": choice.finish,
        }
    )


def _chat_entry(token: str, top: int) -> dict[str, JSON]:
    ranked = [token, *(token + "z" * k for k in range(1, top))][:top]
    return {**_chat_token(token), "top_logprobs": [_chat_token(rival) for rival in ranked]}


def _chat_token(token: str) -> dict[str, JSON]:
    raw = list(token.encode("utf-8", "replace"))
    return {"token": token, "logprob": logprob(token), "bytes": raw}


def text_choice(
    index: int, choice: Choice, *, prompt: Sequence[str] | None, logprobs: int | None
) -> dict[str, JSON]:
    """Return a choice of a text completion; `prompt` holds the prompt's tokens if echoed."""
    echoed = list(prompt or ())
    fields: dict[str, JSON] = {
        "index": index,
        "text": "".join(echoed) + (choice.text or ""),
        "logprobs": None,
        "finish_reason": choice.finish,
    }
    if logprobs is not None:
        fields["logprobs"] = _text_logprobs(
            [*echoed, *tokens(choice.text or "")], echo=bool(echoed)
        )
    return fields


def _text_logprobs(words: Sequence[str], *, echo: bool) -> dict[str, JSON]:
    values: list[float | None] = [logprob(token) for token in words]
    if echo:
        values[0] = None
    offsets = [0]
    for token in words:
        offsets.append(offsets[-1] + len(token))
    return {
        "tokens": list(words),
        "token_logprobs": values,
        "top_logprobs": [None if v is None else {t: v} for t, v in zip(words, values, strict=True)],
        "text_offset": offsets[:-1],
    }


def prompt_logprobs(words: Sequence[str]) -> list[JSON]:
    """Return vLLM's field: nothing for the first token, then an entry per token, by token id."""
    entries = (
        {str(crc32(t.encode("utf-8", "replace")) % 50000): _prompt_entry(t)} for t in words[1:]
    )
    return [None, *entries]


def _prompt_entry(token: str) -> dict[str, JSON]:
    return {"logprob": logprob(token), "rank": 1, "decoded_token": token}


def error(
    message: str, *, code: str | None = None, param: str | None = None, kind: str | None = None
) -> dict[str, JSON]:
    """Return the body of an error as OpenAI words it."""
    kind = kind or "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def refusal_of(name: str, value: JSON) -> tuple[str, str]:
    """Return the message and the code by which OpenAI refuses a field, or its value."""
    if name == "temperature":
        message = (
            f"Unsupported value: 'temperature' does not support {value} with this model. "
            "Only the default (1) value is supported."
        )
        return message, "unsupported_value"
    advice = " Use 'max_completion_tokens' instead." if name == "max_tokens" else ""
    message = f"Unsupported parameter: '{name}' is not supported with this model.{advice}"
    return message, "unsupported_parameter"
