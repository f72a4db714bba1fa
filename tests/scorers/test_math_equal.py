"""The scorer as the rest of the harness uses it, on real workers."""

from __future__ import annotations

import asyncio
import gzip
import json
import subprocess
import sys
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cat_bench.errors import ConfigError
from cat_bench.scorers.math_equal import MathEqual
from cat_bench.types.plugins import AnswerScorer, Context
from cat_bench.types.records import Question, Sample, Score
from tests.places import SHARED

ANY = cast("Context", None)
DATA = SHARED
SCORER = MathEqual()
TOWER = "9^{9^{9^{9}}}"


def sample(gold: str) -> Sample:
    return Sample(Question("q", (), ""), gold)


def boxed(answer: str) -> str:
    return rf"so it is \boxed{{{answer}}}."


async def same(one: str, two: str) -> bool:
    (there,) = await SCORER.score(sample(one), [boxed(two)], ANY)
    (back,) = await SCORER.score(sample(two), [boxed(one)], ANY)
    assert there.value == back.value
    assert there.value is not None
    return bool(there.value)


EQUAL = [
    ("0.5", r"\frac{1}{2}"),
    (r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{2}}"),
    (r"\sqrt{2}", "1.414214"),
    (r"2\pi", "6.283185"),
    (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\frac{\pi}2)"),
    ("[1, 2)", "[1,2)"),
    (r"[1,2] \cup [3,4]", r"[3,4]\cup[1,2]"),
    (r"x \in [1,2)", "[1,2)"),
    ("x > 3", r"(3,\infty)"),
    (r"\{1, 2\}", r"\{2, 1\}"),
    (r"3 \pm \sqrt{2}", r"3+\sqrt2, 3-\sqrt2"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{bmatrix}1\\2\end{bmatrix}"),
    (r"10\%", "10"),
    (r"10\%", "x=10"),
    (r"\frac{\sqrt{4}}{8}\%", r"0.25\%"),
    (r"5\text{ cm}", "5"),
    (r"12 \text{ cm}^2", "12"),
    (r"90^\circ", "90"),
    ("1,000", "1000"),
    ("x=5", "5"),
    ("y=2x+3", "2x+3"),
    ("(x+1)^2", "x^2+2x+1"),
    ("(x-1)^8", "x^8-8x^7+28x^6-56x^5+70x^4-56x^3+28x^2-8x+1"),
    (r"A \cup B", r"A\cup  B"),
    (r"\text{Evelyn}", "Evelyn"),
    (r"\text{(C)}", "C"),
    (r"\text{no solution}", "no solution"),
    (r"1.5\times10^3", "1500"),
]
UNEQUAL = [
    ("10", "0.1"),
    (r"\frac{1}{3}", "0.33"),
    ("(1,2)", "(2,1)"),
    ("(1,2)", "(1,2,3)"),
    ("[1,2]", "[1,2)"),
    (r"\{1, 2\}", r"\{1, 3\}"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 2 \\ 1 \end{pmatrix}"),
    ("x=5", "y=5"),
    ("x^2", "y^2"),
    ("x > 3", "x < 3"),
    (r"\sqrt{2}", r"\sqrt{3}"),
    (r"\text{Evelyn}", r"\text{Carla}"),
    (r"\text{no solution}", "0"),
    ("50", "10+John's age"),
    ("2", "-1.8 billion"),
]


@pytest.mark.parametrize(("one", "two"), EQUAL)
async def test_equal_both_ways(one: str, two: str) -> None:
    assert await same(one, two)


@pytest.mark.parametrize(("one", "two"), UNEQUAL)
async def test_unequal_both_ways(one: str, two: str) -> None:
    assert not await same(one, two)


async def test_scores_come_in_order_with_their_answers() -> None:
    scores = await SCORER.score(sample("2"), [boxed("2.0"), "two", boxed("3"), ""], ANY)
    assert scores == [
        Score(1.0, details={"answer": "2.0"}),
        Score(0.0, "no answer"),
        Score(0.0, details={"answer": "3"}),
        Score(0.0, "no answer"),
    ]


async def test_an_answer_that_exhausts_the_grader_is_wrong_and_says_so() -> None:
    scorer = MathEqual(timeout=1)
    scores = await scorer.score(sample("x+1"), [boxed("1+x"), boxed(TOWER), boxed("x")], ANY)
    assert [score.value for score in scores] == [1.0, 0.0, 0.0]
    assert scores[1].reason == "grading took more than 1 s"
    assert scores[1].details == {"answer": TOWER, "exhausted": True}


async def test_a_target_that_exhausts_the_grader_leaves_its_answers_unscored() -> None:
    scorer = MathEqual(timeout=1)
    scores = await scorer.score(sample(TOWER), [boxed("x"), boxed(TOWER)], ANY)
    assert [score.value for score in scores] == [None, 1.0]
    assert scores[0].reason == "the target: grading took more than 1 s"


async def test_an_absurdly_long_answer_is_compared_as_a_string() -> None:
    absurd = r"\frac{1}{" * 20_000 + "2" + "}" * 20_000
    scores = await SCORER.score(sample(absurd), [boxed(absurd), boxed("2")], ANY)
    assert [score.value for score in scores] == [1.0, 0.0]


def test_pattern_takes_the_last_match() -> None:
    assert MathEqual(pattern="A: (.*)").answer("A: 1\nA: 2\n") == "2"
    assert MathEqual(pattern="A: (.*)").answer(boxed("2")) is None


@pytest.mark.parametrize(
    "parameters",
    [{"pattern": "A: .*"}, {"pattern": "("}, {"pattern": ""}, {"timeout": 0}, {"workers": 0}],
)
def test_parameters_that_make_no_sense_are_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"math_equal: {next(iter(parameters))}"):
        MathEqual(**parameters)


def test_version_names_what_decides() -> None:
    assert isinstance(SCORER, AnswerScorer)
    for library in ("math-verify 0.", "sympy 1.", "latex2sympy2_extended 1."):
        assert library in SCORER.version


NASTY = [
    *("10", "10.0", r"10\%", "0.1", r"\frac{1}{10}", "x=10", "10", "y=10", "5 cm", "5", "5 km"),
    *("(1,2)", "1,2", "2,1", "(2,1)", r"\{1,2\}", "x > 3", r"(3,\infty)"),
    *(r"\text{no}", "no", "", None, " ", "$$", "0.333333", "1/3", "0.3333331"),
]


async def test_clusters_of_answers_that_are_easily_confused() -> None:
    labels = dict(zip(NASTY, await SCORER.clusters(NASTY), strict=True))
    assert labels["10"] == labels["10.0"] == labels[r"10\%"] == labels["x=10"] != labels["y=10"]
    assert labels["0.1"] == labels[r"\frac{1}{10}"] != labels["10"]
    assert labels["5"] == labels["5 cm"] != labels["5 km"]
    assert labels["1/3"] == labels["0.333333"] == labels["0.3333331"]
    assert {labels[answer] for answer in (None, "", " ", "$$")} == {None}
    known = {label for label in labels.values() if label is not None}
    assert known == set(range(len(known)))


@settings(deadline=None, max_examples=50)
@given(st.permutations(NASTY), st.lists(st.sampled_from(NASTY)))
def test_neither_order_nor_repetition_changes_a_partition(
    order: list[str | None], more: list[str | None]
) -> None:
    expected = dict(zip(NASTY, asyncio.run(SCORER.clusters(NASTY)), strict=True))
    answers = order + more
    assert asyncio.run(SCORER.clusters(answers)) == [expected[answer] for answer in answers]


async def test_the_order_of_a_bare_list_counts_where_it_is_said_to() -> None:
    texts = [r"\boxed{61, 29}", r"\boxed{29, 61}", r"\boxed{(61, 29)}"]
    for ordered, expected in ((False, [1.0, 1.0, 0.0]), (True, [1.0, 0.0, 1.0])):
        scorer = MathEqual(ordered=ordered)
        scores = await scorer.score(sample("61, 29"), texts, ANY)
        assert [score.value for score in scores] == expected
        assert len({MathEqual().version, scorer.version}) == 1 + ordered


async def test_a_bare_list_is_no_pair() -> None:
    assert not await same("61, 29", "(61, 29)")


async def test_clusters_without_any_answer() -> None:
    assert await SCORER.clusters([]) == []
    assert await SCORER.clusters([None, ""]) == [None, None]


async def test_an_answer_that_cannot_be_read_is_a_cluster_of_its_own() -> None:
    labels = await MathEqual(timeout=1).clusters(["x+1", TOWER, "1+x", TOWER])
    assert labels == [0, 1, 0, 1]


def test_plain_answers_need_no_worker_and_no_algebra() -> None:
    program = """
import asyncio, sys
from cat_bench.scorers.math_equal import MathEqual
from cat_bench.scorers.workers import workers
from cat_bench.types.records import Question, Sample
scorer = MathEqual()
texts = ["\\\\boxed{61, 29}", "\\\\boxed{$1,000}", "\\\\boxed{1/2}", ""]
asyncio.run(scorer.score(Sample(Question("q", (), ""), "61,29"), texts, None))
asyncio.run(scorer.clusters([scorer.answer(text) for text in texts]))
assert workers.cache_info().currsize == 0
assert not {"sympy", "math_verify", "torch"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def rows(name: str) -> list[dict[str, Any]]:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is not there; set CAT_BENCH_DATA to the folder that holds {name}")
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(
    "part", [slice(0, None, 10), pytest.param(slice(None), marks=pytest.mark.slow)]
)
async def test_every_math500_gold_equals_itself_and_its_solution(part: slice) -> None:
    for row in rows("math500.jsonl")[part]:
        texts = [boxed(row["answer"]), row["solution"]]
        scores = await SCORER.score(sample(row["answer"]), texts, ANY)
        assert [score.value for score in scores] == [1.0, 1.0], row["answer"]


async def test_verdicts_agree_with_those_published_for_gsm8k() -> None:
    scorer = MathEqual(pattern="A: (.*)")
    for row in rows("pools/gsm8k_1319x4.jsonl.gz"):
        scores = await scorer.score(sample(row["answer"]), row["responses"], ANY)
        assert [score.value for score in scores] == [float(flag) for flag in row["correct"]]


def test_a_target_is_an_answer() -> None:
    assert [MathEqual().check(target) for target in ("0", 0, r"\frac12")] == [None] * 3
    assert [MathEqual().check(target) for target in (None, "", " ")] == [
        "has no answer to compare"
    ] * 3


def test_a_target_that_is_a_word_is_doubted() -> None:
    doubted = [MathEqual().doubt(target) for target in ("Paris", r"\text{east}", "no solution")]
    assert doubted[0] == doubted[1]
    assert str(doubted[0]).startswith("are words")
    assert doubted[2] is None
    for target in ("5", 5, "xy", r"\frac12", "AC", "(C)", "x=2", r"5 \text{ cm}", r"\sqrt{2}"):
        assert MathEqual().doubt(target) is None
