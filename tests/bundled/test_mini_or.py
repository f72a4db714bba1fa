"""The task mini-or: problems whose optimum needs no solver, and formulations judged by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

from cat_bench.bundled.mini_or.modeller import merge, mini_or
from cat_bench.bundled.mini_or.problems import KINDS, cplex_lp, parts_of, problems, rows
from cat_bench.loading.catalog import root, task
from cat_bench.models.backends import Request
from cat_bench.scorers.solver import Solver, close
from cat_bench.scorers.solver_solving import judge
from cat_bench.types.calls import Reply, Sampling
from cat_bench.types.plugins import Context
from cat_bench.types.records import Question, Sample
from tests.scorers.published_rules import OptMath, Orlm, Sirl

ANY = cast("Context", None)
PROBLEMS = list(problems())


def block(formulation: str) -> str:
    return f"```lp\n{formulation}```\n"


def test_the_bundled_file_is_what_the_generator_writes() -> None:
    lines = (root() / "tasks" / "mini-or" / "problems.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == list(rows())
    assert len(lines) >= 60
    assert len({problem.text for problem in PROBLEMS}) == len(PROBLEMS)
    assert {problem.kind for problem in PROBLEMS} == {kind for kind, _ in KINDS}


async def test_every_right_formulation_scores_1() -> None:
    mini = task("mini-or")
    samples = list(mini.samples())
    for sample, problem in zip(samples, PROBLEMS, strict=True):
        (score,) = await mini.scorer.score(sample, [block(problem.formulation())], ANY)
        assert score.value == 1, problem


async def test_fresh_problems_have_the_optimum_that_enumeration_finds() -> None:
    for problem in problems(200, seed=2026):
        verdict = judge("lp\n" + problem.formulation())
        assert verdict["verdict"] == "optimal", problem
        assert close(verdict["objective"], problem.optimum), problem


async def test_a_slip_is_judged_by_its_optimum_alone() -> None:
    scorer, moved = Solver(), 0
    for sample, problem in zip(task("mini-or").samples(), PROBLEMS, strict=True):
        for slip in problem.slips:
            formulation = problem.formulation(slip)
            (score,) = await scorer.score(sample, [block(formulation)], ANY)
            verdict = judge(f"lp\n{formulation}")
            same = "objective" in verdict and close(verdict["objective"], problem.optimum)
            assert score.value == float(same)
            moved += not same
    assert moved == 248


def test_parts_are_written_and_read_back() -> None:
    for problem in PROBLEMS:
        text = problem.formulation()
        assert cplex_lp(parts_of(text)) == text
        assert merge([text, problem.formulation(min(problem.slips)), text]) == text


async def test_the_modeller_errs_and_its_drafts_can_be_merged() -> None:
    model = mini_or()
    sample = next(iter(task("mini-or").samples()))
    request = Request(sample.question.messages, Sampling(), tuple(range(16)))
    replies = [r.text for r in await model.generate(request) if isinstance(r, Reply)]
    assert 2 <= len(set(replies)) < 16
    drafts = "".join(f'<draft number="{k}">\n{text}</draft>' for k, text in enumerate(replies))
    content = f"Drafts:\n{drafts}"
    asked = Request(({"role": "user", "content": content},), Sampling(), (0,))
    (reply,) = await model.generate(asked)
    assert isinstance(reply, Reply)
    assert "# UNIFIED RESPONSE" in reply.text
    assert Solver().answer(reply.text) is not None


async def test_the_page_has_the_figures_of_published_rules() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations-research.md").read_text()
    assert f"{len(PROBLEMS)} problems of five kinds" in page
    pairs = [
        (Sample(Question(problem.id, (), ""), problem.optimum), block(text))
        for problem in PROBLEMS
        for text in (problem.formulation(), *map(problem.formulation, problem.slips))
    ]
    for scorer, name in (
        (Solver(), "this scorer"),
        (Orlm(), "ORLM"),
        (OptMath(), "OptMATH"),
        (Sirl(), "SIRL"),
    ):
        scores = [(await scorer.score(sample, [text], ANY))[0] for sample, text in pairs]
        if name == "this scorer":
            right = [score.value == 1 for score in scores]
            coarse = [score.parts["tolerance:5 %"] for score in scores]
            assert f"| within 5 % | {sum(right)} | {_wrong(coarse, right)} |" in page
        (line,) = [line for line in page.splitlines() if line.startswith(f"| {name}:")]
        wrong = _wrong([score.value or 0.0 for score in scores], right)
        assert line.endswith(f"| {sum(right)} | {wrong} |"), (name, wrong)


def _wrong(values: list[float], right: list[bool]) -> int:
    return sum(value == 1 and not yes for value, yes in zip(values, right, strict=True))
