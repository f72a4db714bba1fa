"""Scorers that know the answer are caught, and honest ones are not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from cat_bench.audit.gold_blindness import gold_blindness
from cat_bench.bundled.mini_or.problems import problems
from cat_bench.scorers.math_equal import MathEqual
from cat_bench.scorers.solver import Solver
from cat_bench.types.plugins import AnswerScorer, Context
from cat_bench.types.records import Question, Sample, Score
from tests.scorers.published_rules import OptMath, Sirl

ANY = cast("Context", None)
PROBLEMS = list(problems())


def formulations() -> list[tuple[Sample, str]]:
    """Each problem's right formulation, and each wrong one."""
    found = []
    for problem in PROBLEMS:
        sample = Sample(Question(problem.id, (), problem.text), problem.optimum)
        texts = [problem.formulation(), *map(problem.formulation, problem.slips)]
        found += [(sample, f"```lp\n{text}```\n") for text in texts]
    return found


def boxed() -> list[tuple[Sample, str]]:
    """Rows with golds from 0 to 19, some of them alike, each with a right and a wrong text."""
    rows = [Sample(Question(f"q{k}", (), ""), str(k % 20)) for k in range(30)]
    return [(s, rf"\boxed{{{int(s.target) + wrong}}}") for s in rows for wrong in (0, 100)]


async def test_the_solver_is_blind() -> None:
    found = await gold_blindness(Solver(), formulations(), ANY)
    assert not found.knows, found
    assert (found.surplus, found.changed) == (0, 0)
    assert "does not know" in found.sentence


@pytest.mark.parametrize("scorer", [OptMath(), Sirl()])
async def test_a_rule_that_changes_the_program_is_caught(scorer: AnswerScorer) -> None:
    found = await gold_blindness(scorer, formulations(), ANY)
    assert found.knows, found
    assert "knows the answer" in found.sentence


async def test_mathematics_is_blind() -> None:
    found = await gold_blindness(MathEqual(), boxed(), ANY)
    assert not found.knows, found
    assert found.accepted == found.expected > 0


class Echo(MathEqual):
    """Finds the gold anywhere in the text, as a lenient rule does."""

    async def score(self, sample: Sample, texts: Sequence[str], ctx: Context) -> Sequence[Score]:
        return [Score(float(str(sample.target) in text)) for text in texts]


class Bent(MathEqual):
    """Reads the answer that suits the gold."""

    async def score(self, sample: Sample, texts: Sequence[str], ctx: Context) -> Sequence[Score]:
        return [Score(0.0, details={"answer": sample.target}) for _ in texts]


async def test_other_ways_to_know_are_caught() -> None:
    assert (await gold_blindness(Echo(), boxed(), ANY)).knows
    texts = [(s, t) for s, t in boxed() if "10" not in t]
    passing = await gold_blindness(Echo(), texts, ANY)
    assert passing.surplus > 0
    rows = await gold_blindness(_Always(), boxed(), ANY)
    assert rows.knows


class _Always(MathEqual):
    async def score(self, sample: Sample, texts: Sequence[str], ctx: Context) -> Sequence[Score]:
        return [Score(1.0, details={"answer": str(sample.target)}) for _ in texts]


async def test_one_row_cannot_be_permuted() -> None:
    with pytest.raises(ValueError, match="at least two"):
        await gold_blindness(MathEqual(), boxed()[:1], ANY)
