"""Scores and partitions, each computed once: the cache keeps them under the scorer's version."""

from __future__ import annotations

import json
from asyncio import gather
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from functools import cached_property
from hashlib import sha256
from math import inf
from numbers import Real

import numpy as np

from cat_bench.cache import Cache
from cat_bench.errors import PLUGIN_BUGS, CatBenchError, ConfigError
from cat_bench.evaluation.grades import Grades
from cat_bench.loading.registry import registered_name
from cat_bench.models.critical_path import count_path
from cat_bench.scorers.remote import Portable, RemoteScorer
from cat_bench.system.parallel import Executor
from cat_bench.types.calls import JSON
from cat_bench.types.plugins import AnswerScorer, Context, QuestionScorer, Scorer
from cat_bench.types.records import UNLABELLED, Question, Rollout, Sample, Score
from cat_bench.types.traits import ScorerTraits, is_labelled, traits

_SLACK = 1e-9
"""The rounding error that a score of 1 may have."""


class Grader:
    """A scorer whose verdicts are cached; an unscored text is not cached, so a re-run tries again.

    `asks` identifies the model that judges and its prompt, if the scorer has a judge. Without
    `remember`, the grader stores no verdict in the cache; without `recall`, it reads none from it.
    An `executor` runs scorers in other processes if they allow it.
    """

    def __init__(
        self,
        scorer: Scorer,
        cache: Cache,
        *,
        asks: JSON = None,
        remembers: bool = True,
        recalls: bool = True,
        executor: Executor | None = None,
    ) -> None:
        self.scorer = scorer
        self.version = scorer.version
        self.graded = traits(ScorerTraits, scorer).graded
        self._identity = scorer_identity(scorer) + (f" {_digest(asks)}" if asks else "")
        remote = (
            RemoteScorer(scorer, executor) if executor and isinstance(scorer, Portable) else None
        )
        self._active: Scorer = remote or scorer
        self.answers = remote or (scorer if isinstance(scorer, AnswerScorer) else None)
        self._cache = cache
        self._remembers = remembers
        self._recalls = recalls
        self._judged = asks is not None

    async def grade(self, sample: Sample, rollouts: Sequence[Rollout], ctx: Context) -> Grades:
        """Return the scores, answers and clusters of a question's whole pool.

        The cache keeps them together, so that a later run reads one row. A pool of which a text is
        unscored is not kept, and neither is one that a judge graded.
        """
        space, digests = f"pool {self._identity}", [digest_text(r.text) for r in rollouts]
        question, cached = sample.question, self._recalls and not self._judged
        key = _digest([*_facts(sample), digests])
        stored = await self._cache.recall(space, [key]) if cached else {}
        if key in stored and (restored := Grades.restore(rollouts, digests, stored[key])):
            return restored
        scores, answers = await gather(
            self.scores(sample, [r.text for r in rollouts], ctx), self._answers(question, rollouts)
        )
        grades = Grades.of(rollouts, digests, scores, *answers)
        if cached and all(score.value is not None for score in scores.values()):
            await self._remember(space, {key: grades.dump()})
        return grades

    async def scores(self, sample: Sample, texts: Sequence[str], ctx: Context) -> dict[str, Score]:
        """Return each distinct text's score; none has one if the sample is unlabelled."""
        if not is_labelled(sample.target, self.scorer):
            return dict.fromkeys(texts, Score(None, UNLABELLED))
        space = f"score {self._identity}"
        keys = _digest_each(_facts(sample), texts)
        stored = await self._cache.recall(space, list(keys.values()) if self._recalls else [])
        scores = {text: Score(**stored[key]) for text, key in keys.items() if key in stored}
        if fresh := [text for text in keys if text not in scores]:
            verdicts = await self._verdicts(sample, fresh, ctx)
            graded = {t: s for t, s in verdicts.items() if s.value is not None}
            await self._remember(space, {keys[t]: asdict(s) for t, s in graded.items()})
            scores |= verdicts
        return scores

    async def _verdicts(
        self, sample: Sample, texts: Sequence[str], ctx: Context
    ) -> dict[str, Score]:
        """Return the scorer's verdicts; if the scorer raises, all these texts are unscored."""
        try:
            with count_path():  # the tokens of scoring are not the method's
                scores = await self._active.score(sample, texts, ctx)
            return dict(zip(texts, map(_check_score, scores), strict=True))
        except CatBenchError:
            raise
        except PLUGIN_BUGS as error:  # becomes the reason of these scores
            return dict.fromkeys(texts, Score(None, f"{type(error).__name__}: {error}"))

    async def partition(self, answers: Sequence[str | None]) -> list[int | None]:
        """Return each answer's cluster by equivalence; None for an empty or missing answer."""
        if self.answers is None:
            return [None] * len(answers)
        distinct = sorted({answer for answer in answers if answer})
        if not distinct:
            return [None] * len(answers)
        space, key = f"clusters {self._identity}", _digest(distinct)
        stored = await self._cache.recall(space, [key])
        if key in stored:
            labels = stored[key]
        else:
            labels = self._number_labels(distinct, await self.answers.clusters(distinct))
            await self._remember(space, {key: labels})
        of = dict(zip(distinct, labels, strict=True))
        return [of[answer] if answer else None for answer in answers]

    def answers_to(self, question: Question) -> AnswerScorer | None:
        """Return the reader of answers to a question; None if the task has no final answers."""
        scorer = self._asked
        return scorer.for_question(question) if scorer else self.answers

    @cached_property
    def _asked(self) -> QuestionScorer | None:
        """The scorer, if it needs the question to read an answer."""
        return self.answers if isinstance(self.answers, QuestionScorer) else None

    async def labels(
        self, question: Question, rollouts: Sequence[Rollout]
    ) -> dict[int, int | None]:
        """Return the cluster of each rollout's answer by slot; None if it has no answer."""
        _, labels = await self._answers(question, rollouts)
        return {r.slot: label for r, label in zip(rollouts, labels, strict=True)}

    async def _answers(
        self, question: Question, rollouts: Sequence[Rollout]
    ) -> tuple[list[str | None], list[int | None]]:
        """Return each rollout's answer, and each answer's cluster."""
        reader = self.answers_to(question)
        if reader is None:
            return [None] * len(rollouts), [None] * len(rollouts)
        answers = [self._read(reader, r.text) for r in rollouts]
        return answers, await self.partition(answers)

    def known(
        self, question: Question, rollouts: Sequence[Rollout], labels: Mapping[int, int | None]
    ) -> dict[str, int]:
        """Return the cluster of each answer that these rollouts give, from their `labels`."""
        reader = self.answers_to(question)
        if reader is None:
            return {}
        answers = ((reader.answer(r.text), labels[r.slot]) for r in rollouts)
        return {answer: label for answer, label in answers if answer and label is not None}

    async def place(self, answer: str | None, known: Mapping[str, int]) -> int | None:
        """Return the cluster of an answer among the `known` answers; None if it equals none.

        The pool's partition does not change: the answer joins the most common cluster among the
        known answers that equal it.
        """
        if not answer or answer in known or not known:
            return known.get(answer or "")
        *labels, number = await self.partition([*known, answer])
        equal = [known[k] for k, label in zip(known, labels, strict=True) if label == number]
        return max(sorted(set(equal)), key=equal.count, default=None)

    def _read(self, reader: AnswerScorer, text: str) -> str | None:
        """Return the text's answer; raise ConfigError unless the scorer gave a string or None."""
        answer = reader.answer(text)
        if answer is not None and not isinstance(answer, str):
            problem = f"gave {answer!r} ({type(answer).__name__}): return a text, or None"
            raise ConfigError(f"scorer {type(self.scorer).__qualname__}", "answer()", problem)
        return answer

    def _number_labels(self, answers: Sequence[str], labels: Sequence[JSON]) -> list[int | None]:
        """Return the labels as numbers; other labels are numbered in the order of the answers.

        Raises ConfigError if the scorer gave too few or too many labels, or an unhashable one.
        """
        name = type(self.scorer).__qualname__
        if isinstance(labels, str) or not isinstance(labels, Sequence | np.ndarray):
            problem = f"gave {labels!r}: return a list with a label for each answer"
            raise ConfigError(f"scorer {name}", "clusters()", problem)
        if len(labels) != len(answers):
            problem = f"gave {len(labels)} labels for {len(answers)} answers: return one for each"
            raise ConfigError(f"scorer {name}", "clusters()", problem)
        for answer, label in zip(answers, labels, strict=True):
            if not isinstance(label, Hashable):
                problem = f"gave {label!r} for the answer {answer!r}: a label has to be hashable"
                raise ConfigError(f"scorer {name}", "clusters()", problem)
        if all(label is None or type(label) is int for label in labels):
            return list(labels)
        places = {label: k for k, label in enumerate(dict.fromkeys(labels)) if label is not None}
        return [None if label is None else places[label] for label in labels]

    async def _remember(self, space: str, values: Mapping[str, JSON]) -> None:
        if self._remembers:
            await self._cache.remember(space, values)


def _facts(sample: Sample) -> list[JSON]:
    """Return what a verdict depends on beside the scorer and the text."""
    question = sample.question
    meta = dict(question.meta)  # such as the options, which decide what a text chooses
    return [question.id, question.text, sample.target, *([meta] if meta else [])]


def _check_score(score: Score) -> Score:
    """Return the score unchanged; raise TypeError or ValueError if it is invalid."""
    if not isinstance(score, Score):
        raise TypeError(f"the scorer gave {score!r}, which is not a Score")
    value = score.value
    if value is not None and not (isinstance(value, Real) and -inf < value <= 1 + _SLACK):
        raise ValueError(f"the scorer gave {value!r}: a score is a number of at most 1, or None")
    return score


def scorer_identity(scorer: Scorer) -> str:
    """Return the scorer's registered name, parameters and version: what decides its verdicts."""
    kind = type(scorer)
    params: dict[str, JSON] = {}
    if is_dataclass(scorer):
        params = {f.name: getattr(scorer, f.name) for f in fields(scorer) if f.compare}
    return f"{registered_name('scorer', kind)} {params} {scorer.version}"


def digest_text(text: str) -> str:
    """Return the SHA-256 of a text, surrogates escaped."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _digest(value: JSON) -> str:
    return sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _digest_each(facts: Sequence[JSON], texts: Sequence[str]) -> dict[str, str]:
    """Return `_digest([*facts, text])` of each distinct text; the facts are encoded once."""
    start = sha256(json.dumps(facts, sort_keys=True, default=str)[:-1].encode())
    digests = {}
    for text in dict.fromkeys(texts):
        hasher = start.copy()
        hasher.update(f", {json.dumps(text)}]".encode())
        digests[text] = hasher.hexdigest()
    return digests
