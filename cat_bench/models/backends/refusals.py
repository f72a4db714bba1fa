"""Finds in a server's error which field of the request the server does not take.

OpenAI's reasoning models take only temperature 1, others take no `top_k`, no `seed` or no second
choice, in different words. Such a field is left out or renamed, and the request is sent again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from cat_bench.types.calls import JSON, Failure, Reply

OPTIONAL = {
    "max_tokens": "max_completion_tokens",
    "logprobs": "logprobs",
    "n": r"['\"`]n['\"`]|\bn must be 1\b",
    "seed": r"['\"`]seed['\"`]",
}
"""Body fields that can be left out or renamed: name → pattern of the error that refuses it."""
DEFAULTED = {
    **{name: name for name in ("temperature", "top_p", "top_k", "min_p", "presence_penalty")},
    **{name: name for name in ("frequency_penalty", "reasoning_effort", "stop")},
    "chat_template_kwargs": "thinking",
}
"""Body fields that a server may refuse for some values, and the parameters that they hold.

Without such a field, the model's default applies, which a reply says; `stop` is applied here.
"""
_REFUSES = re.compile(
    r"unsupported|unrecogni[sz]ed|unknown|unexpected|incompatible|deprecated|only the default"
    r"|extra (?:inputs|fields)|extra_forbidden"
    r"|(?:not|n't) (?:be )?(?:support|permitt|allow|accept|implement|enabl|available|used)",
    re.IGNORECASE,
)
_POSITIVE = re.compile("must be (?:strictly )?(?:positive|greater|> ?0|larger)", re.IGNORECASE)
_SENTENCES = re.compile(r"(?<=[.;!])\s+|\n")


def objection(sent: Mapping[str, JSON], failure: Failure) -> str | None:
    """Return the field that was sent and that the server does not take, if its error says so.

    It is one of `OPTIONAL`, or one of `DEFAULTED`. Pass the error as it came, because hiding a key
    may hide a word of it.
    """
    if failure.kind not in ("bad_request", "auth"):
        return None
    for name, wording in OPTIONAL.items():
        if name in sent and re.search(wording, failure.message):
            return name
    if failure.refuses is not None:
        field = failure.refuses.rpartition(".")[2]
        return (
            field
            if field in sent and field in DEFAULTED and _refuses(field, sent, failure.message)
            else None
        )
    for sentence in _SENTENCES.split(failure.message):
        places = {name: _mention(name, sentence) for name in DEFAULTED if name in sent}
        at = {name: place for name, place in places.items() if place is not None}
        for name in sorted(at, key=lambda name: at[name]):
            if _refuses(name, sent, sentence):
                return name
    return None


def _mention(name: str, text: str) -> int | None:
    """Return where a text names a field; a word of English has to be quoted, or in a list."""
    quoted = rf"['\"`]{name}['\"`]|(?:supplied:|->).*\b{name}\b"
    match = re.search(quoted if name == "stop" else rf"\b{name}\b", text)
    return match and match.start()


def _refuses(name: str, sent: Mapping[str, JSON], text: str) -> bool:
    """Return whether an error refuses a field, and not a value that is out of its range."""
    positive = name == "temperature" and sent[name] == 0 and _POSITIVE.search(text)
    return bool(positive or _REFUSES.search(text))


def cut_at_stop(reply: Reply, stop: Sequence[str]) -> Reply:
    """Return the reply up to the first stop string, for a server that did not get them."""
    places = [place for text in stop if (place := reply.text.find(text)) >= 0]
    return replace(reply, text=reply.text[: min(places)], finish="stop") if places else reply
