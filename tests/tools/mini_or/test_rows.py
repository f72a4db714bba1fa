"""The policy of mini-or is taught whole formulations of problems that are not in the task."""

from __future__ import annotations

import random
from itertools import islice

import pytest

from cat_bench.bundled.mini_or.problems import parts_of, rows
from cat_bench.errors import UsageError
from cat_bench.scorers.solver import close
from cat_bench.scorers.solver_solving import judge
from tools.mini_or.rows import Modelling
from tools.mini_or.study import LONGEST, draw_rows
from tools.mini_or.train import COURSE, lesson
from tools.tally.teaching import Teacher
from tools.tally.tokens import build_tokenizer


def test_without_noise_a_lesson_is_right() -> None:
    rng, subject, bundled = random.Random(1), Modelling(), {row["problem"] for row in rows()}
    for problem in islice(subject.problems(rng), 40):
        text = subject.attempt(problem, rng, noise=0)
        verdict = judge("lp\n" + text.removeprefix("```lp\n").removesuffix("```\n"))
        assert close(verdict["objective"], problem.optimum)
        assert problem.text not in bundled
        assert problem.text in subject.question(problem)


def test_slips_come_with_the_noise_and_drafts_are_not_read() -> None:
    rng, subject = random.Random(1), Modelling()
    problem = next(subject.problems(rng))
    texts = {subject.attempt(problem, rng, noise=1) for _ in range(40)}
    assert len(texts) > 4
    assert all({"sense", "goal"} <= parts_of(text).keys() for text in texts)
    with pytest.raises(UsageError, match="synthesis"):
        subject.exchange("synthesis", problem, [], rng)


def test_formulations_fit_the_length_of_the_study() -> None:
    tokenizer = build_tokenizer(
        COURSE.corpus(), phrases=COURSE.phrases, vocabulary=COURSE.vocabulary
    )
    taught = Teacher(tokenizer, Modelling(), random.Random(1)).rows(100, lesson(1))
    assert max(sum(label >= 0 for label in row.labels) for row in taught) < LONGEST


def test_fresh_rows_are_those_of_the_seed() -> None:
    one, two = ([*draw_rows(20, seed=seed)] for seed in (1, 2))
    assert one == [*draw_rows(20, seed=1)] != two
    assert len({row["problem"] for row in one}) == 20
    assert one[0].keys() == next(iter(rows())).keys()
