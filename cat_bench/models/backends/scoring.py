"""Log-probabilities of a given text from a server: two kinds of request, and a check.

Plain chat endpoints cannot give them. vLLM can (`prompt_logprobs` over a conversation whose last
message is the text), and so can completion endpoints that honour `echo`, given the chat template.
Some servers answer such requests with zeros or without the prompt, so a server must first rank an
English sentence above garbled letters.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import NoneType
from typing import TypeAlias

from cat_bench.models.backends.wire import numbers
from cat_bench.types.calls import JSON, Failure, FloatArray, Message

Post: TypeAlias = Callable[[str, Mapping[str, JSON]], Awaitable[JSON | Failure]]
"""Post a body to a path below the base URL."""
Score: TypeAlias = Callable[[Sequence[Message], str], Awaitable[FloatArray | Failure]]
Render: TypeAlias = Callable[[Sequence[Message]], str]
"""A chat template: it renders the text before the model's reply."""

QUESTION: tuple[Message, ...] = ({"role": "user", "content": "What is the capital of France?"},)
SENTENCE = "The capital of France is Paris."
GARBLED = "Qxz zkvjwq# fo Xzqcwe7 vj Pzzq~."


def by_prompt_logprobs(post: Post, model: str) -> Score:
    """Score by vLLM's `prompt_logprobs` on the chat endpoint."""

    async def score(messages: Sequence[Message], text: str) -> FloatArray | Failure:
        answer = await post(
            "/chat/completions",
            {
                "model": model,
                "messages": [*messages, {"role": "assistant", "content": text}],
                "add_generation_prompt": False,
                "continue_final_message": True,
                "max_tokens": 1,
                "prompt_logprobs": 0,
            },
        )
        if isinstance(answer, Failure):
            return answer
        try:
            entries = [next(iter(e.values())) for e in answer["prompt_logprobs"][1:]]
            pairs = [(e["decoded_token"], e["logprob"]) for e in entries]
        except (AttributeError, KeyError, StopIteration, TypeError):
            return Failure("malformed", "the server sent no prompt_logprobs")
        return align(pairs, text)

    return score


def score_by_echo(post: Post, model: str, render: Render) -> Score:
    """Score by the completion endpoint, which echoes the text with log-probabilities."""

    async def score(messages: Sequence[Message], text: str) -> FloatArray | Failure:
        prompt = render(messages) + text
        body = {"model": model, "prompt": prompt, "echo": True, "logprobs": 1, "max_tokens": 1}
        answer = await post("/completions", body)
        if isinstance(answer, Failure):
            return answer
        try:
            written = int(answer["usage"]["completion_tokens"])
            logprobs = answer["choices"][0]["logprobs"]
            pairs = list(zip(logprobs["tokens"], logprobs["token_logprobs"], strict=True))
        except (KeyError, IndexError, TypeError, ValueError):
            return Failure("malformed", "the server echoed no log-probabilities")
        return align(pairs[: max(0, len(pairs) - max(0, written))], text)

    return score


def align(pairs: Sequence[tuple[str, float | None]], text: str) -> FloatArray | Failure:
    """Return the log-probabilities of the last tokens, which spell `text` except for white space.

    White space is ignored, because templates trim it and some tokenizers do not decode it.
    """
    if not all(type(token) is str and type(v) in (int, float, NoneType) for token, v in pairs):
        return Failure("malformed", "the server's tokens are not texts with numbers")
    target = _squeeze(text)
    begin, spelt = len(pairs), 0
    while begin and spelt < len(target):
        begin -= 1
        spelt += len(_squeeze(pairs[begin][0]))
    tail = pairs[begin:]
    if _squeeze("".join(token for token, _ in tail)) != target:
        return Failure("malformed", "the server's last tokens do not spell the text")
    if any(value is None for _, value in tail):
        return Failure("malformed", "a token of the text has no log-probability")
    return numbers([value for _, value in tail])


def _squeeze(text: str) -> str:
    return "".join(text.split())


async def choose_way(ways: Mapping[str, Score]) -> Score | Failure | str:
    """Return the first way that passes the check, or the reasons why none does.

    A failure that is unrelated to the server's abilities is returned.
    """
    reasons = []
    for name, score in ways.items():
        likely, garbled = await score(QUESTION, SENTENCE), await score(QUESTION, GARBLED)
        for outcome in (likely, garbled):
            if isinstance(outcome, Failure) and outcome.kind not in ("malformed", "bad_request"):
                return outcome
        problem = _problem(likely, garbled)
        if problem is None:
            return score
        reasons.append(f"{name}: {problem}")
    return "; ".join(reasons)


def _problem(likely: FloatArray | Failure, garbled: FloatArray | Failure) -> str | None:
    if isinstance(likely, Failure):
        return likely.message
    if isinstance(garbled, Failure):
        return garbled.message
    if not 2 <= len(likely) <= len(SENTENCE):
        return f"{len(likely)} tokens for {SENTENCE!r}"
    if not likely.any() or not garbled.any():
        return "every log-probability is zero"
    if not likely.sum() > garbled.sum():
        return f"{SENTENCE!r} scores no higher than {GARBLED!r}"
    return None
