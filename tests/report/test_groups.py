"""Scores by what the data say of a question."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cat_bench.report.groups import groups
from cat_bench.types.records import Question, Sample
from tests.report.conftest import WARNINGS_FAIL

if TYPE_CHECKING:
    from tests.report.conftest import Runs

pytestmark = WARNINGS_FAIL


def test_each_value_of_a_field_is_scored_on_its_own_questions(runs: Runs) -> None:
    metas = [{"level": 10, "id": "a"}, {"level": 9, "id": "b"}, {"level": 9, "id": "c"}, {}]
    samples = [Sample(Question(f"q{i}", (), "", meta), "") for i, meta in enumerate(metas)]
    folder = runs.build(runs.scores("vote", 1, [1.0, 0.5, 0.0, 0.0]), samples=samples)
    found = groups(folder)[["field", "group", "questions", "score"]].to_numpy().tolist()
    assert found == [["level", "9", 2, 0.25], ["level", "10", 1, 1.0]]


def test_questions_of_which_nothing_is_said_have_no_groups(runs: Runs) -> None:
    assert groups(runs.build(runs.scores("vote", 1, [1.0, 0.5]))).empty


def test_what_is_nearly_a_number_is_a_word(runs: Runs) -> None:
    """`str.isdigit` takes a superscript for a digit, `float` does not."""
    names = ["²", "--1", "0.5", "-3"]
    samples = [Sample(Question(f"q{i}", (), "", {"kind": names[i % 4]}), "") for i in range(8)]
    found = groups(runs.build(runs.scores("vote", 1, [1.0] * 8), samples=samples))
    assert list(found["group"]) == ["-3", "0.5", "--1", "²"]


def test_a_field_that_few_questions_have_is_no_group(runs: Runs) -> None:
    metas = [{"level": 1}, {"level": 2}, {"level": 2}, {}, {}, {}]
    samples = [Sample(Question(f"q{i}", (), "", meta), "") for i, meta in enumerate(metas)]
    assert groups(runs.build(runs.scores("vote", 1, [1.0] * 6), samples=samples)).empty


def test_numbers_of_a_column_with_gaps_are_groups(runs: Runs) -> None:
    """Parquet and pandas write whole numbers beside a missing one as floats."""
    levels = [1.0, 10.0, 2.0, 2.5, None, 1, 10.0, 2.0, 2.5, 1.0]
    samples = [Sample(Question(f"q{i}", (), "", {"l": v}), "") for i, v in enumerate(levels)]
    found = groups(runs.build(runs.scores("vote", 1, [1.0] * 10), samples=samples))
    assert dict(zip(found["group"], found["questions"], strict=True)) == {
        "1": 3,
        "2": 2,
        "2.5": 2,
        "10": 2,
    }
    assert list(found["group"]) == ["1", "2", "2.5", "10"]


def test_words_that_python_reads_as_numbers_are_words(runs: Runs) -> None:
    names = ["nan", "7", "inf", "5"] * 2
    samples = [Sample(Question(f"q{i}", (), "", {"k": v}), "") for i, v in enumerate(names)]
    found = groups(runs.build(runs.scores("vote", 1, [1.0] * 8), samples=samples))
    assert list(found["group"]) == ["5", "7", "inf", "nan"]
