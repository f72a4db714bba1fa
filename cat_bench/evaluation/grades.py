"""The verdicts of a question's whole pool, and their form in the cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Self

from cat_bench.types.calls import JSON
from cat_bench.types.records import Rollout, Score


@dataclass(frozen=True, slots=True)
class Grades:
    """Each text's score, and for each slot the text's SHA-256, its answer and its cluster."""

    scores: Mapping[str, Score]
    digests: Mapping[int, str]
    answers: Mapping[int, str | None]
    labels: Mapping[int, int | None]

    @classmethod
    def of(
        cls,
        rollouts: Sequence[Rollout],
        digests: Sequence[str],
        scores: Mapping[str, Score],
        answers: Sequence[str | None],
        labels: Sequence[int | None],
    ) -> Self:
        """Return the grades of rollouts from lists in the rollouts' order."""
        slots = [rollout.slot for rollout in rollouts]
        return cls(
            scores,
            digests=dict(zip(slots, digests, strict=True)),
            answers=dict(zip(slots, answers, strict=True)),
            labels=dict(zip(slots, labels, strict=True)),
        )

    def dump(self) -> JSON:
        """Return all but the digests: each different verdict once, with its place by text."""
        verdicts = [asdict(score) for score in self.scores.values()]
        distinct = [each for k, each in enumerate(verdicts) if each not in verdicts[:k]]
        return {
            "scores": distinct,
            "texts": [distinct.index(each) for each in verdicts],
            "answers": list(self.answers.values()),
            "labels": list(self.labels.values()),
        }

    @classmethod
    def restore(
        cls, rollouts: Sequence[Rollout], digests: Sequence[str], stored: JSON
    ) -> Self | None:
        """Return the grades that `dump` kept of these rollouts; None if they do not fit."""
        try:
            verdicts = [Score(**fields) for fields in stored["scores"]]
            texts = dict.fromkeys(rollout.text for rollout in rollouts)
            scores = {t: verdicts[k] for t, k in zip(texts, stored["texts"], strict=True)}
            return cls.of(rollouts, digests, scores, stored["answers"], stored["labels"])
        except (IndexError, KeyError, TypeError, ValueError):
            return None
