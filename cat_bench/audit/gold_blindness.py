"""Whether a scorer knows the answer: each text is scored again against other rows' golds.

A text has one answer. A scorer that reads the text without the gold accepts it only for golds that
equal this answer. A scorer that searches for a reading that matches the gold (another direction,
other types of variables, a text that repeats the gold) accepts one text for different golds: its
score on permuted golds stays above chance.

The scorer's own clusters predict chance: a text is expected to pass for another row's gold if and
only if it has the same answer as the texts that passed on that row. Each pair is clustered on its
own, since a tolerance is not transitive.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

from cat_bench.types.calls import JSON
from cat_bench.types.plugins import AnswerScorer, Context, QuestionScorer
from cat_bench.types.records import Sample, Score

MOST_SURPLUS = 0.02
"""A scorer knows the answer if more than this share of permuted pairs passes beyond chance."""
LEAST = 3
"""The least number of pairs beyond chance, or of changed readings, for that verdict."""
_RIGHT = 0.5


@dataclass(frozen=True, slots=True)
class Blindness:
    """The result of scoring `pairs` of a text and another row's gold."""

    pairs: int
    accepted: int
    """Pairs that scored as right."""
    expected: int
    """Pairs that the scorer's own clusters predict to be right."""
    surplus: int
    """Pairs that scored as right contrary to that prediction."""
    changed: int
    """Pairs for which the scorer read another answer than with the row's own gold."""
    unscored: int
    """Pairs without a score."""

    @property
    def knows(self) -> bool:
        """Whether the scorer does more with the gold than compare the text's answer with it."""
        beyond = self.surplus >= LEAST and self.surplus > MOST_SURPLUS * self.pairs
        return beyond or self.changed >= LEAST

    @property
    def sentence(self) -> str:
        """The result in one line."""
        counts = (
            f"{self.accepted} of {self.pairs} texts score as right with another row's gold; their "
            f"answers predict {self.expected}"
        )
        if self.changed:
            counts += f"; {self.changed} texts were read differently"
        verdict = "knows the answer" if self.knows else "does not know the answer"
        return f"{counts}: the scorer {verdict}"


async def gold_blindness(
    scorer: AnswerScorer,
    texts: Sequence[tuple[Sample, str]],
    ctx: Context,
    *,
    rounds: int = 3,
    seed: int = 0,
) -> Blindness:
    """Score each text against `rounds` golds of other rows.

    A pair is left out if no text passed on the other row, since the scorer's reading of its gold is
    then unknown. Raises ValueError for fewer than two rows.
    """
    rows = {sample.question.id: sample for sample, _ in texts}
    if len(rows) < 2:
        raise ValueError("golds are permuted over rows: give at least two rows")
    scores = [(await scorer.score(sample, [text], ctx))[0] for sample, text in texts]
    answers = [_reader(scorer, sample).answer(text) for sample, text in texts]
    passed: dict[str, list[str]] = {}
    for (sample, _), score, answer in zip(texts, scores, answers, strict=True):
        if (score.value or 0.0) > _RIGHT and answer is not None:
            passed.setdefault(sample.question.id, []).append(answer)
    rng = random.Random(seed)
    count = dict.fromkeys(("pairs", "accepted", "expected", "surplus", "changed", "unscored"), 0)
    for (sample, text), before, answer in zip(texts, scores, answers, strict=True):
        rivals = sorted(passed.keys() - {sample.question.id})
        for rival in rng.sample(rivals, min(rounds, len(rivals))):
            target = rows[rival].target
            (after,) = await scorer.score(replace(sample, target=target), [text], ctx)
            right = (after.value or 0.0) > _RIGHT
            predicted = _is_one_cluster(await scorer.clusters([answer, *passed[rival]]))
            count["pairs"] += 1
            count["accepted"] += right
            count["expected"] += predicted
            count["surplus"] += right and not predicted
            count["changed"] += _read_metadata(before) != _read_metadata(after)
            count["unscored"] += after.value is None
    return Blindness(**count)


def _reader(scorer: AnswerScorer, sample: Sample) -> AnswerScorer:
    """Return the scorer with the row's own data, such as its options."""
    return scorer.for_question(sample.question) if isinstance(scorer, QuestionScorer) else scorer


def _is_one_cluster(labels: Sequence[Hashable]) -> bool:
    """Return whether all labels are the same cluster."""
    return None not in labels and len(set(labels)) == 1


def _read_metadata(score: Score) -> Mapping[str, JSON]:
    """Return the part of a score's metadata that describes the text and not the gold."""
    return {name: score.details[name] for name in ("answer", "verdict") if name in score.details}
