"""Scores and partitions, each computed once: the cache holds them under the scorer's version."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256

from cat_bench.cache import Cache
from cat_bench.types import JSON, AnswerScorer, Context, Sample, Score, Scorer


@dataclass(frozen=True, slots=True)
class Grader:
    """A scorer with a memory; an unscored verdict is not remembered, so a re-run tries again."""

    scorer: Scorer
    cache: Cache

    async def scores(self, sample: Sample, texts: Sequence[str], ctx: Context) -> dict[str, Score]:
        """Each distinct text's score."""
        space = f"score {self.scorer.version}"
        gold = [sample.question.id, sample.question.text, sample.target]
        keys = {text: _digest([*gold, text]) for text in texts}
        known = await self.cache.recall(space, list(keys.values()))
        scores = {text: Score(**known[key]) for text, key in keys.items() if key in known}
        if fresh := [text for text in keys if text not in scores]:
            verdicts = dict(zip(fresh, await self.scorer.score(sample, fresh, ctx), strict=True))
            graded = {t: s for t, s in verdicts.items() if s.value is not None}
            await self.cache.remember(space, {keys[t]: asdict(s) for t, s in graded.items()})
            scores |= verdicts
        return scores

    async def partition(self, answers: Sequence[str | None]) -> list[int | None]:
        """Each answer's cluster by equivalence; None stays None."""
        if not isinstance(self.scorer, AnswerScorer):
            return [None] * len(answers)
        distinct = sorted({answer for answer in answers if answer is not None})
        if len(distinct) < 2:
            return [None if answer is None else 0 for answer in answers]
        space, key = f"clusters {self.scorer.version}", _digest(distinct)
        known = await self.cache.recall(space, [key])
        if key in known:
            labels = known[key]
        else:
            labels = await self.scorer.clusters(distinct)
            await self.cache.remember(space, {key: labels})
        of = dict(zip(distinct, labels, strict=True))
        return [None if answer is None else of[answer] for answer in answers]


def _digest(value: JSON) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
