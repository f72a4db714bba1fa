"""What columns hold and which scorer fits, told from names and answers."""

from __future__ import annotations

import pytest

from cat_bench.loading.guessing import Columns, guess_columns, guess_scorer, tolerance
from cat_bench.system.rows import Row
from cat_bench.types.calls import JSON

TURNS = [{"role": "user", "content": "Is it far?"}]


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        ([{"problem": "1+1?", "answer": "2", "solution": "2"}], Columns("answer", "problem")),
        ([{"en_question": "1+1?", "en_answer": "2"}], Columns("en_answer", "en_question")),
        ([{"Frage": "1+1?", "Antwort": "2"}], Columns(None)),
        ([{"messages": TURNS, "target": "no"}], Columns("target", messages="messages")),
        ([{"prompt": TURNS, "rubrics": []}], Columns("rubrics", messages="prompt")),
        (
            [{"prompt": "far?", "choices": ["yes", "no"], "answerKey": "B", "question_id": 7}],
            Columns("answerKey", "prompt", id="question_id", options="choices"),
        ),
        (
            [{"question": "far?", "A": "yes", "B": "no", "answer": "A", "hint": "no"}],
            Columns("answer", "question", options=["A", "B"]),
        ),
        (
            [{"question": "far?", "Option 2": "b", "Option 1": "a", "label": "a"}],
            Columns("label", "question", options=["Option 1", "Option 2"]),
        ),
        ([{"question": "far?", "answer": "no", "a": 1, "q": 2}], Columns("answer", "question")),
        (
            [{"question": "far?", "answer": "a", "a": "yes", "b": "no", "x": "7"}],
            Columns("answer", "question", options=["a", "b"]),
        ),
        (
            [{"Question": "far?", "Correct Answer": "yes", "Incorrect Answer 1": "no"}],
            Columns(
                "Correct Answer",
                "Question",
                options=["Correct Answer", "Incorrect Answer 1"],
                shuffle=0,
            ),
        ),
    ],
)
def test_columns_are_told_by_their_names(rows: list[Row], columns: Columns) -> None:
    assert guess_columns(rows) == columns


def test_named_columns_come_first() -> None:
    rows: list[Row] = [{"question": "1+1?", "answer": "2", "asked": "2+2?", "sum": "4"}]
    assert guess_columns(rows, problem="asked", answer="sum") == Columns("sum", "asked")


def test_ids_differ_and_groups_repeat() -> None:
    levels = ["easy", "hard", "easy"]
    rows: list[Row] = [
        {"name": f"q{k}", "question": "?", "answer": k, "level": level, "answer_kind": level}
        for k, level in enumerate(levels)
    ]
    assert guess_columns(rows) == Columns("answer", "question", id="name", meta=["level"])
    assert guess_columns([{**row, "name": "q"} for row in rows]).id is None


@pytest.mark.parametrize(
    ("options", "answers", "by"),
    [
        ([["x", "y"], ["x", "y"]], ["A", "B"], None),
        ([["1", "2"], ["2", "3"]], [1, 0], "position"),
        ([["1", "2", "3"], ["2", "0", "1"]], [2, 2], None),
        ([["B", "A"], ["x", "C"]], ["B", "A"], "label"),
    ],
)
def test_what_answers_say_of_options(
    options: list[JSON], answers: list[JSON], by: str | None
) -> None:
    """One reading is written where it alone fits all rows; of several, the loader complains."""
    rows: list[Row] = [
        {"question": "?", "options": each, "answer": answer}
        for each, answer in zip(options, answers, strict=True)
    ]
    assert guess_columns(rows).answer_by == by


@pytest.mark.parametrize(
    ("targets", "scorer", "params"),
    [
        (["Paris", "Lima"], "text_equal", {}),
        (["Paris", "12"], "text_equal", {}),
        ([["Tokyo", "Tōkyō"], "Lima"], "text_equal", {}),
        ([True, False], "text_equal", {}),
        (["a\nb", "c"], "text_equal", {"multiline": True}),
        (["2024-05-01"], "text_equal", {}),
        ([1, "2"], "number", {}),
        (["$12", "1,200 km"], "number", {}),
        (["1.5", 2.25], "number", {"absolute": 0.005}),
        (["A", "(C)"], "choice", {}),
        (["\\frac{1}{2}", "3"], "math_equal", {}),
        (["x^2+1", "x"], "math_equal", {}),
        (["\\frac{1}{2}", "one half"], "text_equal", {}),
        ([[{"criterion": "is kind", "points": 1}]], "rubric", {}),
    ],
)
def test_the_scorer_is_told_from_the_answers(
    targets: list[JSON], scorer: str, params: dict[str, JSON]
) -> None:
    scoring = guess_scorer(targets)
    assert (scoring.scorer, scoring.params) == (scorer, params)
    assert guess_scorer(targets, options=True).scorer == "choice"


def test_mixed_answers_are_said_to_be_mixed() -> None:
    assert "1 of 2 are numbers" in guess_scorer(["Paris", 12]).reason


@pytest.mark.parametrize(
    ("answers", "absolute"),
    [
        (["1", "200"], None),
        (["1,200", "1,234,567"], None),
        (["1,200.5", "7"], 0.05),
        (["3,14"], 0.005),
        (["0.5", "1e-5"], 0.000005),
        (["6.02e23"], None),
        (["0.5", "1.6 × 10^{-19}"], None),
        (["12.50 €", "$3.5"], 0.005),
    ],
)
def test_the_tolerance_is_half_of_the_last_place(
    answers: list[str], absolute: float | None
) -> None:
    assert tolerance(answers) == ({} if absolute is None else {"absolute": absolute})
