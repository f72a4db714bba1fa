"""What every scorer with final answers owes to votes, to methods that write, and to its users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import cast

import pytest

from cat_bench.loading.closing import describe_closing
from cat_bench.loading.registry import build, list_plugins
from cat_bench.types.calls import JSON
from cat_bench.types.plugins import AnswerScorer, Context, QuestionScorer
from cat_bench.types.records import Question, Sample

ANY = cast("Context", None)


@dataclass(frozen=True)
class Case:
    """A scorer, how its answers are written, and which answers are the same."""

    scorer: str
    written: str
    same: Sequence[Sequence[str]]
    """Groups of answers: equal within a group, different across groups."""
    bad_targets: Sequence[JSON] = (None, "", {})
    params: Mapping[str, JSON] = field(default_factory=dict)
    meta: Mapping[str, JSON] = field(default_factory=dict)
    targets: Sequence[JSON] = ()
    """The target of each group, where it is not its first answer."""

    @property
    def question(self) -> Question:
        return Question("q", (), "Which?", self.meta)

    def build(self) -> AnswerScorer:
        scorer = build("scorer", self.scorer, self.params)
        reader = (
            scorer.for_question(self.question) if isinstance(scorer, QuestionScorer) else scorer
        )
        assert isinstance(reader, AnswerScorer)
        return reader


OPTIONS = {"options": {"A": "Paris", "B": "São Paulo", "C": "None of the above", "D": "-3"}}
CASES = {
    "math_equal": Case("math_equal", r"So \boxed{%s}.", [["1/2", "0.5"], ["x+1", "1+x"], ["7"]]),
    "math_equal by pattern": Case(
        "math_equal", "Answer: %s", [["2", "2.0"], ["3"]], params={"pattern": "Answer: (.*)"}
    ),
    "choice": Case(
        "choice",
        "Therefore\nAnswer: %s",
        [["A", "a", "(A)", "Paris", "A) Paris"], ["B", "b."], ["C", "none of the above"], ["D"]],
        bad_targets=(None, "", {}, "E", 2),
        meta=OPTIONS,
    ),
    "choice of letters": Case("choice", "Answer: %s", [["A", "(a)"], ["B", "**B**"]]),
    "solver": Case(
        "solver",
        "So:\n```lp\n%s\n```",
        [
            ["max x\nst\nc: x <= 4\nend", "max y\nst\nc: y <= 4\nd: y <= 5\nend"],
            ["max x\nst\nc: x <= 3\nend"],
        ],
        targets=("4", 3),
    ),
    "text_equal": Case(
        "text_equal",
        "Well.\nAnswer: %s",
        [
            ["Paris", "paris", "**Paris**", "“Paris”.", "PARIS!"],
            ["Pairs"],
            ["São Paulo", "são  paulo"],
            ["Sao Paulo"],
            ["東京"],
            ["red, green", "red,green"],
            ["green, red"],
            ["None of the above"],
            ["-5"],
            ["5"],
        ],
        bad_targets=(None, "", {}, [], ["x", ""], "one\ntwo"),
    ),
    "number": Case(
        "number",
        "It adds up.\nAnswer: %s",
        [
            ["1234.5", "1,234.5", "1.234,5", "1 234,5", "+1234.50"],
            ["-3", "−3", "-3.0"],
            ["3", "6/2"],
            ["0.5", "1/2", "½", "5e-1"],
            ["45 %", "45 percent"],
            ["5 km"],
            ["5 m"],
        ],
        bad_targets=(None, "", {}, "seven", "2024-03-05", True, [1]),
    ),
}
TOLERANT = Case("number", "Answer: %s", [], params={"relative": 0.01})


def _named() -> set[str]:
    """The registered scorers with final answers, those of the bundled models apart."""
    built = {
        name: build("scorer", name, {}) for name in list_plugins("scorer") if name != "counsel"
    }
    return {name for name, scorer in built.items() if isinstance(scorer, AnswerScorer)}


def test_every_scorer_with_final_answers_is_here() -> None:
    assert _named() <= {case.scorer for case in CASES.values()}


@pytest.fixture(params=sorted(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def texts_of(case: Case) -> list[list[str]]:
    return [[case.written % answer for answer in group] for group in case.same]


def test_a_text_with_an_answer_has_one_and_reading_is_stable(case: Case) -> None:
    scorer = case.build()
    for group in texts_of(case):
        for text in group:
            answer = scorer.answer(text)
            assert isinstance(answer, str)
            assert answer.strip()
            assert scorer.answer(text) == answer
    assert scorer.answer("") is None


async def test_clusters_are_the_groups_in_any_order(case: Case) -> None:
    scorer = case.build()
    answers = [scorer.answer(text) for group in texts_of(case) for text in group]
    wanted = [k for k, group in enumerate(case.same) for _ in group]
    for seed in range(4):
        order = Random(seed).sample(range(len(answers)), len(answers))
        labels = await scorer.clusters([*(answers[k] for k in order), None])
        assert labels[-1] is None
        found = {k: hash(label) for k, label in zip(order, labels, strict=False)}
        for one in order:
            for other in order:
                assert (found[one] == found[other]) == (wanted[one] == wanted[other])


async def test_copies_change_no_cluster(case: Case) -> None:
    scorer = case.build()
    answers = [scorer.answer(text) for group in texts_of(case) for text in group]
    once = await scorer.clusters(answers)
    twice = await scorer.clusters([*answers, *answers])
    assert list(twice) == [*once, *once]


async def test_a_score_is_right_where_the_cluster_is_the_targets(case: Case) -> None:
    scorer = case.build()
    texts = [text for group in texts_of(case) for text in group]
    for wanted, group in enumerate(case.same):
        sample = Sample(case.question, case.targets[wanted] if case.targets else group[0])
        if scorer.answer(case.written % group[0]) != group[0] and case.scorer == "choice":
            continue
        scores = await scorer.score(sample, texts, ANY)
        right = [k == wanted for k, each in enumerate(case.same) for _ in each]
        assert [score.value == 1.0 for score in scores] == right
        assert all(score.value in (0.0, 1.0) for score in scores)


async def test_no_answer_is_wrong_and_says_so(case: Case) -> None:
    (score,) = await case.build().score(Sample(case.question, case.same[0][0]), [""], ANY)
    assert score.value == 0.0
    assert score.reason == "no answer"


def test_targets_are_checked(case: Case) -> None:
    check = getattr(case.build(), "check", None)
    assert callable(check)
    for target in case.targets or [group[0] for group in case.same]:
        assert check(target) is None
    for target in case.bad_targets:
        if case.scorer == "choice" and not case.meta and target == "E":
            continue
        problem = check(target)
        assert problem is not None
        assert problem.startswith("has ")


def test_a_response_that_ends_as_asked_has_an_answer(case: Case) -> None:
    scorer = case.build()
    closing = describe_closing(scorer)
    assert closing
    written = case.written % case.same[0][0]
    forms = {r"\boxed": r"\boxed", "Answer:": "Answer:", "code block": "```"}
    asked = [shown for form, shown in forms.items() if form in closing]
    assert asked
    assert all(shown in written for shown in asked)


def test_hostile_texts_are_read_without_an_error(case: Case) -> None:
    scorer = case.build()
    for text in ("\x00", "\ud800", "9" * 5000, "Answer: " * 2000, "(" * 3000, "\\boxed{" * 500):
        scorer.answer(text)


async def test_a_tolerance_is_clustered_whatever_the_order() -> None:
    scorer = TOLERANT.build()
    values = [str(100 + k / 4) for k in range(20)]
    wanted: frozenset[frozenset[str]] | None = None
    for seed in range(5):
        order = Random(seed).sample(values, len(values))
        labels = await scorer.clusters(order)
        pairs = list(zip(order, labels, strict=True))
        found = frozenset(
            frozenset(value for value, other in pairs if other == label) for label in set(labels)
        )
        assert wanted in (None, found)
        wanted = found
    assert wanted is not None
    assert 1 < len(wanted) < len(values)
