"""`cat-bench check TASK`: each fault is a problem, and an impossible check is skipped."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from cat_bench.audit.task_checks import NAMES, check_task
from cat_bench.loading import catalog
from cat_bench.loading.registry import load
from cat_bench.types.calls import JSON
from cat_bench.types.plugins import AnswerScorer
from tests.conftest import Workshop
from tests.scorers.published_rules import OptMath, Sirl

ECHO = '''
from cat_bench import Question, Sample, Score
from cat_bench.scorers.math_equal import MathEqual


class Echo(MathEqual):
    """Finds the gold anywhere in a text."""

    async def score(self, sample, texts, ctx):
        return [Score(float(str(sample.target) in text)) for text in texts]


class Judged(MathEqual):
    """Asks a model without declaring it."""

    async def score(self, sample, texts, ctx):
        return [Score(1.0) for _ in texts if await ctx.judge.ask("right?")]


class Hidden:
    """A task that never asks its problem, with one row that has no answer."""

    scorer = MathEqual()

    def samples(self):
        for k in range(9):
            asked = ({"role": "user", "content": "Box the answer."},)
            yield Sample(Question(f"q{k}", asked, f"What is {k} + 1?"), str(k + 1) if k else "")
'''
NUMBERS = [{"id": str(k), "problem": f"What is {k} + 100?", "answer": k + 100} for k in range(30)]


def made(
    workshop: Workshop,
    rows: Sequence[JSON] = NUMBERS,
    scorer: str = "math_equal",
    prompt: str = "{{ problem }} End with {{ closing }}.",
    more: str = "",
) -> str:
    """A task of these rows."""
    folder = workshop.folder / "made"
    folder.mkdir()
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "prompt.txt").write_text(prompt)
    (folder / "own.py").write_text(ECHO)
    (folder / "task.yaml").write_text(
        "version: 1\nsummary: made\n"
        "data: {file: rows.jsonl, fields: {id: id, problem: problem}}\n"
        f"scorer: {scorer}\n{more}"
    )
    return "./made"


def checked(workshop: Workshop, *arguments: str) -> tuple[int, dict[str, JSON]]:
    """The exit status, and each check's result by its name."""
    status, printed, problem = workshop.run("check", *arguments, "--json")
    assert printed, problem
    results = json.loads(printed)
    assert [each["name"] for each in results] == [*NAMES]
    assert status == int(any(each["status"] == "problem" for each in results))
    return status, {each["name"]: each for each in results}


@pytest.mark.parametrize(
    ("task", "told"),
    [("tally", 5), ("mini-or", 4), ("counsel", 2), ("healthbench-mini", 2)],
)
def test_the_bundled_tasks_pass(task: str, told: int, workshop: Workshop) -> None:
    status, results = checked(workshop, task)
    assert status == 0, results
    assert sum(each["status"] == "ok" for each in results.values()) == told
    assert all(each["text"] for each in results.values())
    assert workshop.calls == 0


@pytest.mark.parametrize("scorer", ["math_equal", "number", "text_equal"])
def test_a_sound_task_passes_under_each_scorer(scorer: str, workshop: Workshop) -> None:
    status, results = checked(workshop, made(workshop, scorer=scorer))
    assert status == 0
    assert {results[name]["status"] for name in ("golds", "blindness")} == {"ok"}


def test_options_and_tolerances_are_no_knowledge_of_the_answer(workshop: Workshop) -> None:
    near = made(workshop, scorer="number\nwith: {relative: 0.05}")
    status, results = checked(workshop, near)
    assert status == 0, results
    assert "predict 0" not in results["blindness"]["text"]
    rows = [
        {"id": str(k), "problem": f"{k}?", "options": ["a", "b", "c"], "answer": "ABC"[k % 3]}
        for k in range(12)
    ]
    (workshop.folder / "made" / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    written = (workshop.folder / "made" / "task.yaml").read_text()
    fields = written.replace("problem: problem", "problem: problem, options: options")
    fields = fields.replace("number\nwith: {relative: 0.05}", "choice")
    (workshop.folder / "made" / "task.yaml").write_text(fields)
    status, results = checked(workshop, near)
    assert status == 0, results
    assert results["blindness"]["status"] == "ok"


@pytest.mark.parametrize("scorer", [OptMath(), Sirl()])
async def test_a_published_rule_is_caught(scorer: AnswerScorer) -> None:
    task = replace(catalog.task("mini-or"), scorer=scorer)
    results = {each.name: each for each in await check_task(task)}
    assert results["blindness"].status == "problem"
    assert "knows the answer" in results["blindness"].text
    assert results["golds"].status == "ok"


def test_a_scorer_that_looks_for_the_gold_is_caught(workshop: Workshop) -> None:
    status, results = checked(workshop, made(workshop, scorer="./own.py:Echo"))
    assert status == 1
    assert [name for name in NAMES if results[name]["status"] == "problem"] == ["blindness"]
    assert "knows the answer: read the answer from the text" in results["blindness"]["text"]


def test_a_scorer_that_asks_a_model_is_refused_one(workshop: Workshop) -> None:
    status, results = checked(workshop, made(workshop, scorer="./own.py:Judged"))
    assert status == 0
    for name in ("golds", "blindness"):
        assert results[name]["status"] == "skipped"
        assert "no judge is named" in results[name]["text"]


def test_a_prompt_without_the_problem_is_found(workshop: Workshop) -> None:
    status, results = checked(workshop, made(workshop, prompt="End with {{ closing }}."))
    assert status == 1
    assert "write {{ problem }}" in results["prompt"]["text"]
    assert results["golds"]["status"] == "skipped"
    status, results = checked(workshop, "./made/own.py:Hidden")
    assert "9 of 9" in results["prompt"]["text"]
    assert results["targets"]["rows"] == ["q0"]


def test_a_target_that_cannot_be_scored_is_found(workshop: Workshop) -> None:
    rows = [*NUMBERS, {"id": "x", "problem": "Why?", "answer": "because"}]
    status, results = checked(workshop, made(workshop, rows, scorer="number"))
    assert (status, results["targets"]["status"]) == (1, "problem")
    assert "'x' has the answer 'because', not a number" in results["targets"]["text"]
    status, results = checked(workshop, "./made", "--limit", "30")
    assert status == 0


def test_words_under_a_mathematical_scorer_are_found(workshop: Workshop) -> None:
    cities = ("Paris", "Lima", "Tokyo", "Oslo")
    rows = [{"id": each, "problem": f"{each}?", "answer": each} for each in cities]
    status, results = checked(workshop, made(workshop, rows))
    assert (status, results["words"]["status"]) == (1, "problem")
    assert "4 of 4 targets are words" in results["words"]["text"]


def test_golds_that_the_closing_loses_are_counted_and_listed(workshop: Workshop) -> None:
    flawed = made(workshop, more="closing: 'a line \"Result is\" and the number'\n")
    status, results = checked(workshop, flawed)
    assert (status, results["golds"]["status"]) == (1, "problem")
    assert len(results["golds"]["rows"]) == 20
    assert "scores 0: correct the closing" in results["golds"]["text"]
    assert results["blindness"]["status"] == "skipped"


def test_lines_for_people_and_missing_data(workshop: Workshop, tmp_path: Path) -> None:
    status, printed, _ = workshop.run("check", "tally", "--limit", "40")
    assert status == 0
    assert [line.split()[0] for line in printed.splitlines()] == [*NAMES]
    status, _, problem = workshop.run("check", "tally", "--data", str(tmp_path / "none.jsonl"))
    assert status == 2
    assert "is not a file" in problem


def test_a_program_is_not_run_without_permission(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CAT_BENCH_ALLOW_CODE", raising=False)
    task = made(workshop, scorer="solver\nwith: {dialect: python}")
    status, results = checked(workshop, task)
    assert status == 0
    assert "--allow-code" in results["golds"]["text"]
    monkeypatch.setenv("CAT_BENCH_ALLOW_CODE", "none")
    status, results = checked(workshop, task, "--limit", "3")
    assert status == 0
    assert results["golds"]["text"].startswith("3 of 3")


def test_golds_of_a_private_task_are_not_printed(workshop: Workshop) -> None:
    more = "private: true\nclosing: 'a line \"Result is\" and the number'\n"
    _, results = checked(workshop, made(workshop, more=more))
    assert "such as one, which scores 0" in results["golds"]["text"]
    assert "'1" not in results["golds"]["text"]


RAISES = """
from cat_bench.scorers.math_equal import MathEqual


class Raises(MathEqual):
    check = staticmethod(lambda target: f"has the target {target}")

    async def score(self, sample, texts, ctx):
        raise ValueError(f"cannot read {sample.target}")


class Mixed(MathEqual):
    check = None

    def for_question(self, question):
        return Raises() if question.id == "1" else self
"""


def test_no_message_of_a_private_task_quotes_a_target(workshop: Workshop) -> None:
    task = catalog.task(made(workshop))
    (workshop.folder / "raises.py").write_text(RAISES)
    scorer = load("scorer", "./raises.py:Raises")()
    for private, quoted in ((True, False), (False, True)):
        found = asyncio.run(check_task(replace(task, scorer=scorer, private=private)))
        results = {each.name: each for each in found}
        assert {results["targets"].status, results["golds"].status} == {"problem"}
        assert ("has the target 100" in results["targets"].text) is quoted
        assert ("cannot read" in results["golds"].text) is quoted
        assert "ValueError" in results["golds"].text


def test_a_row_without_a_check_hides_no_problem_of_other_rows(workshop: Workshop) -> None:
    task = catalog.task(made(workshop))
    (workshop.folder / "raises.py").write_text(RAISES)
    scorer = load("scorer", "./raises.py:Mixed")()
    found = asyncio.run(check_task(replace(task, scorer=scorer), limit=4))[0]
    assert (found.status, found.rows) == ("problem", ("1",))
    assert "1 of 1 targets cannot be scored" in found.text


def test_only_the_rows_that_were_read_are_called_unlabelled(workshop: Workshop) -> None:
    rows = [{**row, "answer": None} if row["id"] in {"0", "1"} else row for row in NUMBERS]
    task = catalog.task(made(workshop, rows))
    texts = {each.text for each in asyncio.run(check_task(task, limit=2)) if each.name != "prompt"}
    assert texts == {"the first 2 rows are unlabelled"}
    results = {each.name: each for each in asyncio.run(check_task(task, limit=3))}
    assert results["words"].text == "the scorer doubts none of 1 targets"
