"""Scores and partitions: each computed once, none of them somebody else's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import ClassVar

import numpy as np
import pytest
import sqlalchemy as sa

from cat_bench.cache import Cache, schema
from cat_bench.cache.codec import pack
from cat_bench.cache.rows import derived_digest
from cat_bench.errors import ConfigError, NotAvailable
from cat_bench.evaluation.grader import Grader
from cat_bench.loading.prompts import Prompts
from cat_bench.models.lending import QuestionContext
from cat_bench.scorers import equivalence
from cat_bench.scorers.choice import Choice
from cat_bench.scorers.math_equal import MathEqual
from cat_bench.scorers.workers import Workers
from cat_bench.types.calls import JSON
from cat_bench.types.plugins import Context, Scorer
from cat_bench.types.records import Sample, Score
from tests import toy


@dataclass(frozen=True)
class Flat:
    """Gives every text the same score, or breaks."""

    value: float | None = 0.25
    error: Exception | None = None
    version: ClassVar[str] = "sesame 1"

    async def score(self, sample: Sample, texts: Sequence[str], ctx: Context) -> list[Score]:
        if self.error:
            raise self.error
        return [Score(self.value, "because")] * len(texts)


@pytest.fixture
def ctx(cache: Cache) -> QuestionContext:
    return QuestionContext(toy.roles(cache), None, Prompts())


async def values(grader: Grader, ctx: Context, *texts: str, name: str = "q1") -> list[float | None]:
    scores = await grader.scores(toy.sample(name), texts, ctx)
    return [scores[text].value for text in texts]


async def test_a_text_is_graded_once(cache: Cache, ctx: QuestionContext) -> None:
    scorer = toy.Sesame()
    for _ in range(2):
        graded = await values(Grader(scorer, cache), ctx, "= right", "= no", "= right", "= half")
        assert graded == [1.0, 0.0, 1.0, 0.5]
    assert scorer.handed == ["= right", "= no", "= half"]


async def test_another_question_is_graded_anew(cache: Cache, ctx: QuestionContext) -> None:
    scorer = toy.Sesame()
    for name in ("q1", "q2"):
        await values(Grader(scorer, cache), ctx, "= right", name=name)
    assert scorer.handed == ["= right"] * 2


async def test_other_options_are_another_question(cache: Cache, ctx: QuestionContext) -> None:
    grader, given = Grader(Choice(), cache), []
    for options in ({"A": "Paris", "B": "Rome"}, {"A": "Rome", "B": "Paris"}):
        question = replace(toy.sample().question, meta={"options": options})
        scores = await grader.scores(Sample(question, "A"), ["Answer: Paris"], ctx)
        given.append(scores["Answer: Paris"].value)
    assert given == [1.0, 0.0]


@dataclass(frozen=True)
class Labelling(toy.Sesame):
    """Labels answers as it is told."""

    given: JSON = None

    async def clusters(self, answers: Sequence[str | None]) -> JSON:
        return [self.given[answer] for answer in answers] if isinstance(self.given, dict) else 7


ROLLOUTS = [toy.rollout(slot, f"= {letter}") for slot, letter in enumerate("abca")]


@pytest.mark.parametrize(
    "labels", [("x", "y", "x"), ((1, 2), None, (1, 2)), (np.int64(4), np.int64(2), np.int64(4))]
)
async def test_labels_may_be_anything_hashable(labels: Sequence[JSON], cache: Cache) -> None:
    grader = Grader(Labelling(given=dict(zip("abc", labels, strict=True))), cache)
    found = await grader.labels(toy.sample().question, ROLLOUTS)
    assert [type(label) for label in found.values()].count(int) >= 3
    assert found[0] == found[2] == found[3] != found[1]
    again = await grader.labels(toy.sample().question, ROLLOUTS)
    assert again == found


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (7, "gave 7: return a list"),
        ({"a": [1], "b": [2], "c": [1]}, r"gave \[1\] for the answer 'a'"),
    ],
)
async def test_labels_that_are_none_are_told(given: JSON, problem: str, cache: Cache) -> None:
    with pytest.raises(ConfigError, match=problem):
        await Grader(Labelling(given=given), cache).labels(toy.sample().question, ROLLOUTS)


async def test_an_answer_is_a_text(cache: Cache) -> None:
    class Numbers(toy.Sesame):
        def answer(self, text: str) -> str | None:
            return 5  # type: ignore[return-value]

    with pytest.raises(ConfigError, match=r"answer\(\): gave 5 \(int\): return a text, or None"):
        await Grader(Numbers(), cache).labels(toy.sample().question, ROLLOUTS)


async def test_a_text_that_could_not_be_graded_is_tried_again(
    cache: Cache, ctx: QuestionContext
) -> None:
    scorer = toy.Sesame()
    for _ in range(2):
        assert await values(Grader(scorer, cache), ctx, "= garbled") == [None]
    assert scorer.handed == ["= garbled"] * 2


async def test_scorers_of_one_version_do_not_share_their_scores(
    cache: Cache, ctx: QuestionContext
) -> None:
    scorers: list[tuple[Scorer, float]] = [(toy.Sesame(), 1.0), (Flat(), 0.25), (Flat(0.5), 0.5)]
    for scorer, value in scorers:
        assert await values(Grader(scorer, cache), ctx, "= right") == [value]


async def test_a_scorer_that_breaks_leaves_its_texts_unscored(
    cache: Cache, ctx: QuestionContext
) -> None:
    found = await Grader(Flat(error=KeyError("x")), cache).scores(toy.sample(), ["a", "b"], ctx)
    assert found == dict.fromkeys("ab", Score(None, "KeyError: 'x'"))
    with pytest.raises(NotAvailable):
        await values(Grader(Flat(error=NotAvailable("no judge")), cache), ctx, "a")


@pytest.mark.parametrize(
    "given", [Score(float("nan")), Score(float("inf")), Score(7.0), 1.0, None, {"value": 1}]
)
async def test_what_is_no_score_is_told(given: JSON, cache: Cache, ctx: QuestionContext) -> None:
    class Odd(Flat):
        async def score(self, sample: Sample, texts: Sequence[str], ctx: Context) -> list[Score]:
            return [given] * len(texts)

    found = await Grader(Odd(), cache).scores(toy.sample(), ["a"], ctx)
    assert found["a"].value is None
    assert "the scorer gave " in str(found["a"].reason)


POOL = toy.pool("x = a", "y = right", "y = right", "none").rollouts


def rows_of(cache: Cache, space: str) -> list[JSON]:
    with cache.begin_reading() as connection:
        rows = connection.execute(sa.select(schema.derived)).all()
    return [row for row in rows if row.namespace.startswith(space)]


async def test_a_pool_is_graded_once_and_read_as_one_row(
    cache: Cache, ctx: QuestionContext
) -> None:
    scorer, read = toy.Sesame(), list[str]()
    first = await Grader(scorer, cache).grade(toy.sample(), POOL, ctx)
    recall = cache.recall

    async def noted(space: str, keys: Sequence[str]) -> dict[str, JSON]:
        read.append(space.partition(" ")[0])
        return await recall(space, keys)

    cache.recall = noted  # type: ignore[method-assign, assignment]
    assert await Grader(scorer, cache).grade(toy.sample(), POOL, ctx) == first
    assert (scorer.handed, read) == (["x = a", "y = right", "none"], ["pool"])
    assert list(first.answers.values()) == ["a", "right", "right", None]
    assert first.labels[1] == first.labels[2] != first.labels[0]
    assert first.digests[1] == sha256(b"y = right").hexdigest()


async def test_another_order_another_text_or_another_gold_is_another_pool(
    cache: Cache, ctx: QuestionContext
) -> None:
    grader = Grader(toy.Sesame(), cache)
    for name, pool in (("q1", POOL), ("q1", POOL[::-1]), ("q1", POOL[:3]), ("q2", POOL)):
        grades = await grader.grade(toy.sample(name), pool, ctx)
        assert [grades.scores[r.text].value for r in pool if "right" in r.text] == [1.0] * 2
    assert len(rows_of(cache, "pool ")) == 4


async def test_a_pool_with_an_unscored_text_or_a_judge_is_not_kept(
    cache: Cache, ctx: QuestionContext
) -> None:
    for scorer, asks in ((Flat(None), None), (Flat(0.5), {"judge": "j"})):
        await Grader(scorer, cache, asks=asks).grade(toy.sample(), POOL, ctx)
    assert not rows_of(cache, "pool ")


async def test_verdicts_of_texts_alone_are_still_read(cache: Cache, ctx: QuestionContext) -> None:
    scorer = toy.Sesame()
    await values(Grader(scorer, cache), ctx, *(r.text for r in POOL))
    grades = await Grader(scorer, cache).grade(toy.sample(), POOL, ctx)
    assert len(scorer.handed) == 3
    assert grades.scores["y = right"].value == 1.0


@pytest.mark.parametrize("change", ["flip", "short", "foreign"])
async def test_a_pools_row_that_cannot_be_trusted_is_made_again(
    change: str, cache: Cache, ctx: QuestionContext
) -> None:
    right = await Grader(toy.Sesame(), cache).grade(toy.sample(), POOL, ctx)
    (row,) = rows_of(cache, "pool ")
    if change == "flip":
        value, digest = row.value.replace(b"1.0", b"0.0"), row.digest
    else:
        value = pack({**right.dump(), "answers": ["a"]} if change == "short" else [1])
        digest = derived_digest(row.namespace, row.key, value)
    where = schema.derived.c.key == row.key
    with cache.begin_writing() as connection:
        connection.execute(
            sa.update(schema.derived).where(where).values(value=value, digest=digest)
        )
    assert await Grader(toy.Sesame(), cache).grade(toy.sample(), POOL, ctx) == right


async def test_a_planning_grader_remembers_nothing(cache: Cache, ctx: QuestionContext) -> None:
    scorer = toy.Sesame()
    for remembers in (False, True, True):
        await values(Grader(scorer, cache, remembers=remembers), ctx, "= right")
    assert scorer.handed == ["= right"] * 2


async def test_the_partition_is_by_answer_and_empty_answers_are_none(cache: Cache) -> None:
    grader = Grader(toy.Sesame(), cache)
    answers = ["b", None, "A", "a", "", "B"]
    assert await grader.partition(answers) == [1, None, 0, 0, None, 1]
    assert await grader.partition(answers[::-1]) == [1, None, 0, 0, None, 1]
    assert await grader.partition(["", "a", None]) == [None, 0, None]
    assert await grader.partition([]) == []
    assert await Grader(Flat(), cache).partition(answers) == [None] * 6


async def test_an_answer_that_exhausts_the_grader_is_wrong_and_is_not_paid_for_again(
    cache: Cache, ctx: QuestionContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [r"\boxed{9^{9^{9^{9}}}}", r"\boxed{x+1}"]
    sample = Sample(toy.sample().question, "1+x")
    first = await Grader(MathEqual(timeout=1), cache).scores(sample, texts, ctx)
    assert [first[text].value for text in texts] == [0.0, 1.0]
    assert first[texts[0]].reason == "grading took more than 1 s"

    async def paid(*_: object, **__: object) -> None:
        raise AssertionError("a worker was asked again")

    monkeypatch.setattr(equivalence, "_read", {})  # as in a new process
    monkeypatch.setattr(Workers, "ask", paid)
    assert await Grader(MathEqual(timeout=1), cache).scores(sample, texts, ctx) == first


async def test_a_lone_answer_that_the_scorer_does_not_place_has_no_cluster(cache: Cache) -> None:
    class Unplaced(Flat):
        def answer(self, text: str) -> str | None:
            return text

        async def clusters(self, answers: Sequence[str | None]) -> list[int | None]:
            return [None] * len(answers)

    assert await Grader(Unplaced(), cache).partition(["x", "x", None]) == [None] * 3
