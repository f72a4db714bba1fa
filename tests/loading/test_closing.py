"""What a response has to end with, told from the scorer."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from cat_bench.loading.closing import ALONE, BOXED, LIKE_THE_DRAFTS, describe_closing, form_of
from cat_bench.loading.prompts import Prompts
from cat_bench.loading.registry import build
from cat_bench.types.plugins import Context
from cat_bench.types.records import Sample, Score
from tests.toy import Sesame


@pytest.mark.parametrize(
    ("pattern", "form"),
    [
        ("Answer: (.*)", 'a line "Answer: " and the final answer'),
        (r"(?i)^answer\s*[:=]\s*([A-E])$", 'a line "answer:" and the final answer'),
        (r"#### (\-?[0-9\.\,]+)", 'a line "#### " and the final answer'),
        ("答案[:：](.*)", 'a line "答案:" and the final answer'),
        ("<answer>(.*?)</answer>", '"<answer>…</answer>"'),
        (r"The answer is (.*?)\.", '"The answer is ….", with the final answer'),
        (r"(?:Antwort|Answer): (\w+)", 'a line "Antwort: " and the final answer'),
        (r"(\d+)", ALONE),
        (r"(?<=\d{40})(x{40})", "the regular expression"),
    ],
)
def test_the_form_that_a_pattern_reads(pattern: str, form: str) -> None:
    assert form in form_of(pattern)
    if form.startswith('a line "'):
        shown = form.split('"')[1]
        assert re.search(pattern, f"{shown}7") or re.search(pattern, f"{shown}A")


class Boxes(Sesame):
    def answer(self, text: str) -> str | None:
        return text.partition("\\boxed{")[2].partition("}")[0] or None


class Free:
    version = "1"

    async def score(self, sample: Sample, texts: Sequence[str], ctx: Context) -> list[Score]:
        return [Score(0.0)] * len(texts)


def test_each_scorer_says_how_an_answer_is_given() -> None:
    assert describe_closing(build("scorer", "math_equal", {})) == BOXED
    assert "Answer: " in describe_closing(
        build("scorer", "math_equal", {"pattern": "Answer: (.*)"})
    )
    assert "letter" in describe_closing(build("scorer", "choice", {}))
    assert "Wahl" in describe_closing(build("scorer", "choice", {"pattern": "Wahl: (.)"}))
    assert " in km" in describe_closing(build("scorer", "number", {"unit": "km"}))
    assert describe_closing(build("scorer", "rubric", {})) == ""
    assert describe_closing(Free()) == ""
    assert describe_closing(Boxes()) == BOXED
    assert describe_closing(Sesame()) == LIKE_THE_DRAFTS


def test_a_synthesis_is_asked_for_the_tasks_form() -> None:
    boxed = Prompts(closing=BOXED).render("synthesis", drafts=["a"])
    assert boxed.endswith("stands on its own, ending with the final answer in \\boxed{}.")
    assert Prompts(closing="x").render("synthesis", drafts=["a"]).endswith("ending with x.")
    free = Prompts().render("synthesis", drafts=["a"])
    assert free.endswith("stands on its own.")
    assert "box" not in free
