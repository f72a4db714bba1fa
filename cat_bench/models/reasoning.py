"""Split what a model wrote into its reasoning and its answer.

Every text of a model passes here, whichever backend or trainer it comes from, so that a synthesis,
a rubric and a judge read the same text in training as in a run.
"""

from __future__ import annotations

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
