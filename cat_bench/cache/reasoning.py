"""Take a model's reasoning apart from its answer, before anything is stored or rewarded.

Every text of a model passes here, whether a backend, a trainer or a file brings it, so that a
synthesis, a rubric and a judge read the same text in training as in a run.
"""

from __future__ import annotations

from dataclasses import replace
from typing import overload

from cat_bench.types.calls import Failure, Reply, Result

OPEN, CLOSE = "<think>", "</think>"


def opens_reasoning(prompt: str) -> bool:
    """Return whether a prompt ends inside of reasoning, which the chat template has opened."""
    return prompt.rstrip().endswith(OPEN)


def split(text: str, *, thinking: bool) -> tuple[str | None, str]:
    """Return reasoning and answer; `thinking`: the text begins inside reasoning."""
    if not thinking and not text.lstrip().startswith(OPEN) and CLOSE not in text:
        return None, text
    thought, _, answer = text.partition(CLOSE)
    return thought.lstrip().removeprefix(OPEN).strip("\n"), answer.lstrip("\n")


@overload
def take_apart(result: Reply, *, thinking: bool = ...) -> Reply: ...
@overload
def take_apart(result: Failure, *, thinking: bool = ...) -> Failure: ...
def take_apart(result: Result, *, thinking: bool = False) -> Result:
    """Return a reply without the reasoning in its text, unless its source has taken that off.

    `thinking`: the text begins inside reasoning. If the source does not count the tokens of the
    reasoning, they are estimated: the reply's tokens, by the share of characters.
    """
    if not isinstance(result, Reply) or result.reasoning:
        return result
    reasoning, answer = split(result.text, thinking=thinking)
    if reasoning is None:
        return result
    written = result.usage.completion
    hidden = result.usage.reasoning or round(written * (1 - len(answer) / max(1, len(result.text))))
    usage = replace(result.usage, reasoning=hidden)
    return replace(result, text=answer, reasoning=reasoning, usage=usage)
