"""Assigns to each question of a run another question, always the same one."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from cat_bench.types.records import Question


class Neighbours:
    """The questions in a ring, in the order of their ids' hashes.

    The order does not depend on the order of the data, so that every process finds the same one.
    """

    def __init__(self, questions: Iterable[Question]) -> None:
        ring = sorted(questions, key=lambda question: sha256(question.id.encode()).digest())
        self._next = {
            first.id: second
            for first, second in zip(ring, [*ring[1:], *ring[:1]], strict=True)
            if second.id != first.id
        }

    def after(self, question: str) -> Question | None:
        """Return the question after this id in the ring; None if there is no other question."""
        return self._next.get(question)
